// Three phases of workers between four queues. Each worker is a loop over its queue; a queue is closed when all who push into it are done,
// and that ends the loops of those who take from it. Nothing is counted, polled or sent through the line to say that it is over.
#include <array>
#include <cstdio>
#include <thread>
#include <vector>

#include <penstock/queue/bounded_queue.hpp>

using penstock::bounded_queue;

// What a phase is: some threads, which all do this.
template <class Function>
std::vector<std::jthread> workers(int count, Function function, bounded_queue<int>& from, bounded_queue<int>& to) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([=, &from, &to] {
      for (const int item : from.items()) (void)to.push(function(item));
    });
  return threads;
}

void run(int downloaders, int resizers, int uploaders) {
  bounded_queue<int> to_download(16), to_resize(16), to_upload(16), done(16);
  auto download = workers(downloaders, [](int photo) { return photo; }, to_download, to_resize);
  auto resize = workers(resizers, [](int photo) { return photo / 2; }, to_resize, to_upload);
  auto upload = workers(uploaders, [](int photo) { return photo; }, to_upload, done);

  std::jthread everything([&] {
    for (int i = 0; i < 1000; ++i) (void)to_download.push(i);
    to_download.close();
    download.clear();  // joins: from here on nobody pushes into to_resize
    to_resize.close();
    resize.clear();
    to_upload.close();
    upload.clear();
    done.close();
  });
  int finished = 0;
  for ([[maybe_unused]] const int photo : done.items()) ++finished;
  std::printf("%d/%d/%d workers: %d items finished\n", downloaders, resizers, uploaders, finished);
}

int main() {
  run(1, 1, 1);
  run(3, 4, 5);
}
