// printable(text): for a terminal, which obeys some of the bytes that file names and messages may have: those are shown
// as \xNN.
#pragma once

#include <string>
#include <string_view>

namespace penstock {

[[nodiscard]] std::string printable(std::string_view text);

}  // namespace penstock
