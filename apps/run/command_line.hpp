// command_line: `penstock run …` as a plan.
//
//   [options] [stage options] COMMAND [:: [stage options] COMMAND]… [::: ITEM…]…
//
// Options of a stage stand before its command; the first word that is no option begins it, and it goes on to :: or :::.
#pragma once

#include <span>
#include <string>

#include "apps/run/plan.hpp"
#include "apps/run/vocabulary.hpp"

namespace penstock::runner {

// --help among the options.
struct help_wanted {};

// `words`: what stands after `penstock run`. Throws usage_error, help_wanted.
[[nodiscard]] run_plan plan_from(std::span<const std::string> words);

// What can be checked, and is decided, only when everything has been said: names, defaults, contradictions.
void complete(run_plan& plan);

}  // namespace penstock::runner
