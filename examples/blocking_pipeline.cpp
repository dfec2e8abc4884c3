// The three workers of polling_pipeline.cpp with queues that can be waited at, closed, and that hold no more than they are told to.
// A worker sleeps until there is something, is woken for it, and its loop ends when there will never be anything again.
#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include <penstock/queue/bounded_queue.hpp>

using penstock::bounded_queue;

int download(int photo) {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the network
  return photo;
}
int resize(int photo) { return photo; }
int upload(int photo) { return photo; }

void work(int (*function)(int), bounded_queue<int>& from, bounded_queue<int>& to, int& wasted_polls) {
  while (true) {
    const auto item = from.pop();
    if (item) {
      (void)to.push(function(*item));  // waits while `to` is full: a slow stage slows down the fast one before it
    } else if (from.is_closed()) {
      break;  // closed and drained; what comes after this one hears it in the same way
    } else {
      ++wasted_polls;  // woken for nothing: never
    }
  }
  to.close();
}

int main() {
  bounded_queue<int> to_download(8), to_resize(8), to_upload(8), done(8);
  std::array<int, 3> wasted{};
  const std::array<std::jthread, 4> threads{
      std::jthread([&] { work(download, to_download, to_resize, wasted[0]); }),
      std::jthread([&] { work(resize, to_resize, to_upload, wasted[1]); }),
      std::jthread([&] { work(upload, to_upload, done, wasted[2]); }),
      // Something has to feed the line while main() takes what comes out: with bounds nothing may pile up in between.
      std::jthread([&] {
        for (int i = 0; i < 200; ++i) (void)to_download.push(i);
        to_download.close();
      }),
  };

  int finished = 0;
  while (done.pop()) ++finished;
  std::printf("%d items, %d wasted polls\n", finished, wasted[0] + wasted[1] + wasted[2]);
}
