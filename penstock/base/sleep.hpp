// sleep_for(how_long, stop): sleeps, unless or until a stop is requested. True iff the whole time went by. A time beyond the
// clock's range (hours::max()) is for ever.
#pragma once

#include <chrono>
#include <stop_token>

#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>

namespace penstock {

// A template, because the conversion of hours::max() to nanoseconds overflows.
template <class Rep, class Period>
bool sleep_for(std::chrono::duration<Rep, Period> how_long, const std::stop_token& stop) {
  const wait_limit limit(how_long);
  mutex gate;
  condition wake;
  const system::stop_callback on_stop(stop, [&] {
    mutex_lock lock(gate);  // so that the request cannot fall between the sleeper's look and its wait
    wake.notify_one();
  });
  mutex_lock lock(gate);
  while (!system::stop_requested(stop)) {
    if (limit.reached()) return true;
    wake.wait_until(lock, limit.deadline());
  }
  return false;
}

}  // namespace penstock
