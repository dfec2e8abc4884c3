// bounds(preemptions): how far the tests of this room explore. A sanitizer makes each step ten times as dear, and what it
// looks for is found in the first schedules; script/mutate asks for few schedules, too, and then for all of them.
#pragma once

#include <penstock/simulation/simulation.hpp>

namespace penstock::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(PENSTOCK_FEW_SCHEDULES)
inline constexpr bool few_schedules = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool few_schedules = true;
#else
inline constexpr bool few_schedules = false;
#endif
#else
inline constexpr bool few_schedules = false;
#endif

[[nodiscard]] inline simulation::options bounds(unsigned preemptions) {
  return {.preemptions = preemptions, .runs = few_schedules ? 5'000U : 1'000'000U};
}

}  // namespace penstock::testing
