// team: threads that run one round of something together, again and again: started once, released at the same moment,
// and waited for, so that thousands of short rounds overlap where freshly started threads would run one after another.
//
//   team four(4);
//   for (int round = 0; round < 1000; ++round) four.run([&](std::size_t member) { ... });
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <random>
#include <thread>
#include <vector>

namespace penstock::testing {

class team {
 public:
  explicit team(std::size_t members) : members_(members) {
    for (std::size_t m = 0; m < members; ++m) threads_.emplace_back([this, m] { follow(m); });
  }
  ~team() {
    over_ = true;
    ++round_;
    round_.notify_all();
  }

  void run(const std::function<void(std::size_t)>& body) {
    body_ = &body;
    finished_ = 0;
    ++round_;
    round_.notify_all();
    for (std::size_t now = finished_; now != members_; now = finished_) until_changed(finished_, now);
  }

 private:
  // Short rounds are waited for busily, because a sleeper would come too late to meet the others; long ones are not,
  // because the others need the processor.
  template <class T>
  static void until_changed(const std::atomic<T>& value, T from) {
    for (int looks = 0; looks < 100; ++looks) {
      if (value != from) return;
      std::this_thread::yield();
    }
    value.wait(from);
  }
  void follow(std::size_t member) {
    for (unsigned seen = 0;; ++seen) {
      until_changed(round_, seen);
      if (over_) return;
      (*body_)(member);
      ++finished_;
      finished_.notify_one();
    }
  }

  const std::size_t members_;
  const std::function<void(std::size_t)>* body_ = nullptr;  // handed over by round_
  std::atomic<unsigned> round_ = 0;
  std::atomic<std::size_t> finished_ = 0;
  std::atomic<bool> over_ = false;
  std::vector<std::jthread> threads_;  // the last member: joined before the rest is gone
};

using dice = std::minstd_rand;

// The dice of one thread in one round: seeds that lie close together give streams that do not.
inline dice dice_of(std::uint64_t seed, std::uint64_t round, std::uint64_t thread) {
  std::seed_seq sequence{static_cast<unsigned>(seed), static_cast<unsigned>(seed >> 32), static_cast<unsigned>(round),
                         static_cast<unsigned>(thread)};
  return dice(sequence);
}
inline std::uint64_t below(dice& d, std::uint64_t limit) {
  return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(d);
}

// Between two calls: nothing, a moment, or the processor for someone else, so that the same programs meet in other ways.
inline void shake(dice& d) {
  const auto choice = below(d, 8);
  if (choice == 0) std::this_thread::yield();
  if (choice >= 5)
    for (std::atomic<unsigned> spin = static_cast<unsigned>(below(d, 200)); spin > 0; --spin) {
    }
}

}  // namespace penstock::testing
