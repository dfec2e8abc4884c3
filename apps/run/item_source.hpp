// item_source: the items of a run, one after the other: from arguments, or from stdin and files, of which no more is read
// than is asked for.
//
//   item_source items(plan.items);
//   while (auto next = items.next(stop)) ...
//
// THREADS  next() and read_header() one at a time; the others at any time.
// ENDING   A stop request wakes next() while it waits for input: then it has none.
// TABLES   A byte order mark is no part of the first value; a \r before the newline is none of the last; names in a header
//          lose the blanks around them. A CSV value is quoted if it begins with a quote (RFC 4180); a quote elsewhere is a
//          character. One that is opened and never closed is an error: what row the rest belongs to cannot be known.
// ERRORS   usage_error for a file that cannot be opened, before anything runs; std::runtime_error for one that cannot be
//          read to its end.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <penstock/base/unique_fd.hpp>

#include "apps/run/plan.hpp"

namespace penstock::runner {

class item_source {
 public:
  struct item {
    std::string text;
    std::vector<std::string> columns;  // empty: the input has none
  };

  explicit item_source(const item_plan& plan);

  // The names of the columns, where the first line has them: it is read now. Once, before next().
  std::vector<std::string> read_header(const std::stop_token& stop);
  std::optional<item> next(const std::stop_token& stop);

  // How many items there are in all, as far as that is known without reading on: exactly, where they are arguments or the
  // end was seen; from the share of the bytes that has been read, where the input is files; else nothing.
  [[nodiscard]] std::optional<std::uint64_t> total() const;
  [[nodiscard]] bool reads_terminal() const;

 private:
  struct input {
    unique_fd own;
    int fd;
    std::string name;
  };
  std::optional<item> next_combination();
  std::optional<std::string> next_record(const std::stop_token& stop);
  bool fill(const std::stop_token& stop);  // false: no more
  [[nodiscard]] std::size_t end_of_record(std::size_t from);
  void drop_byte_order_mark(std::size_t at);
  [[nodiscard]] std::vector<std::string> columns_of(const std::string& line) const;

  const item_plan& plan_;
  std::deque<input> inputs_;  // the first is being read
  std::string buffer_;
  std::size_t at_ = 0;             // in the buffer
  std::size_t scanned_ = 0;        // there is no end of a record before
  bool quoted_ = false;            // the buffer ends inside a quoted value
  bool at_begin_of_input_ = true;  // nothing of the first of inputs_ was read
  std::vector<std::size_t> combination_;
  std::atomic<std::uint64_t> given_ = 0;
  std::atomic<std::uint64_t> bytes_given_ = 0;
  std::uint64_t bytes_in_all_ = 0;  // 0: not known
  std::atomic<bool> at_end_ = false;
};

}  // namespace penstock::runner
