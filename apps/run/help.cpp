#include "apps/run/help.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "apps/run/vocabulary.hpp"

namespace penstock::runner {
namespace {

constexpr std::string_view introduction =
    R"(penstock run: a multi-stage parallel: commands for each item of a list, stage after stage, all at the same time

  penstock run [options] [stage options] COMMAND [:: [stage options] COMMAND]... [::: ITEM...]

  ls *.wav | penstock run -j4 'flac -s {}' :: -j2 'rsync {.}.flac nas:/music/'
  penstock run -j8 gzip -9 {} ::: *.log
  find . -name '*.mp4' -print0 | penstock run -0 --retries 2 --timeout 1h 'ffmpeg -i {} {.}.webm'
  penstock run film.toml            the same words in a file: [[stage]] tables, each with a command
  penstock run --pass 'curl -sSf {} >{#}.jpg && echo {#}.jpg' :: 'convert {} -resize 50% {.}.png' <urls

Each line of stdin is an item. It goes through all stages; each has workers and a bounded queue of its own, so no stage
runs further ahead of the next than was said. A failed job ends its item's way, and is told; the others go on.

places in a command
  {}       the item               {.}   without its extension    {/}   its name, without directory
  {//}     its directory          {/.}  its name without extension
  {in}     the item as it came in, where a stage before has made another of it
  {out}    the last line that the stage before printed
  {1} {2}  columns: of --csv, --tsv, --colsep, or of several :::; {name} with --header
  {#}      the item's number      {%}   the worker's number, from 1
  The suffixes go with the others, too: {1/.} {in.}. {{}} is the text {}. Without a place the item is the last word.
  The environment has the same as PENSTOCK_ITEM, _IN, _OUT, _SEQ, _SLOT, _1 _2 ..., and _STAGE and _ATTEMPT.

A command of one word is a script for /bin/sh, executed without a shell if it needs none. A command of several words is
executed as it is. (An item that begins with - is still an option to the program: write -- before it, as in 'rm -- {}'.)
Values are arguments of a script, never its text, so no value is read as code, and values get through sudo, env -i,
docker exec and the like, which drop the environment: sudo sh -c 'rm -- {}'. In a script without a place "$1" is the
item. Where another program would read a value as code (an inner shell, eval, trap, ssh HOST, parallel, python3 -c, awk,
... | sh), the command is refused: give the value to it as an argument, as in sh -c 'rm -- "$1"' sh {}. Not looked at
are the programs of sed and jq, and files that a command writes and another executes. Jobs have an empty stdin, and are
not in the terminal's foreground: what asks there for a password is stopped.
)";

constexpr std::string_view ending =
    R"(
Options of a stage, and those under failure, stand before its command. Where they stand before the first one, --cwd,
--env and those under failure are meant for all stages.
What the last stage prints is the output. stderr of every stage goes to stderr.
Ctrl-C, or SIGTERM: no more items are begun, those in work are finished. Twice, at least 0.2 s apart, or Ctrl-\: they
are killed, with all they started. When the terminal closes they are ended, too, unless nohup is before it.
What the run itself cannot do (write the journal or the output, start one more process) is no failure of a command: the
run stops, says what happened, and jobs that have succeeded stay done for --resume.

exit code: 0 all went well, 1 some failed (told on stderr), 2 usage, 130 interrupted
)";

// Lines of at most `width`, each but the first behind so many blanks.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (column > indent && column + 1 + word.size() > width) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

std::string help_text() {
  std::string text(introduction);
  std::string_view heading;
  for (const word& w : vocabulary()) {
    if (w.heading != heading) {
      heading = w.heading;
      text += '\n' + std::string(heading) + '\n';
    }
    std::string left = w.letter ? std::string("  -") + w.letter + ", " : std::string("      ");
    left += "--" + std::string(w.name) + (w.argument.empty() ? "" : " " + std::string(w.argument));
    constexpr std::size_t indent = 30;
    left.resize(std::max(left.size() + 1, indent), ' ');
    if (left.size() > indent) left.pop_back();
    if (left.size() >= indent && left.back() != ' ') left += '\n' + std::string(indent, ' ');
    text += left + wrapped(w.meaning, indent, 110) + '\n';
  }
  return text + std::string(ending);
}

namespace {

// Text as troff shows it: nothing in it is a request.
std::string as_troff(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool begins_line = i == 0 || text[i - 1] == '\n';
    if (begins_line && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out;
}

// In single quotes of a shell, and without what _arguments would read.
std::string for_zsh(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else if (c == '[' || c == ']' || c == ':')
      out += std::string("\\") + c;
    else
      out += c;
  }
  return out;
}

}  // namespace

std::string manual_page() {
  std::string text =
      ".TH PENSTOCK\\-RUN 1 \"\" \"penstock\" \"User Commands\"\n.SH NAME\npenstock\\-run \\- a multi\\-stage "
      "parallel\n"
      ".SH DESCRIPTION\n.nf\n" +
      as_troff(introduction) + ".fi\n.SH OPTIONS\n";
  std::string_view heading;
  for (const word& w : vocabulary()) {
    if (w.heading != heading) {
      heading = w.heading;
      text += ".SS " + std::string(heading) + '\n';
    }
    text += ".TP\n";
    if (w.letter) text += std::string("\\fB\\-") + w.letter + "\\fR, ";
    text += "\\fB" + as_troff("--" + std::string(w.name)) + "\\fR";
    if (!w.argument.empty()) text += " \\fI" + as_troff(w.argument) + "\\fR";
    text += '\n' + as_troff(w.meaning) + '\n';
  }
  return text + ".SH ENDS\n.nf\n" + as_troff(ending) + ".fi\n";
}

std::string bash_completion() {
  std::string options, with_files;
  for (const word& w : vocabulary()) {
    options += " --" + std::string(w.name);
    if (w.letter) options += std::string(" -") + w.letter;
    if (w.argument == "FILE" || w.argument == "DIR") {
      with_files += (with_files.empty() ? "--" : "|--") + std::string(w.name);
      if (w.letter) with_files += std::string("|-") + w.letter;
    }
  }
  return R"(# bash completion for penstock
_penstock() {
  local now=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "run photos gallery --help --version" -- "$now"))
    return
  fi
  if [ "${COMP_WORDS[1]}" != run ]; then
    compopt -o default
    return
  fi
  case $before in
    --on-fail) COMPREPLY=($(compgen -W "stop drop retry" -- "$now")); return ;;
    )" + with_files +
         R"() compopt -o default; return ;;
  esac
  case $now in
    -*) COMPREPLY=($(compgen -W "--help)" +
         options + R"(" -- "$now")); return ;;
  esac
  if [ "$before" = run ] || [ "$before" = :: ]; then
    COMPREPLY=($(compgen -c -- "$now"))
  else
    compopt -o default
  fi
}
complete -F _penstock penstock
)";
}

std::string zsh_completion() {
  std::string text = R"(#compdef penstock
if (( CURRENT == 2 )); then
  _values command 'run[commands for each item, stage after stage]' 'photos[publish photos]' 'gallery[show photos]'
  return
fi
if [[ ${words[2]} != run ]]; then
  _files
  return
fi
_arguments -S \
)";
  for (const word& w : vocabulary()) {
    std::string rest = "[" + for_zsh(w.meaning) + "]";
    std::string argument;
    if (!w.argument.empty()) {
      argument = ":" + for_zsh(w.argument) + ":";
      if (w.name == "on-fail") argument += "(stop drop retry)";
      if (w.argument == "FILE") argument += "_files";
      if (w.argument == "DIR") argument += "_files -/";
    }
    rest.append(argument).append("' \\\n");
    if (w.letter) text += std::string("  '*-") + w.letter + rest;
    text.append("  '*--").append(w.name).append(rest);
  }
  return text + "  '*::command:_normal'\n";
}

}  // namespace penstock::runner
