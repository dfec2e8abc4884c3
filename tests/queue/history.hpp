// A history: what several threads asked of one queue and what it answered, each call with the moments between which it
// happened. What a checker needs to know, and nothing else: linearizable.hpp judges small ones exactly,
// large_history.hpp long ones by what can be told from outside.
//
//   history_clock clock;
//   witness of_producer(queue, clock), of_consumer(queue, clock);    // one for each thread
//   ...of_producer.push(7)...          ...of_consumer.pop(20us)...
//   history h{{of_producer.calls(), of_consumer.calls()}};
//
// TIME     Moments are numbers drawn from one counter, by read-modify-write. Not from the processor's clock: a store
//          that still sits in a processor's buffer when the clock is read would look like a call that ended before it
//          took effect, and the language allows that. Through the counter, the end of a call *happens before* every
//          call that begins later, and then the queue must have noticed.
// SEVERAL  A call that moves several items is written as several calls of one item, in order, with the moments of the
//          whole; so is cancel(): close, the items, and the finding that nothing is left.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <penstock/base/expected.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/queue/status.hpp>

#include "tests/queue/items.hpp"

namespace penstock::testing {

using moment = std::uint64_t;

struct call {
  enum class verb { push, pop, close, look };  // look: is_closed()
  enum class answer {
    success,
    full,
    empty,
    closed,
    refused,  // a push: full or closed; push_range does not say which
    nothing,  // a pop: empty or closed; pop_some does not say which
    open,     // a look
  };
  verb what;
  number item;  // pushed, offered or popped; 0 where there is none
  answer said;
  moment begun;
  moment ended;
};

struct history {
  std::vector<std::vector<call>> threads;  // each in the order in which that thread called
};

class history_clock {
 public:
  moment now() noexcept { return next_.fetch_add(1); }

 private:
  std::atomic<moment> next_ = 1;
};

// One thread's access to a queue, which writes down what is asked and answered.
template <class Queue>
class witness {
 public:
  using item_type = typename Queue::value_type;
  using verb = call::verb;
  using answer = call::answer;

  witness(Queue& queue, history_clock& clock) : queue_(queue), clock_(clock) {}
  [[nodiscard]] const std::vector<call>& calls() const noexcept { return calls_; }
  void clear() noexcept { calls_.clear(); }

  bool push(number n) {
    item_type item = make_item<item_type>(n);
    const moment begun = clock_.now();
    return wrote_push(n, queue_.push(std::move(item)) ? conqueue_status::success : conqueue_status::closed, begun);
  }
  bool emplace(number n) {
    const moment begun = clock_.now();
    return wrote_push(n, queue_.emplace(make_item<item_type>(n)) ? conqueue_status::success : conqueue_status::closed,
                      begun);
  }
  bool push(number n, const wait_limit& limit) {
    item_type item = make_item<item_type>(n);
    const moment begun = clock_.now();
    return wrote_push(n, queue_.push(std::move(item), limit), begun);
  }
  bool try_push(number n) {
    item_type item = make_item<item_type>(n);
    const moment begun = clock_.now();
    return wrote_push(n, queue_.try_push(std::move(item)), begun);
  }
  // Pushes first, first + 1, ...; returns how many were taken.
  std::size_t push_range(number first, std::size_t count, const wait_limit& limit = {}) {
    std::vector<item_type> items;
    items.reserve(count);
    for (number n = first; n < first + count; ++n) items.push_back(make_item<item_type>(n));
    const bool patient = !limit.has_deadline() && !limit.stop().stop_possible();
    const moment begun = clock_.now();
    const std::size_t taken = queue_.push_range(items, limit);
    const moment ended = clock_.now();
    for (std::size_t i = 0; i < taken; ++i) calls_.push_back({verb::push, first + i, answer::success, begun, ended});
    if (taken < count)
      calls_.push_back({verb::push, first + taken, patient ? answer::closed : answer::refused, begun, ended});
    return taken;
  }

  bool pop() {
    const moment begun = clock_.now();
    auto item = queue_.pop();
    return item ? wrote_pop(*item, begun) : wrote_no_pop(conqueue_status::closed, begun);
  }
  bool pop(const wait_limit& limit) {
    const moment begun = clock_.now();
    auto item = queue_.pop(limit);
    return item ? wrote_pop(*item, begun) : wrote_no_pop(item.error(), begun);
  }
  bool try_pop() {
    const moment begun = clock_.now();
    auto item = queue_.try_pop();
    return item ? wrote_pop(*item, begun) : wrote_no_pop(item.error(), begun);
  }
  bool take() {
    const moment begun = clock_.now();
    auto item = queue_.take();
    return item ? wrote_pop(**item, begun) : wrote_no_pop(conqueue_status::closed, begun);
  }
  bool take(const wait_limit& limit) {
    const moment begun = clock_.now();
    auto item = queue_.take(limit);
    return item ? wrote_pop(**item, begun) : wrote_no_pop(item.error(), begun);
  }
  std::size_t pop_some(std::size_t most, const wait_limit& limit = {}) {
    std::vector<item_type> items;
    const bool patient = !limit.has_deadline() && !limit.stop().stop_possible();
    const moment begun = clock_.now();
    const std::size_t count = queue_.pop_some(items, most, limit);
    const moment ended = clock_.now();
    for (const item_type& item : items) calls_.push_back({verb::pop, number_of(item), answer::success, begun, ended});
    if (count == 0) calls_.push_back({verb::pop, 0, patient ? answer::closed : answer::nothing, begun, ended});
    return count;
  }

  void close() {
    const moment begun = clock_.now();
    queue_.close();
    calls_.push_back({verb::close, 0, answer::success, begun, clock_.now()});
  }
  void cancel() {
    const moment begun = clock_.now();
    auto rest = queue_.cancel();
    const moment ended = clock_.now();
    calls_.push_back({verb::close, 0, answer::success, begun, ended});
    for (const item_type& item : rest) calls_.push_back({verb::pop, number_of(item), answer::success, begun, ended});
    calls_.push_back({verb::pop, 0, answer::closed, begun, ended});
  }
  bool is_closed() {
    const moment begun = clock_.now();
    const bool closed = queue_.is_closed();
    calls_.push_back({verb::look, 0, closed ? answer::closed : answer::open, begun, clock_.now()});
    return closed;
  }

 private:
  bool wrote_push(number n, conqueue_status status, moment begun) {
    const moment ended = clock_.now();
    answer said = answer::success;
    if (status == conqueue_status::full) said = answer::full;
    if (status == conqueue_status::closed) said = answer::closed;
    calls_.push_back({verb::push, n, said, begun, ended});
    return status == conqueue_status::success;
  }
  bool wrote_pop(const item_type& item, moment begun) {
    const moment ended = clock_.now();
    calls_.push_back({verb::pop, number_of(item), answer::success, begun, ended});
    return true;
  }
  bool wrote_no_pop(conqueue_status status, moment begun) {
    const moment ended = clock_.now();
    const answer said = status == conqueue_status::empty ? answer::empty : answer::closed;
    calls_.push_back({verb::pop, 0, said, begun, ended});
    return false;
  }

  Queue& queue_;
  history_clock& clock_;
  std::vector<call> calls_;
};

[[nodiscard]] inline std::string text_of(const call& c) {
  constexpr std::string_view verbs[] = {"push", "pop", "close", "is_closed"};
  constexpr std::string_view answers[] = {"success", "full", "empty", "closed", "refused", "nothing", "open"};
  std::ostringstream out;
  out << verbs[static_cast<std::size_t>(c.what)];
  if (c.item) out << ' ' << c.item;
  out << " -> " << answers[static_cast<std::size_t>(c.said)] << " [" << c.begun << ", " << c.ended << ']';
  return out.str();
}

// The calls in the order in which they began, one column of indentation for each thread.
inline std::ostream& operator<<(std::ostream& out, const history& h) {
  std::vector<std::pair<std::size_t, call>> all;
  for (std::size_t t = 0; t < h.threads.size(); ++t)
    for (const call& c : h.threads[t]) all.emplace_back(t, c);
  std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.second.begun < b.second.begun; });
  for (const auto& [thread, c] : all) out << std::string(2 + 34 * thread, ' ') << text_of(c) << '\n';
  return out;
}

}  // namespace penstock::testing
