#include "apps/run/output.hpp"

#include <array>
#include <cerrno>
#include <utility>

#include <poll.h>
#include <unistd.h>

namespace penstock::runner {

std::shared_ptr<output::turn> output::next_turn() {
  mutex_lock lock(mutex_);
  const auto at = turns_.emplace(turns_.end());
  lock.unlock();
  return std::make_shared<turn>(*this, at);
}
std::shared_ptr<output::turn> output::insert(entries::iterator before) {
  mutex_lock lock(mutex_);
  const auto at = turns_.emplace(before);
  lock.unlock();
  return std::make_shared<turn>(*this, at);
}

void output::release(entries::iterator at) noexcept {
  mutex_lock lock(mutex_);
  at->gone = true;
  write_first();
  const int error = what_is_new();
  lock.unlock();
  tell(error);
}

// What is at the front and complete.
void output::write_first() noexcept {
  bool moved = false;
  for (; !turns_.empty() && turns_.front().gone; moved = true) {
    output_entry& first = turns_.front();
    if (first.waits) {
      write_job(first.tag, first.what, first.out_to);
      if (first.written && !broken_) first.written();
      --waiting_;
    }
    turns_.pop_front();
  }
  if (moved) moved_on_.notify_all();
}

bool output::is_first(const turn& t) const { return &turns_.front() == &*t.at_; }

void output::draw_above(std::function<void(const std::string&)> above) {
  mutex_lock lock(mutex_);
  above_ = std::move(above);
}

void output::print(turn* when, const std::string& tag, printed&& what, int out_to, std::function<void()> written) {
  mutex_lock lock(mutex_);
  if (when) {
    // The one whose turn it is never waits, and some worker of the last stage has it in his hand: before that stage,
    // nobody is overtaken.
    while (!is_first(*when) && waiting_ >= options_.window && !stopped_ && !broken_) moved_on_.wait(lock);
    if (!is_first(*when) && !finished_) {
      *when->at_ = {tag, std::move(what), out_to, true, false, std::move(written)};
      ++waiting_;
      return;
    }
  }
  write_job(tag, what, out_to);
  if (written && !broken_) written();
  const int error = what_is_new();
  lock.unlock();
  tell(error);
}

void output::print_unordered(const std::string& tag, const printed& what, int out_to) {
  mutex_lock lock(mutex_);
  write_job(tag, what, out_to);
  const int error = what_is_new();
  lock.unlock();
  tell(error);
}

void output::wait_no_more() noexcept {
  mutex_lock lock(mutex_);
  stopped_ = true;
  moved_on_.notify_all();
}

void output::finish() noexcept {
  mutex_lock lock(mutex_);
  finished_ = true;
  for (output_entry& entry : turns_)
    if (std::exchange(entry.waits, false)) {
      write_job(entry.tag, entry.what, entry.out_to);
      if (entry.written && !broken_) entry.written();
    }
  waiting_ = 0;
  moved_on_.notify_all();
}

bool output::broken() {
  mutex_lock lock(mutex_);
  return broken_ != 0;
}

void output::stream(int to, const std::string& tag, std::string_view part, std::string& rest) {
  const auto newline = part.rfind('\n');
  if (newline == part.npos) {
    rest += part;
    return;
  }
  const std::string lines =
      std::exchange(rest, std::string(part.substr(newline + 1))) + std::string(part.substr(0, newline + 1));
  mutex_lock lock(mutex_);
  write_text(to, tag, lines);
  const int error = what_is_new();
  lock.unlock();
  tell(error);
}
void output::finish_stream(int to, const std::string& tag, std::string& rest) {
  if (!rest.empty()) stream(to, tag, "\n", rest);
}

void output::say(const std::string& text) {
  mutex_lock lock(mutex_);
  write(STDERR_FILENO, text + '\n');
}

void output::write_job(const std::string& tag, const printed& what, int out_to) {
  if (out_to >= 0) {
    if (what.out_file)
      write_file(out_to, tag, what.out_file);
    else
      write_text(out_to, tag, what.out);
  }
  if (what.err_file)
    write_file(STDERR_FILENO, tag, what.err_file);
  else
    write_text(STDERR_FILENO, tag, what.err);
}

// A last line without a newline is left so, unless it is tagged.
void output::write_text(int to, const std::string& tag, std::string_view text) {
  if (text.empty()) return;
  if (!options_.tag) return write(to, text);
  std::string tagged;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    tagged.append(tag).append(1, '\t').append(text.substr(0, newline)).append(1, '\n');
    text = newline == text.npos ? std::string_view{} : text.substr(newline + 1);
  }
  write(to, tagged);
}

void output::write_file(int to, const std::string& tag, const unique_fd& file) {
  std::array<char, 65536> block;
  std::string rest;
  off_t offset = 0;  // of our own: who reads the file after this finds it at its beginning
  for (;;) {
    const ssize_t got = ::pread(file.get(), block.data(), block.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    offset += got;
    std::string_view part(block.data(), static_cast<std::size_t>(got));
    if (!options_.tag) {
      write(to, part);
      continue;
    }
    const auto newline = part.rfind('\n');
    if (newline == part.npos) {
      rest += part;
      continue;
    }
    rest += part.substr(0, newline + 1);
    write_text(to, tag, rest);
    rest = part.substr(newline + 1);
  }
  write_text(to, tag, rest);
}

void output::write(int to, std::string_view bytes) {
  if (above_ && ::isatty(to) == 1) {
    if (bytes.ends_with('\n')) bytes.remove_suffix(1);
    return above_(std::string(bytes));
  }
  while (!bytes.empty() && !(broken_ && to == STDOUT_FILENO)) {
    const ssize_t n = ::write(to, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      // Somebody who shares the descriptor has made it non-blocking.
      pollfd writable{to, POLLOUT, 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      // There is nobody to tell that stderr is gone.
      if (to == STDOUT_FILENO) broken_ = errno;
      return;
    }
  }
}

int output::what_is_new() noexcept {
  if (!broken_ || std::exchange(told_, true)) return 0;
  moved_on_.notify_all();
  return broken_;
}
void output::tell(int error) const {
  if (error && options_.on_broken) options_.on_broken(error);
}

}  // namespace penstock::runner
