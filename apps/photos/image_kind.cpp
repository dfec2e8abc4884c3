#include "apps/photos/image_kind.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace penstock::photos {
namespace {

using namespace std::string_view_literals;

struct signature {
  std::size_t offset;
  std::string_view bytes;
  std::string_view reason;
};

// What turns up in photo folders and is no photo, most telling first.
constexpr std::array foreign{
    signature{0, "%PDF-"sv, "PDF is not a photo"},
    signature{0, "PK\x03\x04"sv, "archive"},
    signature{0, "\x1f\x8b"sv, "archive"},
    signature{0, "Rar!"sv, "archive"},
    signature{0, "7z\xbc\xaf"sv, "archive"},
    signature{0, "\x1a\x45\xdf\xa3"sv, "video"},
    signature{8, "AVI "sv, "video"},
    signature{8, "WAVE"sv, "sound"},
    signature{0, "\0\0\x01\xba"sv, "video"},
    signature{0, "\0\0\x01\xb3"sv, "video"},
    signature{0, "ID3"sv, "sound"},
    signature{0, "OggS"sv, "sound or video"},
    signature{0, "fLaC"sv, "sound"},
    signature{0,
              "\x7f"
              "ELF"sv,
              "program"},
    signature{0, "BM"sv, "BMP is not supported: convert it to PNG or JPEG"},
    signature{0, "8BPS"sv, "Photoshop documents are not supported: export a JPEG"},
    signature{0, "\0\0\0\x0cjP  "sv, "JPEG 2000 is not supported: convert it to JPEG"},
    signature{0, "\xff\x0a"sv, "JPEG XL is not supported: convert it to JPEG"},
    signature{0, "\0\0\0\x0cJXL "sv, "JPEG XL is not supported: convert it to JPEG"},
    signature{0, "FUJIFILMCCD-RAW"sv, "camera RAW is not supported: publish the JPEG beside it"},
    signature{0, "IIRO"sv, "camera RAW is not supported: publish the JPEG beside it"},
    signature{0, "IIRS"sv, "camera RAW is not supported: publish the JPEG beside it"},
    signature{0, "MMOR"sv, "camera RAW is not supported: publish the JPEG beside it"},
    signature{0, "IIU\0"sv, "camera RAW is not supported: publish the JPEG beside it"},
    signature{0, "FOVb"sv, "camera RAW is not supported: publish the JPEG beside it"},
    signature{0, "\0\0\x01\0"sv, "an icon is not a photo"},
};

bool at(std::string_view text, std::size_t offset, std::string_view wanted) {
  return text.size() >= offset && text.substr(offset).starts_with(wanted);
}

// Numbers of a TIFF header in the byte order that it names; out of bounds reads as 0, which is no valid offset or tag.
class tiff_numbers {
 public:
  explicit tiff_numbers(std::string_view text) : text_(text), big_(text.starts_with('M')) {}
  [[nodiscard]] std::uint32_t get(std::size_t offset, std::size_t size) const {
    if (offset > text_.size() || text_.size() - offset < size) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const auto byte = static_cast<unsigned char>(text_[offset + (big_ ? i : size - 1 - i)]);
      value = (value << 8U) | byte;
    }
    return value;
  }

 private:
  std::string_view text_;
  bool big_;
};

// Most RAW files are TIFF files whose first picture is a thumbnail: decoded as TIFF, a stamp of 160 pixels would be
// published. Told apart by what TIFF itself says of its first directory: "reduced from another picture in this file",
// or "raw sensor values".
bool is_raw_tiff(std::string_view text) {
  constexpr std::uint32_t new_subfile_type = 254, photometric = 262, dng_version = 50706;
  constexpr std::uint32_t colour_filter_array = 32803, linear_raw = 34892;
  if (at(text, 8, "CR\x02"sv)) return true;
  const tiff_numbers numbers(text);
  const std::size_t directory = numbers.get(4, 4);
  const std::size_t entries = numbers.get(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;
    const std::uint32_t tag = numbers.get(entry, 2);
    const std::size_t size = numbers.get(entry + 2, 2) == 3 ? 2 : 4;
    const std::uint32_t value = numbers.get(entry + 8, size);
    if (tag == dng_version) return true;
    if (tag == new_subfile_type && (value & 1U) != 0) return true;
    if (tag == photometric && (value == colour_filter_array || value == linear_raw)) return true;
    if (tag == 0) return false;
  }
  return false;
}

// The brands that follow `ftyp`: the main one, then the compatible ones. Phones write mif1 as main brand with heic or
// avif among the others.
photo_kind kind_of_boxes(std::string_view text) {
  // The box's size: four bytes, of which a list of brands needs the last two at most.
  const std::size_t size = std::size_t{static_cast<unsigned char>(text[2])} << 8U | static_cast<unsigned char>(text[3]);
  const std::string_view box = text.substr(0, std::max<std::size_t>(size, 16));
  bool still = false;
  for (std::size_t i = 8; i + 4 <= box.size(); i += i == 8 ? 8 : 4) {
    const std::string_view brand = box.substr(i, 4);
    if (brand == "avif" || brand == "avis") return photo_kind::avif;
    if (brand == "heic" || brand == "heix" || brand == "heim" || brand == "heis" || brand == "hevc" ||
        brand == "hevx") {
      return photo_kind::heic;
    }
    if (brand == "crx ") throw not_a_photo("camera RAW is not supported: publish the JPEG beside it");
    if (brand == "mif1" || brand == "msf1") still = true;
  }
  if (still) return photo_kind::heic;
  throw not_a_photo("video");
}

// Every byte one that text has: no control characters but the spaces, any byte above 127 (UTF-8, Latin-1).
bool is_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 ? byte != 0x7f : (byte >= 0x09 && byte <= 0x0d) || byte == 0x1b;
  });
}

}  // namespace

std::string_view name_of(photo_kind kind) noexcept {
  switch (kind) {
    case photo_kind::jpeg:
      return "JPEG";
    case photo_kind::png:
      return "PNG";
    case photo_kind::webp:
      return "WebP";
    case photo_kind::heic:
      return "HEIC";
    case photo_kind::avif:
      return "AVIF";
    case photo_kind::tiff:
      return "TIFF";
    case photo_kind::gif:
      return "GIF";
  }
  return "?";
}

photo_kind kind_of(std::span<const std::byte> first_bytes) {
  const std::size_t looked_at = std::min(first_bytes.size(), first_bytes_wanted);
  std::string text(looked_at, '\0');
  std::ranges::transform(first_bytes.first(looked_at), text.begin(), [](std::byte b) { return static_cast<char>(b); });

  if (text.empty()) throw not_a_photo("empty file");
  if (text.starts_with("\xff\xd8\xff"sv)) return photo_kind::jpeg;
  if (text.starts_with("\x89PNG\r\n\x1a\n"sv)) return photo_kind::png;
  if (text.starts_with("RIFF"sv) && at(text, 8, "WEBP"sv)) return photo_kind::webp;
  if (text.starts_with("GIF8"sv)) return photo_kind::gif;
  if (text.size() >= 12 && at(text, 4, "ftyp"sv)) return kind_of_boxes(text);
  if (at(text, 4, "moov"sv) || at(text, 4, "mdat"sv) || at(text, 4, "wide"sv)) throw not_a_photo("video");
  if (text.starts_with("II*\0"sv) || text.starts_with("MM\0*"sv)) {
    if (is_raw_tiff(text)) throw not_a_photo("camera RAW is not supported: publish the JPEG beside it");
    return photo_kind::tiff;
  }
  for (const signature& s : foreign) {
    if (at(text, s.offset, s.bytes)) throw not_a_photo(std::string(s.reason));
  }
  if (std::ranges::all_of(text, [](char c) { return c == '\0'; })) throw not_a_photo("nothing but zero bytes");
  if (is_text(text))
    throw not_a_photo(text.find("<svg") != text.npos ? "SVG is not a photo" : "not an image: starts like text");
  throw not_a_photo("not an image: unknown content");
}

}  // namespace penstock::photos
