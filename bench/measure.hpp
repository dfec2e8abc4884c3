// What every benchmark of the engine needs: a stopwatch that also counts processor time and voluntary switches, the
// result as one line of JSON, a check that ends the process, and work of a known length.
//
// A program measures one system in one configuration and ends, so what the process used is what the system used.
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include <sys/resource.h>

namespace bench {

[[noreturn]] inline void fail(std::string_view why) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(why.size()), why.data());
  std::_Exit(1);  // not exit(): threads of the measured system may still be running
}
inline void check(bool holds, std::string_view what) {
  if (!holds) fail("wrong result: " + std::string(what));
}
inline void check_sum(std::uint64_t got, std::uint64_t want, std::string_view of) {
  if (got != want)
    fail("wrong result: " + std::string(of) + " is " + std::to_string(got) + ", not " + std::to_string(want));
}

inline std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) fail("not a number: " + std::string(text));
  return value;
}

// 0 + 1 + ... + (n - 1), modulo 2^64 as the sums it is compared with.
constexpr std::uint64_t sum_below(std::uint64_t n) { return n % 2 == 0 ? n / 2 * (n - 1) : (n - 1) / 2 * n; }

// The most memory that this program has had. Not ru_maxrss: that one keeps what the starting process held before exec.
inline std::uint64_t peak_rss_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  return 0;
}

struct used {
  double wall_s = 0;
  double cpu_s = 0;
  long switches = 0;  // voluntary
};

inline double seconds_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

class stopwatch {
 public:
  [[nodiscard]] used read() const {
    const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    return {wall, seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_, switches() - switches_};
  }

 private:
  static long switches() {
    rusage r{};
    getrusage(RUSAGE_SELF, &r);
    return r.ru_nvcsw;
  }

  const long switches_ = switches();
  const double cpu_ = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// What all other threads of the process use while this one sleeps. Its own start and end of the sleep are left out: they
// cost as much as what is to be measured.
inline used while_asleep(std::chrono::nanoseconds how_long) {
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // whoever still looks for work has found none
  const auto others = [] { return seconds_of(CLOCK_PROCESS_CPUTIME_ID) - seconds_of(CLOCK_THREAD_CPUTIME_ID); };
  const stopwatch watch;
  const double before = others();
  std::this_thread::sleep_for(how_long);
  const double after = others();
  used u = watch.read();
  u.cpu_s = std::max(0., after - before);
  return u;
}

// The result: one line of JSON.
class result {
 public:
  result(std::uint64_t items, const used& u) {
    add("items", items).add("wall_s", u.wall_s).add("cpu_s", u.cpu_s).add("switches", u.switches);
    add("peak_rss_kib", peak_rss_kib());
  }
  template <class Value>
  result& add(std::string_view name, const Value& value) {
    line_ << (first_ ? "{\"" : ", \"") << name << "\": " << value;
    first_ = false;
    return *this;
  }
  void print() { std::printf("%s}\n", line_.str().c_str()); }

 private:
  std::ostringstream line_{};
  bool first_ = true;
};

// A chain of dependent multiplications: nothing that a compiler or a processor could do at once.
inline std::uint64_t compute(std::uint64_t seed, std::uint64_t steps) {
  for (std::uint64_t i = 0; i < steps; ++i) seed = seed * 6364136223846793005u + 1442695040888963407u;
  return seed;
}
// The value is needed, as far as the compiler knows.
inline void keep(std::uint64_t value) { asm volatile("" : : "r"(value)); }

// Work of a known length.
struct work {
  std::uint64_t steps = 0;
  double ns = 0;  // what that many steps take on this processor when nothing disturbs
  void operator()(std::uint64_t seed) const {
    if (steps) keep(compute(seed, steps));
  }
};
// The shortest of many probes: what disturbs a probe makes it longer, never shorter.
inline work calibrated(double ns) {
  if (ns <= 0) return {};
  constexpr std::uint64_t probe = 1'000'000;
  double ns_per_step = std::numeric_limits<double>::max();
  for (int i = 0; i < 50; ++i) {
    const auto start = std::chrono::steady_clock::now();
    keep(compute(static_cast<std::uint64_t>(i), probe));
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    ns_per_step = std::min(ns_per_step, took.count() / probe);
  }
  const auto steps = static_cast<std::uint64_t>(ns / ns_per_step + .5);
  return {steps, static_cast<double>(steps) * ns_per_step};
}

}  // namespace bench
