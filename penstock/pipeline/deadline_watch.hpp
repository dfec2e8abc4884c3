// deadline_watch: asks for a stop when a deadline passes. One thread for all deadlines of a run, started with the
// first.
//
//   std::stop_source give_up;
//   auto watched = deadlines.arm(steady_clock::now() + 5s, give_up);      // until `watched` goes
//   fetch(url, give_up.get_token());
#pragma once

#include <chrono>
#include <map>
#include <stop_token>

#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>

namespace penstock {

class deadline_watch {
 public:
  using time_point = system::clock::time_point;
  using entries = std::multimap<time_point, std::stop_source>;

  class armed {
   public:
    armed(deadline_watch& watch, entries::iterator entry) : watch_(watch), entry_(entry) {}
    armed(const armed&) = delete;
    armed& operator=(const armed&) = delete;
    ~armed() { watch_.disarm(entry_); }

   private:
    deadline_watch& watch_;
    entries::iterator entry_;
  };

  deadline_watch() = default;
  deadline_watch(const deadline_watch&) = delete;
  deadline_watch& operator=(const deadline_watch&) = delete;
  ~deadline_watch();

  // The stop may still be requested on the watching thread when `armed` has gone; the source's state is shared, so that
  // is safe.
  [[nodiscard]] armed arm(time_point deadline, const std::stop_source& stop);

 private:
  void disarm(entries::iterator entry) noexcept;
  void watch();

  mutex mutex_;  // guards what follows
  entries entries_ PENSTOCK_GUARDED_BY(mutex_);
  time_point asleep_until_ PENSTOCK_GUARDED_BY(mutex_) = time_point::max();  // what the watching thread waits for
  bool ended_ PENSTOCK_GUARDED_BY(mutex_) = false;
  condition changed_;
  system::thread thread_ PENSTOCK_GUARDED_BY(mutex_);  // last: it is waited for before the rest goes
};

}  // namespace penstock
