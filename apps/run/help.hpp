// help: what `penstock run --help` prints.
#pragma once

#include <span>
#include <string>

namespace penstock::runner {

// --help or -h among the options, before the first command.
[[nodiscard]] bool asks_for_help(std::span<const std::string> words);
[[nodiscard]] std::string help_text();

}  // namespace penstock::runner
