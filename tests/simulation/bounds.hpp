// How far the tests of this room explore, and how: bounds, try_it, alone. A sanitizer makes each step ten times as dear, and
// what it looks for is found in the first schedules; script/mutate asks for few schedules, too, and then for all of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iostream>

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
  return {.preemptions = preemptions, .runs = few_schedules ? 5'000U : 200'000U};
}
// Time passes at any moment.
[[nodiscard]] inline simulation::options in_haste(unsigned preemptions, unsigned delayed_stores = 0) {
  simulation::options within = bounds(preemptions);
  within.delayed_stores = delayed_stores;
  return within;
}
// Time passes only when nobody can run: what then takes time has waited for it.
[[nodiscard]] inline simulation::options without_haste(unsigned preemptions, unsigned delayed_stores = 0) {
  simulation::options within = in_haste(preemptions, delayed_stores);
  within.early_timeouts = false;
  return within;
}
// No more than so many schedules, where there would be too many.
[[nodiscard]] inline simulation::options at_most(std::uint64_t runs, simulation::options within) {
  within.runs = std::min(within.runs, runs);
  return within;
}

// All schedules within the bounds, and so many at random beyond them.
inline void try_it(const simulation::options& within, std::uint64_t at_random, const simulation::body& body) {
  const auto done = simulation::explore(within, body);
  if (few_schedules) at_random /= 20;
  std::cout << done.runs << " runs of " << done.steps / done.runs << " steps" << (done.complete ? "" : ", cut short");
  if (at_random > 0) std::cout << "; seeds 1 to " << at_random;
  std::cout << "\n";
  simulation::simulate_many(1, at_random, body, within);
}
// One thread: whoever waits here, waits for ever.
inline void alone(const simulation::body& body) { simulation::simulate(1, body); }

}  // namespace penstock::testing
