// job: an item on its way through the stages.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <penstock/base/budget.hpp>

#include "apps/run/journal.hpp"
#include "apps/run/output.hpp"

namespace penstock::runner {

// What came from the input; shared by all that stages make of it. Its place in the run is free when the last of them is
// gone.
struct origin {
  std::string item;
  std::vector<std::string> columns;
  std::optional<budget::reservation> room{};
};

struct job {
  std::string item;      // {}
  std::string out;       // {out}
  std::string number;    // {#}: "17"; of the third line that a stage made of it, "17.3"
  std::string position;  // the same, as the input has it now: {#} may be from an earlier run
  std::shared_ptr<const journal::reserved> record{};  // room in the journal, while it is at a stage
  std::shared_ptr<const origin> from;
  std::shared_ptr<output::turn> turn{};  // of its output, where the order is kept
  unsigned attempt = 0;                  // at the stage where it is

  friend std::string item_label(const job& j) { return j.item; }
};

}  // namespace penstock::runner
