// Who waits for whom at a bounded_queue. Each line is printed at a moment at which it must be true, so they come out in this order however
// the threads are scheduled.
#include <cstdio>
#include <latch>
#include <thread>

#include <penstock/queue/bounded_queue.hpp>

using penstock::bounded_queue;

// A consumer that is there first sleeps until there is something; the push wakes it.
void a_push_wakes_who_waits() {
  bounded_queue<int> queue(8);
  std::latch consumer_is_there(1);
  std::jthread consumer([&] {
    std::puts("consumer: waits");
    consumer_is_there.count_down();
    const auto item = queue.pop();
    std::printf("consumer: got %d\n", *item);
  });
  consumer_is_there.wait();
  std::puts("producer: puts 42");
  (void)queue.push(42);
}

// With room for one, a producer is at most one item ahead: that is backpressure, and all that bounds a pipeline's memory.
void a_full_queue_holds_up_the_producer() {
  bounded_queue<int> queue(1);
  std::latch queue_is_full(1);
  std::jthread producer([&] {
    (void)queue.push(1);
    std::puts("producer: put 1");
    if (queue.try_push(2) == penstock::conqueue_status::full) std::puts("producer: no room for 2, waits");
    queue_is_full.count_down();
    (void)queue.push(2);  // returns once the consumer has taken 1
    queue.close();
  });
  queue_is_full.wait();
  while (const auto item = queue.pop()) std::printf("consumer: got %d\n", *item);
}

int main() {
  a_push_wakes_who_waits();
  a_full_queue_holds_up_the_producer();
}
