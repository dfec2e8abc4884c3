// queue_round: one queue, some producers and consumers that use every operation, and an end at some moment. Afterwards
// everything is accounted for: in half of the rounds by the rules of large_history.hpp, in the others, which are faster
// because nobody writes anything down, by sums.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <penstock/queue/bounded_queue.hpp>

#include "tests/queue/items.hpp"
#include "tests/queue/large_history.hpp"
#include "tests/soak/round.hpp"

namespace penstock::soak {

using testing::make_item;
using testing::number;
using testing::number_of;

struct queue_plan {
  std::size_t capacity, producers, consumers, joiners;
  number each;  // pushes of one producer
  bool weighs;  // a limit in bytes
  bool written_down;
  enum class ending { last_producer_closes, closed_at_some_moment, cancelled_at_some_moment } end;
  bool stops;          // a stop is requested at some moment
  unsigned favourite;  // an operation that is used more than others; each queue has its own mix
};

inline queue_plan random_plan(round& r) {
  constexpr std::size_t capacities[] = {1, 1, 2, 3, 4, 7, 8, 15, 16, 17, 64, 100, 1024};
  queue_plan plan{};
  plan.capacity = r.one_in(3) ? 1 + r.up_to(1023) : capacities[r.up_to(std::size(capacities) - 1)];
  plan.producers = 1 + r.up_to(3);
  plan.consumers = 1 + r.up_to(3);
  plan.joiners = r.one_in(3) ? 1 + r.up_to(1) : 0;
  plan.weighs = r.one_in(12);
  plan.written_down = !plan.weighs && r.one_in(2);  // by bytes, "full" means something else
  plan.each = (plan.written_down ? 20 : 50) + r.up_to(plan.written_down ? 800 : 4000);
  plan.end = static_cast<queue_plan::ending>(r.up_to(2));
  plan.stops = r.one_in(3);
  plan.favourite = static_cast<unsigned>(r.up_to(15));
  return plan;
}

inline std::string text_of(const queue_plan& plan, const char* items) {
  std::ostringstream out;
  out << "queue of " << items << ", capacity " << plan.capacity << (plan.weighs ? " and a limit in bytes" : "") << ", "
      << plan.producers << " producers of " << plan.each << ", " << plan.consumers << " consumers, " << plan.joiners
      << " joiners, ending " << static_cast<int>(plan.end) << (plan.stops ? ", stops" : "")
      << (plan.written_down ? ", written down" : "") << ", favourite " << plan.favourite;
  return out.str();
}

// One thread's access to the queue that only sums up: the same interface as a witness.
template <class Queue>
class summer {
 public:
  using item_type = typename Queue::value_type;
  summer(Queue& queue, testing::history_clock&) : queue_(queue) {}
  std::uint64_t accepted = 0, popped = 0, failed = 0, wrong = 0;
  number pushed_sum = 0, popped_sum = 0;

  bool push(number n) { return in(n, queue_.push(make_item<item_type>(n))); }
  bool emplace(number n) { return in(n, queue_.emplace(make_item<item_type>(n))); }
  bool push(number n, const wait_limit& limit) {
    return in(n, queue_.push(make_item<item_type>(n), limit) == conqueue_status::success);
  }
  bool try_push(number n) { return in(n, queue_.try_push(make_item<item_type>(n)) == conqueue_status::success); }
  std::size_t push_range(number first, std::size_t count, const wait_limit& limit = {}) {
    std::vector<item_type> items;
    items.reserve(count);
    for (number n = first; n < first + count; ++n) items.push_back(make_item<item_type>(n));
    const std::size_t taken = queue_.push_range(items, limit);
    for (std::size_t i = 0; i < count; ++i) {
      if (i < taken)
        in(first + i, true);
      else
        wrong += number_of(items[i]) != first + i;  // what was refused is untouched
    }
    return taken;
  }
  bool pop() {
    auto item = queue_.pop();
    return item && out(*item);
  }
  bool pop(const wait_limit& limit) {
    auto item = queue_.pop(limit);
    return item && out(*item);
  }
  bool try_pop() {
    auto item = queue_.try_pop();
    return item && out(*item);
  }
  bool take() {
    auto item = queue_.take();
    return item && hold(std::move(*item));
  }
  bool take(const wait_limit& limit) {
    auto item = queue_.take(limit);
    return item && hold(std::move(*item));
  }
  // Every lease that is still held. REQUIRES: called before the queue is destroyed.
  void let_go() { held_.clear(); }
  std::size_t pop_some(std::size_t most, const wait_limit& limit = {}) {
    std::vector<item_type> items;
    const std::size_t count = queue_.pop_some(items, most, limit);
    wrong += count != items.size() || count > most;
    for (const item_type& item : items) out(item);
    return count;
  }
  void close() { queue_.close(); }
  void cancel() {
    for (const item_type& item : queue_.cancel()) out(item);
  }
  bool is_closed() { return queue_.is_closed(); }

 private:
  bool in(number n, bool taken) {
    if (taken) {
      ++accepted;
      pushed_sum += n;
    }
    return taken;
  }
  // Some leases outlive the next few calls; they end done, failed, or by their destructor, in another order than they
  // began in.
  bool hold(lease<item_type>&& leased) {
    const number n = number_of(*leased);
    out(*leased);
    if (n % 13 == 0) {
      ++failed;
      leased.fail(nullptr);
    } else if (n % 3 == 0) {
      leased.done();
    } else if (n % 5 == 0) {
      held_.push_back(std::make_unique<lease<item_type>>(std::move(leased)));
      if (held_.size() > 5) held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(n % 5));
    }
    return true;
  }
  bool out(const item_type& item) {
    const number n = number_of(item);
    number& last = last_of_[n >> 32];  // of that producer: numbers ascend, from 1
    wrong += n == testing::broken || n <= last;
    last = n;
    ++popped;
    popped_sum += n;
    return true;
  }

  Queue& queue_;
  std::map<number, number> last_of_;
  std::vector<std::unique_ptr<lease<item_type>>> held_;
};

template <class T>
class queue_round {
 public:
  using queue_type = bounded_queue<T>;

  queue_round(round& r, const char* items) : round_(r), plan_(random_plan(r)), name_(text_of(plan_, items)) {}

  void run() {
    std::optional<queue_type> queue;
    if (plan_.weighs)
      queue.emplace(plan_.capacity, byte_capacity<T>{8 + round_.up_to(60), [](const T& item) {
                                                       return static_cast<std::size_t>(number_of(item) % 9);
                                                     }});
    else
      queue.emplace(plan_.capacity);
    round_.board.write(name_, [&q = *queue, this] {
      std::ostringstream out;
      out << running_ << " threads left" << std::endl;
      const auto s = q.statistics();
      out << "pushed " << s.pushed << " popped " << s.popped << " size " << s.size << " waits " << s.push_waits << '/'
          << s.pop_waits << " wakes " << s.wakes << (q.is_closed() ? " closed" : " open");
      return out.str();
    });
    const wipes_at_the_end wipes(round_.board);
    if (plan_.written_down)
      run_with<testing::witness<queue_type>>(*queue);
    else
      run_with<summer<queue_type>>(*queue);
  }

 private:
  template <class Access>
  void run_with(queue_type& queue) {
    testing::history_clock clock;
    std::vector<Access> accesses;
    accesses.reserve(plan_.producers + plan_.consumers + 1);
    while (accesses.size() < accesses.capacity()) accesses.emplace_back(queue, clock);
    std::vector<dice> throws;
    for (std::size_t i = 0; i < accesses.size() + plan_.joiners; ++i)
      throws.emplace_back(static_cast<unsigned>(round_.random()));
    std::atomic<std::size_t> producing = plan_.producers;
    std::stop_source stop;
    const std::uint64_t total = plan_.producers * plan_.each;
    const std::uint64_t moment = round_.up_to(total);
    const bool ends_early = plan_.end != queue_plan::ending::last_producer_closes;
    running_ = 0;
    {
      std::vector<std::jthread> threads;
      const auto start = [&](auto body) {
        ++running_;
        threads.emplace_back([this, body] {
          body();
          --running_;
        });
      };
      for (std::size_t p = 0; p < plan_.producers; ++p)
        start([&, p] {
          produce(accesses[p], throws[p], ((p + 1) << 32) + 1, stop.get_token());
          if (--producing == 0) accesses[p].close();
        });
      for (std::size_t c = plan_.producers; c < plan_.producers + plan_.consumers; ++c)
        start([&, c] { consume(accesses[c], throws[c], stop.get_token()); });
      for (std::size_t j = accesses.size(); j < throws.size(); ++j)
        start([&, j] {
          while (!queue.is_closed()) (void)queue.join(patience(throws[j], stop.get_token()));
        });
      if (ends_early || plan_.stops)
        start([&] {
          while (queue.statistics().pushed < moment && producing != 0) std::this_thread::yield();
          if (plan_.stops) stop.request_stop();
          if (plan_.end == queue_plan::ending::closed_at_some_moment) accesses.back().close();
          if (plan_.end == queue_plan::ending::cancelled_at_some_moment) accesses.back().cancel();
        });
    }
    const auto counts = queue.statistics();
    round_.items += counts.pushed;
    const std::uint64_t failed = judge(accesses);
    expect_equal(counts.size, 0u, "what is left, though consumers went on to the end");
    const auto joined = queue.join();
    expect_equal(joined.done + joined.failed + joined.returned, counts.pushed, "ended items and pushed items");
    expect_equal(joined.failed, failed, "leases that failed");
    expect_equal(counts.popped + joined.returned, counts.pushed, "popped or returned, and pushed items");
    expect(counts.peak_size <= plan_.capacity, "peak size over capacity");
  }

  // Returns how many leases it ended as failed.
  std::uint64_t judge(std::vector<testing::witness<queue_type>>& accesses) {
    testing::history h;
    for (const auto& a : accesses) h.threads.push_back(a.calls());
    const auto problems = testing::problems_in(h, plan_.capacity);
    if (!problems.empty()) throw failed_round(problems.front());
    return 0;
  }
  std::uint64_t judge(std::vector<summer<queue_type>>& accesses) {
    std::uint64_t accepted = 0, popped = 0, failed = 0, wrong = 0;
    number pushed_sum = 0, popped_sum = 0;
    for (auto& a : accesses) {
      a.let_go();
      failed += a.failed;
      accepted += a.accepted;
      popped += a.popped;
      wrong += a.wrong;
      pushed_sum += a.pushed_sum;
      popped_sum += a.popped_sum;
    }
    expect_equal(wrong, 0u, "items out of order, broken or touched");
    expect_equal(accepted, popped, "what went in and what came out");
    expect_equal(pushed_sum, popped_sum, "the sum of what went in and of what came out");
    return failed;
  }

  // Now and then none at all, mostly short, and until a stop as long as none was requested.
  wait_limit patience(dice& d, const std::stop_token& stop) {
    const auto short_time = std::chrono::microseconds(below(d, 100));
    switch (below(d, 4)) {
      case 0:
        return std::chrono::microseconds(0);
      case 1:
        if (plan_.stops && !stop.stop_requested()) return stop;
        return short_time;
      case 2:
        return {stop, short_time};
      default:
        return short_time;
    }
  }
  unsigned choice(dice& d, unsigned of) const {
    return below(d, 2) == 0 ? plan_.favourite % of : static_cast<unsigned>(below(d, of));
  }

  template <class Access>
  void produce(Access& does, dice& d, number first, const std::stop_token& stop) {
    for (number done = 0; done < plan_.each;) {
      if (below(d, 16) == 0) testing::shake(d);
      if (below(d, 64) == 0 && does.is_closed()) return;
      const number n = first + done;
      const std::size_t block = 1 + below(d, std::min<number>(plan_.each - done, 1 + below(d, 2 * plan_.capacity + 8)));
      switch (choice(d, 6)) {
        case 0:
          if (!does.push(n)) return;
          ++done;
          break;
        case 1:
          done += does.try_push(n);
          break;
        case 2:
          done += does.push(n, patience(d, stop));
          break;
        case 3:
          done += does.push_range(n, block, patience(d, stop));
          break;
        case 4: {
          const std::size_t taken = does.push_range(n, block);
          if (taken < block) return;
          done += taken;
          break;
        }
        default:
          if (!does.emplace(n)) return;
          ++done;
          break;
      }
    }
  }
  template <class Access>
  void consume(Access& does, dice& d, const std::stop_token& stop) {
    for (;;) {
      if (below(d, 16) == 0) testing::shake(d);
      switch (choice(d, 8)) {
        case 0:
          if (!does.pop()) return;
          break;
        case 1:
          does.try_pop();
          break;
        case 2:
          does.pop(patience(d, stop));
          break;
        case 3:
          if (!does.take()) return;
          break;
        case 4:
          does.take(patience(d, stop));
          break;
        case 5:
          does.pop_some(1 + below(d, 100), patience(d, stop));
          break;
        default:
          if (does.pop_some(1 + below(d, 2 * plan_.capacity)) == 0) return;
          break;
      }
    }
  }

  round& round_;
  const queue_plan plan_;
  const std::string name_;
  std::atomic<int> running_ = 0;
};

inline void run_queue_round(round& r) {
  switch (r.up_to(6)) {
    case 0:
    case 1:
      return queue_round<number>(r, "numbers").run();
    case 2:
      return queue_round<testing::boxed>(r, "unique_ptr").run();
    case 3:
      return queue_round<testing::text>(r, "strings").run();
    case 4:
      return queue_round<testing::aligned>(r, "over-aligned items").run();
    case 5:
      return queue_round<testing::dawdling>(r, "dawdling items").run();
    default:
      return queue_round<testing::moves_throw>(r, "items whose moves may throw").run();
  }
}

}  // namespace penstock::soak
