// changes: tells listeners that something new may be visible in a gallery, whichever process published it.
//
//   auto subscription = gallery.on_change([&] { wake(); });   // then ask: gallery.after(last_seen, limit)
//
// A call says "look", not "this photo": calls may come without cause, and one call may stand for many photos. Because
// the first call comes right after on_change(), a listener that starts reading from it misses nothing.
//
// THREADS  Calls come one at a time, from a thread of the object. A call must not block, nor end its own subscription.
// ENDING   Once a subscription's destructor has returned, its function is not running and is not called again.
// COST     Without a subscription: nothing. With one: one call of `version` per interval, because SQLite cannot notify
//          a process of another one's commit.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>

#include <penstock/base/mutex.hpp>

namespace penstock::gallery {

class changes {
 public:
  class subscription {
   public:
    subscription() noexcept = default;
    subscription(subscription&& other) noexcept;
    subscription& operator=(subscription&& other) noexcept;
    ~subscription() { end(); }

    void end() noexcept;
    explicit operator bool() const noexcept { return owner_ != nullptr; }

   private:
    friend class changes;
    subscription(changes& owner, std::uint64_t key) noexcept : owner_(&owner), key_(key) {}

    changes* owner_ = nullptr;
    std::uint64_t key_ = 0;
  };

  // `version` changes whenever another process has made a photo visible. It is called on the object's thread only, while
  // somebody listens; when it throws, listeners are called: they ask, and meet the error themselves.
  changes(std::function<std::int64_t()> version, std::chrono::milliseconds interval);
  // REQUIRES: every subscription has ended.
  ~changes();
  changes(const changes&) = delete;
  changes& operator=(const changes&) = delete;

  [[nodiscard]] subscription subscribe(std::function<void()> call) PENSTOCK_EXCLUDES(mutex_);

  // Calls the listeners without waiting for the interval.
  void announce() noexcept PENSTOCK_EXCLUDES(mutex_);

 private:
  void watch() PENSTOCK_EXCLUDES(mutex_);
  void remove(std::uint64_t key) noexcept PENSTOCK_EXCLUDES(mutex_);
  bool has_version_changed();

  const std::function<std::int64_t()> version_;
  const std::chrono::milliseconds interval_;
  std::int64_t seen_ = 0;  // used by the thread only

  mutex mutex_;  // guards what follows
  std::map<std::uint64_t, std::function<void()>> listeners_ PENSTOCK_GUARDED_BY(mutex_);
  std::uint64_t next_key_ PENSTOCK_GUARDED_BY(mutex_) = 1;
  std::uint64_t called_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // the key whose function runs now; 0: none
  bool announced_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool ended_ PENSTOCK_GUARDED_BY(mutex_) = false;
  std::thread thread_ PENSTOCK_GUARDED_BY(mutex_);  // from the first subscription on
  condition wake_;                                  // for the thread
  condition call_over_;                             // for remove()
};

}  // namespace penstock::gallery
