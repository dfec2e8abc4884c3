#include "apps/run/inner_code.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <set>
#include <utility>

namespace penstock::runner {
namespace {

using kind = code_reader::kind;
using words_span = std::span<const std::string>;
using name_list = std::span<const std::string_view>;
constexpr std::size_t none = script_command::none;

bool is_one_of(std::string_view word, name_list names) {
  return std::find(names.begin(), names.end(), word) != names.end();
}
std::string_view program_in(std::string_view word) { return word.substr(word.rfind('/') + 1); }
bool is_option(std::string_view word) { return word.size() > 1 && (word.front() == '-' || word.front() == '+'); }
// -c, -ec, -lc
bool has_letter(std::string_view word, char letter) {
  return word.size() > 1 && word.front() == '-' && word[1] != '-' && word.find(letter) != word.npos;
}

// --- KINDS ---

// Their -c takes a script, and arguments as $0, $1, … behind it.
constexpr std::array<std::string_view, 12> shells{"sh",  "bash", "dash", "ash",   "ksh",   "mksh",
                                                  "zsh", "yash", "posh", "rbash", "ksh93", "lksh"};
// The same with other words for the arguments.
constexpr std::array<std::string_view, 7> other_shells{"fish", "csh", "tcsh", "xonsh", "elvish", "nu", "pwsh"};
// -c COMMAND for a shell that the program starts.
constexpr std::array<std::string_view, 7> with_command_option{"su", "runuser", "flock",  "script",
                                                              "sg", "newgrp",  "vagrant"};
// Every argument may be a command line for a shell.
constexpr std::array<std::string_view, 16> command_line_readers{
    "parallel",  "sem",   "rush",     "watch",   "tmux",   "screen", "hyperfine", "entr",
    "watchexec", "xterm", "penstock", "ansible", "expect", "byobu",  "nodemon",   "rlwrap"};
constexpr std::array<std::string_view, 9> remote_shells{"ssh",  "rsh",   "slogin",       "autossh", "dbclient",
                                                        "pdsh", "clush", "parallel-ssh", "pssh"};
// Interpreters: the options whose value is a program.
struct interpreter {
  std::string_view name, letters;
};
constexpr std::array<interpreter, 24> interpreters{
    {{"vim", "c"},     {"vi", "c"},     {"nvim", "c"}, {"ex", "c"},     {"emacs", ""},  {"make", ""},
     {"gmake", ""},    {"python", "c"}, {"pypy", "c"}, {"perl", "eE"},  {"ruby", "e"},  {"node", "ep"},
     {"nodejs", "ep"}, {"deno", ""},    {"bun", "e"},  {"php", "rBER"}, {"lua", "e"},   {"Rscript", "e"},
     {"R", "e"},       {"guile", "c"},  {"tclsh", ""}, {"psql", "c"},   {"mysql", "e"}, {"mariadb", "e"}}};
// Their input is SQL, and commands such as .shell.
constexpr std::array<std::string_view, 4> databases{"psql", "mysql", "mariadb", "sqlite3"};
constexpr std::array<std::string_view, 5> awks{"awk", "gawk", "mawk", "nawk", "original-awk"};
// They start another command: its name is one of the next words.
constexpr std::array<std::string_view, 42> starters{
    "sudo",   "doas",    "nice",       "ionice",     "timeout",   "env",         "nohup",    "time",  "setsid",
    "stdbuf", "sshpass", "command",    "exec",       "builtin",   "chroot",      "setpriv",  "xargs", "find",
    "docker", "podman",  "kubectl",    "nsenter",    "unshare",   "systemd-run", "busybox",  "chrt",  "taskset",
    "strace", "ltrace",  "catchsegv",  "unbuffer",   "eatmydata", "faketime",    "fakeroot", "proot", "firejail",
    "bwrap",  "prlimit", "lxc-attach", "machinectl", "toolbox",   "pkexec"};
constexpr std::array<std::string_view, 10> before_commands{"if",    "then", "else", "elif", "while",
                                                           "until", "do",   "!",    "{",    "toybox"};

const interpreter* interpreter_of(std::string_view name) {
  // python3, python3.11, lua5.4
  const auto end = name.find_last_not_of("0123456789.");
  const std::string_view bare = name.substr(0, end == name.npos ? 0 : end + 1);
  const auto found = std::find_if(interpreters.begin(), interpreters.end(),
                                  [&](const interpreter& i) { return i.name == bare || i.name == name; });
  return found == interpreters.end() ? nullptr : &*found;
}

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
      asked_for = asked_for || word == "--command";
      continue;
    }
    asked_for = asked_for || has_letter(word, 'c');
    if (word.find_first_of("oO") != word.npos) ++at;  // -o pipefail
  }
  return asked_for && at == words.size();
}
// Of a shell or an interpreter, behind its name: there is no operand and no option with code, so it reads its input.
bool has_no_operand(words_span words, std::string_view code_letters) {
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word == "-" || word == "-s" || word == "/dev/stdin") return true;
    if (!is_option(word)) return false;
    if (word == "--") return at + 1 == words.size();
    if (!word.starts_with("--") && word.find_first_of(code_letters) != word.npos) return false;
    if (!word.starts_with("--") && word.find_first_of("oO") != word.npos) ++at;
  }
  return true;
}

// Of ssh, behind its name: how many operands there are so far. Its options may stand behind the host, too.
struct ssh_words {
  std::size_t operands = 0;
  bool option_value_next = false;
};
ssh_words count_ssh(words_span words) {
  constexpr std::string_view with_argument = "BbcDEeFIiJLlmOopQRSWw";
  ssh_words counted;
  bool options = true;
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (options && counted.operands < 2 && is_option(word)) {
      if (word == "--") {
        options = false;
        continue;
      }
      const auto letter = word.find_first_of(with_argument, 1);
      if (letter == word.size() - 1 && ++at == words.size()) counted.option_value_next = true;
      continue;
    }
    ++counted.operands;
  }
  return counted;
}
code_reader ssh_reader(words_span words) {
  const ssh_words counted = count_ssh(words);
  if (counted.option_value_next) return {words.back() == "-o" ? kind::other_shell : kind::none, false};
  return counted.operands == 0 ? code_reader{} : code_reader{kind::remote_shell, counted.operands == 1};
}

// $SHELL, ${SHELL:-sh}
bool is_shell(std::string_view word) {
  return is_one_of(program_in(word), shells) || word.starts_with("$SHELL") || word.starts_with("${SHELL");
}

// git -c alias.x='!…', git rebase --exec '…', git submodule foreach '…'
code_reader git_reader(words_span words) {
  if (words.empty()) return {};
  const std::string& last = words.back();
  if (last == "-c" || last == "--config-env") return {kind::other_shell, false};
  if (last == "--exec" || last == "-x" || last == "foreach" || last == "run" || last == "--tree-filter" ||
      last == "--index-filter" || last == "--msg-filter" || last == "--env-filter" || last == "--upload-pack" ||
      last == "--receive-pack")
    return {kind::other_shell, true};
  const bool config = std::find(words.begin(), words.end(), "config") != words.end();
  const bool each = std::find(words.begin(), words.end(), "foreach") != words.end();
  if ((config && last.starts_with("alias.")) || each) return {kind::other_shell, false};
  return {};
}

code_reader interpreter_reader(const interpreter& i, words_span words) {
  if (words.empty()) return {};
  const std::string& last = words.back();
  if ((i.name == "make" || i.name == "gmake") && last != "--eval") return {};
  const bool option = std::any_of(i.letters.begin(), i.letters.end(), [&](char c) {
    return has_letter(last, c) && last.find_first_of("IMmCx") == last.npos;
  });
  bool only_options = true;
  for (std::size_t at = 0; at < words.size(); ++at) {
    only_options = only_options && is_option(words[at]);
    // Options whose value is the next word, and no code.
    if (words[at].size() == 2 && std::string_view("IMWXdlr").find(words[at][1]) != std::string_view::npos &&
        i.letters.find(words[at][1]) == std::string_view::npos)
      ++at;
  }
  if ((option && (only_options || i.name == "psql" || i.name == "mysql" || i.name == "mariadb")) || last == "--eval" ||
      last == "--command" || last == "--execute" || last == "--print" || last == "eval")
    return {kind::program, true};
  return {};
}

// awk 'program' file…: the first operand, if no -f names a file; -v and -F have a value, which is no code but for -v's
// escapes; -e 'program' of gawk.
code_reader awk_reader(words_span words) {
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word == "-e" || word == "--source") {
      if (at + 1 == words.size()) return {kind::program, true};
      return {};
    }
    if (word == "-f" || word == "--file" || word.starts_with("-f")) return {};
    if (word == "-v" || word == "-F" || word == "--assign" || word == "--field-separator") {
      if (++at == words.size()) return {};
      continue;
    }
    if (word == "--") {
      if (at + 1 == words.size()) return {kind::program, true};
      return {};
    }
    if (!is_option(word)) return {};
  }
  return {kind::program, true};
}

// A variable's value that some program gives to a shell.
bool names_a_command(std::string_view variable) {
  constexpr std::array<std::string_view, 12> names{"PAGER",     "EDITOR",   "VISUAL",   "GIT_EDITOR",
                                                   "GIT_PAGER", "LESSOPEN", "MANPAGER", "RSYNC_RSH",
                                                   "CVS_RSH",   "BROWSER",  "PS4",      "MAKEFLAGS"};
  return variable.ends_with("_COMMAND") || variable == "ENV" || variable == "BASH_ENV" || is_one_of(variable, names);
}

std::string_view assigned_name(std::string_view word) {
  const auto equals = word.find('=');
  if (equals == word.npos || equals == 0) return {};
  std::string_view name = word.substr(0, equals);
  if (name.ends_with('+')) name.remove_suffix(1);
  const bool fits =
      !name.empty() && (name.front() < '0' || name.front() > '9') &&
      name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == name.npos;
  return fits ? name : std::string_view{};
}

// Calls look(name, its position) for each word that can be the name of a program: the first of the command, and, behind
// one that starts another, all further ones. Stops at the first result.
template <class Look>
auto first_program(words_span words, Look look) -> decltype(look(std::string_view{}, std::size_t{})) {
  bool through_starter = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view name = program_in(words[i]);
    if (auto found = look(name, i)) return found;
    if (is_one_of(name, starters)) through_starter = true;
    const bool assignment = !assigned_name(words[i]).empty();
    if (!through_starter && !assignment && !is_one_of(name, before_commands)) break;
  }
  return {};
}

}  // namespace

namespace {

// The script executes its own arguments: eval "$1", sh -c "$2", or just "$@".
bool executes_arguments(const std::string& script) {
  const auto positions = script_quoting(script);
  const script_commands parsed = commands_of(script, positions);
  const auto variables = variables_with_values(script, positions, parsed, {});
  return std::any_of(variables.begin(), variables.end(), [&](const value_in_script& v) {
    return positions[v.begin].within == script_position::quoting::arithmetic ||
           reader_of_value(script, positions, parsed, v).is != kind::none;
  });
}

}  // namespace

code_reader reader_of_next(words_span words) {
  const auto outer = first_program(words, [&](std::string_view name, std::size_t i) -> std::optional<code_reader> {
    const words_span rest = words.subspan(i + 1);
    if (is_one_of(name, remote_shells)) return ssh_reader(rest);
    if (is_one_of(name, command_line_readers)) {
      // Data behind ::: is an item there, too.
      if ((name == "parallel" || name == "penstock" || name == "sem") &&
          std::any_of(rest.begin(), rest.end(), [](const std::string& w) { return w.starts_with(":::"); }))
        return code_reader{};
      if (name == "penstock" && (rest.empty() || rest.front() != "run")) return code_reader{};
      return code_reader{kind::other_shell, false};
    }
    if (name == "systemd-run" && std::none_of(rest.begin(), rest.end(), [](const std::string& w) {
          return w == "--scope" || w == "--expand-environment=no";
        }))
      return code_reader{kind::other_shell, false};
    if (name == "env" && !rest.empty() && (rest.back() == "--split-string" || has_letter(rest.back(), 'S')))
      return code_reader{kind::other_shell, false};
    return std::nullopt;
  });
  if (outer) return *outer;
  // A shell with its -c, wherever it stands: nice, timeout, xargs, find -exec.
  for (std::size_t i = 0; i < words.size(); ++i) {
    const words_span rest = words.subspan(i + 1);
    if (is_shell(words[i]) || (i == 0 && words[i].starts_with('$'))) {
      if (script_is_next(rest)) return {kind::shell, true, true};
      for (std::size_t script = 1; script + 1 < rest.size() && script <= 4; ++script)
        if (script_is_next(rest.first(script)) && executes_arguments(rest[script])) return {kind::shell, false};
    }
    if (is_one_of(program_in(words[i]), other_shells) &&
        (script_is_next(rest) || (!rest.empty() && rest.back() == "-Command")))
      return {kind::program, true};
  }

  bool through_starter = false;
  const auto found = first_program(words, [&](std::string_view name, std::size_t i) -> std::optional<code_reader> {
    const words_span rest = words.subspan(i + 1);
    if (name == "eval" || name == "let") return code_reader{kind::shell, rest.empty()};
    if (name == "alias") return code_reader{kind::shell, false};
    if (name == "trap" && !through_starter) {
      const std::size_t options = rest.empty() || !is_option(rest.front()) ? 0 : 1;  // trap --
      return code_reader{rest.size() == options ? kind::shell : kind::none, true};
    }
    if (is_one_of(name, with_command_option)) {
      const bool next = !rest.empty() && (rest.back() == "--command" || rest.back() == "--session-command" ||
                                          has_letter(rest.back(), 'c'));
      // sg GROUP COMMAND
      const bool sg = name == "sg" && rest.size() == 1 && !is_option(rest.front());
      return code_reader{next || sg ? kind::other_shell : kind::none, true};
    }
    if (name == "git") return git_reader(rest);
    if (name == "sqlite3" && std::any_of(rest.begin(), rest.end(), [](const std::string& w) { return !is_option(w); }))
      return code_reader{kind::program, false};
    if (is_one_of(name, awks)) return awk_reader(rest);
    if (const interpreter* known = interpreter_of(name)) return interpreter_reader(*known, rest);
    if (is_one_of(name, starters)) through_starter = true;
    return std::nullopt;
  });
  return found.value_or(code_reader{});
}

bool executes_input(words_span words) {
  return first_program(words, [&](std::string_view name, std::size_t i) {
    const words_span rest = words.subspan(i + 1);
    if (name == "xargs") {
      // Its input becomes a part of a script, or the script.
      const bool replaces = std::any_of(rest.begin(), rest.end(), [](const std::string& w) {
        return w.starts_with("-I") || w.starts_with("-i") || w.starts_with("-J") || w.starts_with("--replace");
      });
      for (std::size_t at = 0; at < rest.size(); ++at) {
        if (replaces && (is_shell(rest[at]) || is_one_of(program_in(rest[at]), remote_shells) || rest[at] == "su"))
          return true;
        if (is_shell(rest[at]) && script_is_next(rest.subspan(at + 1))) return true;  // xargs sh -c
      }
      return false;
    }
    if (is_shell(words[i])) return has_no_operand(rest, "c");
    if (is_one_of(name, other_shells)) return has_no_operand(rest, "c");
    if (is_one_of(name, remote_shells)) return count_ssh(rest).operands == 1 && !count_ssh(rest).option_value_next;
    if (is_one_of(name, databases))
      return std::none_of(rest.begin(), rest.end(), [](const std::string& w) { return w == "-c" || w == "-e"; });
    if (const interpreter* known = interpreter_of(name)) return has_no_operand(rest, known->letters);
    if (name == "su" || name == "runuser")
      return std::none_of(rest.begin(), rest.end(),
                          [](const std::string& w) { return has_letter(w, 'c') || w == "--command"; });
    if (name == "at" || name == "batch" || name == "bc" || name == "dc" || name == "gnuplot" || name == "ed" ||
        name == "ex")
      return true;
    if (name == "crontab") return !rest.empty() && rest.back() == "-";
    if (name == "source" || name == ".") return !rest.empty() && rest.front() == "/dev/stdin";
    if (name == "parallel" || name == "sem" || name == "rush") return rest.empty();  // its input is commands
    if (name == "penstock") return rest.size() == 2 && rest[1] == "{{}}";
    return false;
  });
}

bool prints_words(words_span words) {
  return first_program(words, [](std::string_view name, std::size_t) { return name == "echo" || name == "printf"; });
}

std::vector<std::string> script_command::arguments_before(std::size_t word) const {
  std::vector<std::string> found;
  for (std::size_t i = 0; i < std::min(word, words.size()); ++i)
    if (words[i].redirection.empty()) found.push_back(words[i].text);
  return found;
}

namespace {

class command_reader {
 public:
  command_reader(std::string_view script, const std::vector<script_position>& positions)
      : script_(script), positions_(positions) {
    made_.owner.assign(script.size(), 0);
    begin_level(none, false, false);
  }

  script_commands read() {
    for (at_ = 0; at_ < script_.size(); ++at_) step();
    while (!open_.empty()) {
      end_word();
      open_.pop_back();
    }
    return std::move(made_);
  }

 private:
  struct level {
    std::size_t command;
    std::size_t number;
    bool in_backquotes;
    std::string word{}, redirection{};
    std::size_t began = 0;
    bool in_word = false;
  };

  script_command& now() { return made_.commands[open_.back().command]; }

  void begin_command(std::size_t piped_from) {
    script_command next;
    const script_command& before = now();
    next.level = before.level;
    next.parent = before.parent;
    next.parent_word = before.parent_word;
    next.is_word = before.is_word;
    next.piped_from = piped_from;
    made_.commands.push_back(std::move(next));
    open_.back().command = made_.commands.size() - 1;
  }
  void begin_level(std::size_t parent, bool is_word, bool in_backquotes) {
    script_command first;
    first.level = levels_++;
    first.parent = parent;
    first.parent_word = parent == none ? none : made_.commands[parent].words.size();
    first.is_word = is_word;
    made_.commands.push_back(std::move(first));
    open_.push_back({made_.commands.size() - 1, levels_ - 1, in_backquotes});
  }
  void in_word() {
    level& l = open_.back();
    if (!std::exchange(l.in_word, true)) l.began = at_;
  }
  void end_word() {
    level& l = open_.back();
    if (std::exchange(l.in_word, false)) {
      now().words.push_back({l.word, l.began, at_, l.redirection});
      if (l.redirection == "<<") documents_.push_back(l.command);
      l.redirection.clear();
    }
    l.word.clear();
  }
  void end_command(std::size_t piped_from) {
    end_word();
    open_.back().redirection.clear();
    begin_command(piped_from);
  }
  void close_level() {
    end_word();
    open_.pop_back();
    if (at_ > 0 && at_ < script_.size() && script_.substr(at_ - 1, 2) == "()") end_command(none);  // a function's name
  }

  void step() {
    using quoting = script_position::quoting;
    const char c = script_[at_];
    const script_position& position = positions_[at_];
    const quoting within = position.within;
    made_.owner[at_] = open_.back().command;
    if (within == quoting::comment) return;
    if (within == quoting::here_document || within == quoting::quoted_here_document) {
      if (position.opened != document_opened_) {
        document_opened_ = position.opened;
        if (!documents_.empty()) {
          document_of_ = documents_.front();
          documents_.pop_front();
        }
      }
      if (document_of_ != none) made_.owner[at_] = document_of_;
      return;
    }
    const bool expands = within == quoting::none || within == quoting::double_quotes;
    if (!position.escaped && expands) {
      if (c == '\\') return script_.substr(at_).starts_with("\\\n") ? void() : in_word();
      if (c == '`') {
        if (open_.back().in_backquotes) return close_level();
        in_word();
        return begin_level(open_.back().command, true, true);
      }
      const bool substitution = c == '(' && at_ > 0 && script_[at_ - 1] == '$';
      if (substitution && script_.substr(at_).starts_with("((")) return;  // arithmetic
      if (substitution || (c == '(' && within == quoting::none)) {
        const bool process = at_ > 0 && (script_[at_ - 1] == '<' || script_[at_ - 1] == '>');
        if (substitution || process) in_word();
        return begin_level(open_.back().command, substitution, false);
      }
    }
    if (position.escaped && c == '\n') return;
    if (within != quoting::none || position.escaped) {
      const bool delimits = c == '"' && within == quoting::double_quotes && !position.escaped;
      const bool ends_single = c == '\'' && within == quoting::single_quotes;
      in_word();
      if (!delimits && !ends_single) open_.back().word += c;
      return;
    }
    switch (c) {
      case ')':
        if (open_.size() > 1 && !open_.back().in_backquotes) return close_level();
        return end_command(none);  // a pattern of a case
      case '|':
        if (at_ > 0 && (script_[at_ - 1] == '|' || script_[at_ - 1] == '>')) return;
        if (script_.substr(at_).starts_with("||")) return end_command(none);
        end_word();
        return end_command(open_.back().command);
      case '&':
        // >& and <& belong to a redirection; |& to a pipe.
        if (at_ > 0 && std::string_view("<>|").find(script_[at_ - 1]) != std::string_view::npos) return;
        return end_command(none);
      case '\n':
      case ';':
        return end_command(none);
      case ' ':
      case '\t':
        if (script_[at_] != '\n') end_word();
        return;
      case '<':
      case '>': {
        level& l = open_.back();
        // A number before it says which descriptor.
        if (l.in_word && l.word.find_first_not_of("0123456789") == l.word.npos) {
          l.in_word = false;
          l.word.clear();
        }
        end_word();
        if (at_ > 0 && script_[at_ - 1] == c)
          l.redirection += c;
        else
          l.redirection = c;
        return;
      }
      case '-':
        if (open_.back().redirection == "<<" && script_[at_ - 1] == '<') return;
        break;
      case '\'':
      case '"':
        return in_word();
      default:
        break;
    }
    in_word();
    open_.back().word += c;
  }

  const std::string_view script_;
  const std::vector<script_position>& positions_;
  script_commands made_;
  std::vector<level> open_;
  std::size_t levels_ = 0, at_ = 0;
  std::deque<std::size_t> documents_;  // announced, not begun
  std::size_t document_opened_ = none, document_of_ = none;
};

bool is_document(const script_position& p) {
  return p.within == script_position::quoting::here_document ||
         p.within == script_position::quoting::quoted_here_document;
}

// The output of the command is code for the command behind its pipe, or for the one whose word it becomes.
code_reader reader_of_output(const script_commands& parsed, std::size_t printer) {
  const auto& all = parsed.commands;
  for (std::size_t at = printer; at != none;) {
    const script_command& c = all[at];
    std::vector<std::size_t> upstream{at};
    for (std::size_t next = 0; next < all.size(); ++next) {
      if (all[next].level != c.level || all[next].piped_from == none) continue;
      const std::size_t from = all[next].piped_from;
      const auto words = all[from].arguments();
      constexpr std::array<std::string_view, 4> closing{"}", "done", "fi", "esac"};
      const bool group = !words.empty() && is_one_of(words.front(), closing) && at < from;
      if (!group && std::find(upstream.begin(), upstream.end(), from) == upstream.end()) continue;
      upstream.push_back(next);
      if (executes_input(all[next].arguments())) return {kind::other_shell, false};
    }
    if (c.parent == none) return {};
    const script_command& outer = all[c.parent];
    if (c.parent_word < outer.words.size() &&
        (c.is_word || !outer.words[c.parent_word].text.empty() || outer.words[c.parent_word].redirection == "<")) {
      const auto before = outer.arguments_before(c.parent_word);
      const code_reader reader = reader_of_next(before);
      if (reader.is != kind::none) return {reader.is, false};
      if (!before.empty() && (before.front() == "." || before.front() == "source" || executes_input(before)))
        return {kind::shell, false};
      if (!prints_words(before)) return {};
    } else if (!c.is_word) {
      // (…) and <(…)
      const auto before = outer.arguments_before(c.parent_word);
      if (!before.empty() && (before.front() == "." || before.front() == "source" || executes_input(before)))
        return {kind::shell, false};
    }
    at = c.parent;
  }
  return {};
}

}  // namespace

script_commands commands_of(std::string_view script, const std::vector<script_position>& positions) {
  return command_reader(script, positions).read();
}

code_reader reader_of_joined(words_span before, std::string_view word) {
  const std::string_view first = before.empty() ? std::string_view{} : program_in(before.front());
  if (const auto name = assigned_name(word); !name.empty()) {
    if (names_a_command(name)) return {kind::other_shell, false};
    if (first == "make" || first == "gmake") return {kind::program, false};  // it expands $(shell …) in a variable
  }
  for (const std::string_view option : {"--eval=", "--command=", "--execute=", "--split-string=", "--to-command=",
                                        "--checkpoint-action=", "--use-compress-program=", "--exec="})
    if (word.starts_with(option)) return {kind::other_shell, false};
  if (word.starts_with("-o") && word.find("Command") != word.npos) return {kind::other_shell, false};
  // -c'… {} …', -ne'… {} …'
  std::vector<std::string> with_option(before.begin(), before.end());
  for (std::size_t length = 2; length < std::min<std::size_t>(word.size(), 5); ++length) {
    const char letter = word[length - 1];
    if (word.front() != '-' || !((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'))) break;
    with_option.resize(before.size());
    with_option.emplace_back(word.substr(0, length));
    if (const code_reader reader = reader_of_next(with_option);
        reader.is != kind::none && !before.empty() && reader_of_next(before).is == kind::none)
      return {reader.is, false};
  }
  return {};
}

code_reader reader_of_value(std::string_view script, const std::vector<script_position>& positions,
                            const script_commands& parsed, const value_in_script& value) {
  const std::size_t at = value.begin;
  const std::size_t owner = parsed.owner[at];
  const script_command& command = parsed.commands[owner];
  if (positions[at].within == script_position::quoting::comment) return {};
  if (is_document(positions[at])) {
    // In $(…) or `…` of a here-document, whose commands are not looked at.
    const std::string_view before = script.substr(positions[at].opened, at - positions[at].opened);
    const auto opened = static_cast<std::ptrdiff_t>(before.rfind("$("));
    const bool in_substitution =
        before.rfind("$(") != before.npos && before.substr(static_cast<std::size_t>(opened)).find(')') == before.npos;
    if (in_substitution || std::count(before.begin(), before.end(), '`') % 2 == 1) return {kind::shell, false};
    if (executes_input(command.arguments())) return {kind::other_shell, false};
    return reader_of_output(parsed, owner);
  }
  const auto word = std::find_if(command.words.begin(), command.words.end(),
                                 [&](const script_word& w) { return w.begin <= at && at < w.end; });
  if (word == command.words.end()) return {};
  if (word->redirection == "<<<" && executes_input(command.arguments())) return {kind::other_shell, false};
  if (word->redirection == "<<<") return reader_of_output(parsed, owner);
  if (!word->redirection.empty()) return {};
  const auto before = command.arguments_before(static_cast<std::size_t>(word - command.words.begin()));
  code_reader reader = reader_of_next(before);
  std::size_t begin = word->begin, end = word->end;
  while (begin < at && script[begin] == '"' && end > at + value.length && script[end - 1] == '"') ++begin, --end;
  const bool whole = value.is_item && begin == at && end == at + value.length;
  if (reader.is != kind::none && !(whole && reader.begins)) return reader;
  if (const code_reader joined = reader_of_joined(before, word->text); joined.is != kind::none) return joined;
  if (prints_words(before)) return reader_of_output(parsed, owner);
  return {};
}

std::vector<value_in_script> variables_with_values(std::string_view script,
                                                   const std::vector<script_position>& positions,
                                                   const script_commands& parsed,
                                                   const std::vector<value_in_script>& places) {
  using quoting = script_position::quoting;
  struct expansion {
    value_in_script where;
    std::string name;
  };
  // Every $name and ${name…} that this script itself expands.
  std::vector<expansion> expansions;
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
  for (std::size_t i = 0; i + 1 < script.size(); ++i) {
    const quoting within = positions[i].within;
    if (within == quoting::arithmetic && letters.find(script[i]) != letters.npos) {
      // A name by itself; or the rest of $name, which is the same.
      const std::size_t end = std::min(script.find_first_not_of(letters, i), script.size());
      expansions.push_back({{i, end - i}, std::string(script.substr(i, end - i))});
      i = end - 1;
      continue;
    }
    if (script[i] != '$' || positions[i].escaped || within == quoting::single_quotes || within == quoting::comment ||
        within == quoting::quoted_here_document)
      continue;
    std::size_t from = i + 1;
    const bool braces = script[from] == '{';
    if (braces) ++from;
    std::size_t end = std::min(script.find_first_not_of(letters, from), script.size());
    if (end == from && from < script.size() && std::string_view("@*").find(script[from]) != std::string_view::npos)
      ++end;
    if (end == from) continue;
    std::string name(script.substr(from, end - from));
    if (!braces && name.front() >= '0' && name.front() <= '9') name.resize(1), end = from + 1;
    if (braces) end = std::min(script.find('}', end), script.size() - 1) + 1;
    expansions.push_back({{i, end - i, name.starts_with("PENSTOCK_")}, std::move(name)});
  }
  std::set<std::string, std::less<>> holds;
  const auto has_value = [&](const std::string& name) {
    return name == "@" || name == "*" || (name.size() == 1 && name.front() >= '1' && name.front() <= '9') ||
           holds.contains(name) ||
           (name.starts_with("PENSTOCK_") && name != "PENSTOCK_SEQ" && name != "PENSTOCK_SLOT" &&
            name != "PENSTOCK_STAGE" && name != "PENSTOCK_ATTEMPT");
  };
  // Whether the word is made of a value: by itself, or through $(echo …).
  const auto is_made_of_value = [&](std::size_t command, const script_word& word) {
    const auto inside = [&](const value_in_script& v) {
      if (v.begin < word.begin || v.begin >= word.end) return false;
      // A here-document is printed by its reader, more or less.
      bool printed = is_document(positions[v.begin]);
      for (std::size_t at = parsed.owner[v.begin]; at != command; at = parsed.commands[at].parent)
        if (at == none || !(std::exchange(printed, false) || prints_words(parsed.commands[at].arguments())))
          return false;
      return true;
    };
    return std::any_of(places.begin(), places.end(), inside) ||
           std::any_of(expansions.begin(), expansions.end(),
                       [&](const expansion& e) { return has_value(e.name) && inside(e.where); });
  };
  // ${x:={}} assigns, too.
  for (const expansion& e : expansions)
    for (const value_in_script& v : places) {
      const std::size_t name_end = std::min(e.where.begin + 2 + e.name.size(), script.size());
      const bool assigns = script.substr(name_end).starts_with(":=") || script.substr(name_end).starts_with("=");
      // Up to the end of the line: where the braces end is not known exactly, and this errs on the safe side.
      if (assigns && v.begin > e.where.begin && v.begin < script.find('\n', e.where.begin)) holds.insert(e.name);
    }
  for (std::size_t known = none; known != holds.size();) {
    known = holds.size();
    for (std::size_t i = 0; i < parsed.commands.size(); ++i) {
      const script_command& c = parsed.commands[i];
      const auto words = c.arguments();
      if (words.empty()) continue;
      const auto read = std::find(words.begin(), words.end(), "read");
      if (read != words.end() && read - words.begin() <= 1)
        for (auto name = read + 1; name != words.end(); ++name)
          if (!is_option(*name)) holds.insert(*name);
      const bool loop = words.size() > 2 && (words[0] == "for" || words[0] == "select");
      for (const script_word& word : c.words) {
        if (!word.redirection.empty() || !is_made_of_value(i, word)) continue;
        if (loop) holds.insert(words[1]);
        if (const auto name = assigned_name(word.text); !name.empty()) holds.insert(std::string(name));
      }
    }
  }
  std::vector<value_in_script> found;
  for (const expansion& e : expansions) {
    // 1 is a number there.
    const bool is_number = positions[e.where.begin].within == quoting::arithmetic && script[e.where.begin] != '$' &&
                           e.name.front() <= '9' && script[e.where.begin - 1] != '$' &&
                           script[e.where.begin - 1] != '{';
    if (has_value(e.name) && !is_number) found.push_back(e.where);
  }
  return found;
}

}  // namespace penstock::runner
