#include "apps/gallery/metadata.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "apps/gallery/rules.hpp"

namespace penstock::gallery {
namespace {

using std::string_view_literals::operator""sv;

[[noreturn]] void refuse(std::string_view why) { throw invalid_photo("a rendition " + std::string(why)); }

constexpr std::string_view not_whole = "is not a whole file: it is cut short or malformed";

// Reads numbers and parts from the front of a file; refuses the file when there are not enough bytes.
class reader {
 public:
  explicit reader(std::string_view bytes) noexcept : left_(bytes) {}

  [[nodiscard]] bool is_at_end() const noexcept { return left_.empty(); }
  [[nodiscard]] std::string_view rest() const noexcept { return left_; }

  std::string_view take(std::uint64_t count) {
    if (count > left_.size()) refuse(not_whole);
    const auto taken = left_.substr(0, static_cast<std::size_t>(count));
    left_.remove_prefix(taken.size());
    return taken;
  }
  std::uint64_t big_endian(std::size_t bytes) {
    std::uint64_t value = 0;
    for (const char c : take(bytes)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  std::uint64_t little_endian(std::size_t bytes) {
    std::uint64_t value = 0;
    int shift = 0;
    for (const char c : take(bytes)) {
      value |= std::uint64_t{static_cast<unsigned char>(c)} << shift;
      shift += 8;
    }
    return value;
  }

 private:
  std::string_view left_;
};

bool contains(std::string_view text, std::string_view part) noexcept {
  return text.find(part) != std::string_view::npos;
}

// True iff the first directory of a TIFF block (which is what EXIF is) says that the picture is to be turned.
bool is_turned(std::string_view tiff) {
  const bool little = tiff.starts_with("II");
  if (!little && !tiff.starts_with("MM")) return false;
  const auto number = [&](std::uint64_t at, std::size_t bytes) -> std::uint64_t {
    if (at > tiff.size()) return 0;
    reader from(tiff.substr(static_cast<std::size_t>(at)));
    if (from.rest().size() < bytes) return 0;
    return little ? from.little_endian(bytes) : from.big_endian(bytes);
  };
  constexpr std::uint64_t orientation = 0x0112, entry_bytes = 12;
  const std::uint64_t directory = number(4, 4);
  const std::uint64_t count = number(directory, 2);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t entry = directory + 2 + i * entry_bytes;
    if (number(entry, 2) == orientation) return number(entry + 8, 2) > 1;
  }
  return false;
}

void check_exif(std::string_view block) {
  if (block.starts_with("Exif\0\0"sv)) block.remove_prefix(6);
  if (is_turned(block))
    refuse("is to be turned by its EXIF orientation, and EXIF is not published: turn the pixels instead");
}

void check_profile(std::string_view icc) {
  // The profile's description, as ASCII or as UTF-16.
  if (!icc.empty() && !contains(icc, "sRGB") && !contains(icc, "s\0R\0G\0B"sv))
    refuse("has a colour profile that is not sRGB, and profiles are not published: convert its colours to sRGB");
}

// ---- JPEG: ISO/IEC 10918-1, annex B; its application segments by their own standards

std::string jpeg_without_metadata(std::string_view file) {
  std::string kept = "\xff\xd8";
  std::string icc;
  bool has_scan = false;
  reader from(file);
  from.take(2);
  for (;;) {
    if (from.big_endian(1) != 0xff) refuse(not_whole);
    std::uint64_t marker = 0xff;
    while (marker == 0xff) marker = from.big_endian(1);  // any number of fill bytes
    if (marker == 0xd9) break;                           // the end of the picture: what follows is not taken
    const std::uint64_t length = from.big_endian(2);
    if (length < 2) refuse(not_whole);
    const auto content = from.take(length - 2);
    const auto keep = [&](std::string_view what) {
      kept += '\xff';
      kept += static_cast<char>(marker);
      kept += static_cast<char>((what.size() + 2) >> 8);
      kept += static_cast<char>((what.size() + 2) & 0xff);
      kept += what;
    };
    const bool is_application_or_comment = (marker >= 0xe0 && marker <= 0xef) || marker == 0xfe;
    // Frames, tables, restart interval and number of lines. Not the hierarchical ones, which no browser shows.
    const bool is_needed = marker >= 0xc0 && marker <= 0xdd && !(marker >= 0xd0 && marker <= 0xd9) && marker != 0xc8;
    if (marker == 0xe0 && content.size() >= 14 && content.starts_with("JFIF\0"sv)) {
      keep(std::string(content.substr(0, 12)) + std::string(2, '\0'));  // a thumbnail of 0 x 0
    } else if (marker == 0xee && content.size() >= 12 && content.starts_with("Adobe")) {
      keep(content.substr(0, 12));
    } else if (marker == 0xe1 && content.starts_with("Exif\0"sv)) {
      check_exif(content);
    } else if (marker == 0xe2 && content.size() >= 14 && content.starts_with("ICC_PROFILE\0"sv)) {
      icc += content.substr(14);
    } else if (is_application_or_comment) {
      continue;
    } else if (is_needed) {
      keep(content);
    } else {
      refuse("has a JPEG segment of an unknown kind");
    }
    if (marker != 0xda) continue;
    // A scan: up to the next marker that is neither a stuffed zero nor a restart.
    has_scan = true;
    const auto data = from.rest();
    std::size_t end = 0;
    for (;;) {
      end = data.find('\xff', end);
      if (end == std::string_view::npos || end + 1 >= data.size()) refuse(not_whole);
      const auto next = static_cast<unsigned char>(data[end + 1]);
      if (next != 0 && (next < 0xd0 || next > 0xd7)) break;
      end += 2;
    }
    kept += from.take(end);
  }
  if (!has_scan) refuse(not_whole);
  check_profile(icc);
  return kept + "\xff\xd9";
}

// ---- WebP: RFC 9649

std::string webp_without_metadata(std::string_view file) {
  reader all(file);
  all.take(4);
  reader from(all.take(all.little_endian(4)));
  from.take(4);
  std::string kept = "WEBP";
  bool has_picture = false;
  while (!from.is_at_end()) {
    const auto name = from.take(4);
    const std::uint64_t size = from.little_endian(4);
    const auto content = from.take(size);
    if (size % 2 != 0) from.take(1);
    if (name == "EXIF") check_exif(content);
    if (name == "ICCP") check_profile(content);
    if (name == "ANIM" || name == "ANMF") refuse("is an animation, not a photo");
    if (name != "VP8 " && name != "VP8L" && name != "VP8X" && name != "ALPH") continue;
    has_picture = has_picture || name == "VP8 " || name == "VP8L";
    kept += name;
    for (int shift = 0; shift < 32; shift += 8) kept += static_cast<char>(size >> shift & 0xff);
    const std::size_t at = kept.size();
    kept += content;
    // Its flags announce chunks, of which only transparency (0x10) is kept.
    if (name == "VP8X" && size > 0) kept[at] = static_cast<char>(kept[at] & 0x10);
    if (size % 2 != 0) kept += '\0';
  }
  if (!has_picture) refuse(not_whole);
  std::string whole = "RIFF";
  for (int shift = 0; shift < 32; shift += 8) whole += static_cast<char>(kept.size() >> shift & 0xff);
  return whole + kept;
}

// ---- AVIF: ISO/IEC 14496-12 (boxes), 23008-12 (items)

struct box {
  std::string_view type;
  std::string_view content;
};

box next_box(reader& from) {
  std::uint64_t size = from.big_endian(4);
  const auto type = from.take(4);
  std::uint64_t head = 8;
  if (size == 1) {
    size = from.big_endian(8);
    head = 16;
  }
  if (size == 0) return {type, from.take(from.rest().size())};  // up to the end of the file
  if (size < head) refuse(not_whole);
  return {type, from.take(size - head)};
}

void check_boxes(std::string_view boxes, std::initializer_list<std::string_view> known, auto look_at) {
  for (reader from(boxes); !from.is_at_end();) {
    const box found = next_box(from);
    if (std::ranges::find(known, found.type) == known.end())
      refuse("has a part (\"" + std::string(found.type) +
             "\") that a still picture does not need: remove its metadata");
    look_at(found);
  }
}

void check_item_info(std::string_view content) {
  reader from(content);
  const bool short_count = from.big_endian(4) >> 24 == 0;
  from.take(short_count ? 2 : 4);
  check_boxes(from.rest(), {"infe"}, [](const box& entry) {
    reader item(entry.content);
    const std::uint64_t version = item.big_endian(4) >> 24;
    if (version < 2) refuse("describes an item in a way that pictures do not");
    item.take(version == 2 ? 4 : 6);  // its number, and its protection
    const auto type = item.take(4);
    if (type != "av01" && type != "grid")
      refuse("has metadata (an item of type \"" + std::string(type) + "\"): remove it");
  });
}

void check_properties(std::string_view content) {
  check_boxes(content, {"ipco", "ipma"}, [](const box& part) {
    if (part.type != "ipco") return;
    constexpr auto nothing_more = [](const box& property) {
      if (property.type == "colr" && !property.content.starts_with("nclx")) check_profile(property.content);
    };
    check_boxes(part.content,
                {"ispe", "pixi", "av1C", "colr", "auxC", "irot", "imir", "pasp", "clap", "clli", "mdcv", "a1lx", "a1op",
                 "lsel"},
                nothing_more);
  });
}

void check_avif(std::string_view file) {
  check_boxes(file, {"ftyp", "meta", "mdat"}, [](const box& top) {
    if (top.type != "meta") return;
    if (top.content.size() < 4) refuse(not_whole);
    check_boxes(top.content.substr(4), {"hdlr", "pitm", "iloc", "iinf", "iprp", "iref", "idat"}, [](const box& part) {
      if (part.type == "iinf") check_item_info(part.content);
      if (part.type == "iprp") check_properties(part.content);
    });
  });
}

// A second net, below the rules by format: none of these occurs in compressed pixels.
void check_for_remains(std::string_view file) {
  for (const auto sign : {"Exif\0\0"sv, "http://ns.adobe.com/"sv, "<x:xmpmeta"sv, "<?xpacket"sv, "<rdf:RDF"sv,
                          "Photoshop 3.0"sv, "MPF\0II*\0"sv, "MPF\0MM\0*"sv})
    if (contains(file, sign)) refuse("has metadata in a place where it cannot be removed: remove it before publishing");
}

}  // namespace

std::vector<std::byte> without_metadata(std::string_view media_type, std::vector<std::byte> bytes) {
  if (!begins_as(media_type, bytes)) refuse("is not a file of type " + std::string(media_type));
  const std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::optional<std::string> kept;
  if (media_type == "image/jpeg") kept = jpeg_without_metadata(file);
  if (media_type == "image/webp") kept = webp_without_metadata(file);
  if (media_type == "image/avif") check_avif(file);
  check_for_remains(kept ? *kept : file);
  if (!kept || *kept == file) return bytes;
  const auto* const first = reinterpret_cast<const std::byte*>(kept->data());
  return {first, first + kept->size()};
}

}  // namespace penstock::gallery
