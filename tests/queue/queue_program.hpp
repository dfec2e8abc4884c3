// queue_program: a random list of operations, and a transcript of what one queue made of it. The same program on two
// queues that keep the same promises gives the same transcript, line by line: every answer, every item, what became of
// an item that was refused or whose move threw, the tickets of leases, what join says, and the counters that both must
// count alike (pushed, popped, size, bytes; how often threads waited and were woken is a queue's own affair).
//
// No step waits: where it would, the operation is asked with a deadline that has passed. So one thread can run all
// steps, or several can, each its own, one step at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/queue/items.hpp"
#include "tests/queue/team.hpp"

namespace penstock::testing {

enum class operation {
  push_copy,
  push_move,
  emplace,
  try_push_copy,
  try_push_move,
  try_emplace,
  push_range,
  pop,
  pop_limited,
  try_pop,
  pop_some,
  take,
  take_limited,
  try_take,
  end_lease,
  items,
  look,
  join,
  close,
  cancel,
  count
};

inline std::string_view name_of(operation what) {
  constexpr std::string_view names[] = {"push_copy",   "push_move",  "emplace",      "try_push_copy", "try_push_move",
                                        "try_emplace", "push_range", "pop",          "pop_limited",   "try_pop",
                                        "pop_some",    "take",       "take_limited", "try_take",      "end_lease",
                                        "items",       "look",       "join",         "close",         "cancel"};
  static_assert(std::size(names) == static_cast<std::size_t>(operation::count));
  return names[static_cast<std::size_t>(what)];
}

struct step {
  operation what;
  number first;       // of the items that are pushed: first, first + 1, ...
  std::size_t count;  // of a range, of pop_some, of a loop over items()
  unsigned variant;   // which of several ways
  int fuse;           // copies or moves that succeed before one throws; -1: all do
};

// Rarely closed, more rarely cancelled: most of a program is spent on an open queue, and some after its end.
inline std::vector<step> random_steps(dice& d, std::size_t length, bool with_fuses) {
  std::vector<step> steps;
  number next = 1;
  for (std::size_t i = 0; i < length; ++i) {
    auto what = static_cast<operation>(below(d, static_cast<std::uint64_t>(operation::count)));
    if (what == operation::close && below(d, 20) != 0) what = operation::push_range;
    if (what == operation::cancel && below(d, 30) != 0) what = operation::pop_some;
    const auto count = static_cast<std::size_t>(below(d, 6));
    const int fuse = with_fuses && below(d, 3) == 0 ? static_cast<int>(below(d, 3)) : -1;
    steps.push_back({what, next, count, static_cast<unsigned>(below(d, 12)), fuse});
    next += 6;
  }
  return steps;
}

template <class Queue>
class queue_program {
 public:
  using item_type = typename Queue::value_type;
  explicit queue_program(Queue& queue) : queue_(queue) {}
  ~queue_program() { leases_.clear(); }
  queue_program(const queue_program&) = delete;
  queue_program& operator=(const queue_program&) = delete;

  // Returns the line of the transcript.
  std::string run(const step& s) {
    std::ostringstream line;
    line << name_of(s.what) << ' ' << s.variant << ": ";
    try {
      perform(s, line);
    } catch (const std::runtime_error& e) {
      light(-1);
      line << e.what();
    }
    const auto counts = queue_.statistics();
    line << "; pushed " << counts.pushed << " popped " << counts.popped << " size " << counts.size << '='
         << queue_.size_approx() << " bytes " << counts.bytes << (queue_.is_closed() ? " closed" : " open");
    return line.str();
  }

 private:
  static constexpr bool copies = std::is_copy_constructible_v<item_type>;

  static void light(int steps) {
    if constexpr (std::is_same_v<item_type, copies_throw>) copies_throw::copying.steps = steps;
    if constexpr (std::is_same_v<item_type, moves_throw>) moves_throw::moving.steps = steps;
    (void)steps;
  }
  // A limit that has passed, said in one of the ways in which one can.
  static wait_limit passed(unsigned variant) {
    std::stop_source stopped;
    stopped.request_stop();
    if (variant % 3 == 0) return std::chrono::milliseconds(0);
    if (variant % 3 == 1) return stopped.get_token();
    return {stopped.get_token(), std::chrono::hours(1)};
  }
  bool would_pop() const { return queue_.size_approx() > 0 || queue_.is_closed(); }

  template <class Push>
  void push(const step& s, std::ostringstream& line, Push how) {
    item_type item = make_item<item_type>(s.first);
    light(s.fuse);
    try {
      line << to_string(how(item));
    } catch (const std::runtime_error&) {
      light(-1);
      line << "threw";
    }
    light(-1);
    line << ", with its owner " << (number_of(item) == s.first ? "the item" : "nothing");
  }
  template <class Pop>
  void pop(const step& s, std::ostringstream& line, Pop how) {
    light(s.fuse);
    auto item = how();
    light(-1);
    if (item)
      line << "got " << number_of(*item);
    else
      line << "got none";
    if constexpr (requires { item.error(); })
      if (!item) line << ": " << to_string(item.error());
  }
  template <class Take>
  void take(const step& s, std::ostringstream& line, Take how) {
    light(s.fuse);
    auto taken = how();
    light(-1);
    if (taken) {
      line << "leased " << number_of(**taken) << " as " << taken->ticket();
      leases_.push_back(std::make_unique<lease<item_type>>(std::move(*taken)));
    } else {
      line << "leased none";
    }
    if constexpr (requires { taken.error(); })
      if (!taken) line << ": " << to_string(taken.error());
  }

  void perform(const step& s, std::ostringstream& line) {
    switch (s.what) {
      case operation::push_copy:
        push(s, line, [&](item_type& item) {
          if constexpr (copies) return queue_.push(std::as_const(item), passed(s.variant));
          return queue_.push(std::move(item), passed(s.variant));
        });
        return;
      case operation::push_move:
        push(s, line, [&](item_type& item) { return queue_.push(std::move(item), passed(s.variant)); });
        return;
      case operation::emplace:
        push(s, line, [&](item_type& item) {
          // Without a limit, so only where it cannot wait.
          if (!queue_.is_closed() && queue_.size_approx() >= queue_.capacity()) return conqueue_status::full;
          if (queue_.statistics().bytes > 0 && !queue_.is_closed()) return conqueue_status::full;
          return queue_.emplace(std::move(item)) ? conqueue_status::success : conqueue_status::closed;
        });
        return;
      case operation::try_push_copy:
        push(s, line, [&](item_type& item) {
          if constexpr (copies) return queue_.try_push(std::as_const(item));
          return queue_.try_push(std::move(item));
        });
        return;
      case operation::try_push_move:
        push(s, line, [&](item_type& item) { return queue_.try_push(std::move(item)); });
        return;
      case operation::try_emplace:
        push(s, line, [&](item_type& item) { return queue_.try_emplace(std::move(item)); });
        return;
      case operation::push_range: {
        std::vector<item_type> items;
        items.reserve(s.count);
        for (std::size_t i = 0; i < s.count; ++i) items.push_back(make_item<item_type>(s.first + i));
        light(s.fuse);
        try {
          line << "took " << queue_.push_range(items, passed(s.variant));
        } catch (const std::runtime_error&) {
          line << "threw";
        }
        light(-1);
        line << ", with its owner";
        for (std::size_t i = 0; i < s.count; ++i) line << (number_of(items[i]) == s.first + i ? " +" : " -");
        return;
      }
      case operation::pop:
        if (would_pop()) pop(s, line, [&] { return queue_.pop(); });
        return;
      case operation::pop_limited:
        pop(s, line, [&] { return queue_.pop(passed(s.variant)); });
        return;
      case operation::try_pop:
        pop(s, line, [&] { return queue_.try_pop(); });
        return;
      case operation::pop_some: {
        std::vector<item_type> out;
        out.reserve(queue_.capacity());  // so that only the moves out of the queue can throw
        light(s.fuse);
        try {
          line << "got " << queue_.pop_some(out, s.count, passed(s.variant)) << ':';
        } catch (const std::runtime_error&) {
          line << "threw:";
        }
        light(-1);
        for (const item_type& item : out) line << ' ' << number_of(item);
        return;
      }
      case operation::take:
        if (would_pop()) take(s, line, [&] { return queue_.take(); });
        return;
      case operation::take_limited:
        take(s, line, [&] { return queue_.take(passed(s.variant)); });
        return;
      case operation::try_take:
        take(s, line, [&] { return queue_.try_take(); });
        return;
      case operation::end_lease: {
        if (leases_.empty()) return;
        const auto which = leases_.begin() + static_cast<std::ptrdiff_t>(s.variant % leases_.size());
        line << "ends " << (*which)->ticket();
        if (s.count % 3 == 0) (*which)->done();
        if (s.count % 3 == 1) {
          line << " failed";
          (*which)->fail(std::make_exception_ptr(std::runtime_error("item " + std::to_string(number_of(***which)))));
        }
        leases_.erase(which);
        return;
      }
      case operation::items: {
        std::size_t seen = 0;
        light(s.fuse);
        for (item_type& item : queue_.items(passed(s.variant))) {
          light(-1);
          line << number_of(item) << ' ';
          if (++seen >= s.count) {
            if (s.variant % 4 == 0) throw std::runtime_error("left by an exception");
            break;
          }
          light(s.fuse);
        }
        light(-1);
        return;
      }
      case operation::look:
        line << "capacity " << queue_.capacity();
        return;
      case operation::join: {
        const auto result = queue_.join(passed(s.variant));
        if (!result) {
          line << to_string(result.error());
          return;
        }
        line << result->done << " done, " << result->failed << " failed, " << result->returned << " returned";
        if (result->first_failure) {
          try {
            std::rethrow_exception(result->first_failure);
          } catch (const std::exception& e) {
            line << ", first " << e.what();
          }
        }
        return;
      }
      case operation::close:
        queue_.close();
        return;
      case operation::cancel:
        line << "returned";
        for (const item_type& item : queue_.cancel()) line << ' ' << number_of(item);
        return;
      case operation::count:
        return;
    }
  }

  Queue& queue_;
  std::vector<std::unique_ptr<lease<item_type>>> leases_;
};

}  // namespace penstock::testing
