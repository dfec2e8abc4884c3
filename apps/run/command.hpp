// command: `penstock run`, from its words to its exit code.
#pragma once

#include <span>
#include <string>

#include "apps/run/plan.hpp"

namespace penstock::runner {

// 0: all items went well; 1: some failed, or the run did; 2: usage; 130: interrupted.
int run_command(std::span<const std::string> words);

}  // namespace penstock::runner
