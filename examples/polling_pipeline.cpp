// How not to do it, and how nearly everybody does it first: a deque and a lock between workers that look whether there is something.
// What it costs is printed: most looks find nothing. The program beside it, blocking_pipeline.cpp, is the same work without one of them.
#include <array>
#include <chrono>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

struct polled_queue {
  std::mutex mutex;
  std::deque<int> items;  // unbounded: a fast stage before a slow one fills the memory

  void put(int item) {
    const std::scoped_lock lock(mutex);
    items.push_back(item);
  }
  std::optional<int> get() {
    const std::scoped_lock lock(mutex);
    if (items.empty()) return std::nullopt;
    const int item = items.front();
    items.pop_front();
    return item;
  }
};

int download(int photo) {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the network
  return photo;
}
int resize(int photo) { return photo; }
int upload(int photo) { return photo; }

void work(std::stop_token stop, int (*function)(int), polled_queue& from, polled_queue& to, int& wasted_polls) {
  // The only way to end such a worker is one more thing that it polls.
  while (!stop.stop_requested()) {
    if (const auto item = from.get()) {
      to.put(function(*item));
    } else {
      ++wasted_polls;
      // Without a pause it would use up a processor; with one, every item waits for the end of somebody's pause.
      std::this_thread::sleep_for(std::chrono::microseconds(10));
    }
  }
}

int main() {
  polled_queue to_download, to_resize, to_upload, done;
  std::array<int, 3> wasted{};
  std::array<std::jthread, 3> workers{
      std::jthread([&](std::stop_token s) { work(s, download, to_download, to_resize, wasted[0]); }),
      std::jthread([&](std::stop_token s) { work(s, resize, to_resize, to_upload, wasted[1]); }),
      std::jthread([&](std::stop_token s) { work(s, upload, to_upload, done, wasted[2]); }),
  };
  for (int i = 0; i < 200; ++i) to_download.put(i);

  // Nobody can tell that all is done without yet another loop that looks.
  int finished = 0, main_polls = 0;
  while (finished < 200) {
    if (done.get()) {
      ++finished;
    } else {
      ++main_polls;
      std::this_thread::sleep_for(std::chrono::microseconds(10));
    }
  }
  for (auto& worker : workers) worker.request_stop();
  for (auto& worker : workers) worker.join();
  std::printf("%d items, %d wasted polls\n", finished, main_polls + wasted[0] + wasted[1] + wasted[2]);
}
