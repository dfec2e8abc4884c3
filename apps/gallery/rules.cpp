#include "apps/gallery/rules.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace penstock::gallery {
namespace {

struct published_type {
  std::string_view media_type;
  std::string_view extension;
};

constexpr std::array<published_type, 3> published_types{{
    {"image/jpeg", "jpg"},
    {"image/webp", "webp"},
    {"image/avif", "avif"},
}};

std::string_view text_of(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint32_t big_endian_32(std::string_view bytes) noexcept {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
  return value;
}

// ISO base media file: the first box is "ftyp" and names avif (or avis, an image sequence) among its brands.
bool begins_as_avif(std::string_view bytes) noexcept {
  if (bytes.size() < 16 || bytes.substr(4, 4) != "ftyp") return false;
  const std::size_t end = std::min<std::size_t>(big_endian_32(bytes), bytes.size());
  for (std::size_t at = 8; at + 4 <= end; at += 4) {
    if (at == 12) continue;  // the minor version stands between the major brand and the compatible ones
    if (const auto brand = bytes.substr(at, 4); brand == "avif" || brand == "avis") return true;
  }
  return false;
}

bool has_control_character(std::string_view text, std::string_view allowed) noexcept {
  return std::ranges::any_of(text, [&](char c) {
    return (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) && allowed.find(c) == std::string_view::npos;
  });
}

}  // namespace

bool is_photo_id(std::string_view text) noexcept {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string_view extension_of(std::string_view media_type) noexcept {
  const auto* found = std::ranges::find(published_types, media_type, &published_type::media_type);
  return found == published_types.end() ? std::string_view() : found->extension;
}

std::string_view media_type_of(std::string_view extension) noexcept {
  const auto* found = std::ranges::find(published_types, extension, &published_type::extension);
  return found == published_types.end() ? std::string_view() : found->media_type;
}

bool begins_as(std::string_view media_type, std::span<const std::byte> bytes) noexcept {
  const auto text = text_of(bytes);
  if (media_type == "image/jpeg") return text.starts_with("\xff\xd8\xff");
  if (media_type == "image/webp") return text.size() >= 12 && text.starts_with("RIFF") && text.substr(8, 4) == "WEBP";
  if (media_type == "image/avif") return begins_as_avif(text);
  return false;
}

// Well-formed byte sequences: The Unicode Standard, table 3-7.
bool is_utf8(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char lead = at(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                               : lead >= 0xe0 && lead <= 0xef ? 3
                               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                              : 0;
    if (length == 0 || text.size() - i < length) return false;
    const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at(i + 1) < low || at(i + 1) > high) return false;
    for (std::size_t k = 2; k < length; ++k)
      if ((at(i + k) & 0xc0) != 0x80) return false;
    i += length;
  }
  return true;
}

void check_id(std::string_view id) {
  if (!is_photo_id(id))
    throw invalid_photo("a photo's id is the SHA-256 of its original: 64 lower-case hexadecimal digits");
}

void check_shape(const rendition& item, int width_before) {
  if (extension_of(item.media_type).empty())
    throw invalid_photo("a rendition's type must be image/jpeg, image/webp or image/avif");
  if (item.width < 1 || item.width > max_side || item.height < 1 || item.height > max_side)
    throw invalid_photo("a rendition's width and height must be 1 to " + std::to_string(max_side) + " pixels");
  if (width_before != 0 && item.width >= width_before)
    throw invalid_photo("renditions must be ordered from the largest to the smallest, no two of the same width");
}

void check_fields(const std::map<std::string, std::string>& fields) {
  if (fields.size() > max_fields) throw invalid_photo("a photo has at most " + std::to_string(max_fields) + " fields");
  std::size_t bytes = 0;
  for (const auto& [name, value] : fields) {
    bytes += name.size() + value.size();
    if (name.empty() || name.size() > max_field_name_bytes)
      throw invalid_photo("a field's name has 1 to " + std::to_string(max_field_name_bytes) + " bytes");
    if (!is_utf8(name) || !is_utf8(value)) throw invalid_photo("fields must be UTF-8");
    // With these kept out, JSON at most doubles the text, which is what max_fields_bytes counts on.
    if (has_control_character(name, "") || has_control_character(value, "\n\t"))
      throw invalid_photo("fields must not contain control characters");
  }
  if (bytes > max_fields_bytes)
    throw invalid_photo("the fields of a photo have at most " + std::to_string(max_fields_bytes) + " bytes together");
}

void check(const photo& item) {
  check_id(item.id);
  if (item.renditions.empty() || item.renditions.size() > max_renditions)
    throw invalid_photo("a photo has 1 to " + std::to_string(max_renditions) + " renditions");
  int width_before = 0;
  for (const auto& r : item.renditions) {
    check_shape(r, width_before);
    if (!begins_as(r.media_type, r.bytes))
      throw invalid_photo("the rendition of width " + std::to_string(r.width) + " is not a file of type " +
                          r.media_type);
    width_before = r.width;
  }
  check_fields(item.fields);
}

}  // namespace penstock::gallery
