// Five sensors count 100,000 events each in one counter. Three that are right, and differ in what they cost when many count at once;
// the one that is wrong is counter_racy.cpp.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

constexpr int events = 100'000;

// Right, and easy to see: one at a time. The sensors stand in line.
struct locked_counter {
  std::mutex mutex;
  long count = 0;

  void add(int) {
    const std::scoped_lock lock(mutex);
    ++count;
  }
  long total() { return count; }
};

// No line to stand in, but one cache line, which travels from processor to processor with every event.
struct atomic_counter {
  std::atomic<long> count = 0;

  void add(int) { count.fetch_add(1, std::memory_order_relaxed); }  // relaxed: nothing else is read by way of the count
  long total() { return count; }
};

// A count for each sensor, in a cache line of its own, and the sum when somebody asks. Twice the sensors count twice as much.
struct sharded_counter {
  struct alignas(64) shard {
    std::atomic<long> count = 0;  // atomic for the reader's sake; its writer is alone
  };
  std::array<shard, 8> shards;

  void add(int sensor) { shards[static_cast<std::size_t>(sensor)].count.fetch_add(1, std::memory_order_relaxed); }
  long total() {
    long sum = 0;
    for (auto& s : shards) sum += s.count;
    return sum;
  }
};

template <class Counter>
double count_with(int sensors, long& total) {
  Counter counter;
  std::latch all_are_there(sensors + 1);  // else the first would be done before the last has been started
  std::vector<std::jthread> threads;
  for (int sensor = 0; sensor < sensors; ++sensor)
    threads.emplace_back([&, sensor] {
      all_are_there.arrive_and_wait();
      for (int i = 0; i < events; ++i) counter.add(sensor);
    });
  const auto began = std::chrono::steady_clock::now();
  all_are_there.count_down();
  threads.clear();  // joins
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
  total = counter.total();
  return took.count() / static_cast<double>(total);
}

template <class Counter>
void show(const char* name) {
  long one = 0, five = 0;
  const double alone = count_with<Counter>(1, one), together = count_with<Counter>(5, five);
  std::printf("%-8s %ld    one sensor %5.1f ns an event, five %5.1f\n", name, five, alone, together);
}

int main() {
  show<locked_counter>("locked");
  show<atomic_counter>("atomic");
  show<sharded_counter>("sharded");
}
