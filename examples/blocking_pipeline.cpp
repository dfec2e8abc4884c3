// The three workers of polling_pipeline.cpp with queues that can be waited at, closed, and that hold no more than they are told to.
// A worker sleeps until there is something, is woken for it, and its loop ends when there will never be anything again.
#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include <penstock/queue/bounded_queue.hpp>

using penstock::bounded_queue;

struct counts {
  int items = 0;
  int wasted_polls = 0;
};

int download(int photo) {
  std::this_thread::sleep_for(std::chrono::microseconds(100));  // the network
  return photo;
}
int resize(int photo) { return photo; }
int upload(int photo) { return photo; }

void work(int (*function)(int), bounded_queue<int>& from, bounded_queue<int>& to, counts& mine) {
  while (true) {
    const auto item = from.pop();
    if (item) {
      ++mine.items;
      (void)to.push(function(*item));  // waits while `to` is full: a slow stage slows down the fast one before it
    } else if (from.is_closed()) {
      break;  // closed and drained; what comes after this one hears it in the same way
    } else {
      ++mine.wasted_polls;  // woken for nothing: never
    }
  }
  to.close();
}

int main() {
  bounded_queue<int> to_download(8), to_resize(8), to_upload(8), done(8);
  std::array<counts, 3> of;
  const std::array<std::jthread, 4> threads{
      std::jthread([&] { work(download, to_download, to_resize, of[0]); }),
      std::jthread([&] { work(resize, to_resize, to_upload, of[1]); }),
      std::jthread([&] { work(upload, to_upload, done, of[2]); }),
      // Something has to feed the line while main() takes what comes out: with bounds nothing may pile up in between.
      std::jthread([&] {
        for (int i = 0; i < 1000; ++i) (void)to_download.push(i);
        to_download.close();
      }),
  };

  int finished = 0;
  while (done.pop()) ++finished;
  std::printf("%d items, %d wasted polls\n", finished, of[0].wasted_polls + of[1].wasted_polls + of[2].wasted_polls);
}
