#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <sys/ioctl.h>
#include <unistd.h>

#include <penstock/base/wait_limit.hpp>
#include <penstock/watch/progress.hpp>

namespace penstock {
namespace {

constexpr const char* bold = "\x1b[1m";
constexpr const char* dim = "\x1b[2m";
constexpr const char* yellow = "\x1b[33m";
constexpr const char* plain = "\x1b[0m";

double seconds(std::chrono::nanoseconds d) { return static_cast<double>(d.count()) * 1e-9; }

// Columns on the screen: control sequences and the tails of UTF-8 characters take none.
std::size_t columns_of(std::string_view text) {
  std::size_t n = 0;
  bool in_sequence = false;
  for (const char c : text) {
    if (c == '\x1b')
      in_sequence = true;
    else if (in_sequence)
      in_sequence = c != 'm';
    else if ((c & 0xC0) != 0x80)
      ++n;
  }
  return n;
}

// At most `columns` wide: a line that wraps would throw the count of lines off and tear the block.
std::string cut(const std::string& text, std::size_t columns) {
  if (columns_of(text) <= columns) return text;
  std::string out;
  std::size_t n = 0;
  bool in_sequence = false;
  for (const char c : text) {
    if (c == '\x1b') in_sequence = true;
    const bool counts = !in_sequence && (c & 0xC0) != 0x80;
    if (counts && ++n > columns) break;
    out += c;
    if (in_sequence && c == 'm') in_sequence = false;
  }
  return out + plain;
}

std::string padded(std::string text, std::size_t columns) {
  const std::size_t have = columns_of(text);
  if (have < columns) text.append(columns - have, ' ');
  return text;
}

std::string bar(double share, std::size_t cells) {
  static constexpr const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled =
      static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(cells) * 8));
  std::string out;
  for (std::size_t i = 0; i < filled / 8; ++i) out += "█";
  if (filled % 8) out += eighths[filled % 8];
  return padded(std::move(out), cells);
}

std::string rate_text(double per_second) {
  char text[32];
  std::snprintf(text, sizeof text, per_second < 99.95 ? "%.1f/s" : "%.0f/s", per_second);
  return text;
}

std::uint64_t ended(const report& r) { return r.delivered + r.filtered + r.failed + r.dead_lettered + r.returned; }

// Of now, or of the whole run while there is not yet an earlier look to compare with.
double rate(std::uint64_t now, std::uint64_t before, const report& a, const report& b) {
  const double s = seconds(a.wall - b.wall);
  if (s > .5) return static_cast<double>(now - before) / s;
  return a.wall.count() > 0 ? static_cast<double>(now) / seconds(a.wall) : 0;
}

// A share of worker time between two snapshots, from the shares since the start.
double share_now(double now, double before, const report& a, const report& b) {
  const double all = seconds(a.wall), earlier = seconds(b.wall);
  if (all - earlier < .5) return now;
  return std::clamp((now * all - before * earlier) / (all - earlier), 0.0, 1.0);
}

std::string headline(const report& now, const report& before, const progress_options& options) {
  const std::uint64_t done = ended(now);
  // Expansion makes more items end than entered; then there is no honest share of the whole.
  std::optional<std::uint64_t> total;
  if (options.total && now.expanded == 0) total = options.total();
  std::string text =
      std::to_string(done) + (total ? " of " + std::to_string(*total) : std::string()) + ' ' + options.unit;
  const double overall = now.wall.count() > 0 ? static_cast<double>(done) / seconds(now.wall) : 0;
  text += " · " + rate_text(rate(done, ended(before), now, before));
  if (total && overall > 0 && *total > done && seconds(now.wall) > 1)
    text += " · " +
            duration_text(std::chrono::seconds(std::lround(std::ceil(static_cast<double>(*total - done) / overall)))) +
            " left";
  if (now.failed + now.dead_lettered) text += " · " + std::to_string(now.failed + now.dead_lettered) + " failed";
  return text;
}

bool is_terminal(int descriptor) {
  const char* term = std::getenv("TERM");
  return ::isatty(descriptor) == 1 && !(term && std::string_view(term) == "dumb");
}

}  // namespace

std::vector<std::string> progress_block(const report& now, const report& before, const progress_options& options,
                                        std::size_t columns, bool color) {
  const auto paint = [&](const char* how, const std::string& text) { return color ? how + text + plain : text; };
  std::vector<std::string> lines;
  // Numbers first: when the terminal is narrow it is the title that is cut.
  lines.push_back(cut(
      paint(bold, headline(now, before, options)) + " · " + duration_text(now.wall) + paint(dim, "  " + options.title),
      columns));
  std::size_t width = 5, digits = 2;
  for (const stage_report& s : now.stages) {
    width = std::max(width, columns_of(s.name));
    digits = std::max(digits, std::to_string(s.at_once()).size());
  }
  lines.push_back(
      cut(paint(dim, "  " + padded("stage", width + digits) + "     done       rate  queue    busy"), columns));
  const std::size_t slowest = now.bottleneck();
  for (std::size_t i = 1; i < now.stages.size(); ++i) {
    const stage_report& s = now.stages[i];
    const stage_report none;
    const stage_report& b = i < before.stages.size() ? before.stages[i] : none;
    const std::uint64_t done = s.passed + s.filtered + s.failed + s.dead_lettered + s.returned;
    const std::uint64_t had = b.passed + b.filtered + b.failed + b.dead_lettered + b.returned;
    const double busy = share_now(s.busy, b.busy, now, before);
    char text[160];
    std::snprintf(text, sizeof text, "%7llu %10s  ", static_cast<unsigned long long>(done),
                  rate_text(rate(done, had, now, before)).c_str());
    std::string line =
        "  " + padded(s.name, width) + paint(dim, " ×" + padded(std::to_string(s.at_once()), digits)) + text;
    line += padded(std::to_string(s.waiting) + '/' + std::to_string(s.capacity), 7) + "  " + bar(busy, 10);
    std::snprintf(text, sizeof text, "%4.0f %%", 100 * busy);
    line += text;
    if (i == slowest) line += paint(yellow, "  ◀ bottleneck");
    lines.push_back(cut(line, columns));
  }
  return lines;
}

std::string progress_line(const report& now, const report& before, const progress_options& options) {
  std::string text = options.title + ": " + headline(now, before, options) + " after " + duration_text(now.wall);
  if (const std::size_t slowest = now.bottleneck(); slowest != report::npos && slowest != 0) {
    char share[32];
    std::snprintf(share, sizeof share, " (%.0f %% busy)", 100 * now.stages[slowest].busy);
    text += ", bottleneck " + now.stages[slowest].name + share;
  }
  return text;
}

progress::progress(std::function<report()> snapshot, progress_options options)
    : snapshot_(std::move(snapshot)), options_(std::move(options)), terminal_(is_terminal(options_.descriptor)) {
  thread_ = std::jthread([this] { draw_until_finished(); });
}

void progress::draw_until_finished() {
  const auto pause = terminal_ ? options_.redraw : options_.repeat;
  auto next = wait_limit(pause).deadline();  // not now + pause: milliseconds::max() means never
  mutex_lock lock(mutex_);
  while (!finished_) {
    if (wake_.wait_until(lock, next)) continue;
    next = wait_limit(pause).deadline();
    lock.unlock();
    report fresh = snapshot_();
    lock.lock();
    if (finished_) break;
    // Rates over the last two seconds or so: long enough to be calm, short enough to be of now.
    if (now_.wall - before_.wall > std::chrono::seconds(2) || !terminal_) before_ = std::exchange(now_, {});
    now_ = std::move(fresh);
    if (terminal_) {
      draw();
    } else {
      write(progress_line(now_, before_, options_) + '\n');
    }
  }
}

void progress::draw() {
  winsize size{};
  const std::size_t columns =
      ::ioctl(options_.descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  const std::size_t rows = size.ws_row > 1 ? size.ws_row : 24;
  std::vector<std::string> lines =
      progress_block(now_, before_, options_, columns - 1, std::getenv("NO_COLOR") == nullptr);
  if (lines.size() > rows - 1) lines.resize(rows - 1);  // what has scrolled away cannot be drawn over
  std::string text;
  if (lines_drawn_) text += "\r\x1b[" + std::to_string(lines_drawn_) + "A";
  for (const std::string& line : lines) text += "\r" + line + "\x1b[K\n";
  text += "\x1b[J";
  lines_drawn_ = lines.size();
  write(text);
}

void progress::wipe() {
  if (lines_drawn_) write("\r\x1b[" + std::to_string(lines_drawn_) + "A\x1b[J");
  lines_drawn_ = 0;
}

void progress::say(const std::string& text) {
  mutex_lock lock(mutex_);
  wipe();
  write(text + '\n');
  if (terminal_ && !finished_ && !now_.stages.empty()) draw();
}

void progress::finish() noexcept {
  {
    mutex_lock lock(mutex_);
    finished_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  mutex_lock lock(mutex_);
  wipe();
}

// One write for one frame, so that frames do not mix with what others print.
void progress::write(const std::string& text) const {
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::write(options_.descriptor, rest.data(), rest.size());
    if (n < 0 && errno != EINTR) return;  // a progress display has nothing to say that is worth failing for
    if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace penstock
