// worker_process: a child that lives long: requests go in, for each of them one reply comes out, in order.
//
//   worker_process bc({"bc", "-l"}, {.framing = framing::lines, .deadline = 5s});
//   std::string four = bc.ask("2+2");                     // throws worker_died, request_failed
//
// Several requests may be under way: submit() them, then take next() for each; poll(2) is the caller's or ask()'s.
//
// ENDING   A worker that dies, or takes longer than `deadline` for one request, costs that request, which is the first
//          that has no reply; it is replaced at the next need, and the requests behind it are sent again. A worker that
//          closes its output, or its input before it has answered, is killed: it can never answer.
// STEP     A worker that says something before it was asked, a greeting or a second line, is out of step: its next reply
//          would be taken for another request's. It is killed, which costs the request that finds it out. What comes too
//          late for that is seen by in_step(), at the end.
// BUFFERS  A program that collects its output, as most do where it is not a terminal, does not answer before its
//          buffer is full: start it so that it writes each line at once (stdbuf -oL tr, sed -u, grep --line-buffered,
//          python3 -u). Without a deadline such a worker is waited for without end; with one the reason says so.
// THREADS  One at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>

#include <penstock/base/wait_limit.hpp>
#include <penstock/process/child.hpp>
#include <penstock/process/command.hpp>
#include <penstock/process/termination.hpp>

namespace penstock::process {

enum class framing : std::uint8_t {
  lines,    // a request and a reply are a line each; a request must have no newline in it
  lengths,  // four bytes of length, the least significant first, then so many bytes
  // As lengths, and a reply begins with a byte: '+' a result, '-' an error, '!' an error after which the worker ends.
  answers,
};

// A request that the worker did not survive: its message says how it died.
class worker_died : public std::runtime_error {
 public:
  worker_died(const std::string& text, const exit_status& status, bool deadline_passed)
      : std::runtime_error(text), status_(status), deadline_passed_(deadline_passed) {}
  [[nodiscard]] const exit_status& status() const noexcept { return status_; }
  [[nodiscard]] bool deadline_passed() const noexcept { return deadline_passed_; }  // then it was killed because of it

 private:
  exit_status status_;
  bool deadline_passed_;
};
// The function in the worker threw (framing::answers): the message of that exception. The worker lives.
class request_failed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct worker_options {
  penstock::process::framing framing = penstock::process::framing::lines;
  std::chrono::nanoseconds deadline{0};           // for one request, while the worker is at it; 0: none
  std::size_t most_bytes = std::size_t{1} << 30;  // in a reply; a worker that sends more is killed
  std::size_t memory_bytes = 0;                   // address space (spawn.hpp); 0: no limit of its own
  // How long a worker with nothing to do may take to end when its input has ended, before it is killed.
  std::chrono::nanoseconds farewell = std::chrono::seconds(1);
};

class worker_process {
 public:
  // A worker is started at the first need: spawn's exceptions come from there.
  worker_process(command what, worker_options options = {});
  worker_process(worker_process&&) noexcept;
  worker_process& operator=(worker_process&&) noexcept;
  ~worker_process();  // ends it: its input, and if that is not enough, itself

  // One request, one reply. Throws worker_died, request_failed, spawn_error; std::invalid_argument for a newline in a line. The limit:
  // empty, and the worker is ended, because it would answer to nobody. REQUIRES nothing under way.
  [[nodiscard]] std::optional<std::string> ask(std::string request, const wait_limit& limit);
  std::string ask(std::string request) { return *ask(std::move(request), wait_limit()); }

  // --- several at once ---
  struct reply {
    std::string bytes;
    std::exception_ptr error;  // worker_died, request_failed, or why it could not be started; null: none
  };
  void submit(std::string request);  // only noted; it goes out with the next exchange()
  // Requests without a reply taken by next().
  [[nodiscard]] std::size_t under_way() const noexcept { return requests_.size() + ready_.size(); }
  [[nodiscard]] bool has_reply() const noexcept { return !ready_.empty(); }
  // The next reply, in the order of the requests. REQUIRES has_reply().
  reply next();
  // Waits until has_reply(). False: the limit came first. REQUIRES under_way() > 0.
  bool wait_for_reply(const wait_limit& limit = {});
  // For a poll(2) of the caller's: what to wait for, and until when at most; then exchange(), which does what can be
  // done without waiting.
  void add_to(std::vector<pollfd>& fds) const;
  [[nodiscard]] system::clock::time_point look_again_at() const noexcept { return deadline_; }
  void exchange();
  // False: it has said something that nobody had asked for, so its replies may have been those to other requests. What it
  // says when its input ends does not count. REQUIRES nothing under way.
  [[nodiscard]] bool in_step() noexcept;
  // Ends the worker; requests that are under way are forgotten.
  void reset() noexcept;

  [[nodiscard]] std::uint64_t started() const noexcept { return started_; }  // workers so far
  [[nodiscard]] pid_t pid() const noexcept { return child_ ? child_.pid() : -1; }

 private:
  void start();
  void send_some();
  bool receive_some();         // false: it will send no more
  std::string take_replies();  // empty, or why the worker must not go on
  [[nodiscard]] std::size_t most_in_frame() const noexcept;
  void take_reply(std::string_view payload);
  enum class cause : std::uint8_t { deadline, fault, closed };
  void lose(cause because, const std::string& why = {});
  void clock_the_next();
  [[nodiscard]] bool reader_is_gone() noexcept;
  [[nodiscard]] bool first_is_unread() noexcept;

  command what_;
  worker_options options_;
  child child_;
  std::uint64_t started_ = 0;
  std::deque<std::string> requests_;  // framed; without a reply; the first is the worker's current one
  std::size_t sent_whole_ = 0;        // how many of them it has been sent,
  std::size_t sent_bytes_ = 0;        // ... and how much of the next
  std::string received_;              // of which [consumed_, filled_) is still to be looked at
  std::size_t consumed_ = 0;
  std::size_t filled_ = 0;
  std::deque<reply> ready_;
  bool enlarged_ = false;      // the pipe of the replies
  bool input_closed_ = false;  // the worker reads no more requests
  bool has_answered_ = false;
  bool greeted_ = false;  // framing::answers: it has said that it is there
  system::clock::time_point deadline_ = system::never;
};

}  // namespace penstock::process
