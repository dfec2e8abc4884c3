// machine_gate: lets a job begin when the machine has room for it (--load, --memfree): the latest stage's first, so that
// what is begun is finished before more is.
//
// THREADS  Everything at the same time. Who waits looks twice a second: the kernel wakes nobody because its load has
//          fallen.
// ENDING   A stop lets nobody in and everybody go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <stop_token>

#include <penstock/base/mutex.hpp>

namespace penstock::runner {

class machine_gate {
 public:
  machine_gate(double most_load, std::uint64_t least_free_memory)
      : most_load_(most_load), least_free_memory_(least_free_memory) {}
  // False: the stop came first.
  bool enter(std::size_t stage, const std::stop_token& stop);

 private:
  [[nodiscard]] bool has_room() const;

  const double most_load_;
  const std::uint64_t least_free_memory_;
  mutex mutex_;  // guards what follows
  std::multiset<std::size_t> waiting_ PENSTOCK_GUARDED_BY(mutex_);
};

}  // namespace penstock::runner
