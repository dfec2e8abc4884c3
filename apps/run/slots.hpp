// slots: numbers for workers, from 1, the lowest that is free: what {%} stands for.
#pragma once

#include <cstddef>
#include <vector>

#include <penstock/base/mutex.hpp>

namespace penstock::runner {

class slots {
 public:
  [[nodiscard]] std::size_t take() {
    mutex_lock lock(mutex_);
    for (std::size_t i = 0; i < taken_.size(); ++i)
      if (!taken_[i]) {
        taken_[i] = true;
        return i + 1;
      }
    taken_.push_back(true);
    return taken_.size();
  }
  void give_back(std::size_t slot) noexcept {
    mutex_lock lock(mutex_);
    taken_[slot - 1] = false;
  }

 private:
  mutex mutex_;
  std::vector<bool> taken_ PENSTOCK_GUARDED_BY(mutex_);
};

}  // namespace penstock::runner
