// script_quoting: how each character of a shell script is quoted: what a place in a script must be written as.
//
// Follows quotes, $(…), `…`, ${…}, comments and here-documents as POSIX has them. Where a script does something that it
// does not follow (an unbalanced ) of a case inside $(…)), a place may come out as two words or with quotes in it, but
// never as code: that does not depend on being right here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace penstock::runner {

struct script_position {
  enum class quoting : std::uint8_t {
    none,
    single_quotes,
    double_quotes,
    here_document,         // whose parameters are expanded
    quoted_here_document,  // whose are not
    arithmetic,
    comment,
  };
  quoting within = quoting::none;
  std::size_t opened = 0;  // where that began
  bool escaped = false;    // a backslash before it takes its meaning from it, or is meant to
};

// One for each character.
[[nodiscard]] std::vector<script_position> script_quoting(std::string_view script);

}  // namespace penstock::runner
