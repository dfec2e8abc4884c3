// reducer: makes a picture smaller while it is being decoded: rows go in at the top, the finished raster comes out at
// the end.
//
//   reducer small({4000, 3000}, {2048, 1536});
//   for (int y = 0; y < 3000; ++y) {
//     decode_row_into(small.row());        // 4 * 4000 bytes
//     small.row_done();
//   }
//   raster result = small.take();
//
// The filter is Lanczos with three lobes, separable: columns first, because that halves the rows before the dearer
// pass. Arithmetic is integer, 14 bits of fraction; the vector code and the plain code give the same bytes (a test
// holds them to it). Not vips_resize(): libvips 8.14 has no vector code for the pass across, and takes 80 ms for
// 12 million pixels where this takes 20. What would change our mind: a packaged libvips from 8.16 on, which has.
//
// THREADS  One object is for one thread.
// MEMORY   The raster, and as many source rows as the filter is high (6 × factor + 2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "apps/photos/image_raster.hpp"

namespace penstock::photos {

// For each output place along one axis, which inputs count and how much.
struct weights {
  int taps = 0;                     // inputs per output; the last ones may weigh nothing
  std::vector<int> first;           // per output: index of its first input
  std::vector<std::int16_t> value;  // taps per output; each output's sum is 1 << 14
};

// REQUIRES: 1 <= to <= from. taps is a multiple of 4; first + taps may reach beyond `from`, with weights of zero.
[[nodiscard]] weights lanczos_weights(int from, int to);

enum class arithmetic { fastest, plain };  // plain: without vector instructions, for the test that compares

class reducer {
 public:
  // REQUIRES: 1 <= to <= from on both axes.
  reducer(extent from, extent to, arithmetic how = arithmetic::fastest);

  // Where the next source row is to be written; valid until row_done().
  [[nodiscard]] std::uint8_t* row() noexcept;
  void row_done();

  // REQUIRES: every source row was given.
  [[nodiscard]] raster take() noexcept;

 private:
  void reduce_columns(int y, std::uint8_t* to);
  void reduce_rows(int y, int count);

  const extent from_;
  const extent to_;
  const bool vector_;
  const weights across_;
  const weights down_;
  const std::size_t stride_;  // bytes from one kept row to the next

  int rows_in_ = 0;
  int rows_out_ = 0;
  int lines_ = 0;                            // rows reduced downward, waiting in line_ for the pass across: 0 or 1
  std::unique_ptr<std::uint8_t[]> kept_;     // the last down_.taps source rows, in turn
  std::unique_ptr<std::uint8_t[]> line_;     // two rows: the pass across takes two at a time
  std::vector<const std::uint8_t*> column_;  // the rows that make the next output row, top first
  raster out_;
};

// The whole of it for pixels that are there already.
[[nodiscard]] raster reduced(const raster& source, extent to);

}  // namespace penstock::photos
