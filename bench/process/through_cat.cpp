// How fast do bytes go through another program, in and out at once? All of the output kept, or handed on as it comes; and
// a loop around poll(2) that does nothing else.
//
//   bench_process_through_cat kept|handed_on|bare MEBIBYTES
#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <unistd.h>

#include <penstock/process/run.hpp>

#include "bench/process/children.hpp"

namespace {

std::string text_of(std::size_t bytes) {
  std::string text(bytes, 'x');
  for (std::size_t i = 0; i < bytes; i += 4096) text[i] = static_cast<char>('a' + i / 4096 % 26);
  return text;
}

bench::used through_cat(std::size_t bytes, bool kept) {
  std::string text = text_of(bytes);
  const std::size_t hash = std::hash<std::string>()(text);
  std::size_t seen = 0;
  penstock::process::run_options options{.input = std::move(text), .check = true, .most_bytes = bytes};
  if (!kept) options.on_out = [&](std::string_view part) { seen += part.size(); };
  const bench::stopwatch_with_children watch;
  const auto done = penstock::process::run({"cat"}, std::move(options));
  const bench::used used = watch.read();
  bench::check_sum(done.out_bytes, bytes, "what came out of cat");
  bench::check(kept ? std::hash<std::string>()(done.out) == hash : seen == bytes, "what came out of cat");
  return used;
}

bench::used bare(std::size_t bytes) {
  const std::string text = text_of(bytes);
  std::vector<char> block(std::size_t{128} << 10);
  std::size_t written = 0, seen = 0;
  const bench::stopwatch_with_children watch;
  std::array<int, 2> in{}, out{};
  bench::check(::pipe2(in.data(), O_CLOEXEC) == 0 && ::pipe2(out.data(), O_CLOEXEC) == 0, "pipes");
  penstock::unique_fd child_in(in[0]), to(in[1]), from(out[0]), child_out(out[1]);
  for (const penstock::unique_fd* end : {&to, &from}) {
    ::fcntl(end->get(), F_SETPIPE_SZ, 1 << 20);
    ::fcntl(end->get(), F_SETFL, O_NONBLOCK);
  }
  const std::array<const char*, 2> words{"/bin/cat", nullptr};
  const pid_t cat = bench::bare_start(words.data(), child_out.get(), child_in.get());
  child_in.reset();
  child_out.reset();
  for (;;) {
    std::array<pollfd, 2> fds{{{from.get(), POLLIN, 0}, {to ? to.get() : -1, POLLOUT, 0}}};
    ::poll(fds.data(), fds.size(), -1);
    if (fds[1].revents) {
      const ssize_t n = ::write(to.get(), text.data() + written, std::min(block.size(), bytes - written));
      if (n > 0) written += static_cast<std::size_t>(n);
      if (written == bytes) to.reset();
    }
    if (fds[0].revents) {
      const ssize_t n = ::read(from.get(), block.data(), block.size());
      if (n == 0) break;
      if (n > 0) seen += static_cast<std::size_t>(n);
    }
  }
  int status = 0;
  bench::check(::waitpid(cat, &status, 0) == cat, "waitpid");
  bench::check_exit(status);
  const bench::used used = watch.read();
  bench::check_sum(seen, bytes, "what came out of cat");
  return used;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_process_through_cat kept|handed_on|bare MEBIBYTES");
  const std::string what = argv[1];
  const std::size_t bytes = bench::number(argv[2]) << 20;
  // What is freed stays ours: giving a gigabyte back to the system takes a fifth as long as sending it through cat, and
  // run() frees its input.
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  const auto once = [&] { return what == "bare" ? bare(bytes) : through_cat(bytes, what == "kept"); };
  // Twice: on a virtual machine memory that was free for a while comes from its host, at a fraction of this speed.
  (void)once();
  bench::result(bytes, once()).print();
}
