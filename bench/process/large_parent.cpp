// Does starting a program cost more from a program that has much memory? With fork it does: its page tables are copied.
//
//   bench_process_large_parent penstock|fork GIBIBYTES COUNT
#include <algorithm>
#include <string>
#include <vector>

#include <sys/mman.h>

#include <penstock/process/spawn.hpp>

#include "bench/process/children.hpp"

int main(int argc, char** argv) {
  if (argc != 4) bench::fail("usage: bench_process_large_parent SYSTEM GIBIBYTES COUNT");
  const std::string system = argv[1];
  const std::size_t bytes = bench::number(argv[2]) << 30;
  const std::uint64_t count = bench::number(argv[3]);
  if (bytes) {
    void* const much = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bench::check(much != MAP_FAILED, "so much memory");
    ::madvise(much, bytes, MADV_NOHUGEPAGE);  // the pages of a program whose memory came bit by bit
    for (std::size_t at = 0; at < bytes; at += 4096) static_cast<char*>(much)[at] = 1;
  }
  std::vector<double> us;
  const bench::stopwatch_with_children watch;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (system == "penstock") {
      bench::check(penstock::process::spawn({"/bin/true"}).wait().ok(), "a child's exit status");
    } else {
      const pid_t pid = ::fork();
      if (pid == 0) {
        const char* const words[] = {"/bin/true", nullptr};
        ::execv(words[0], const_cast<char* const*>(words));
        ::_exit(127);
      }
      int status = 0;
      bench::check(::waitpid(pid, &status, 0) == pid, "waitpid");
      bench::check_exit(status);
    }
    us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::sort(us);
  bench::result(count, watch.read()).add("median_us", us[us.size() / 2]).print();
}
