// mutex, mutex_lock, condition: the standard ones, annotated so that clang proves who holds what.
//
//   mutable mutex mutex_;                                   // guards what follows
//   std::size_t running_ PENSTOCK_GUARDED_BY(mutex_) = 0;
//
//   mutex_lock lock(mutex_);
//   while (running_ != 0) all_done_.wait(lock);             // a plain loop: the analysis sees through it, not through
//   a lambda
//
// Not std::mutex itself: libstdc++'s carries no annotations, and then every guarded access would be an error.
#pragma once

#include <condition_variable>
#include <mutex>

#include <penstock/base/system.hpp>
#include <penstock/base/thread_annotations.hpp>

namespace penstock {

class PENSTOCK_CAPABILITY("mutex") mutex {
 public:
  mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

 private:
  friend class mutex_lock;
  system::native_mutex native_;
};

// Holds a mutex for its lifetime; unlock() and lock() open a gap in it.
class PENSTOCK_SCOPED_CAPABILITY mutex_lock {
 public:
  explicit mutex_lock(mutex& m) PENSTOCK_ACQUIRE(m) : native_(m.native_) {}
  ~mutex_lock() PENSTOCK_RELEASE() = default;
  mutex_lock(const mutex_lock&) = delete;
  mutex_lock& operator=(const mutex_lock&) = delete;

  void unlock() PENSTOCK_RELEASE() { native_.unlock(); }
  void lock() PENSTOCK_ACQUIRE() { native_.lock(); }

 private:
  friend class condition;
  std::unique_lock<system::native_mutex> native_;
};

// Waits give the lock up and take it again; they may return without a notify, so they stand in a loop.
class condition {
 public:
  condition() = default;
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;

  void wait(mutex_lock& lock) { native_.wait(lock.native_); }
  // False iff the deadline has passed.
  bool wait_until(mutex_lock& lock, system::clock::time_point deadline) {
    return native_.wait_until(lock.native_, deadline) == std::cv_status::no_timeout;
  }
  void notify_one() noexcept { native_.notify_one(); }
  void notify_all() noexcept { native_.notify_all(); }

 private:
  system::native_condition native_;
};

}  // namespace penstock
