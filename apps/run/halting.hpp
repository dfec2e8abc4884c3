// halting: counts how items end, and ends the run when its rule says so (--halt).
//
// THREADS  Everything at the same time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "apps/run/endings.hpp"
#include "apps/run/plan.hpp"

namespace penstock::runner {

class halting {
 public:
  // total: how many items there are in all, as far as it is known.
  halting(const halt_rule& rule, endings& ends, std::function<std::optional<std::uint64_t>()> total)
      : rule_(rule), ends_(ends), total_(std::move(total)) {}

  void one_failed() {
    ++failed_;
    look();
  }
  void one_succeeded() {
    ++succeeded_;
    look();
  }
  // The run was ended by its rule, and the rule waits for nothing bad.
  [[nodiscard]] bool ended_well() const noexcept { return ended_ && rule_.what != halt_rule::of::fail; }

 private:
  static constexpr std::uint64_t enough_for_a_share = 20;

  void look() {
    const std::uint64_t failed = failed_, ended = failed + succeeded_;
    bool over = false;
    switch (rule_.what) {
      case halt_rule::of::never:
        return;
      case halt_rule::of::fail:
        over = reached(failed) || (rule_.share > 0 && ended >= enough_for_a_share &&
                                   static_cast<double>(failed) >= rule_.share * static_cast<double>(ended));
        break;
      case halt_rule::of::success:
        over = reached(ended - failed);
        break;
      case halt_rule::of::done:
        over = reached(ended);
        break;
    }
    if (!over) return;
    ended_ = true;
    rule_.now ? ends_.end() : ends_.stop();
  }
  [[nodiscard]] bool reached(std::uint64_t count) const {
    if (rule_.share == 0) return count >= rule_.count;
    const auto all = total_();
    return all && static_cast<double>(count) >= rule_.share * static_cast<double>(*all);
  }

  const halt_rule rule_;
  endings& ends_;
  const std::function<std::optional<std::uint64_t>()> total_;
  std::atomic<std::uint64_t> failed_ = 0, succeeded_ = 0;
  std::atomic<bool> ended_ = false;
};

}  // namespace penstock::runner
