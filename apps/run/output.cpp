#include "apps/run/output.hpp"

#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include <unistd.h>

namespace penstock::runner {

output::output(options o) : options_(std::move(o)), out_(STDOUT_FILENO), err_(STDERR_FILENO) {}

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
  std::uint64_t ticket = 0;
  {
    mutex_lock lock(mutex_);
    at->gone = true;
    const std::uint64_t before = queued_;
    queue_first();
    if (queued_ > before) ticket = queued_;
  }
  if (ticket) settle(ticket);
}

// A complete entry at the front is to be written. Its entry is moved as it is: this must not need memory.
void output::queue_first() noexcept {
  bool moved = false;
  for (; !turns_.empty() && turns_.front().gone; moved = true) {
    if (!turns_.front().waits) {
      turns_.pop_front();
      continue;
    }
    entries one;
    one.splice(one.begin(), turns_, turns_.begin());
    --waiting_;
    enqueue(one);
  }
  if (moved) changed_.notify_all();
}

std::uint64_t output::enqueue(entries& one) noexcept {
  queue_.splice(queue_.end(), one);
  return ++queued_;
}

bool output::is_first(const turn& t) const { return &turns_.front() == &*t.at_; }

void output::draw_above(std::function<void(const std::string&)> above) {
  mutex_lock lock(mutex_);
  while (writing_) changed_.wait(lock);
  above_ = std::move(above);
}

void output::print(turn* when, const std::string& tag, printed&& what, int out_to, std::function<void(int)> written) {
  entries one;
  one.push_back({.tag = tag, .what = std::move(what), .out_to = out_to, .waits = true, .written = std::move(written)});
  std::uint64_t ticket = 0;
  {
    mutex_lock lock(mutex_);
    if (when) {
      // The one whose turn it is never waits, and some worker of the last stage has it in its hand: before that stage,
      // no item overtakes another.
      while (!is_first(*when) && waiting_ >= options_.window && !stopped_ && !broken_) changed_.wait(lock);
      if (!is_first(*when) && !finished_) {
        *when->at_ = std::move(one.front());
        ++waiting_;
        return;
      }
    }
    ticket = enqueue(one);
  }
  settle(ticket);
}

void output::print_unordered(const std::string& tag, const printed& what, int out_to) {
  entries one;
  one.push_back({.tag = tag, .out_to = out_to, .waits = true, .lent = &what});
  std::uint64_t ticket = 0;
  {
    mutex_lock lock(mutex_);
    ticket = enqueue(one);
  }
  settle(ticket);
}

void output::wait_no_more() noexcept {
  mutex_lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void output::give_up() noexcept {
  out_.give_up();
  err_.give_up();
}

void output::finish() noexcept {
  std::uint64_t ticket = 0;
  {
    mutex_lock lock(mutex_);
    finished_ = true;
    for (auto at = turns_.begin(); at != turns_.end();) {
      const auto now = at++;
      if (!now->waits) continue;
      // Its turn may still be there, and is released later: what it has to say goes, the entry stays.
      entries one;
      try {
        one.push_back(std::move(*now));
      } catch (...) {
        continue;
      }
      *now = {};
      now->gone = one.front().gone;
      enqueue(one);
    }
    waiting_ = 0;
    ticket = queued_;
    changed_.notify_all();
  }
  settle(ticket);
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
  std::string lines =
      std::exchange(rest, std::string(part.substr(newline + 1))) + std::string(part.substr(0, newline + 1));
  printed text;
  (to == STDOUT_FILENO ? text.out : text.err) = std::move(lines);
  print(nullptr, tag, std::move(text), to == STDOUT_FILENO ? to : -1);
}
void output::finish_stream(int to, const std::string& tag, std::string& rest) {
  if (!rest.empty()) stream(to, tag, "\n", rest);
}

void output::say(const std::string& text) {
  entries one;
  one.push_back({.what = {.err = text + '\n'}, .waits = true, .is_message = true});
  std::uint64_t ticket = 0;
  {
    mutex_lock lock(mutex_);
    ticket = enqueue(one);
    // The thread that writes may be this one (`written` says something), and it writes all that is in the queue.
    if (writing_) return;
  }
  settle(ticket);
}

void output::announce(const std::string& text) {
  entries one;
  one.push_back({.what = {.err = text + '\n'}, .waits = true, .is_message = true});
  std::uint64_t ticket = 0;
  {
    mutex_lock lock(mutex_);
    ticket = enqueue(one);
    // With others before it, or a reader that does not read, this thread would have to wait.
    if (writing_ || queued_ - written_ > 1 || !err_.has_room()) return;
  }
  settle(ticket);
}

void output::settle(std::uint64_t ticket) noexcept {
  mutex_lock lock(mutex_);
  while (written_ < ticket && writing_) {
    ++settling_;
    changed_.wait(lock);
    --settling_;
  }
  // A thread whose entry is written goes on writing where there is more: the thread that wrote it has left the rest to it.
  if (writing_) return;
  writing_ = true;
  // A thread that still waits goes on with the rest; where there is none, nothing may stay.
  while (!queue_.empty() && (written_ < ticket || settling_ == 0)) {
    entries one;
    one.splice(one.begin(), queue_, queue_.begin());
    const auto& above = above_;  // it is not changed while writing_
    above_now_ = above ? &above : nullptr;
    const bool was_broken = broken_ != 0;
    lock.unlock();
    int error = 0;
    write_entry(one.front(), error);
    if (error && !was_broken) {
      {
        mutex_lock again(mutex_);
        broken_ = error;
        changed_.notify_all();
      }
      tell(error);
    }
    one.clear();
    lock.lock();
    ++written_;
    changed_.notify_all();
  }
  writing_ = false;
  changed_.notify_all();
}

// error: of stdout; what becomes of stderr can be told nowhere.
void output::write_entry(output_entry& entry, int& error) noexcept {
  try {
    const printed& what = entry.lent ? *entry.lent : entry.what;
    if (entry.is_message) {
      write(STDERR_FILENO, what.err);
      return;
    }
    if (entry.out_to >= 0) {
      const int result = what.out_file ? write_file(entry.out_to, entry.tag, what.out_file)
                                       : write_text(entry.out_to, entry.tag, what.out);
      if (entry.out_to == STDOUT_FILENO) error = result;
    }
    if (what.err_file)
      write_file(STDERR_FILENO, entry.tag, what.err_file);
    else
      write_text(STDERR_FILENO, entry.tag, what.err);
  } catch (const std::bad_alloc&) {
    error = ENOMEM;
  } catch (...) {
    error = EIO;
  }
  try {
    if (entry.written) entry.written(error);
  } catch (...) {
    // It has no way to say so.
  }
}

// A last line without a newline is left so, unless it is tagged.
int output::write_text(int to, const std::string& tag, std::string_view text) {
  if (text.empty()) return 0;
  if (!options_.tag) return write(to, text);
  std::string tagged;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    tagged.append(tag).append(1, '\t').append(text.substr(0, newline)).append(1, '\n');
    text = newline == text.npos ? std::string_view{} : text.substr(newline + 1);
  }
  return write(to, tagged);
}

int output::write_file(int to, const std::string& tag, const unique_fd& file) {
  std::array<char, 65536> block;
  std::string rest;
  off_t offset = 0;  // of our own: what reads the file after this finds it at its beginning
  for (int tries = 0;;) {
    const ssize_t got = ::pread(file.get(), block.data(), block.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && ++tries < 3) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    tries = 0;
    offset += got;
    std::string_view part(block.data(), static_cast<std::size_t>(got));
    if (options_.tag) {
      const auto newline = part.rfind('\n');
      if (newline == part.npos) {
        rest += part;
        continue;
      }
      rest += part.substr(0, newline + 1);
      if (const int error = write_text(to, tag, rest)) return error;
      rest = part.substr(newline + 1);
    } else if (const int error = write(to, part)) {
      return error;
    }
  }
  return write_text(to, tag, rest);
}

int output::write(int to, std::string_view bytes) {
  output_stream& stream = to == STDOUT_FILENO ? out_ : err_;
  if (!above_now_ || !stream.is_terminal()) return stream.write(bytes);
  if (bytes.ends_with('\n')) bytes.remove_suffix(1);
  (*above_now_)(std::string(bytes));
  return 0;
}

void output::tell(int error) const {
  if (options_.on_broken) options_.on_broken(error);
}

}  // namespace penstock::runner
