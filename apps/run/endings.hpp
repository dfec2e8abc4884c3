// endings: how a run is told to end before its items do.
//
//   drain   no more items; those that have entered go on to their end        (Ctrl-C, SIGTERM)
//   stop    nothing more is begun; what runs is finished                     (--on-fail stop, --halt soon)
//   end     nothing more is begun; what runs is ended, as --term-seq says    (--halt now, nobody reads the output)
//   kill    the same, at once                                                (Ctrl-C twice)
//
// THREADS  Everything at the same time. The later one in this list wins.
#pragma once

#include <atomic>
#include <stop_token>

namespace penstock::runner {

class endings {
 public:
  void drain() noexcept { drain_.request_stop(); }
  void stop() noexcept {
    drain();
    stop_.request_stop();
  }
  void end() noexcept {
    stop();
    end_.request_stop();
  }
  void kill() noexcept {
    killed_ = true;
    end();
  }

  [[nodiscard]] std::stop_token drained() const noexcept { return drain_.get_token(); }
  [[nodiscard]] std::stop_token stopped() const noexcept { return stop_.get_token(); }
  [[nodiscard]] std::stop_token ended() const noexcept { return end_.get_token(); }
  [[nodiscard]] bool killed() const noexcept { return killed_; }

 private:
  std::stop_source drain_, stop_, end_;
  std::atomic<bool> killed_ = false;
};

}  // namespace penstock::runner
