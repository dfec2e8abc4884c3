// scaler: gives workers to the stages that may have more or fewer of them, and takes them away: a thread of its own that
// looks every 20 ms while such a stage has work, and sleeps otherwise. What it decides by: scaling.hpp.
//
// Workers come with threads, one for each, as those of fixed stages do; when a worker is taken away, the thread that has
// slept longest goes home and is joined here.
//
// THREADS  wake(), notice() and end() from anywhere; run() is the thread's whole life.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/scaling.hpp>

namespace penstock {

class scaler {
 public:
  // What the run does for it. add_thread throws if there is none to be had. worker_added: there may be
  // work for one that nobody has seen; worker_removed: that may have been what kept the stage from ending.
  struct means {
    std::function<void()> add_thread, remove_thread, join_the_gone, worker_added;
    std::function<void(node&)> worker_removed;
  };
  // nodes: outlive the scaler.
  scaler(const std::vector<std::unique_ptr<node>>& nodes, means m);

  // Whether there is anything to scale.
  [[nodiscard]] bool is_needed() const noexcept { return !posts_.empty(); }
  void run();
  // A stage with a range of workers has found work.
  void notice() noexcept {
    if (asleep_.load()) wake();
  }
  void end() noexcept;
  // What was done about a node's workers so far, the latest.
  [[nodiscard]] std::vector<scaling_step> steps(const node& n) const;

 private:
  struct post {
    node& at;
    scaling rule;
    std::vector<scaling_step> steps{};
    bool no_more_threads = false;
    std::size_t removed = 0;  // so many workers whose threads have not been sent home
  };
  void wake() noexcept;
  void look_at(post& p, double free_processors);
  void grow(post& p, std::size_t to, scaling_reason why);
  void shrink(post& p, std::size_t to, scaling_reason why);
  void send_threads_home(post& p);
  void note(post& p, std::size_t from, scaling_reason why);
  [[nodiscard]] bool all_idle() const noexcept;

  const means means_;
  std::vector<post> posts_;
  std::int64_t began_ = 0;

  system::atomic<bool> asleep_ = false;
  system::atomic<bool> over_ = false;
  system::atomic<std::uint32_t> bell_ = 0;

  mutable mutex mutex_;  // guards the steps
};

}  // namespace penstock
