// target_health: tells a photo that cannot be published from a target that takes no photos.
//
//   target_health health(target);
//   try { target.publish(item); health.published(); }
//   catch (...) { if (health.is_failing(id, last_attempt)) stop_the_run(health.reason()); throw; }
//
// Failing at once, because the next photo would meet the same:
//   - a storage_error: the gallery's disk is full, read-only, faulty or gone, or its database refuses
//   - a refusal that is not about this photo: token, address, certificate, 507 (the server's disk is full)
// Never: an invalid photo, or a refusal of this one (400, 409, 413, 415, 422).
// All else (no reply, a broken connection, 500, an unknown error) is decided after the last attempt by a question to the
// target: if it cannot say whether it has the photo, it is failing. If it can, the photo is to blame, because some proxies
// and servers fail on one photo only, and a run that stopped there would never get past it; but the third photo in a row
// with such a failure means that the target is failing.
//
// THREADS  Every member may be called at the same time.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include <penstock/base/mutex.hpp>

#include "apps/gallery/target.hpp"

namespace penstock::photos {

class target_health {
 public:
  explicit target_health(gallery::target& target) : target_(target) {}

  void published() noexcept { failures_in_a_row_ = 0; }

  // True iff the target is failing. last_attempt: a retryable_error is not retried any more.
  // REQUIRES: called while the failure of a call to the target is handled.
  bool is_failing(std::string_view id, bool last_attempt);

  // Of the first failure that made it so; empty: it is not failing.
  [[nodiscard]] std::string reason() const;

 private:
  enum class blame { photo, target, unknown, undecided };  // undecided: another attempt will tell
  static blame blame_of_failure(bool last_attempt, std::string& text);
  bool answers(std::string_view id) noexcept;

  gallery::target& target_;
  std::atomic<unsigned> failures_in_a_row_ = 0;

  mutable mutex mutex_;  // guards what follows
  std::string reason_ PENSTOCK_GUARDED_BY(mutex_);
};

}  // namespace penstock::photos
