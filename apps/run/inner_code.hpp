// inner_code: which words of a command are code for the program that gets them: bash -c '…', eval …, trap '…' EXIT,
// su -c '…', ssh HOST …, parallel '…', python3 -c '…'; and where a script hands a value on to one of those.
//
//   reader_of_next({"ssh", "nas", "rm"})     // {code_reader::kind::remote_shell}: the next word is parsed again, there
//   reader_of_next({"bash", "-ec"})          // {code_reader::kind::shell, true}: the script itself
//
// A value inside such a word would be code, however well the shell around it is told that it is not. KINDS lists what
// is known: shells (also $SHELL and other variables with -c), shell builtins, programs that start a shell, remote
// shells, programs that parse a command line of their own, and interpreters. The programs of sed and jq, files that a
// script writes and then executes, and programs that are not listed here are not looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/run/script_quoting.hpp"

namespace penstock::runner {

struct code_reader {
  enum class kind : std::uint8_t {
    none,
    shell,         // started by the command: bash -c, eval, trap
    other_shell,   // started by another program: su -c, flock -c, script -c, env -S, tmux new-session
    remote_shell,  // ssh
    program,       // not a shell: python3 -c, perl -e, awk
  };
  kind is = kind::none;
  bool begins = false;           // the word is all of the code, or its first word: an item alone there is meant as code
  bool takes_arguments = false;  // a POSIX shell's -c: the words behind the script are $0, $1, …
};

// The reader of the word that follows these.
[[nodiscard]] code_reader reader_of_next(std::span<const std::string> words);
// The reader of a value inside this word that is not known by the words before alone: --command=…, -c'…', PAGER=….
[[nodiscard]] code_reader reader_of_joined(std::span<const std::string> before, std::string_view word);
// The command executes its standard input: sh, bash -s, ssh HOST, python3, at now, xargs -I% sh -c '… % …'.
[[nodiscard]] bool executes_input(std::span<const std::string> words);
// The command prints its own words: echo, printf.
[[nodiscard]] bool prints_words(std::span<const std::string> words);

// The simple commands of a script, with their words, and how they are connected.
struct script_word {
  std::string text;  // without quotes, and without what $(…) in it is made of
  std::size_t begin = 0, end = 0;
  std::string redirection{};  // < > << <<<: the word names a file or is its text; empty: it is an argument
};
struct script_command {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::vector<script_word> words;
  std::size_t level = 0;           // commands with the same number stand in one list
  std::size_t parent = none;       // the command around $(…), `…`, (…) or <(…)
  std::size_t parent_word = none;  // whose word it is in
  bool is_word = false;            // its output becomes (part of) that word
  std::size_t piped_from = none;   // the command whose output it reads
  [[nodiscard]] std::vector<std::string> arguments_before(std::size_t word) const;
  [[nodiscard]] std::vector<std::string> arguments() const { return arguments_before(words.size()); }
};
struct script_commands {
  std::vector<script_command> commands;
  std::vector<std::size_t>
      owner;  // of each character of the script: the innermost command; of a here-document: its reader
};
[[nodiscard]] script_commands commands_of(std::string_view script, const std::vector<script_position>& positions);

// Text at `begin` of a script that is replaced by a value: a place, or a variable that holds one.
struct value_in_script {
  std::size_t begin = 0, length = 0;
  bool is_item = false;  // exactly a place, or a variable that penstock sets: alone in a word it can be meant as code
};
// The reader that would execute the value as code; kind::none: there is none.
[[nodiscard]] code_reader reader_of_value(std::string_view script, const std::vector<script_position>& positions,
                                          const script_commands& parsed, const value_in_script& value);
// Where the script expands $1 … $@ $PENSTOCK_…, or a variable to which one of the values was assigned.
[[nodiscard]] std::vector<value_in_script> variables_with_values(std::string_view script,
                                                                 const std::vector<script_position>& positions,
                                                                 const script_commands& parsed,
                                                                 const std::vector<value_in_script>& places);

}  // namespace penstock::runner
