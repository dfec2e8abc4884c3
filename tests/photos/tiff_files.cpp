#include "tests/photos/tiff_files.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace penstock::photos::test_files {
namespace {

static_assert(std::endian::native == std::endian::little);

class tiff_writer {
 public:
  explicit tiff_writer(tiff_flavor flavor)
      : big_(flavor == tiff_flavor::big_tiff), swap_(flavor == tiff_flavor::big_endian) {
    out_ = bytes_of(swap_ ? "MM" : "II");
    put(out_, big_ ? 43 : 42, 2);
    if (big_) put(out_, 8, 4);
    put(out_, 0, offset_bytes());
  }

  file_bytes take(const std::vector<tiff_directory>& chain) {
    std::vector<std::uint64_t> pixels;
    for (const auto& d : chain) put_pixels(d, pixels);
    auto next = pixels.begin();
    std::size_t link = big_ ? 8 : 4;
    for (const auto& d : chain) {
      const place put = put_directory(d, next);
      set_link(link, put.start);
      link = put.link;
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::size_t offset_bytes() const { return big_ ? 8 : 4; }

  void put(file_bytes& to, std::uint64_t value, std::size_t size) const {
    for (std::size_t i = 0; i < size; ++i)
      to.push_back(static_cast<std::byte>(value >> 8 * (swap_ ? size - 1 - i : i) & 255U));
  }

  void put_pixels(const tiff_directory& d, std::vector<std::uint64_t>& at) {
    at.push_back(out_.size());
    out_.insert(out_.end(), d.pixels.begin(), d.pixels.end());
    if (out_.size() % 2 != 0) out_.push_back(std::byte{0});
    for (const auto& b : d.below) put_pixels(b, at);
  }

  struct place {
    std::size_t start;
    std::size_t link;  // where the offset of the next directory stands
  };

  place put_directory(const tiff_directory& d, std::vector<std::uint64_t>::iterator& pixels) {
    auto tags = d.tags;
    if (!d.pixels.empty()) {
      tags[273] = {static_cast<std::uint32_t>(*pixels)};
      tags[279] = {static_cast<std::uint32_t>(d.pixels.size())};
    }
    ++pixels;
    for (const auto& b : d.below) {
      const auto below = static_cast<std::uint32_t>(put_directory(b, pixels).start);
      tags[330].push_back(below);
    }
    const std::size_t start = out_.size();
    const std::size_t entry_bytes = big_ ? 20 : 12, count_bytes = big_ ? 8 : 2;
    const std::size_t after = out_.size() + count_bytes + entry_bytes * tags.size() + offset_bytes();
    put(out_, tags.size(), count_bytes);
    file_bytes tail;
    for (const auto& [tag, values] : tags) {
      put(out_, tag, 2);
      put(out_, 4, 2);  // LONG
      put(out_, values.size(), offset_bytes());
      file_bytes field;
      for (const auto value : values) put(field, value, 4);
      if (field.size() > offset_bytes()) {
        put(out_, after + tail.size(), offset_bytes());
        tail.insert(tail.end(), field.begin(), field.end());
      } else {
        field.resize(offset_bytes());
        out_.insert(out_.end(), field.begin(), field.end());
      }
    }
    const std::size_t own_link = out_.size();
    put(out_, 0, offset_bytes());
    out_.insert(out_.end(), tail.begin(), tail.end());
    return {start, own_link};
  }

  void set_link(std::size_t link, std::uint64_t to) {
    file_bytes bytes;
    put(bytes, to, offset_bytes());
    std::copy(bytes.begin(), bytes.end(), out_.begin() + static_cast<std::ptrdiff_t>(link));
  }

  const bool big_;
  const bool swap_;
  file_bytes out_;
};

}  // namespace

file_bytes tiff_file(const std::vector<tiff_directory>& chain, tiff_flavor flavor) {
  return tiff_writer(flavor).take(chain);
}

tiff_directory ramp(int width, int height, int channels, unsigned bits, unsigned format,
                    const std::function<void(file_bytes&, double)>& write) {
  tiff_directory out;
  const auto size = [](int length) { return static_cast<std::uint32_t>(length); };
  const std::vector<std::uint32_t> each(size(channels), bits), formats(size(channels), format);
  out.tags = {
      {256, {size(width)}},    {257, {size(height)}}, {258, each}, {259, {1}},    {262, {channels == 1 ? 1U : 2U}},
      {277, {size(channels)}}, {278, {size(height)}}, {284, {1}},  {339, formats}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c) write(out.pixels, static_cast<double>(x) / (width - 1));
  return out;
}

tiff_directory plain_picture(int width, int height, std::array<std::uint8_t, 3> c) {
  std::size_t channel = 0;
  return ramp(width, height, 3, 8, 1, [&](file_bytes& to, double) { put_number(to, c[channel++ % 3]); });
}

}  // namespace penstock::photos::test_files
