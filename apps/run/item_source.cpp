#include "apps/run/item_source.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <penstock/process/descriptors.hpp>

#include "apps/run/vocabulary.hpp"

namespace penstock::runner {
namespace {
// One item of a program that has forgotten its newlines must not take all memory.
constexpr std::size_t longest_item = std::size_t{64} << 20;
constexpr std::size_t block = std::size_t{64} << 10;
}  // namespace

item_source::item_source(const item_plan& plan) : plan_(plan) {
  if (plan.from_arguments) {
    const bool none =
        std::any_of(plan.arguments.begin(), plan.arguments.end(), [](const auto& a) { return a.empty(); });
    at_end_ = none;
    combination_.assign(plan.arguments.size(), 0);
    return;
  }
  if (plan.files.empty()) inputs_.push_back({{}, STDIN_FILENO, "stdin"});
  for (const std::string& name : plan.files) {
    if (name == "-") {
      inputs_.push_back({{}, STDIN_FILENO, "stdin"});
      continue;
    }
    unique_fd file(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file) throw usage_error("-a " + name + ": " + std::strerror(errno));
    const int number = file.get();
    inputs_.push_back({std::move(file), number, name});
  }
  for (const input& in : inputs_) {
    if (const int flags = ::fcntl(in.fd, F_GETFL); flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
      throw usage_error(in.name + " cannot be read: give it items, or name a file with -a, or write them after :::");
    struct stat about {};
    const bool regular = ::fstat(in.fd, &about) == 0 && S_ISREG(about.st_mode);
    if (S_ISDIR(about.st_mode)) throw usage_error("-a " + in.name + ": is a directory");
    const off_t from = regular ? ::lseek(in.fd, 0, SEEK_CUR) : -1;
    if (from < 0) {
      bytes_in_all_ = 0;
      break;
    }
    bytes_in_all_ += static_cast<std::uint64_t>(std::max<off_t>(0, about.st_size - from));
  }
}

bool item_source::reads_terminal() const {
  return std::any_of(inputs_.begin(), inputs_.end(), [](const input& in) { return ::isatty(in.fd) == 1; });
}

std::optional<std::uint64_t> item_source::total() const {
  if (at_end_) return given_.load();
  if (plan_.from_arguments) {
    std::uint64_t all = 1;
    for (const auto& list : plan_.arguments) all *= list.size();
    return all;
  }
  const std::uint64_t bytes = bytes_given_, items = given_;
  if (bytes_in_all_ == 0 || bytes == 0 || bytes > bytes_in_all_) return std::nullopt;
  return static_cast<std::uint64_t>(static_cast<double>(items) * static_cast<double>(bytes_in_all_) /
                                    static_cast<double>(bytes));
}

std::vector<std::string> item_source::read_header(const std::stop_token& stop) {
  if (!plan_.header) return {};
  auto line = next_record(stop);
  if (!line) return {};
  if (plan_.end == '\n' && line->ends_with('\r')) line->pop_back();
  auto names = columns_of(*line);
  // "name, age": the blank is for the eye.
  for (std::string& name : names) {
    name.erase(0, std::min(name.find_first_not_of(" \t"), name.size()));
    name.erase(name.find_last_not_of(" \t") + 1);
  }
  return names;
}

std::optional<item_source::item> item_source::next(const std::stop_token& stop) {
  if (at_end_) return std::nullopt;
  if (plan_.from_arguments) return next_combination();
  auto line = next_record(stop);
  if (!line) return std::nullopt;
  item made{*std::move(line), {}};
  if (plan_.format != item_format::lines) {
    if (plan_.end == '\n' && made.text.ends_with('\r')) made.text.pop_back();
    made.columns = columns_of(made.text);
  }
  ++given_;
  return made;
}

// The last list is the one that turns fastest.
std::optional<item_source::item> item_source::next_combination() {
  item made;
  for (std::size_t i = 0; i < combination_.size(); ++i) {
    const std::string& word = plan_.arguments[i][combination_[i]];
    made.text += (i ? " " : "") + word;
    if (combination_.size() > 1) made.columns.push_back(word);
  }
  ++given_;
  std::size_t turning = combination_.size();
  while (turning > 0 && ++combination_[turning - 1] == plan_.arguments[turning - 1].size()) combination_[--turning] = 0;
  if (turning == 0) at_end_ = true;
  return made;
}

// Where the record that begins at at_ ends; npos: not in the buffer. A quoted value of a CSV line may have lines in it; a
// quote inside a value that does not begin with one is a character like any other.
std::size_t item_source::end_of_record(std::size_t from) {
  if (plan_.format != item_format::csv) return buffer_.find(plan_.end, from);
  quoted_ = false;
  bool value_begins = true;
  for (std::size_t i = at_; i < buffer_.size(); ++i) {
    const char c = buffer_[i];
    if (quoted_) {
      if (c != '"') continue;
      if (i + 1 < buffer_.size() && buffer_[i + 1] == '"')
        ++i;
      else
        quoted_ = false;
      continue;
    }
    if (c == plan_.end) return i;
    quoted_ = value_begins && c == '"';
    value_begins = c == ',';
  }
  return std::string::npos;
}

std::optional<std::string> item_source::next_record(const std::stop_token& stop) {
  for (;;) {
    const std::size_t end = end_of_record(scanned_);
    const bool whole = end != std::string::npos;
    if (!whole && buffer_.size() - at_ > longest_item)
      throw std::runtime_error("an item is longer than 64 MiB: is there a separator in the input?");
    scanned_ = buffer_.size();
    if (whole || (!fill(stop) && at_ < buffer_.size() && !stop.stop_requested())) {
      // All that follows would be one value, and the rows in it lost.
      if (!whole && quoted_)
        throw std::runtime_error(
            "row " + std::to_string(given_ + (plan_.header ? 2 : 1)) +
            ": a quote is opened and not closed, so it is not known where this row ends. Nothing from "
            "here on was done; without --csv quotes mean nothing (--colsep ,)");
      const std::size_t length = (whole ? end : buffer_.size()) - at_;
      std::string record = buffer_.substr(at_, length);
      at_ += length + (whole ? 1 : 0);
      scanned_ = at_;
      bytes_given_ += length + (whole ? 1 : 0);
      return record;
    }
    if (at_end_ || stop.stop_requested()) return std::nullopt;
  }
}

bool item_source::fill(const std::stop_token& stop) {
  while (!inputs_.empty()) {
    input& in = inputs_.front();
    std::vector<pollfd> fds{{in.fd, POLLIN, 0}};
    const wait_limit limit(stop);
    if (!process::limited_poll(limit).wait(fds)) return false;
    buffer_.erase(0, std::exchange(at_, 0));
    scanned_ = std::min(scanned_, buffer_.size());
    const std::size_t had = buffer_.size();
    buffer_.resize(had + block);
    const ssize_t got = ::read(in.fd, buffer_.data() + had, block);
    const int error = errno;
    buffer_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(0, got)));
    scanned_ = had;
    if (got > 0) {
      drop_byte_order_mark(had);
      return true;
    }
    if (got < 0 && (error == EINTR || error == EAGAIN)) continue;
    if (got < 0) throw std::system_error(error, std::generic_category(), "reading items from " + in.name);
    if (at_ < buffer_.size() && end_of_record(at_) == std::string::npos && quoted_ && inputs_.size() > 1)
      throw std::runtime_error(in.name + " ends inside a quoted value: a quote is opened and not closed");
    inputs_.pop_front();
    at_begin_of_input_ = true;
    // A last line without a newline is one: the next file does not go on with it.
    if (buffer_.size() > at_ && !inputs_.empty()) buffer_ += plan_.end;
    if (buffer_.size() > had) return true;
  }
  if (at_ == buffer_.size()) at_end_ = true;
  return false;
}

// Of a table: spreadsheets write one, and it is no part of the first name or value.
void item_source::drop_byte_order_mark(std::size_t at) {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  if (!std::exchange(at_begin_of_input_, false) || plan_.format == item_format::lines) return;
  const std::string_view begin = std::string_view(buffer_).substr(at);
  if (begin.starts_with("\xFF\xFE") || begin.starts_with("\xFE\xFF"))
    throw usage_error(inputs_.front().name + " is in UTF-16: convert it first, as in iconv -f UTF-16 -t UTF-8");
  // A pipe may bring it in parts.
  if (begin.size() < mark.size() && mark.starts_with(begin)) at_begin_of_input_ = true;
  if (begin.starts_with(mark)) buffer_.erase(at, mark.size());
}

std::vector<std::string> item_source::columns_of(const std::string& line) const {
  std::vector<std::string> columns;
  if (plan_.format != item_format::csv) {
    const std::string separator = plan_.format == item_format::tsv ? "\t" : plan_.separator;
    for (std::size_t at = 0;;) {
      const std::size_t end = line.find(separator, at);
      columns.push_back(line.substr(at, end == line.npos ? end : end - at));
      if (end == line.npos) return columns;
      at = end + separator.size();
    }
  }
  // RFC 4180: a value in quotes may have commas and lines in it; "" is one quote.
  std::string value;
  bool quoted = false, value_begins = true;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted) {
      if (c != '"')
        value += c;
      else if (i + 1 < line.size() && line[i + 1] == '"')
        value += line[++i];
      else
        quoted = false;
      continue;
    }
    quoted = value_begins && c == '"';
    value_begins = c == ',';
    if (value_begins)
      columns.push_back(std::exchange(value, {}));
    else if (!quoted)
      value += c;
  }
  columns.push_back(std::move(value));
  return columns;
}

}  // namespace penstock::runner
