// help: what `penstock run --help` prints, and, from the same text and the same vocabulary, the manual page and what the
// shells complete; the build asks the tool for these and installs them.
#pragma once

#include <string>

namespace penstock::runner {

[[nodiscard]] std::string help_text();

// For man(1).
[[nodiscard]] std::string manual_page();
[[nodiscard]] std::string bash_completion();
[[nodiscard]] std::string zsh_completion();

}  // namespace penstock::runner
