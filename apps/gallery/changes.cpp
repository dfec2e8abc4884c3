#include "apps/gallery/changes.hpp"

#include <cassert>
#include <exception>
#include <utility>

namespace penstock::gallery {

changes::subscription::subscription(subscription&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), key_(other.key_) {}

changes::subscription& changes::subscription::operator=(subscription&& other) noexcept {
  if (this == &other) return *this;
  end();
  owner_ = std::exchange(other.owner_, nullptr);
  key_ = other.key_;
  return *this;
}

void changes::subscription::end() noexcept {
  if (auto* const owner = std::exchange(owner_, nullptr)) owner->remove(key_);
}

changes::changes(std::function<std::int64_t()> version, std::chrono::milliseconds interval)
    : version_(std::move(version)), interval_(interval) {}

changes::~changes() {
  std::thread thread;
  {
    mutex_lock lock(mutex_);
    assert(listeners_.empty());
    ended_ = true;
    thread = std::move(thread_);
  }
  wake_.notify_one();
  if (thread.joinable()) thread.join();
}

changes::subscription changes::subscribe(std::function<void()> call) {
  mutex_lock lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { watch(); });
  const std::uint64_t key = next_key_++;
  listeners_.emplace(key, std::move(call));
  announced_ = true;
  wake_.notify_one();
  return {*this, key};
}

void changes::announce() noexcept {
  mutex_lock lock(mutex_);
  if (listeners_.empty()) return;
  announced_ = true;
  wake_.notify_one();
}

void changes::remove(std::uint64_t key) noexcept {
  mutex_lock lock(mutex_);
  // The function may be running, on a copy of the entry: wait for that call's end, then nothing refers to it.
  listeners_.erase(key);
  while (called_ == key) call_over_.wait(lock);
}

bool changes::has_version_changed() {
  try {
    const std::int64_t version = version_();
    return std::exchange(seen_, version) != version;
  } catch (const std::exception&) {
    return true;
  }
}

void changes::watch() {
  mutex_lock lock(mutex_);
  while (!ended_) {
    if (listeners_.empty()) {
      wake_.wait(lock);
      continue;
    }
    if (!announced_) {
      const auto deadline = std::chrono::steady_clock::now() + interval_;
      while (!ended_ && !announced_ && !listeners_.empty() && wake_.wait_until(lock, deadline)) {
      }
      if (ended_ || listeners_.empty()) continue;
    }
    const bool announced = std::exchange(announced_, false);
    lock.unlock();
    const bool changed = has_version_changed();  // in any case, so that what was announced is not noticed again
    lock.lock();
    if (!announced && !changed) continue;
    for (std::uint64_t key = 0;;) {
      const auto next = listeners_.upper_bound(key);
      if (next == listeners_.end()) break;
      key = next->first;
      const auto call = next->second;
      called_ = key;
      lock.unlock();
      call();
      lock.lock();
      called_ = 0;
      call_over_.notify_all();
    }
  }
}

}  // namespace penstock::gallery
