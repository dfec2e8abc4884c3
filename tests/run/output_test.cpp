// The order of the output: turns, whoever prints first, and whatever becomes of a job.
#include "apps/run/output.hpp"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace penstock::runner {
namespace {

// stdout as a file for as long as it lives.
class captured {
 public:
  captured() : file_(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)), former_(::dup(STDOUT_FILENO)) {
    std::fflush(stdout);
    ::dup2(file_.get(), STDOUT_FILENO);
  }
  ~captured() { ::dup2(former_.get(), STDOUT_FILENO); }
  std::string text() {
    std::string all(static_cast<std::size_t>(::lseek(file_.get(), 0, SEEK_END)), '\0');
    EXPECT_EQ(::pread(file_.get(), all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
    return all;
  }

 private:
  unique_fd file_, former_;
};

printed says(const std::string& text) { return {.out = text}; }

TEST(output, is_printed_in_turn) {
  captured out;
  output shown({.window = 9});
  auto a = shown.next_turn(), b = shown.next_turn(), c = shown.next_turn();
  shown.print(c.get(), "", says("c"), STDOUT_FILENO);
  shown.print(a.get(), "", says("a"), STDOUT_FILENO);
  EXPECT_EQ(out.text(), "a");  // the moment it comes
  a.reset();
  EXPECT_EQ(out.text(), "a");
  c.reset();
  EXPECT_EQ(out.text(), "a");
  b.reset();  // it failed somewhere, and has nothing to say
  EXPECT_EQ(out.text(), "ac");
}

TEST(output, what_an_item_becomes_has_its_place) {
  captured out;
  output shown({.window = 9});
  auto a = shown.next_turn(), b = shown.next_turn();
  auto a1 = a->before(), a2 = a->before();
  shown.print(b.get(), "", says("b"), STDOUT_FILENO);
  b.reset();
  shown.print(a2.get(), "", says("2"), STDOUT_FILENO);
  a2.reset();
  shown.print(a1.get(), "", says("1"), STDOUT_FILENO);
  a1.reset();
  EXPECT_EQ(out.text(), "12");  // there may be a third
  a.reset();
  EXPECT_EQ(out.text(), "12b");
}

TEST(output, nothing_is_lost_when_turns_never_come) {
  captured out;
  output shown({.window = 1});
  auto a = shown.next_turn(), b = shown.next_turn(), c = shown.next_turn();
  shown.print(b.get(), "", says("b"), STDOUT_FILENO);
  shown.wait_no_more();  // or the next one would wait for ever
  shown.print(c.get(), "", says("c"), STDOUT_FILENO);
  EXPECT_EQ(out.text(), "");
  shown.finish();
  EXPECT_EQ(out.text(), "bc");
}

TEST(output, order_holds_in_every_interleaving) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  captured out;
  constexpr int items = 2000, threads = 4;
  std::string expected;
  {
    output shown({.window = threads});
    // Taken in turn, as from a queue.
    std::mutex m;
    int next = 0;
    std::vector<std::jthread> workers;
    for (int t = 0; t < threads; ++t)
      workers.emplace_back([&, t] {
        std::minstd_rand random(seed + static_cast<unsigned>(t));
        for (;;) {
          std::unique_lock lock(m);
          if (next == items) return;
          const int mine = next++;
          auto turn = shown.next_turn();
          lock.unlock();
          if (random() % 8 == 0) std::this_thread::yield();
          if (mine % 7) shown.print(turn.get(), "", says(std::to_string(mine) + '\n'), STDOUT_FILENO);
        }
      });
  }
  for (int i = 0; i < items; ++i)
    if (i % 7) expected += std::to_string(i) + '\n';
  EXPECT_EQ(out.text(), expected);
}

TEST(output, tags_begin_each_line) {
  captured out;
  output shown({.tag = true});
  shown.print(nullptr, "t", says("a\n\nb"), STDOUT_FILENO);
  std::string rest;
  shown.stream(STDOUT_FILENO, "s", "x\ny", rest);
  EXPECT_EQ(out.text(), "t\ta\nt\t\nt\tb\ns\tx\n");
  shown.finish_stream(STDOUT_FILENO, "s", rest);
  EXPECT_EQ(out.text(), "t\ta\nt\t\nt\tb\ns\tx\ns\ty\n");
}

TEST(output, a_broken_stdout_is_told_once) {
  captured out;
  unique_fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ::dup2(full.get(), STDOUT_FILENO);
  std::vector<int> errors;
  output shown({.on_broken = [&](int error) { errors.push_back(error); }});
  shown.print(nullptr, "", says("a"), STDOUT_FILENO);
  shown.print(nullptr, "", says("b"), STDOUT_FILENO);
  EXPECT_EQ(errors, std::vector<int>{ENOSPC});
  EXPECT_TRUE(shown.broken());
}

TEST(output, what_is_said_while_something_is_written_is_written_next) {
  captured out;
  unique_fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ::dup2(full.get(), STDOUT_FILENO);
  std::vector<int> written;
  std::unique_ptr<output> shown;
  // Both come back into the output, on the thread that writes.
  shown = std::make_unique<output>(output::options{.on_broken = [&](int) { shown->say("broken"); }});
  shown->print(nullptr, "", says("a"), STDOUT_FILENO, [&](int error) {
    written.push_back(error);
    shown->say("lost");
  });
  EXPECT_EQ(written, std::vector<int>{ENOSPC});
}

TEST(output, a_reader_that_does_not_read_holds_up_writers_until_it_is_given_up) {
  captured out;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  unique_fd read(ends[0]), write(ends[1]);
  ::dup2(write.get(), STDOUT_FILENO);
  output shown({.window = 1});
  std::atomic<int> lost = 0, begun = 0;
  auto first = shown.next_turn();
  std::vector<std::jthread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&, i] {
      ++begun;
      shown.print(nullptr, "", says(std::string(300'000, 'x')), STDOUT_FILENO,
                  [&](int error) { lost += error == ECANCELED; });
      shown.print_unordered("", says("y"), i % 2 ? STDOUT_FILENO : -1);
    });
  int filled = 0;
  while (begun < 4 || filled < 60'000) ::ioctl(read.get(), FIONREAD, &filled);
  // Nothing of this waits for the reader.
  shown.announce("never waits");
  shown.wait_no_more();
  shown.give_up();
  writers.clear();
  first.reset();
  shown.finish();
  EXPECT_EQ(lost, 4);
  EXPECT_TRUE(shown.broken());
}

}  // namespace
}  // namespace penstock::runner
