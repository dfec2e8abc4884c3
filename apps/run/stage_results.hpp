// stage_results: what goes on to the next stage from one job: nothing, the job itself, or a job for each line of a text,
// read as they are taken: a file of lines is never in memory as a whole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include <penstock/base/unique_fd.hpp>

#include "apps/run/job.hpp"

namespace penstock::runner {

// The lines of a text, or of a file from its beginning.
class line_reader {
 public:
  explicit line_reader(std::string text) : buffer_(std::move(text)) {}
  explicit line_reader(unique_fd file) : file_(std::move(file)) {}
  [[nodiscard]] std::optional<std::string> next();

 private:
  unique_fd file_;
  off_t offset_ = 0;  // of our own: others may read the file, too
  int failed_reads_ = 0;
  std::string buffer_;
  std::size_t at_ = 0;
};

class stage_results {
 public:
  stage_results() = default;
  explicit stage_results(job one) : now_(std::move(one)) {}
  // parent: what the lines have in common.
  stage_results(job parent, line_reader lines) : parent_(std::move(parent)), lines_(std::move(lines)) { advance(); }
  // The one, where there are no lines.
  [[nodiscard]] std::optional<job>& one() noexcept { return now_; }

  class iterator {
   public:
    using value_type = job;
    using difference_type = std::ptrdiff_t;
    iterator() = default;
    explicit iterator(stage_results& of) : of_(&of) {}
    job& operator*() const { return *of_->now_; }
    iterator& operator++() {
      of_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] bool at_end() const noexcept { return !of_->now_; }
    friend bool operator==(const iterator& at, std::default_sentinel_t) noexcept { return at.at_end(); }

   private:
    stage_results* of_ = nullptr;
  };
  iterator begin() { return iterator(*this); }
  static std::default_sentinel_t end() noexcept { return {}; }

 private:
  void advance();

  std::optional<job> now_;
  job parent_;
  std::optional<line_reader> lines_;
  std::uint64_t count_ = 0;
};

}  // namespace penstock::runner
