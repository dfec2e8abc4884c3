#include "tests/photos/photo_files.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "apps/photos/image.hpp"

// Asked by the leak sanitizer, where it is built in. libx265 keeps its tables until the process ends; only the tests
// encode with it.
extern "C" const char* __lsan_default_suppressions();  // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions() { return "leak:libx265\n"; }

namespace penstock::photos::test_files {

using vips::VImage;

void start_library() { static const image_library library; }

VImage flat(int width, int height, color c) {
  return (VImage::black(width, height) + std::vector<double>(c.begin(), c.end()))
      .cast(VIPS_FORMAT_UCHAR)
      .copy(VImage::option()->set("interpretation", VIPS_INTERPRETATION_sRGB));
}

VImage scenery(int width, int height) {
  const VImage xy = VImage::xyz(width, height);
  const VImage x = xy.extract_band(0) * (1.0 / width);
  const VImage y = xy.extract_band(1) * (1.0 / height);
  const VImage waves = ((x * 1500.0).sin() * (y * 900.0).cos()) * 40.0;
  return x.linear(180, 40)
      .bandjoin(y.linear(180, 40))
      .bandjoin(waves + 128)
      .cast(VIPS_FORMAT_UCHAR)
      .copy(VImage::option()->set("interpretation", VIPS_INTERPRETATION_sRGB))
      .copy_memory();
}

void paint(VImage& image, int left, int top, int width, int height, color c) {
  image = image.insert(flat(width, height, c), left, top).copy_memory();
}

file_bytes saved(const VImage& image, const std::string& suffix) {
  void* bytes = nullptr;
  std::size_t size = 0;
  image.write_to_buffer(suffix.c_str(), &bytes, &size);
  const auto* first = static_cast<const std::byte*>(bytes);
  file_bytes out(first, first + size);
  g_free(bytes);
  return out;
}

file_bytes profile(const std::string& name) {
  VipsBlob* blob = nullptr;
  if (vips_profile_load(name.c_str(), &blob, nullptr) != 0) return {};
  std::size_t size = 0;
  const auto* first = static_cast<const std::byte*>(vips_blob_get(blob, &size));
  file_bytes out(first, first + size);
  vips_area_unref(VIPS_AREA(blob));
  return out;
}

file_bytes system_profile(const std::string& name) {
  std::ifstream file("/usr/share/color/icc/colord/" + name + ".icc", std::ios::binary);
  return bytes_of(std::string(std::istreambuf_iterator<char>(file), {}));
}

VImage with_profile(const VImage& image, const file_bytes& icc) {
  VImage copy = image.copy();
  copy.set(VIPS_META_ICC_NAME, static_cast<VipsCallbackFn>(nullptr), const_cast<std::byte*>(icc.data()), icc.size());
  // The profile's bytes belong to the caller: what is saved must be saved while they live.
  return copy.copy_memory();
}

namespace {

void put16(file_bytes& out, std::uint32_t value) {
  out.push_back(static_cast<std::byte>(value >> 8U & 255U));
  out.push_back(static_cast<std::byte>(value & 255U));
}

void put32(file_bytes& out, std::uint32_t value) {
  put16(out, value >> 16U);
  put16(out, value & 0xffffU);
}

struct field {
  std::uint16_t tag;
  std::uint16_t type;
  std::string value;  // as it stands in the file
};

// A directory at offset `at` of the block, its long values right behind it.
file_bytes directory(std::vector<field> fields, std::uint32_t at) {
  std::ranges::sort(fields, {}, &field::tag);
  file_bytes head;
  file_bytes tail;
  const auto after = at + 2 + 12 * static_cast<std::uint32_t>(fields.size()) + 4;
  put16(head, static_cast<std::uint32_t>(fields.size()));
  for (const field& f : fields) {
    const std::size_t unit = f.type == 3 ? 2 : f.type == 4 ? 4 : 1;
    put16(head, f.tag);
    put16(head, f.type);
    put32(head, static_cast<std::uint32_t>(f.value.size() / unit));
    file_bytes value = bytes_of(f.value);
    if (value.size() <= 4) {
      value.resize(4);
      head.insert(head.end(), value.begin(), value.end());
    } else {
      put32(head, after + static_cast<std::uint32_t>(tail.size()));
      tail.insert(tail.end(), value.begin(), value.end());
    }
  }
  put32(head, 0);
  head.insert(head.end(), tail.begin(), tail.end());
  return head;
}

std::string number32(std::uint32_t value) {
  file_bytes out;
  put32(out, value);
  return text_of(out);
}

std::vector<field> texts(const std::map<std::uint16_t, std::string>& tags) {
  std::vector<field> out;
  for (const auto& [tag, value] : tags) out.push_back({tag, 2, value + '\0'});
  return out;
}

}  // namespace

file_bytes exif_block(const exif_text& tags) {
  std::vector<field> first = texts(tags.first);
  if (tags.orientation != 0) first.push_back({0x112, 3, {'\0', static_cast<char>(tags.orientation)}});
  // Offsets do not change a directory's size, so it is laid out once with zeros to learn where the next one starts.
  first.push_back({0x8769, 4, number32(0)});
  first.push_back({0x8825, 4, number32(0)});
  std::vector<field> exif = texts(tags.exif);
  exif.push_back({0xa005, 4, number32(0)});
  constexpr std::uint32_t start = 8;
  const auto exif_at = start + static_cast<std::uint32_t>(directory(first, start).size());
  const auto position_at = exif_at + static_cast<std::uint32_t>(directory(exif, exif_at).size());
  const auto interoperability_at =
      position_at + static_cast<std::uint32_t>(directory(texts(tags.position), position_at).size());
  std::ranges::find(first, 0x8769, &field::tag)->value = number32(exif_at);
  std::ranges::find(first, 0x8825, &field::tag)->value = number32(position_at);
  std::ranges::find(exif, 0xa005, &field::tag)->value = number32(interoperability_at);

  file_bytes out = bytes_of(std::string_view("Exif\0\0MM\0*", 10));
  put32(out, start);
  for (const file_bytes& part :
       {directory(first, start), directory(exif, exif_at), directory(texts(tags.position), position_at),
        directory(texts(tags.interoperability), interoperability_at)}) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

file_bytes with_exif(const file_bytes& jpeg, const file_bytes& block) {
  file_bytes out(jpeg.begin(), jpeg.begin() + 2);
  put16(out, 0xffe1);
  put16(out, static_cast<std::uint32_t>(block.size() + 2));
  out.insert(out.end(), block.begin(), block.end());
  out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
  return out;
}

file_bytes png_header(std::uint32_t width, std::uint32_t height) {
  file_bytes chunk = bytes_of("IHDR");
  put32(chunk, width);
  put32(chunk, height);
  const file_bytes rest = bytes_of(std::string_view("\x01\0\0\0\0", 5));  // one bit, grey
  chunk.insert(chunk.end(), rest.begin(), rest.end());
  std::uint32_t check = 0xffffffffU;
  for (const std::byte b : chunk) {
    check ^= std::to_integer<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) check = check >> 1U ^ ((check & 1U) != 0 ? 0xedb88320U : 0U);
  }
  file_bytes out = bytes_of("\x89PNG\r\n\x1a\n");
  put32(out, 13);
  out.insert(out.end(), chunk.begin(), chunk.end());
  put32(out, ~check);
  const file_bytes pixels =
      bytes_of(std::string_view("\0\0\0\x08"
                                "IDAT\0\0\0\0\0\0\0\0",
                                16));
  out.insert(out.end(), pixels.begin(), pixels.end());
  return out;
}

file_bytes bytes_of(std::string_view text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

VImage decoded(const gallery::rendition& r) {
  return VImage::new_from_buffer(r.bytes.data(), r.bytes.size(), "").copy_memory();
}

color color_at(const VImage& image, double x, double y) {
  const int side = std::min({5, image.width(), image.height()});
  const int left = std::clamp(static_cast<int>(x * image.width()) - side / 2, 0, image.width() - side);
  const int top = std::clamp(static_cast<int>(y * image.height()) - side / 2, 0, image.height() - side);
  const VImage part = image.crop(left, top, side, side);
  color c{};
  for (int band = 0; band < 3; ++band)
    c.at(static_cast<std::size_t>(band)) = part.extract_band(std::min(band, part.bands() - 1)).avg();
  return c;
}

}  // namespace penstock::photos::test_files
