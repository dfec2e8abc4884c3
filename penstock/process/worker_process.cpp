#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <system_error>
#include <utility>

#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <penstock/process/descriptors.hpp>
#include <penstock/process/spawn.hpp>
#include <penstock/process/worker_process.hpp>

namespace penstock::process {
namespace {

constexpr std::size_t length_bytes = 4;
constexpr std::size_t frame_bytes = length_bytes + 1;

std::size_t length_at(const char* at) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) n |= std::size_t{static_cast<unsigned char>(at[i])} << (8 * i);
  return n;
}

// A program of ours has to load, no more: one that does not answer by then is none.
constexpr std::chrono::seconds time_to_start{60};

constexpr std::chrono::seconds time_to_end{1};

constexpr const char* closed_input = "was killed: it closed its input";
constexpr const char* closed_output = "was killed: it closed its output";
// Most programs write a whole block at a time where they do not write to a terminal.
constexpr const char* buffer_hint =
    "; it has read the line and not answered: if it keeps its output in a buffer, let it write each line at once "
    "(stdbuf -oL, sed -u, grep --line-buffered, python3 -u)";
constexpr const char* too_long = "was killed: its reply is too long";
constexpr const char* out_of_step = "was killed: it said something before it was asked";

}  // namespace

worker_process::worker_process(command what, worker_options options) : what_(std::move(what)), options_(options) {}
worker_process::worker_process(worker_process&&) noexcept = default;
worker_process& worker_process::operator=(worker_process&& other) noexcept {
  if (this == &other) return *this;
  std::destroy_at(this);  // which ends the former worker as it ends any
  return *std::construct_at(this, std::move(other));
}
worker_process::~worker_process() {
  // A worker that has nothing to do hears the end of its input, and may have something to put away. One that is at work
  // is of no more use.
  if (!child_ || under_way() > 0) return;
  child_.in().reset();
  try {
    (void)child_.wait(options_.farewell);
  } catch (...) {
    // Then child's destructor ends it.
  }
}

void worker_process::submit(std::string request) {
  if (options_.framing == framing::lines) {
    if (request.find('\n') != request.npos)
      throw std::invalid_argument("penstock: a newline in a request that is a line");
    request += '\n';
  } else {
    if (request.size() > 0xffff'ffff) throw std::invalid_argument("penstock: a request longer than 4 GiB");
    char length[length_bytes];
    for (std::size_t i = 0; i < length_bytes; ++i) length[i] = static_cast<char>(request.size() >> (8 * i));
    request.insert(0, length, length_bytes);
  }
  requests_.push_back(std::move(request));
  if (requests_.size() == 1) clock_the_next();
}

// The first request's time begins when the one before it is done, or when it comes to an idle worker.
void worker_process::clock_the_next() {
  if (child_ && options_.framing == framing::answers && !greeted_) return;  // the time to start is running
  deadline_ = requests_.empty() || options_.deadline.count() == 0 || !child_ ? system::never
                                                                             : wait_limit(options_.deadline).deadline();
}

void worker_process::start() {
  child_ = spawn(what_, {.in = redirect::pipe(), .out = redirect::pipe(), .memory_bytes = options_.memory_bytes});
  child_.take_group_along();
  set_nonblocking(child_.in().get(), true);
  set_nonblocking(child_.out().get(), true);
  ++started_;
  sent_whole_ = sent_bytes_ = consumed_ = filled_ = 0;
  enlarged_ = input_closed_ = has_answered_ = false;
  greeted_ = options_.framing != framing::answers;
  deadline_ = system::never;
  if (greeted_)
    clock_the_next();
  else
    deadline_ = wait_limit(time_to_start).deadline();
}

bool worker_process::in_step() noexcept {
  if (!child_ || !greeted_) return true;
  // Or it has answered what it has not read yet, and is still to say what belongs to that.
  int unread = 0;
  if (::ioctl(child_.in().get(), FIONREAD, &unread) == 0 && unread > 0) return false;
  try {
    (void)receive_some();
  } catch (...) {
    return true;  // it cannot be read from any more: nothing of it was
  }
  return filled_ == consumed_;
}

void worker_process::reset() noexcept {
  child_ = child();
  requests_.clear();
  ready_.clear();
  deadline_ = system::never;
}

// The worker is gone, or goes: its current request pays for it.
void worker_process::lose(cause because, const std::string& why) {
  // Its pipes may end a moment before it does, and then how it ends is worth waiting for.
  const bool ended = because == cause::closed && child_.wait(time_to_end);
  int unread = 0;
  const bool keeps_its_answer = options_.framing == framing::lines && !has_answered_ && sent_whole_ > 0 &&
                                ::ioctl(child_.in().get(), FIONREAD, &unread) == 0 && unread == 0;
  const auto status = child_.terminate("KILL");
  const std::string death = status ? to_string(*status) : "could not be ended";
  const bool deadline_passed = because == cause::deadline;
  std::string text = "the worker ";
  if (!greeted_)
    text += "did not start: " + death;
  else if (deadline_passed)
    text += "was killed: its deadline of " +
            std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(options_.deadline).count()) +
            " ms has passed" + (keeps_its_answer ? buffer_hint : "");
  else if (!ended)
    text += why;
  else
    text += status && status->how == exit_status::end::signalled ? "was " + death : death;
  child_ = child();
  deadline_ = system::never;
  ready_.push_back({{}, std::make_exception_ptr(worker_died(text, status.value_or(exit_status{}), deadline_passed))});
  requests_.pop_front();
}

void worker_process::send_some() {
  // Without a SIGPIPE: a worker may die with requests unread.
  const no_sigpipe quietly;
  while (sent_whole_ < requests_.size() && !input_closed_) {
    std::array<iovec, 64> parts;
    std::size_t count = 0;
    for (std::size_t i = sent_whole_; i < requests_.size() && count < parts.size(); ++i, ++count) {
      const std::size_t skip = i == sent_whole_ ? sent_bytes_ : 0;
      parts[count] = {requests_[i].data() + skip, requests_[i].size() - skip};
    }
    const ssize_t n = ::writev(child_.in().get(), parts.data(), static_cast<int>(count));
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      if (errno == EPIPE) {
        // It may still answer what it has read.
        input_closed_ = true;
        return;
      }
      throw std::system_error(errno, std::generic_category(), "writing to a worker");
    }
    auto left = static_cast<std::size_t>(n);
    while (left) {
      const std::size_t of_this = requests_[sent_whole_].size() - sent_bytes_;
      if (left < of_this) {
        sent_bytes_ += left;
        break;
      }
      left -= of_this;
      sent_bytes_ = 0;
      ++sent_whole_;
    }
  }
}

bool worker_process::receive_some() {
  constexpr std::size_t at_once = 65'536;
  for (;;) {
    if (consumed_ == filled_) {
      consumed_ = filled_ = 0;
    } else if (received_.size() - filled_ < at_once && consumed_ > filled_ / 2) {
      std::memmove(received_.data(), received_.data() + consumed_, filled_ - consumed_);
      filled_ -= std::exchange(consumed_, 0);
    }
    // Only ever longer: a string that is made longer is filled with zeros first.
    if (received_.size() - filled_ < at_once) received_.resize(std::max(filled_ + at_once, 2 * filled_));
    const std::size_t room = received_.size() - filled_;
    const ssize_t n = ::read(child_.out().get(), received_.data() + filled_, room);
    if (n > 0) {
      filled_ += static_cast<std::size_t>(n);
      // With more than a reply in hand it is taken, or refused, before more is read.
      if (static_cast<std::size_t>(n) < room || filled_ - consumed_ > most_in_frame() + length_bytes) return true;
    } else if (n == 0) {
      return false;
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "reading from a worker");
    }
  }
}

// What most_bytes is once framing::answers has added its byte.
std::size_t worker_process::most_in_frame() const noexcept {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() - frame_bytes;
  return std::min(options_.most_bytes, most) + (options_.framing == framing::answers ? 1 : 0);
}

std::string worker_process::take_replies() {
  while (!requests_.empty() || !greeted_) {
    const std::string_view there(received_.data() + consumed_, filled_ - consumed_);
    std::string_view payload;
    std::size_t used = 0;
    if (options_.framing == framing::lines) {
      const auto end = there.find('\n');
      if (std::min(end, there.size()) > most_in_frame()) return too_long;
      if (end == there.npos) return {};
      payload = there.substr(0, end);
      used = end + 1;
    } else {
      if (there.size() < length_bytes) return {};
      const std::size_t length = length_at(there.data());
      if (length > most_in_frame()) return too_long;
      if (there.size() - length_bytes < length) {
        if (length > usual_pipe && !std::exchange(enlarged_, true)) enlarge_pipe(child_.out().get());
        return {};
      }
      payload = there.substr(length_bytes, length);
      used = length_bytes + length;
    }
    consumed_ += used;
    if (!greeted_) {
      greeted_ = true;
    } else {
      if (sent_whole_ == 0) return out_of_step;  // it answers before it has heard the end
      if (options_.framing == framing::answers && payload.starts_with('!')) return std::string(payload.substr(1));
      has_answered_ = true;
      take_reply(payload);
      requests_.pop_front();
      --sent_whole_;
    }
    clock_the_next();
  }
  return {};
}

void worker_process::take_reply(std::string_view payload) {
  if (options_.framing != framing::answers) {
    ready_.push_back({std::string(payload), nullptr});
  } else if (!payload.empty() && payload.front() == '+') {
    ready_.push_back({std::string(payload.substr(1)), nullptr});
  } else {
    const std::string text(payload.empty() ? payload : payload.substr(1));
    ready_.push_back({{}, std::make_exception_ptr(request_failed(text))});
  }
}

bool worker_process::reader_is_gone() noexcept {
  pollfd input{child_.in().get(), 0, 0};
  return ::poll(&input, 1, 0) > 0 && (input.revents & POLLERR);
}

// What is left in a pipe without a reader is the end of what was sent. Where that is more than the requests after the
// first, the first has not been read to its end.
bool worker_process::first_is_unread() noexcept {
  if (sent_whole_ == 0) return true;
  std::size_t after_first = sent_bytes_;
  for (std::size_t i = 1; i < sent_whole_; ++i) after_first += requests_[i].size();
  int unread = 0;
  return ::ioctl(child_.in().get(), FIONREAD, &unread) == 0 && static_cast<std::size_t>(unread) > after_first;
}

void worker_process::exchange() {
  if (requests_.empty()) return;
  if (child_ && greeted_ && sent_whole_ == 0 && sent_bytes_ == 0) {
    // One that died while it had nothing to do is nobody's fault.
    if (child_.poll() || !receive_some())
      child_ = child();
    else if (filled_ > consumed_)
      return lose(cause::fault, out_of_step);
  }
  if (!child_) {
    try {
      start();
    } catch (...) {
      // As a death: were the request kept, the next one would get its reply.
      ready_.push_back({{}, std::current_exception()});
      requests_.pop_front();
      return;
    }
  }
  if (sent_whole_ < requests_.size()) send_some();
  bool goes_on = receive_some();
  if (const std::string why = take_replies(); !why.empty()) return lose(cause::fault, why);
  if (requests_.empty()) return;
  if (goes_on && ready_.empty() && child_.poll()) {
    // Its end, and not that of its output, which a process that it started may hold: what it said is there by now.
    goes_on = false;
    (void)receive_some();
    if (const std::string why = take_replies(); !why.empty()) return lose(cause::fault, why);
    if (requests_.empty()) return;
  }
  if (ready_.empty() && !input_closed_) input_closed_ = reader_is_gone();
  if (input_closed_ && sent_whole_ == 0 && sent_bytes_ == 0 && has_answered_)
    child_ = child();  // it has answered everything that it was sent: no request's fault, and the next need replaces it
  else if (!goes_on)
    lose(cause::closed, closed_output);
  else if (input_closed_ && first_is_unread())
    lose(cause::closed, closed_input);
  else if (system::clock::now() >= deadline_)
    lose(cause::deadline);
}

void worker_process::add_to(std::vector<pollfd>& fds) const {
  if (!child_) return;
  child& c = const_cast<child&>(child_);
  fds.push_back({c.out().get(), POLLIN, 0});
  fds.push_back({c.descriptor(), POLLIN, 0});
  // Also without anything to send: an error says that the worker has closed its end.
  const bool has_more = sent_whole_ < requests_.size();
  if (!input_closed_) fds.push_back({c.in().get(), static_cast<short>(has_more ? POLLOUT : 0), 0});
}

bool worker_process::wait_for_reply(const wait_limit& limit) {
  if (has_reply()) return true;
  exchange();
  if (has_reply()) return true;
  limited_poll until(limit);
  std::vector<pollfd> fds;
  for (;;) {
    fds.clear();
    add_to(fds);
    // No descriptor: it was lost, and the next exchange starts another.
    const bool ready = fds.empty() || until.wait(fds, look_again_at());
    exchange();
    if (has_reply()) return true;
    if (!ready && limit.reached()) return false;
  }
}

worker_process::reply worker_process::next() {
  reply r = std::move(ready_.front());
  ready_.pop_front();
  return r;
}

std::optional<std::string> worker_process::ask(std::string request, const wait_limit& limit) {
  submit(std::move(request));
  try {
    if (!wait_for_reply(limit)) {
      reset();
      return std::nullopt;
    }
  } catch (...) {
    reset();  // no descriptor left, or the like: nothing of this request stays for the next
    throw;
  }
  reply r = next();
  if (r.error) std::rethrow_exception(r.error);
  return std::move(r.bytes);
}

}  // namespace penstock::process
