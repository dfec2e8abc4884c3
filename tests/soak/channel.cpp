// Very many items from one loop to another through a bounded_queue, in their order, all of them: what a test of seconds does
// not find, a wake that is lost once in millions.
//
//   soak_channel [--items N] [--seed S] [--patience SECONDS]        1e9 items if not said; N may be written 1e9
//
// In stretches, each with a queue of its own and, at each end, a way of its own: one by one, with deadlines that are too
// short, many at once, tasks that are destroyed while they wait, a thread that blocks. Exit status: 0 all well; 1 an item was
// lost, doubled or out of turn; 3 nothing moved for as long as the patience: it hangs. What it was doing is printed.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <penstock/async/queue_ends.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/when.hpp>
#include <penstock/queue/bounded_queue.hpp>

namespace penstock::soak {
namespace {

using namespace std::chrono_literals;
using number = std::uint64_t;
using queue = bounded_queue<number>;

enum class way : std::uint8_t { one_by_one, hurried, many, destroyed, thread };
constexpr const char* names[] = {"one by one", "with deadlines", "many at once", "destroyed while they wait",
                                 "a thread"};

struct stretch {
  std::size_t capacity = 1;
  way in = way::one_by_one, out = way::one_by_one;
  number first = 0, end = 0;
  std::uint64_t seed = 0;
};
std::atomic<number> arrived = 0;

[[noreturn]] void fail(const stretch& s, number expected, number got) {
  std::cout << "soak: FAILED: " << got << " came instead of " << expected << "; capacity " << s.capacity << ", in "
            << names[static_cast<int>(s.in)] << ", out " << names[static_cast<int>(s.out)] << std::endl;
  std::_Exit(1);
}

task<> push_one(queue& q, number n, bool& pushed) { pushed = co_await async_push(q, std::move(n)); }
task<> produce(queue& q, const stretch& s) {
  std::minstd_rand random(static_cast<unsigned>(s.seed));
  std::vector<number> some;
  for (number n = s.first; n < s.end;) {
    switch (s.in) {
      case way::one_by_one: {
        co_await async_push(q, number{n});
        ++n;
        break;
      }
      case way::hurried: {
        const wait_limit soon(std::chrono::microseconds(random() % 30));
        const conqueue_status status = co_await async_push(q, number{n}, soon);
        if (status == conqueue_status::success) ++n;
        break;
      }
      case way::many: {
        some.clear();
        const number until = std::min<number>(s.end, n + 1 + random() % 200);
        for (; n < until; ++n) some.push_back(n);
        co_await async_push_range(q, some);
        break;
      }
      case way::destroyed: {
        bool pushed = false;
        task<> one = push_one(q, n, pushed);
        (void)co_await within(wait_limit(std::chrono::microseconds(random() % 20)), std::move(one));
        if (pushed) ++n;
        break;
      }
      case way::thread:
        co_return;
    }
  }
}

class arrivals {
 public:
  explicit arrivals(const stretch& s) : stretch_(s), next_(s.first) {}
  void operator()(number n) {
    if (n != next_) fail(stretch_, next_, n);
    ++next_;
    if (next_ % 1024 == 0) arrived.store(next_, std::memory_order_relaxed);
  }
  [[nodiscard]] number next() const { return next_; }

 private:
  const stretch& stretch_;
  number next_;
};

task<> pop_one(queue& q, arrivals& seen, bool& over) {
  const std::optional<number> n = co_await async_pop(q);
  if (n)
    seen(*n);
  else
    over = true;
}
task<> consume(queue& q, const stretch& s, arrivals& seen) {
  std::minstd_rand random(static_cast<unsigned>(s.seed + 1));
  std::vector<number> some;
  for (bool over = false; !over;) {
    switch (s.out) {
      case way::one_by_one: {
        co_await pop_one(q, seen, over);
        break;
      }
      case way::hurried: {
        const wait_limit soon(std::chrono::microseconds(random() % 30));
        const auto n = co_await async_pop(q, soon);
        if (n)
          seen(*n);
        else
          over = n.error() == conqueue_status::closed;
        break;
      }
      case way::many: {
        some.clear();
        const std::size_t count = co_await async_pop_some(q, some, 1 + random() % 200);
        for (const number n : some) seen(n);
        over = count == 0;
        break;
      }
      case way::destroyed: {
        task<> one = pop_one(q, seen, over);
        (void)co_await within(wait_limit(std::chrono::microseconds(random() % 20)), std::move(one));
        break;
      }
      case way::thread:
        co_return;
    }
  }
}

void go_through(const stretch& s) {
  queue q(s.capacity);
  arrivals seen(s);
  {
    const std::jthread producer([&] {
      if (s.in == way::thread)
        for (number n = s.first; n < s.end; ++n) q.push(number{n});
      else
        run(produce(q, s));
      q.close();
    });
    if (s.out == way::thread)
      while (const auto n = q.pop()) seen(*n);
    else
      run(consume(q, s, seen));
  }
  if (seen.next() != s.end) fail(s, s.end, seen.next());
  arrived.store(s.end, std::memory_order_relaxed);
}

struct settings {
  number items = 1'000'000'000, seed = std::random_device{}(), patience = 60;
};

int all_of(const settings& wanted) {
  using clock = std::chrono::steady_clock;
  std::cout << "soak: seed " << wanted.seed << std::endl;
  const auto began = clock::now();
  const auto say = [&] {
    const double seconds = std::chrono::duration<double>(clock::now() - began).count();
    std::cout << std::fixed << std::setprecision(0) << seconds << " s: " << arrived.load() << " items" << std::endl;
  };
  std::atomic<bool> over = false;
  std::atomic<const stretch*> at = nullptr;
  std::jthread watch([&] {
    auto last_change = clock::now(), last_line = last_change;
    for (number seen = 0; !over; std::this_thread::sleep_for(200ms)) {
      const auto now = clock::now();
      if (seen != arrived) {
        seen = arrived;
        last_change = now;
      }
      if (now - last_change > std::chrono::seconds(wanted.patience)) {
        const stretch& s = *at.load();
        std::cout << "soak: HANGS near item " << seen << " of seed " << wanted.seed << "; capacity " << s.capacity
                  << ", in " << names[static_cast<int>(s.in)] << ", out " << names[static_cast<int>(s.out)]
                  << std::endl;
        std::_Exit(3);
      }
      if (now - last_line > 1min) {
        last_line = now;
        say();
      }
    }
  });
  std::mt19937_64 random(wanted.seed);
  number done = 0;
  for (std::uint64_t turn = 0; done < wanted.items; ++turn) {
    stretch s;
    s.capacity = turn % 4 == 0 ? 1 + random() % 20 : 1 + random() % 2000;
    s.in = static_cast<way>(random() % 5);
    s.out = static_cast<way>(random() % 5);
    // So many that it takes about as long whichever way they go: small queues and tasks that are destroyed are slow.
    number length = s.capacity < 20 ? 20'000 : 5'000'000;
    if (s.in == way::destroyed || s.out == way::destroyed) length = std::min<number>(length, 100'000);
    length = 1 + random() % length;
    s.first = done;
    s.end = done = std::min(wanted.items, done + length);
    s.seed = random();
    at = &s;
    go_through(s);
  }
  over = true;
  watch.join();
  say();
  return 0;
}

}  // namespace
}  // namespace penstock::soak

int main(int argc, char** argv) {
  penstock::soak::settings wanted;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    std::uint64_t* const where = name == "--items"      ? &wanted.items
                                 : name == "--seed"     ? &wanted.seed
                                 : name == "--patience" ? &wanted.patience
                                                        : nullptr;
    char* end = nullptr;
    const double value = i + 1 < argc ? std::strtod(argv[i + 1], &end) : -1;
    if (!where || value < 0 || end == argv[i + 1] || *end != '\0') {
      std::cerr << "usage: soak_channel [--items N] [--seed S] [--patience SECONDS]\n";
      return 2;
    }
    *where = static_cast<std::uint64_t>(value);
  }
  return penstock::soak::all_of(wanted);
}
