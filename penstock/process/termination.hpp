// termination: how a child is asked, then told, then made to end: signals, and how long to wait after each.
//
//   child.terminate("TERM,2s,KILL");      // also the default
//   child.terminate("INT,500ms,TERM,5s,KILL");
//
// A signal without a time is followed by the next one at once. After the last signal, if no time is written there,
// comes a wait of `last_wait`: even KILL takes a moment, and a process that sleeps in the kernel without being
// interruptible cannot be ended at all. That is then said, not waited for.
#pragma once

#include <chrono>
#include <string_view>
#include <vector>

namespace penstock::process {

class termination {
 public:
  struct step {
    int signal;
    std::chrono::nanoseconds wait;
  };
  static constexpr std::chrono::seconds last_wait{5};

  termination() : termination("TERM,2s,KILL") {}
  // Throws std::invalid_argument, naming the word that is neither a signal nor a time (ms, s, m, h).
  termination(std::string_view text);
  termination(const char* text) : termination(std::string_view(text)) {}

  [[nodiscard]] const std::vector<step>& steps() const noexcept { return steps_; }

 private:
  std::vector<step> steps_;
};

}  // namespace penstock::process
