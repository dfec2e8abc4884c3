// append_file: a file that grows by whole records: each in one write(2) at its end, so that a killed program leaves whole
// ones, and several threads need no lock.
//
// ERRORS   The constructor: std::system_error. add() and sync() return errno, 0: none. A disk that is full in the middle
//          of a record leaves a part of it: the next record begins on a line of its own.
// ENDING   A pipe or terminal whose reader does not read is waited for until give_up().
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include <penstock/base/mutex.hpp>
#include <penstock/base/unique_fd.hpp>

#include "apps/run/output_stream.hpp"

namespace penstock::runner {

class append_file {
 public:
  enum class start { empty, as_it_is };
  append_file(const std::string& path, start how);

  // record: with its newline.
  [[nodiscard]] int add(std::string_view record) noexcept;
  [[nodiscard]] int sync() noexcept;
  void give_up() noexcept {
    if (stream_) stream_->give_up();
  }
  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }
  [[nodiscard]] bool was_empty() const noexcept { return was_empty_; }

 private:
  unique_fd file_;
  bool was_empty_ = true;
  std::optional<output_stream> stream_;  // for what is no file
  mutex one_at_a_time_;                  // ... and takes more than one write for a record
  std::atomic<bool> torn_ = false;
};

// Text in one field of a line: tab, newline, carriage return and backslash as \t \n \r \\.
[[nodiscard]] std::string as_field(std::string_view text);
[[nodiscard]] std::string from_field(std::string_view field);

}  // namespace penstock::runner
