// conqueue_status: how a queue operation ended. Names and meanings of the standard's proposed concurrent queues
// (P0260R20).
#pragma once

#include <string_view>

namespace penstock {

enum class conqueue_status {
  success,
  empty,       // nothing to pop: now, or until the wait limit was reached
  full,        // no room to push: now, or until the wait limit was reached
  closed,      // push: the queue takes no more; pop: and nothing is left in it
  busy,        // the operation could not be done now for another reason; try again
  busy_async,  // the same, because of an asynchronous operation under way
};

[[nodiscard]] constexpr std::string_view to_string(conqueue_status status) noexcept {
  switch (status) {
    case conqueue_status::success:
      return "success";
    case conqueue_status::empty:
      return "empty";
    case conqueue_status::full:
      return "full";
    case conqueue_status::closed:
      return "closed";
    case conqueue_status::busy:
      return "busy";
    case conqueue_status::busy_async:
      return "busy_async";
  }
  return "?";
}

}  // namespace penstock
