// bounds(preemptions): how far the tests of this room explore. A sanitizer makes each step ten times as dear, and what it
// looks for is found in the first schedules.
#pragma once

#include <penstock/simulation/simulation.hpp>

namespace penstock::testing {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

[[nodiscard]] inline simulation::options bounds(unsigned preemptions) {
  return {.preemptions = preemptions, .runs = sanitized ? 5'000U : 1'000'000U};
}

}  // namespace penstock::testing
