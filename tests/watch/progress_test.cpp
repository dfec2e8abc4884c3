// What the progress display draws; on a pseudo-terminal, that it leaves nothing behind.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <penstock/base/unique_fd.hpp>
#include <penstock/watch/progress.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

report snapshot(std::uint64_t done, std::chrono::nanoseconds wall) {
  report r;
  r.wall = wall;
  r.entered = done + 3;
  r.delivered = done;
  r.stages = {
      stage_report{.name = "source", .workers = 1, .in = done + 3, .passed = done + 3, .blocked = .8},
      stage_report{.name = "resize",
                   .workers = 2,
                   .in = done + 3,
                   .passed = done,
                   .busy = .97,
                   .starved = .03,
                   .waiting = 3,
                   .capacity = 4},
      stage_report{
          .name = "upload", .workers = 12, .in = done, .passed = done, .busy = .2, .starved = .8, .capacity = 16}};
  return r;
}

TEST(progress, shows_counts_rates_queues_the_bottleneck_and_what_is_left) {
  const progress_options options{
      .title = "photos → gallery", .unit = "photos", .total = [] { return std::optional<std::uint64_t>(100); }};
  const auto lines = progress_block(snapshot(40, 4s), snapshot(20, 2s), options, 120, false);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0], "40 of 100 photos · 10.0/s · 6.0 s left · 4.0 s  photos → gallery");
  EXPECT_EQ(lines[1], "  stage        done       rate  queue    busy");
  EXPECT_EQ(lines[2], "  resize ×2      40     10.0/s  3/4      █████████▊  97 %  ◀ bottleneck");
  EXPECT_EQ(lines[3], "  upload ×12     40     10.0/s  0/16     ██          20 %");
}

TEST(progress, the_columns_stand_however_many_are_in_flight) {
  report now = snapshot(40, 4s);
  now.stages[2].workers = 1;
  now.stages[2].in_flight = 10'000;
  const auto lines = progress_block(now, snapshot(20, 2s), {}, 120, false);
  EXPECT_EQ(lines[1], "  stage           done       rate  queue    busy");
  EXPECT_EQ(lines[2], "  resize ×2         40     10.0/s  3/4      █████████▊  97 %  ◀ bottleneck");
  EXPECT_EQ(lines[3], "  upload ×10000     40     10.0/s  0/16     ██          20 %");
}

TEST(progress, no_line_is_wider_than_the_terminal) {
  for (std::size_t columns = 1; columns < 130; ++columns)
    for (const std::string& line : progress_block(snapshot(40, 4s), {}, {.title = "photos → gallery"}, columns, true)) {
      std::size_t n = 0;
      bool sequence = false;
      for (const char c : line) {
        if (c == '\x1b') sequence = true;
        n += !sequence && (c & 0xC0) != 0x80;
        if (sequence && c == 'm') sequence = false;
      }
      ASSERT_LE(n, columns);
    }
}

TEST(progress, the_plain_line_says_the_same_in_one_sentence) {
  const progress_options options{.title = "photos", .unit = "photos"};
  EXPECT_EQ(progress_line(snapshot(40, 4s), snapshot(20, 2s), options),
            "photos: 40 photos · 10.0/s after 4.0 s, bottleneck resize (97 % busy)");
}

TEST(progress, a_file_gets_whole_lines_without_control_sequences) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const unique_fd in(ends[0]);
  unique_fd out(ends[1]);
  std::atomic<int> looks = 0;
  {
    progress display([&] { return ++looks, snapshot(40, 4s); },
                     {.title = "photos", .descriptor = out.get(), .repeat = 1ms});
    while (looks < 3) std::this_thread::yield();
    display.say("IMG.JPG: truncated");
  }
  out.reset();
  std::string text(1 << 16, '\0');
  text.resize(static_cast<std::size_t>(::read(in.get(), text.data(), text.size())));
  EXPECT_NE(text.find("IMG.JPG: truncated\n"), std::string::npos);
  EXPECT_NE(text.find("photos: 40 items"), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.back(), '\n');
}

TEST(progress, a_terminal_gets_a_block_that_is_wiped_at_the_end) {
  int terminal = -1, program = -1;
  winsize size{24, 100, 0, 0};
  ASSERT_EQ(::openpty(&terminal, &program, nullptr, nullptr, &size), 0);
  const unique_fd screen(terminal);
  unique_fd tty(program);
  ::setenv("TERM", "xterm", 1);
  std::atomic<int> looks = 0;
  {
    progress display([&] { return ++looks, snapshot(40, 4s); },
                     {.title = "photos", .descriptor = tty.get(), .redraw = 1ms});
    while (looks < 3) std::this_thread::yield();
  }
  ASSERT_EQ(::fcntl(screen.get(), F_SETFL, O_NONBLOCK), 0);
  std::string text;
  char part[4096];
  for (ssize_t n = 0; (n = ::read(screen.get(), part, sizeof part)) > 0;)
    text.append(part, static_cast<std::size_t>(n));
  EXPECT_NE(text.find("◀ bottleneck"), std::string::npos);
  EXPECT_TRUE(text.ends_with("\x1b[4A\x1b[J")) << "the last thing it does is to go up its four lines and clear them";
}

}  // namespace
}  // namespace penstock
