// inner_code: which word of a command is code for somebody: bash -c '…', eval …, trap '…' EXIT, su -c '…', ssh HOST ….
//
//   reader_of_next({"ssh", "nas", "rm"})     // {code_reader::who::remote_shell}: what comes next is read again, there
//   reader_of_next({"bash", "-ec"})          // {code_reader::who::shell, true}: the script itself
//
// A value in such a word would be code, however well the shell around it is told that it is not. Known are the shells
// and what is used most to reach one; what is code for other programs (awk, perl -e, sed) is not looked at.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/run/script_quoting.hpp"

namespace penstock::runner {

struct code_reader {
  enum class who : std::uint8_t {
    nobody,
    shell,         // started by the command, with its environment: bash -c, eval, trap
    other_shell,   // perhaps without: su -c, flock -c, script -c
    remote_shell,  // ssh
  };
  who is = who::nobody;
  bool begins = false;  // the word is all of the code, or its first word: to put an item there is to ask for it
};

// Who reads the word behind these.
[[nodiscard]] code_reader reader_of_next(std::span<const std::string> words);

// The words of the simple command in a script that `at` stands in, before the word in which it does; without quotes, and
// without redirections.
struct words_before {
  std::vector<std::string> words;
  bool begins_word = false;  // `at` does
  bool redirection = false;  // that word is a file's name
};
[[nodiscard]] words_before words_of_command(std::string_view script, const std::vector<script_position>& positions,
                                            std::size_t at);

}  // namespace penstock::runner
