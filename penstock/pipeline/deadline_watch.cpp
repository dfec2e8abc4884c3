#include <penstock/pipeline/deadline_watch.hpp>

namespace penstock {

deadline_watch::~deadline_watch() {
  const mutex_lock lock(mutex_);
  ended_ = true;
  changed_.notify_one();
}

deadline_watch::armed deadline_watch::arm(time_point deadline, const std::stop_source& stop) {
  mutex_lock lock(mutex_);
  if (!thread_.joinable()) thread_ = system::thread([this] { watch(); });
  const auto entry = entries_.emplace(deadline, stop);
  // Not "if it is the first": entries that have fired stand before it until their owners disarm them.
  if (deadline < asleep_until_) changed_.notify_one();
  return armed(*this, entry);
}

// Only here is an entry erased, fired or not, so an owner's iterator is valid all its life.
void deadline_watch::disarm(entries::iterator entry) noexcept {
  mutex_lock lock(mutex_);
  entries_.erase(entry);
}

void deadline_watch::watch() {
  mutex_lock lock(mutex_);
  while (!ended_) {
    auto due = entries_.begin();
    const auto now = system::clock::now();
    while (due != entries_.end() && due->first <= now && due->second.stop_requested()) ++due;
    if (due == entries_.end()) {
      asleep_until_ = time_point::max();
      changed_.wait(lock);
    } else if (due->first > now) {
      asleep_until_ = due->first;
      changed_.wait_until(lock, asleep_until_);
    } else {
      std::stop_source stop = due->second;
      lock.unlock();  // callbacks of the token are the user's code
      stop.request_stop();
      lock.lock();
    }
  }
}

}  // namespace penstock
