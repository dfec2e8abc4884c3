// What the tests of simulated pipelines share: what became of each item of a run, and how many are in one place at a time.
//
// Nothing here is atomic, because nothing here is a step: simulated threads change places only where penstock does
// something.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ranges>
#include <string>
#include <vector>

#include <penstock/pipeline/pipeline.hpp>
#include <penstock/simulation/simulation.hpp>

namespace penstock::testing {

// The items of most tests: 1, 2, … as the source numbers them.
[[nodiscard]] inline auto numbers(int count) { return std::views::iota(1, count + 1); }

// Every item that entered ends in exactly one way. The stages' functions tell of delivered, filtered and dead-lettered ones;
// the report has the others.
class fates {
 public:
  explicit fates(int items) : ended_(static_cast<std::size_t>(items) + 1) {}

  void delivered(int item) {
    ++delivered_;
    ended(static_cast<std::uint64_t>(item));
  }
  void filtered(int item) {
    ++filtered_;
    ended(static_cast<std::uint64_t>(item));
  }
  void dead_lettered(const unfinished_item& letter) {
    ++dead_;
    ended(letter.place.number);
  }

  // When the run is over: the sums, and each item by its number.
  void settle(const report& r) {
    simulation::check(r.sums_meet(), "the sums meet");
    simulation::check(r.delivered == delivered_, "delivered");
    simulation::check(r.filtered == filtered_, "filtered");
    simulation::check(r.dead_lettered == dead_, "dead-lettered");
    simulation::check(r.returned == r.unfinished.size(), "what was returned is there");
    for (const failure& f : r.failures)
      if (f.place.stage != "source") ended(f.place.number);
    for (const unfinished_item& u : r.unfinished) ended(u.place.number);
    for (std::uint64_t n = 1; n < ended_.size(); ++n)
      if (ended_[n] != (n <= r.entered))
        simulation::fail("item " + std::to_string(n) + " of " + std::to_string(r.entered) + " that entered ended " +
                         std::to_string(ended_[n]) + " times");
    for (const stage_report& s : r.stages)
      simulation::check(s.waiting == 0 && s.peak_waiting <= s.capacity,
                        "no more waits than may, and nothing at the end");
  }
  // When the run went to its end, and no stage was to lose any.
  void settle_complete(const report& r) {
    settle(r);
    simulation::check(r.outcome == outcome::completed, "completed");
    simulation::check(delivered_ == ended_.size() - 1, "all are delivered");
  }
  [[nodiscard]] std::uint64_t count_delivered() const { return delivered_; }

 private:
  void ended(std::uint64_t number) {
    simulation::check(number > 0 && number < ended_.size(), "an item that there is");
    ++ended_[number];
  }
  std::vector<int> ended_;
  std::uint64_t delivered_ = 0, filtered_ = 0, dead_ = 0;
};

// No more than so many are in one place at the same time.
class crowd {
 public:
  explicit crowd(int limit) : limit_(limit) {}
  void enters() {
    ++entered_;
    most_ = std::max(most_, ++here_);
    simulation::check(here_ <= limit_, "no more than there is room for");
  }
  void leaves() { --here_; }
  class visit {
   public:
    explicit visit(crowd& c) : crowd_(c) { c.enters(); }
    ~visit() { crowd_.leaves(); }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;

   private:
    crowd& crowd_;
  };
  [[nodiscard]] int here() const { return here_; }
  [[nodiscard]] int most() const { return most_; }
  [[nodiscard]] int entered() const { return entered_; }

 private:
  const int limit_;
  int here_ = 0, most_ = 0, entered_ = 0;
};

// The report of a run, also of one that fails.
template <class Line>
[[nodiscard]] report end_of(Line& line) {
  try {
    return line.wait();
  } catch (const run_error& e) {
    simulation::check(e.report().outcome == outcome::failed, "a failed run says so");
    return std::move(e.report());
  }
}

}  // namespace penstock::testing
