// round: one experiment of the soak: its dice, what it tells the watchdog about itself, and how it complains.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/queue/team.hpp"

namespace penstock::soak {

using testing::below;
using testing::dice;

// What is known of the round that runs, for whoever finds it hanging.
class blackboard {
 public:
  void write(std::string what, std::function<std::string()> state) {
    const std::lock_guard lock(mutex_);
    what_ = std::move(what);
    state_ = std::move(state);
  }
  // Forgets the state, not what it was the state of. REQUIRES: called before what `state` looks at is gone.
  void wipe() {
    const std::lock_guard lock(mutex_);
    state_ = nullptr;
  }
  // What runs, and how far it is. The state is asked for last, since a broken queue may not answer either.
  void read(std::ostream& out) {
    const std::lock_guard lock(mutex_);
    out << what_ << std::endl;
    if (state_) out << state_() << std::endl;
  }

 private:
  std::mutex mutex_;
  std::string what_;
  std::function<std::string()> state_;
};

struct round {
  dice random;
  blackboard& board;
  std::uint64_t items = 0;  // that went through

  std::uint64_t up_to(std::uint64_t most) { return below(random, most + 1); }
  bool one_in(std::uint64_t n) { return below(random, n) == 0; }
};

// Between a board that speaks of local things and their end.
class wipes_at_the_end {
 public:
  explicit wipes_at_the_end(blackboard& board) : board_(board) {}
  wipes_at_the_end(const wipes_at_the_end&) = delete;
  wipes_at_the_end& operator=(const wipes_at_the_end&) = delete;
  ~wipes_at_the_end() { board_.wipe(); }

 private:
  blackboard& board_;
};

struct failed_round : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class A, class B>
void expect_equal(const A& a, const B& b, const char* what) {
  if (a == b) return;
  std::ostringstream text;
  text << what << ": " << a << " and " << b;
  throw failed_round(text.str());
}
inline void expect(bool good, const char* what) {
  if (!good) throw failed_round(what);
}

}  // namespace penstock::soak
