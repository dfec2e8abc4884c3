#include "apps/run/inner_code.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace penstock::runner {
namespace {

using who = code_reader::who;
using words_span = std::span<const std::string>;

template <std::size_t N>
bool is_one_of(std::string_view word, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), word) != names.end();
}
std::string_view program_in(std::string_view word) { return word.substr(word.rfind('/') + 1); }
bool is_option(std::string_view word) { return word.size() > 1 && (word.front() == '-' || word.front() == '+'); }
// -c, -ec, -lc
bool has_letter(std::string_view word, char letter) {
  return word.size() > 1 && word.front() == '-' && word[1] != '-' && word.find(letter) != word.npos;
}

constexpr std::array<std::string_view, 12> shells{"sh",  "bash", "dash", "ash",   "ksh",  "mksh",
                                                  "zsh", "fish", "csh",  "rbash", "tcsh", "yash"};

// Of a shell, behind its name: whether the next word is the script of its -c.
bool script_is_next(words_span words) {
  bool asked_for = false;
  std::size_t at = 0;
  for (; at < words.size() && is_option(words[at]); ++at) {
    const std::string& word = words[at];
    if (word == "--") {
      ++at;
      break;
    }
    if (word.starts_with("--")) {
      if (word == "--rcfile" || word == "--init-file") ++at;
      continue;
    }
    asked_for = asked_for || has_letter(word, 'c');
    if (word.find_first_of("oO") != word.npos) ++at;  // -o pipefail
  }
  return asked_for && at == words.size();
}

// Of ssh, behind its name: how many operands there are so far. Its options may stand behind the host, too.
code_reader ssh_reader(words_span words) {
  constexpr std::string_view with_argument = "BbcDEeFIiJLlmOopQRSWw";
  std::size_t operands = 0;
  bool options = true;
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (options && operands < 2 && is_option(word)) {
      if (word == "--") {
        options = false;
        continue;
      }
      const auto letter = word.find_first_of(with_argument, 1);
      if (letter == word.size() - 1 && ++at == words.size()) return {};  // the next word is the option's
      continue;
    }
    ++operands;
  }
  return operands == 0 ? code_reader{} : code_reader{who::remote_shell, operands == 1};
}

}  // namespace

code_reader reader_of_next(words_span words) {
  // A shell with its -c, wherever it stands: nice, timeout, xargs, find -exec.
  for (std::size_t i = 0; i < words.size(); ++i)
    if (is_one_of(program_in(words[i]), shells) && script_is_next(words.subspan(i + 1))) return {who::shell, true};

  // The others only where a command begins: their names are words of other commands, too.
  constexpr std::array<std::string_view, 9> before_commands{"if",    "then", "else", "elif", "while",
                                                            "until", "do",   "!",    "{"};
  constexpr std::array<std::string_view, 14> starters{"sudo",    "doas",    "nice", "ionice", "timeout",
                                                      "env",     "nohup",   "time", "setsid", "stdbuf",
                                                      "sshpass", "command", "exec", "builtin"};
  constexpr std::array<std::string_view, 4> others{"su", "runuser", "flock", "script"};
  bool through_starter = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view name = program_in(words[i]);
    const words_span rest = words.subspan(i + 1);
    if (name == "eval") return {who::shell, rest.empty()};
    if (name == "trap" && !through_starter) return {rest.empty() ? who::shell : who::nobody, true};
    if (name == "ssh" || name == "rsh") return ssh_reader(rest);
    if (is_one_of(name, others)) {
      const bool next = !rest.empty() && (rest.back() == "--command" || has_letter(rest.back(), 'c'));
      return {next ? who::other_shell : who::nobody, true};
    }
    if (is_one_of(name, starters)) through_starter = true;
    const bool assignment = words[i].find('=') != words[i].npos;
    if (!through_starter && !assignment && !is_one_of(name, before_commands)) return {};
  }
  return {};
}

words_before words_of_command(std::string_view script, const std::vector<script_position>& positions, std::size_t at) {
  using quoting = script_position::quoting;
  struct command {
    std::vector<std::string> words;
    std::string word;
    bool in_word = false, redirection = false;
    bool in_backquotes = false;
    void end_word() {
      if (std::exchange(in_word, false) && !std::exchange(redirection, false)) words.push_back(word);
      word.clear();
    }
  };
  std::vector<command> open(1);
  for (std::size_t i = 0; i < at; ++i) {
    command& now = open.back();
    const char c = script[i];
    const quoting within = positions[i].within;
    const bool expands = within == quoting::none || within == quoting::double_quotes;
    if (within == quoting::comment || within == quoting::here_document || within == quoting::quoted_here_document)
      continue;
    if (!positions[i].escaped && expands) {
      if (c == '\\') continue;
      if (c == '`') {
        if (now.in_backquotes)
          open.pop_back();
        else
          open.emplace_back().in_backquotes = true;
        if (!open.back().in_backquotes) open.back().in_word = true;
        continue;
      }
      const bool substitution = c == '(' && i > 0 && script[i - 1] == '$';
      if (substitution && script.substr(i).starts_with("((")) continue;  // arithmetic
      if (substitution || (c == '(' && within == quoting::none)) {
        open.back().in_word = substitution || open.back().in_word;
        open.emplace_back();
        continue;
      }
    }
    if (positions[i].escaped && c == '\n') continue;
    if (within != quoting::none || positions[i].escaped) {
      const bool delimits = c == '"' && within == quoting::double_quotes && !positions[i].escaped;
      const bool ends_single = c == '\'' && within == quoting::single_quotes;
      if (!delimits && !ends_single) now.word += c;
      now.in_word = true;
      continue;
    }
    switch (c) {
      case ')':
        if (open.size() > 1 && !now.in_backquotes) {
          open.pop_back();
          break;
        }
        [[fallthrough]];  // a pattern of a case
      case '\n':
      case ';':
      case '&':
      case '|':
        // >& and <& belong to a redirection.
        if (c == '&' && i > 0 && (script[i - 1] == '>' || script[i - 1] == '<')) break;
        now.end_word();
        now.words.clear();
        now.redirection = false;
        break;
      case ' ':
      case '\t':
        now.end_word();
        break;
      case '<':
      case '>':
        // A number before it says which descriptor.
        if (now.word.find_first_not_of("0123456789") == now.word.npos) now.in_word = false;
        now.end_word();
        now.redirection = true;
        break;
      case '\'':
      case '"':
        now.in_word = true;
        break;
      default:
        now.word += c;
        now.in_word = true;
    }
  }
  command& last = open.back();
  return {std::move(last.words), !last.in_word, last.redirection};
}

}  // namespace penstock::runner
