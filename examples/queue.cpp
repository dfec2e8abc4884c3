// A queue between threads by itself: backpressure, leases, the end, and "all done" without polling.
#include <cstdio>
#include <thread>
#include <vector>

#include <penstock/queue/bounded_queue.hpp>

int main() {
  penstock::bounded_queue<int> queue(8);  // a producer waits when 8 are inside
  long sums[3] = {};
  std::vector<std::jthread> workers;
  for (long& sum : sums)
    workers.emplace_back([&queue, &sum] {
      for (int item : queue.items()) sum += item;  // each item is leased for one turn of the loop
    });
  for (int i = 1; i <= 1000; ++i) queue.push(i);
  const auto after_first = queue.join();  // every item that was pushed has been worked on; the workers wait for more
  for (int i = 1; i <= 1000; ++i) queue.push(i);
  queue.close();  // no more will come: the loops end when the queue is drained
  workers.clear();
  std::printf("%llu done, then %llu; sum %ld\n", static_cast<unsigned long long>(after_first.done),
              static_cast<unsigned long long>(queue.join().done), sums[0] + sums[1] + sums[2]);
}
