// machine_gate: lets a job begin when the machine has room for it (--load, --memfree): the latest stage's first, so that
// what is begun is finished before more is.
//
// THREADS  Everything at the same time. Who waits looks twice a second: the kernel wakes nobody because its load has
//          fallen.
// ENDING   A stop lets nobody in and everybody go.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <stop_token>
#include <utility>

#include <penstock/base/mutex.hpp>

namespace penstock::runner {

class machine_gate {
 public:
  // tell: called once, when somebody has to wait for the first time.
  machine_gate(double most_load, std::uint64_t least_free_memory, std::function<void()> tell)
      : most_load_(most_load), least_free_memory_(least_free_memory), tell_(std::move(tell)) {}
  // False: the stop came first.
  bool enter(std::size_t stage, const std::stop_token& stop);

 private:
  [[nodiscard]] bool has_room() const;

  const double most_load_;
  const std::uint64_t least_free_memory_;
  const std::function<void()> tell_;
  std::atomic<bool> told_ = false;
  mutex mutex_;  // guards what follows
  std::multiset<std::size_t> waiting_ PENSTOCK_GUARDED_BY(mutex_);
};

}  // namespace penstock::runner
