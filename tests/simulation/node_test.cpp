// Who is at work at a stage: nobody twice, no more than there are, and those that are not wanted any more go when they are
// done.
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/pipeline/node.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using simulation::check;
using system::thread;
using testing::in_haste;
using testing::try_it;

class post_office : public node {
 public:
  explicit post_office(worker_count workers) : node("post office", workers), at_the_counter_(workers.most()) {}
  bool turn(crew_member&) override { return false; }
  [[nodiscard]] readiness ready() const noexcept override { return readiness::nothing; }
  [[nodiscard]] bool is_over() const noexcept override { return over; }
  void add_entrance_counts(stage_report&) const noexcept override {}

  using node::has_free_worker;
  worker* come() {
    worker* const w = hire(1);
    if (w) simulation::check(++at_the_counter_[index_of(*w)] == 1, "nobody is at work twice");
    return w;
  }
  void go(worker* w, wait_kind why = wait_kind::starved) {
    --at_the_counter_[index_of(*w)];
    let_go(*w, why, 2);
  }
  // So many can come now, and no more; they go again.
  void check_that_free_are(std::size_t count) {
    std::vector<worker*> all;
    while (worker* const w = come()) all.push_back(w);
    simulation::check(all.size() == count && !has_free_worker());
    for (worker* const w : all) go(w);
    simulation::check(has_free_worker() == (count > 0) && is_idle());
  }
  bool over = false;

 private:
  std::vector<int> at_the_counter_;
};

TEST(simulated_node, the_time_of_a_worker_that_comes_and_goes_is_counted_while_it_is_there) {
  testing::alone([] {
    post_office p({1, 2});
    for (std::size_t i = 0; i < 2; ++i) p.workers()[i].begin(100, i == 0);
    p.add_worker(300);
    check(p.workers()[1].spent(400, 0).life == 100 && p.workers()[1].spent(400, 0).starved == 100);
    p.remove_worker(500);
    std::uint64_t life = 0;
    for (const worker& w : p.workers()) life += w.spent(1000, 0).life;
    check(life == 900 + 200);
  });
}

TEST(simulated_node, who_is_to_go_goes_after_its_work) {
  testing::alone([] {
    post_office p({1, 2});
    p.add_worker(1);
    worker *const a = p.come(), *const b = p.come();
    p.remove_worker(2);
    check(p.present() == 1 && !p.come(), "in a moment");
    p.go(a);
    check(!p.come(), "it was the one to go");
    p.go(b);
    p.check_that_free_are(1);
  });
}

TEST(simulated_node, knows_when_it_last_had_no_work) {
  testing::alone([] {
    post_office p(1);
    p.go(p.come(), wait_kind::unmanned);
    check(p.ran_dry() == 0);
    p.go(p.come(), wait_kind::starved);
    check(p.ran_dry() == 2);
  });
}

TEST(simulated_node, nobody_is_at_work_twice) {
  for (const unsigned workers : {1U, 2U, 3U})
    try_it(in_haste(2), 5'000, [&] {
      post_office p(workers);
      {
        const auto visit = [&] {
          if (worker* const w = p.come()) p.go(w);
        };
        const thread twice([&] { visit(), visit(); });
        const thread both([&] {
          worker* const first = p.come();
          worker* const second = p.come();
          if (first) p.go(first);
          if (second) p.go(second);
        });
        visit();
      }
      p.check_that_free_are(workers);
    });
}

TEST(simulated_node, whoever_is_not_wanted_any_more_goes_when_he_is_done) {
  try_it(in_haste(2), 5'000, [] {
    post_office p({1, 3});
    check(p.present() == 1);
    p.add_worker(1);
    p.add_worker(1);
    check(p.present() == 3);
    {
      const thread busy([&] {
        for (int i = 0; i < 2; ++i)
          if (worker* const w = p.come()) p.go(w);
      });
      worker* const w = p.come();
      p.remove_worker(1);
      p.remove_worker(1);
      p.add_worker(1);
      if (w) p.go(w);
    }
    check(p.present() == 2);
    p.check_that_free_are(2);
    p.add_worker(1);
    p.check_that_free_are(3);
  });
}

TEST(simulated_node, one_that_was_to_go_stays_after_all) {
  simulation::simulate(1, [] {
    post_office p({1, 2});
    worker* const only = p.come();
    p.add_worker(1);
    worker* const second = p.come();
    p.remove_worker(1);
    check(p.present() == 1 && !p.has_free_worker());
    p.add_worker(1);
    check(p.present() == 2);
    p.go(only);
    p.go(second);
    p.check_that_free_are(2);
  });
}

TEST(simulated_node, it_ends_once_when_all_have_gone) {
  try_it(in_haste(2), 5'000, [] {
    post_office p(2);
    int ends = 0;
    worker* const first = p.come();
    check(!p.ends_now());
    p.over = true;
    check(!p.ends_now(), "somebody is at work");
    thread last([&] {
      p.go(first);
      ends += p.ends_now();
    });
    ends += p.ends_now();
    thread late([&] { ends += p.ends_now(); });
    // Who looks after the last has gone finds it ended or ends it.
    last.join();
    late.join();
    ends += p.ends_now();
    check(ends == 1);
  });
}

}  // namespace
}  // namespace penstock
