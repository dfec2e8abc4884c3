// progress: a running pipeline, watched from a terminal: one live block with a line per stage; plain lines now and then
// when the output is a file or a pipe.
//
//   auto line = ... | penstock::start();
//   penstock::progress display([&] { return line.snapshot(); }, {.title = "photos → ./gallery", .unit = "photos"});
//   display.say("IMG_0017.JPG: truncated");       // above the block, without tearing it
//   auto report = line.wait();
//   display.finish();                             // the block is wiped away; print the report
//
// THREADS  One thread of its own draws. say() and finish() from any thread.
// ENDING   finish(), or the destructor, wipes the block and joins the thread. The cursor is never hidden and no mode of
//          the terminal is changed, so a killed program leaves nothing to repair.
// COST     A snapshot and a write, five times a second on a terminal, every ten seconds elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <penstock/base/mutex.hpp>
#include <penstock/pipeline/report.hpp>

namespace penstock {

struct progress_options {
  std::string title;
  std::string unit = "items";
  std::function<std::optional<std::uint64_t>()> total{};  // how many will enter in all, where that is known by now
  int descriptor = 2;                                     // stderr, so that stdout stays clean for results
  std::chrono::milliseconds redraw{200};                  // on a terminal
  std::chrono::milliseconds repeat{10'000};               // of the plain lines elsewhere
};

// What is drawn, as text, line by line: no terminal in here. `before` is an earlier snapshot, for rates that are of
// now.
[[nodiscard]] std::vector<std::string> progress_block(const report& now, const report& before,
                                                      const progress_options& options, std::size_t columns, bool color);
// The one plain line for an output that is no terminal.
[[nodiscard]] std::string progress_line(const report& now, const report& before, const progress_options& options);

class progress {
 public:
  // REQUIRES: `snapshot` may be called until finish() has returned.
  progress(std::function<report()> snapshot, progress_options options);
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() { finish(); }

  // A line of text above the block.
  void say(const std::string& text);
  void finish() noexcept;

 private:
  void draw_until_finished();
  void wipe() PENSTOCK_REQUIRES(mutex_);
  void draw() PENSTOCK_REQUIRES(mutex_);
  void write(const std::string& text) const;

  const std::function<report()> snapshot_;
  const progress_options options_;
  const bool terminal_;

  mutex mutex_;  // guards what follows
  report before_ PENSTOCK_GUARDED_BY(mutex_);
  report now_ PENSTOCK_GUARDED_BY(mutex_);
  std::size_t lines_drawn_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  bool finished_ PENSTOCK_GUARDED_BY(mutex_) = false;
  condition wake_;
  std::jthread thread_;
};

}  // namespace penstock
