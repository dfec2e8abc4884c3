#include "apps/run/machine_gate.hpp"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#include <penstock/base/sleep.hpp>

namespace penstock::runner {

bool machine_gate::has_room() const {
  if (most_load_ > 0) {
    double load = 0;
    if (::getloadavg(&load, 1) == 1 && load > most_load_) return false;
  }
  if (least_free_memory_ == 0) return true;
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    if (word != "MemAvailable:") {
      file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      continue;
    }
    std::uint64_t kilobytes = 0;
    return !(file >> kilobytes) || kilobytes * 1024 >= least_free_memory_;
  }
  return true;
}

bool machine_gate::enter(std::size_t stage, const std::stop_token& stop) {
  if (most_load_ == 0 && least_free_memory_ == 0) return true;
  std::multiset<std::size_t>::iterator mine;
  {
    mutex_lock lock(mutex_);
    mine = waiting_.insert(stage);
  }
  bool entered = false, in_time = true;
  while (in_time && !entered) {
    {
      mutex_lock lock(mutex_);
      entered = *waiting_.rbegin() <= stage && has_room();
      if (entered) waiting_.erase(mine);
    }
    if (!entered && !told_.exchange(true)) tell_();
    if (!entered) in_time = sleep_for(std::chrono::milliseconds(500), stop);
  }
  if (!entered) {
    mutex_lock lock(mutex_);
    waiting_.erase(mine);
  }
  return entered;
}

}  // namespace penstock::runner
