// What the pipeline tests share: a gate that workers can be held at, and the sums.
#pragma once

#include <atomic>
#include <numeric>
#include <ostream>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/penstock.hpp>

namespace penstock::testing {

// Holds threads until it is opened, and lets a test wait until so many are held: no sleeps.
class latch_gate {
 public:
  void pass() {
    ++arrived_;
    arrived_.notify_all();
    while (!open_.load()) open_.wait(false);
  }
  void open() {
    open_ = true;
    open_.notify_all();
  }
  void until_arrived(int count) {
    for (int now = arrived_; now < count; now = arrived_) arrived_.wait(now);
  }

 private:
  std::atomic<int> arrived_ = 0;
  std::atomic<bool> open_ = false;
};

inline std::vector<int> numbers(int count, int first = 1) {
  std::vector<int> v(static_cast<std::size_t>(count));
  std::iota(v.begin(), v.end(), first);
  return v;
}

inline void expect_sums_meet(const report& r) {
  EXPECT_TRUE(r.sums_meet()) << r << to_json(r);
  EXPECT_EQ(r.returned, r.unfinished.size()) << r;
}

// The report of a run that must fail.
template <class Run>
run_error failure_of(Run run) {
  try {
    run();
  } catch (const run_error& e) {
    expect_sums_meet(e.report());
    return e;
  }
  throw std::logic_error("the run did not fail");
}

}  // namespace penstock::testing
