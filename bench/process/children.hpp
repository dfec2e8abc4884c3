// What the process benchmarks share: processor time with that of the children, and the bare way to start one.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/base/unique_fd.hpp>

#include "bench/measure.hpp"

namespace bench {

// As stopwatch, with what children used that have been waited for.
class stopwatch_with_children {
 public:
  [[nodiscard]] used read() const {
    used u = watch_.read();
    u.cpu_s = processor_seconds() - cpu_;
    return u;
  }

 private:
  static double processor_seconds() {
    double sum = 0;
    for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
      rusage r{};
      getrusage(who, &r);
      for (const timeval& t : {r.ru_utime, r.ru_stime})
        sum += static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    }
    return sum;
  }
  const stopwatch watch_{};
  const double cpu_ = processor_seconds();
};

// A file without a name that children append to, and whose lines are added up afterwards.
class collected_lines {
 public:
  collected_lines() {
    char name[] = "/tmp/penstock-bench-XXXXXX";
    file_.reset(::mkostemp(name, O_APPEND | O_CLOEXEC));
    check(static_cast<bool>(file_), "a file in /tmp");
    ::unlink(name);
  }
  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  void check_numbers(std::uint64_t count) const {
    std::string all(static_cast<std::size_t>(::lseek(file_.get(), 0, SEEK_END)), '\0');
    check(::pread(file_.get(), all.data(), all.size(), 0) == static_cast<ssize_t>(all.size()), "a file read back");
    std::istringstream lines(all);
    std::uint64_t sum = 0, seen = 0;
    for (std::uint64_t n = 0; lines >> n; ++seen) sum += n;
    check_sum(seen, count, "lines that were printed");
    check_sum(sum, sum_below(count), "the sum of what was printed");
  }

 private:
  penstock::unique_fd file_;
};

// vfork and exec, and nothing that a careful program does besides: the least that starting a program costs.
inline pid_t bare_start(const char* const* words, int out) {
  const pid_t pid = ::vfork();
  if (pid == 0) {
    if (out >= 0) ::dup2(out, STDOUT_FILENO);
    ::execv(words[0], const_cast<char* const*>(words));
    ::_exit(127);
  }
  check(pid > 0, "vfork");
  return pid;
}
inline void check_exit(int status) { check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child's exit status"); }

}  // namespace bench
