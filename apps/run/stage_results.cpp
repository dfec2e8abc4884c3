#include "apps/run/stage_results.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace penstock::runner {

std::optional<std::string> line_reader::next() {
  for (std::size_t looked = at_;;) {
    const auto newline = buffer_.find('\n', looked);
    if (newline != buffer_.npos) {
      std::string line = buffer_.substr(at_, newline - at_);
      at_ = newline + 1;
      return line;
    }
    buffer_.erase(0, std::exchange(at_, 0));
    looked = buffer_.size();
    if (file_) {
      constexpr std::size_t block = 65536;
      buffer_.resize(looked + block);
      const ssize_t got = ::pread(file_.get(), buffer_.data() + looked, block, offset_);
      const int error = errno;
      buffer_.resize(looked + static_cast<std::size_t>(got > 0 ? got : 0));
      if (got > 0) offset_ += got;
      if (got > 0 || (got < 0 && (error == EINTR || ++failed_reads_ < 3))) continue;
      if (got < 0) throw std::system_error(error, std::generic_category(), "reading back what a job printed");
      file_.reset();
    }
    if (buffer_.empty()) return std::nullopt;
    return std::exchange(buffer_, {});
  }
}

void stage_results::advance() {
  now_.reset();
  if (!lines_) return;
  if (auto line = lines_->next()) {
    now_ = parent_;
    now_->item = *std::move(line);
    now_->out = now_->item;
    // Before its parent's, which goes when the last line has been taken.
    if (parent_.turn) now_->turn = parent_.turn->before();
    const std::string place = '.' + std::to_string(++count_);
    now_->number += place;
    now_->position += place;
  } else {
    parent_ = {};
  }
}

}  // namespace penstock::runner
