#include "apps/photos/image_resize.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <numbers>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock::photos {
namespace {

constexpr int fraction_bits = 14;  // a weight of 1.99 still fits 16 bits with its sign
constexpr int one = 1 << fraction_bits;
constexpr int half = one / 2;
constexpr double lobes = 3.0;
constexpr std::size_t pixel = raster::pixel_bytes;
constexpr std::size_t vector_bytes = 32;

// sinc(x) * sinc(x / 3). One sine serves both, by sin(3b) = 3 sin b - 4 sin^3 b: the sines are most of the cost of the
// weights.
double lanczos(double x) {
  if (x == 0.0) return 1.0;
  if (std::abs(x) >= lobes) return 0.0;
  const double b = std::numbers::pi * x / lobes;
  const double sine = std::sin(b);
  return sine * sine * (3.0 - 4.0 * sine * sine) / (lobes * b * b);
}

// Rows are padded so that vector code reads and writes whole vectors, and the pass across may read a few pixels of
// weight zero past the end.
std::size_t padded(int width) {
  return (pixel * static_cast<std::size_t>(width) + 2 * vector_bytes - 1) / vector_bytes * vector_bytes;
}

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp((sum + half) >> fraction_bits, 0, 255));
}

// ---- the pass down: out[i] = sum over t of rows[t][i] * value[t], for `bytes` bytes (a multiple of vector_bytes)

void down_plain(const std::uint8_t* const* rows, const std::int16_t* value, int taps, std::size_t bytes,
                std::uint8_t* out) {
  for (std::size_t i = 0; i < bytes; ++i) {
    std::int32_t sum = 0;
    for (int t = 0; t < taps; ++t) sum += rows[t][i] * value[t];
    out[i] = rounded(sum);
  }
}

// ---- the pass across: out[x] = sum over t of in[first[x] + t] * value[x][t], per channel, for two rows at a time

void across_plain(const std::uint8_t* in, const weights& w, int width, std::uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    const std::uint8_t* from = in + pixel * static_cast<std::size_t>(w.first[static_cast<std::size_t>(x)]);
    const std::int16_t* value = w.value.data() + static_cast<std::size_t>(x) * static_cast<std::size_t>(w.taps);
    for (std::size_t channel = 0; channel < pixel; ++channel) {
      std::int32_t sum = 0;
      for (std::size_t t = 0; t < static_cast<std::size_t>(w.taps); ++t) sum += from[pixel * t + channel] * value[t];
      *out++ = rounded(sum);
    }
  }
}

#if defined(__x86_64__)

bool has_vectors() { return __builtin_cpu_supports("avx2") != 0; }

__attribute__((target("avx2"))) inline __m256i load(const std::uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// Two weights, as one 32-bit word in every lane: what multiply-and-add of neighbouring 16-bit numbers wants.
__attribute__((target("avx2"))) inline __m256i two_weights(const std::int16_t* value) {
  std::int32_t both;
  std::memcpy(&both, value, sizeof both);
  return _mm256_set1_epi32(both);
}

__attribute__((target("avx2"))) void down_vector(const std::uint8_t* const* rows, const std::int16_t* value, int taps,
                                                 std::size_t bytes, std::uint8_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  for (std::size_t i = 0; i < bytes; i += vector_bytes) {
    __m256i sum0 = _mm256_set1_epi32(half), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    for (int t = 0; t < taps; t += 2) {
      const __m256i a = load(rows[t] + i);
      const __m256i b = load(rows[t + 1] + i);
      const __m256i w = two_weights(value + t);
      const __m256i low = _mm256_unpacklo_epi8(a, b);
      const __m256i high = _mm256_unpackhi_epi8(a, b);
      sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), w));
      sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), w));
      sum2 = _mm256_add_epi32(sum2, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), w));
      sum3 = _mm256_add_epi32(sum3, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), w));
    }
    const __m256i first =
        _mm256_packs_epi32(_mm256_srai_epi32(sum0, fraction_bits), _mm256_srai_epi32(sum1, fraction_bits));
    const __m256i second =
        _mm256_packs_epi32(_mm256_srai_epi32(sum2, fraction_bits), _mm256_srai_epi32(sum3, fraction_bits));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_packus_epi16(first, second));
  }
}

// Row a in the lower half of each vector, row b in the upper: the weights, which depend on x alone, are loaded once for
// both.
__attribute__((target("avx2"))) void across_vector(const std::uint8_t* a, const std::uint8_t* b, const weights& w,
                                                   int width, std::uint8_t* out_a, std::uint8_t* out_b) {
  // From four pixels to pairs of 16-bit numbers: (r0 r1)(g0 g1)(b0 b1)(x0 x1), and the same of pixels 2 and 3.
  const __m256i pair01 =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1));
  const __m256i pair23 =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1));
  const std::int16_t* value = w.value.data();
  for (int x = 0; x < width; ++x, value += w.taps) {
    const std::size_t from = pixel * static_cast<std::size_t>(w.first[static_cast<std::size_t>(x)]);
    __m256i sum = _mm256_set1_epi32(half), other = _mm256_setzero_si256();
    for (int t = 0; t < w.taps; t += 4) {
      const std::size_t at = from + pixel * static_cast<std::size_t>(t);
      const __m256i four =
          _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + at))),
                                  _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + at)), 1);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_shuffle_epi8(four, pair01), two_weights(value + t)));
      other = _mm256_add_epi32(other, _mm256_madd_epi16(_mm256_shuffle_epi8(four, pair23), two_weights(value + t + 2)));
    }
    sum = _mm256_srai_epi32(_mm256_add_epi32(sum, other), fraction_bits);
    sum = _mm256_packs_epi32(sum, sum);
    sum = _mm256_packus_epi16(sum, sum);
    const int pixel_a = _mm256_extract_epi32(sum, 0);
    const int pixel_b = _mm256_extract_epi32(sum, 4);
    std::memcpy(out_a + pixel * static_cast<std::size_t>(x), &pixel_a, pixel);
    std::memcpy(out_b + pixel * static_cast<std::size_t>(x), &pixel_b, pixel);
  }
}

#else

bool has_vectors() { return false; }

void down_vector(const std::uint8_t* const* rows, const std::int16_t* value, int taps, std::size_t bytes,
                 std::uint8_t* out) {
  down_plain(rows, value, taps, bytes, out);
}

void across_vector(const std::uint8_t* a, const std::uint8_t* b, const weights& w, int width, std::uint8_t* out_a,
                   std::uint8_t* out_b) {
  across_plain(a, w, width, out_a);
  across_plain(b, w, width, out_b);
}

#endif

}  // namespace

weights lanczos_weights(int from, int to) {
  assert(to >= 1 && to <= from);
  const double factor = static_cast<double>(from) / to;
  const double reach = lobes * factor;
  // Nothing to reduce: each output is its input. The filter would say the same, with five weights of zero beside each
  // one.
  const int window = from == to ? 1 : std::min(from, 2 * static_cast<int>(std::ceil(reach)) + 1);

  weights w;
  w.taps = (window + 3) / 4 * 4;
  w.first.resize(static_cast<std::size_t>(to));
  w.value.resize(static_cast<std::size_t>(to) * static_cast<std::size_t>(w.taps));
  std::vector<double> exact(static_cast<std::size_t>(window));
  for (int x = 0; x < to; ++x) {
    const double centre = (x + 0.5) * factor - 0.5;
    const int first = from == to ? x : std::clamp(static_cast<int>(std::ceil(centre - reach)), 0, from - window);
    double sum = 0;
    for (int t = 0; t < window; ++t) {
      exact[static_cast<std::size_t>(t)] = from == to ? 1.0 : lanczos((first + t - centre) / factor);
      sum += exact[static_cast<std::size_t>(t)];
    }
    // Rounded so that what is left over moves on to the next weight: the sum is exact, and a plain area stays exactly
    // as bright as it was.
    std::int16_t* value = w.value.data() + static_cast<std::size_t>(x) * static_cast<std::size_t>(w.taps);
    double exact_so_far = 0;
    int so_far = 0;
    for (int t = 0; t < window; ++t) {
      exact_so_far += exact[static_cast<std::size_t>(t)] / sum;
      const int next = static_cast<int>(std::lround(exact_so_far * one));
      value[t] = static_cast<std::int16_t>(next - so_far);
      so_far = next;
    }
    w.first[static_cast<std::size_t>(x)] = first;
  }
  return w;
}

reducer::reducer(extent from, extent to, arithmetic how)
    : from_(from),
      to_(to),
      vector_(how == arithmetic::fastest && has_vectors()),
      across_(lanczos_weights(from.width, to.width)),
      down_(lanczos_weights(from.height, to.height)),
      stride_(padded(from.width)),
      kept_(std::make_unique<std::uint8_t[]>(stride_ * static_cast<std::size_t>(down_.taps))),
      line_(std::make_unique<std::uint8_t[]>(2 * stride_ + pixel * static_cast<std::size_t>(across_.taps))),
      column_(static_cast<std::size_t>(down_.taps)),
      out_(to) {}

std::uint8_t* reducer::row() noexcept {
  return kept_.get() + stride_ * (static_cast<std::size_t>(rows_in_) % column_.size());
}

void reducer::row_done() {
  assert(rows_in_ < from_.height);
  ++rows_in_;
  for (int y = rows_out_ + lines_; y < to_.height; ++y) {
    // A row is due when the last source row that counts has come. Rows beyond the end never come; they weigh nothing.
    const int last = std::min(down_.first[static_cast<std::size_t>(y)] + down_.taps, from_.height);
    if (last > rows_in_) return;
    reduce_columns(y, line_.get() + stride_ * static_cast<std::size_t>(lines_));
    ++lines_;
    if (lines_ == 2 || y + 1 == to_.height) {
      reduce_rows(rows_out_, lines_);
      rows_out_ += lines_;
      lines_ = 0;
    }
  }
}

void reducer::reduce_columns(int y, std::uint8_t* to) {
  const auto first = static_cast<std::size_t>(down_.first[static_cast<std::size_t>(y)]);
  for (std::size_t t = 0; t < column_.size(); ++t) {
    column_[t] = kept_.get() + stride_ * ((first + t) % column_.size());
  }
  const std::int16_t* value = down_.value.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(down_.taps);
  (vector_ ? down_vector : down_plain)(column_.data(), value, down_.taps, stride_, to);
}

void reducer::reduce_rows(int y, int count) {
  const std::uint8_t* a = line_.get();
  const std::uint8_t* b = a + stride_;
  if (vector_ && count == 2) {
    across_vector(a, b, across_, to_.width, out_.row(y), out_.row(y + 1));
    return;
  }
  across_plain(a, across_, to_.width, out_.row(y));
  if (count == 2) across_plain(b, across_, to_.width, out_.row(y + 1));
}

raster reducer::take() noexcept {
  assert(rows_in_ == from_.height && rows_out_ == to_.height);
  return std::move(out_);
}

raster reduced(const raster& source, extent to) {
  reducer r(source.size(), to);
  for (int y = 0; y < source.size().height; ++y) {
    std::memcpy(r.row(), source.row(y), source.row_bytes());
    r.row_done();
  }
  return r.take();
}

}  // namespace penstock::photos
