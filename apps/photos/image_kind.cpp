#include "apps/photos/image_kind.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

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
    signature{0, "FUJIFILMCCD-RAW"sv, raw_reason},
    signature{6, "HEAPCCDR"sv, raw_reason},
    signature{0, "\0MRM"sv, raw_reason},
    signature{0, "IIRO"sv, raw_reason},
    signature{0, "IIRS"sv, raw_reason},
    signature{0, "MMOR"sv, raw_reason},
    signature{0, "IIU\0"sv, raw_reason},
    signature{0, "FOVb"sv, raw_reason},
    signature{0, "\0\0\x01\0"sv, "an icon is not a photo"},
};

bool at(std::string_view text, std::size_t offset, std::string_view wanted) {
  return text.size() >= offset && text.substr(offset).starts_with(wanted);
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
    if (brand == "crx ") throw not_a_photo(std::string(raw_reason));
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

  if (text.empty()) throw no_content("empty file");
  if (text.starts_with("\xff\xd8\xff"sv)) return photo_kind::jpeg;
  if (text.starts_with("\x89PNG\r\n\x1a\n"sv)) return photo_kind::png;
  if (text.starts_with("RIFF"sv) && at(text, 8, "WEBP"sv)) return photo_kind::webp;
  if (text.starts_with("GIF8"sv)) return photo_kind::gif;
  if (text.size() >= 12 && at(text, 4, "ftyp"sv)) return kind_of_boxes(text);
  if (at(text, 4, "moov"sv) || at(text, 4, "mdat"sv) || at(text, 4, "wide"sv)) throw not_a_photo("video");
  // The second pair is BigTIFF.
  if (text.starts_with("II*\0"sv) || text.starts_with("MM\0*"sv) || text.starts_with("II+\0"sv) ||
      text.starts_with("MM\0+"sv))
    return photo_kind::tiff;
  for (const signature& s : foreign) {
    if (at(text, s.offset, s.bytes)) throw not_a_photo(std::string(s.reason));
  }
  // Erased flash memory reads as 0xff.
  for (const auto& [byte, reason] :
       {std::pair('\0', "nothing but zero bytes"), std::pair('\xff', "nothing but 0xff bytes")})
    if (std::ranges::all_of(text, [wanted = byte](char c) { return c == wanted; })) throw no_content(reason);
  if (is_text(text))
    throw not_a_photo(text.find("<svg") != text.npos ? "SVG is not a photo" : "not an image: starts like text");
  throw no_content("not an image: unknown content");
}

}  // namespace penstock::photos
