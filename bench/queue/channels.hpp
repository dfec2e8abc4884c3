// The queues that are compared, under one shape:
//
//   void push(T&& item)                                           waits for room
//   std::optional<T> pop()                                        waits for an item; empty at the end
//   void close(std::size_t consumers)                             no more will come; REQUIRES that every push has
//                                                                 returned; consumers: how many will see the end
//   void push_block(std::span<T>)                                 where the system can take many at once
//   std::size_t pop_block(std::vector<T>& into, std::size_t most)
//
// Every one holds at most `capacity` items, blocks, and lets waiting threads sleep. Those without an end of their own
// are closed with one last item per consumer.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <iterator>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/fiber/buffered_channel.hpp>
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <tbb/concurrent_queue.h>

#include <penstock/penstock.hpp>

#include "bench/measure.hpp"
#include "bench/queue/items.hpp"

namespace bench {

template <class T>
class penstock_channel {
 public:
  explicit penstock_channel(std::size_t capacity) : queue_(capacity) {}
  void push(T&& item) { queue_.push(std::move(item)); }
  std::optional<T> pop() { return queue_.pop(); }
  void push_block(std::span<T> items) { queue_.push_range(items); }
  std::size_t pop_block(std::vector<T>& into, std::size_t most) { return queue_.pop_some(into, most); }
  void close(std::size_t) { queue_.close(); }

 private:
  penstock::bounded_queue<T> queue_;
};

// What one writes by hand: a ring, a mutex, two condition variables.
template <class T>
class mutex_channel {
 public:
  explicit mutex_channel(std::size_t capacity) : ring_(capacity) {}
  void push(T&& item) {
    {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [&] { return size_ < ring_.size(); });
      enter(std::move(item));
    }
    arrived_.notify_one();
  }
  std::optional<T> pop() {
    std::optional<T> item;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [&] { return size_ > 0 || closed_; });
      if (size_ == 0) return item;
      item.emplace(leave());
    }
    room_.notify_one();
    return item;
  }
  void push_block(std::span<T> items) {
    while (!items.empty()) {
      std::size_t taken = 0;
      {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [&] { return size_ < ring_.size(); });
        for (; taken < items.size() && size_ < ring_.size(); ++taken) enter(std::move(items[taken]));
      }
      taken > 1 ? arrived_.notify_all() : arrived_.notify_one();
      items = items.subspan(taken);
    }
  }
  std::size_t pop_block(std::vector<T>& into, std::size_t most) {
    std::size_t taken = 0;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [&] { return size_ > 0 || closed_; });
      for (; taken < most && size_ > 0; ++taken) into.push_back(leave());
    }
    taken > 1 ? room_.notify_all() : room_.notify_one();
    return taken;
  }
  void close(std::size_t) {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    arrived_.notify_all();
  }

 private:
  void enter(T&& item) {
    ring_[back_] = std::move(item);
    back_ = back_ + 1 == ring_.size() ? 0 : back_ + 1;
    ++size_;
  }
  T leave() {
    T item = std::move(ring_[front_]);
    front_ = front_ + 1 == ring_.size() ? 0 : front_ + 1;
    --size_;
    return item;
  }

  std::mutex mutex_;
  std::condition_variable arrived_, room_;
  std::vector<T> ring_;
  std::size_t front_ = 0, back_ = 0, size_ = 0;
  bool closed_ = false;
};

template <class T>
class tbb_channel {
 public:
  explicit tbb_channel(std::size_t capacity) { queue_.set_capacity(static_cast<std::ptrdiff_t>(capacity)); }
  void push(T&& item) { queue_.push(std::move(item)); }
  std::optional<T> pop() {
    T item;
    queue_.pop(item);
    if (is_end(item)) return std::nullopt;
    return item;
  }
  void close(std::size_t consumers) {
    for (; consumers > 0; --consumers) queue_.push(end_item<T>());
  }

 private:
  tbb::concurrent_bounded_queue<T> queue_;
};

// Used between threads, each of which is one fiber. Its capacities are powers of two, of which one place stays empty.
template <class T>
class fiber_channel {
 public:
  explicit fiber_channel(std::size_t capacity) : channel_(capacity == 1 ? 2 : capacity) {}
  void push(T&& item) { channel_.push(std::move(item)); }
  std::optional<T> pop() {
    T item;
    if (channel_.pop(item) != boost::fibers::channel_op_status::success) return std::nullopt;
    return item;
  }
  void close(std::size_t) { channel_.close(); }

 private:
  boost::fibers::buffered_channel<T> channel_;
};

// The blocking form of the unbounded queue, bounded by the semaphore that comes with it.
template <class T>
class moodycamel_channel {
 public:
  explicit moodycamel_channel(std::size_t capacity)
      : queue_(capacity), room_(static_cast<semaphore::ssize_t>(capacity)) {}
  void push(T&& item) {
    room_.wait();
    queue_.enqueue(std::move(item));
  }
  std::optional<T> pop() {
    T item;
    queue_.wait_dequeue(item);
    if (is_end(item)) return pop_past_end();
    room_.signal();
    return item;
  }
  void push_block(std::span<T> items) {
    while (!items.empty()) {
      const auto count = static_cast<std::size_t>(room_.waitMany(static_cast<semaphore::ssize_t>(items.size())));
      queue_.enqueue_bulk(std::make_move_iterator(items.begin()), count);
      items = items.subspan(count);
    }
  }
  std::size_t pop_block(std::vector<T>& into, std::size_t most) {
    into.resize(most);
    into.resize(queue_.wait_dequeue_bulk(into.begin(), most));
    std::size_t ends = std::erase_if(into, [](const T& item) { return is_end(item); });
    room_.signal(static_cast<semaphore::ssize_t>(into.size()));
    const bool only_ends = into.empty();
    // Ends are for those who find nothing else.
    for (ends -= only_ends; ends > 0; --ends) queue_.enqueue(end_item<T>());
    if (only_ends)
      if (auto item = pop_past_end()) into.push_back(*std::move(item));
    return into.size();
  }
  void close(std::size_t consumers) {
    for (; consumers > 0; --consumers) queue_.enqueue(end_item<T>());
  }

 private:
  using semaphore = moodycamel::LightweightSemaphore;

  // Only the items of one thread stay in order, so an end may overtake the items of others: it counts once nothing else
  // is left.
  std::optional<T> pop_past_end() {
    std::optional<T> found;
    std::size_t others = 0;
    for (T item; queue_.try_dequeue(item);) {
      if (is_end(item)) {
        ++others;
        continue;
      }
      room_.signal();
      found.emplace(std::move(item));
      ++others;  // our own goes back, too
      break;
    }
    for (; others > 0; --others) queue_.enqueue(end_item<T>());
    return found;
  }

  moodycamel::BlockingConcurrentQueue<T> queue_;
  semaphore room_;
};

// Calls visit.operator()<Channel>() with the queue of that name.
template <class Visit>
void with_channel(std::string_view system, Visit visit) {
  if (system == "penstock") return visit.template operator()<penstock_channel>();
  if (system == "mutex") return visit.template operator()<mutex_channel>();
  if (system == "tbb_queue") return visit.template operator()<tbb_channel>();
  if (system == "fiber") return visit.template operator()<fiber_channel>();
  if (system == "moodycamel") return visit.template operator()<moodycamel_channel>();
  fail("no such system: " + std::string(system));
}

}  // namespace bench
