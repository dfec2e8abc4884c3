#include "apps/photos/target_health.hpp"

#include <algorithm>
#include <array>

#include <penstock/base/exception_text.hpp>

#include "apps/gallery/client.hpp"
#include "apps/gallery/disk.hpp"
#include "apps/gallery/rules.hpp"

namespace penstock::photos {
namespace {

constexpr unsigned most_failures_in_a_row = 3;
constexpr long insufficient_storage = 507;
constexpr std::array<long, 6> of_one_photo{400, 409, 411, 413, 415, 422};

}  // namespace

target_health::blame target_health::blame_of_failure(bool last_attempt, std::string& text) {
  text = exception_text(std::current_exception());
  try {
    throw;
  } catch (const gallery::storage_error&) {
    return blame::target;
  } catch (const gallery::permanent_error& refusal) {
    return std::ranges::find(of_one_photo, refusal.status()) != of_one_photo.end() ? blame::photo : blame::target;
  } catch (const gallery::retryable_error& failure) {
    if (failure.status() == insufficient_storage) return blame::target;
    return last_attempt ? blame::unknown : blame::undecided;
  } catch (const gallery::invalid_photo&) {
    return blame::photo;
  } catch (...) {
    return blame::unknown;
  }
}

bool target_health::answers(std::string_view id) noexcept {
  try {
    static_cast<void>(target_.contains(id));
    return true;
  } catch (...) {
    return false;
  }
}

bool target_health::is_failing(std::string_view id, bool last_attempt) {
  std::string text;
  switch (blame_of_failure(last_attempt, text)) {
    case blame::photo:
    case blame::undecided:
      return false;
    case blame::unknown:
      if (answers(id) && ++failures_in_a_row_ < most_failures_in_a_row) return false;
      break;
    case blame::target:
      break;
  }
  mutex_lock lock(mutex_);
  if (reason_.empty()) reason_ = text;
  return true;
}

std::string target_health::reason() const {
  mutex_lock lock(mutex_);
  return reason_;
}

}  // namespace penstock::photos
