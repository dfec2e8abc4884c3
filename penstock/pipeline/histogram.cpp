#include <algorithm>
#include <cmath>

#include <penstock/pipeline/histogram.hpp>

namespace penstock {

std::uint64_t histogram::upper_end(std::size_t index) noexcept {
  if (index < (std::size_t{2} << sub_bits)) return index;
  const std::size_t shift = (index >> sub_bits) - 1;
  const std::uint64_t leading = (index & ((1u << sub_bits) - 1)) + (1u << sub_bits);
  return ((leading + 1) << shift) - 1;
}

duration_quantiles histogram::quantiles(const std::vector<const histogram*>& parts) {
  std::array<std::uint64_t, bucket_count> sum{};
  duration_quantiles out;
  std::uint64_t max = 0;
  for (const histogram* part : parts) {
    for (std::size_t i = 0; i < bucket_count; ++i) sum[i] += part->buckets_[i].load(std::memory_order_relaxed);
    max = std::max(max, part->max_.load(std::memory_order_relaxed));
  }
  for (const std::uint64_t n : sum) out.samples += n;
  if (out.samples == 0) return out;
  const auto at = [&](double q) {
    const auto rank =
        std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(out.samples))));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
      seen += sum[i];
      if (seen >= rank) return std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(upper_end(i), max)));
    }
    return std::chrono::nanoseconds(static_cast<std::int64_t>(max));
  };
  out.p50 = at(.50);
  out.p90 = at(.90);
  out.p99 = at(.99);
  out.max = std::chrono::nanoseconds(static_cast<std::int64_t>(max));
  return out;
}

}  // namespace penstock
