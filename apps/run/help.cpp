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
  penstock run --pass 'curl -sSf {} >{#}.jpg; echo {#}.jpg' :: 'convert {} -resize 50% {.}.png' <urls

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

A command of one word is a script for /bin/sh, executed without a shell if it needs none; values are quoted in it, and
never read as code. A command of several words is executed as it is. (An item that begins with - is still an option to
the program: write -- before it, as in 'rm -- {}'.) Jobs have an empty stdin.
)";

constexpr std::string_view ending =
    R"(
Options of the kind "all" stand before one stage's command, or before the first one's and mean all.
What the last stage prints is the output. stderr of every stage goes to stderr.
Ctrl-C, or SIGTERM: no more items are begun, those in work are finished. Twice: they are killed, with all they started.

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

bool asks_for_help(std::span<const std::string> words) {
  if (words.empty()) return false;
  return words.front() == "--help" || words.front() == "-h";
}

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
    if (left.size() > indent) left += '\n' + std::string(indent, ' ');
    text += left + wrapped(w.meaning, indent, 110) + '\n';
  }
  return text + std::string(ending);
}

}  // namespace penstock::runner
