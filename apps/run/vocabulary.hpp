// vocabulary: the words of `penstock run`: every option once, with what it means, what it does to a plan, and where it
// may stand. The command line, the pipeline file, --help, the manual page and the shells' completion are made from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "apps/run/plan.hpp"

namespace penstock::runner {

// A command line, or a file, that means nothing. The text says what to write instead.
class usage_error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

enum class scope : std::uint8_t {
  run,       // of the whole run: before the first command
  stage,     // of one stage: before its command
  defaults,  // of one stage, or, before the first command, of all
  anywhere,  // of the whole run, wherever it is said
};

struct word {
  std::string_view name;      // long, without --
  char letter = 0;            // short; 0: none
  std::string_view argument;  // its name; empty: it has none
  scope where = scope::run;
  std::string_view heading;  // of the paragraph in which it is explained
  std::string_view meaning;
  void (*apply)(run_plan& run, stage_plan& stage, const std::string& value);
};

[[nodiscard]] std::span<const word> vocabulary() noexcept;
// Null: there is none of that name.
[[nodiscard]] const word* find_word(std::string_view name) noexcept;
[[nodiscard]] const word* find_word(char letter) noexcept;
// Applies it. Throws usage_error, with the option's name.
void say(const word& w, run_plan& run, stage_plan& stage, const std::string& value);
// The option's name that was probably meant; empty: none is near.
[[nodiscard]] std::string nearest_word(std::string_view name);

// 500ms, 90s, 1.5m, 2h, 1d; a bare number is seconds.
[[nodiscard]] std::chrono::nanoseconds duration_from(const std::string& text);
// That this program may use.
[[nodiscard]] std::size_t processors();

}  // namespace penstock::runner
