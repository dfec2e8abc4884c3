// histogram: durations in buckets whose width grows with their value (eight to each power of two, so quantiles are good
// to 12 %), after the idea of Gil Tene's HdrHistogram.
//
// THREADS  One thread adds; any may read at the same time and sees a recent state.
// MEMORY   4 KiB, fixed.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock {

// Quantiles of a set of durations; all zero when it is empty.
struct duration_quantiles {
  std::uint64_t samples = 0;
  std::chrono::nanoseconds p50{0}, p90{0}, p99{0}, max{0};
};

class histogram {
 public:
  void add(std::int64_t ns) noexcept {
    const auto value = static_cast<std::uint64_t>(ns < 0 ? 0 : ns);
    bump(buckets_[index_of(value)]);
    if (value > max_.load(std::memory_order_relaxed)) max_.store(value, std::memory_order_relaxed);
  }

  // The quantiles of all of `parts` taken together.
  static duration_quantiles quantiles(const std::vector<const histogram*>& parts);

 private:
  static constexpr unsigned sub_bits = 3;
  static constexpr std::size_t bucket_count = (64 - sub_bits + 1) << sub_bits;

  static std::size_t index_of(std::uint64_t value) noexcept {
    if (value < (1u << sub_bits)) return static_cast<std::size_t>(value);
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - sub_bits;
    return (std::size_t{shift} << sub_bits) + static_cast<std::size_t>(value >> shift);
  }
  static std::uint64_t upper_end(std::size_t index) noexcept;
  static void bump(std::atomic<std::uint64_t>& counter) noexcept {
    // One writer: a plain addition, published relaxed. A reader wants a number, not an order.
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  std::array<std::atomic<std::uint64_t>, bucket_count> buckets_{};
  std::atomic<std::uint64_t> max_ = 0;
};

}  // namespace penstock
