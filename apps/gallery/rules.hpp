// rules: what a photo must be to be published. Checked wherever one enters: in the bundle on the wire, in the store on
// disk.
//
// Every photo that passes check() can be encoded as a bundle: the limits below keep its JSON line under max_head_bytes.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "apps/gallery/photo.hpp"

namespace penstock::gallery {

inline constexpr std::size_t max_renditions = 16;
inline constexpr int max_side = 65535;  // pixels; what a JPEG can be
inline constexpr std::size_t max_fields = 64;
inline constexpr std::size_t max_field_name_bytes = 64;
inline constexpr std::size_t max_fields_bytes = std::size_t{24} * 1024;  // all names and values together
inline constexpr std::size_t max_head_bytes = std::size_t{64} * 1024;    // the bundle's JSON line

// The photo itself is wrong: trying again will not help.
class invalid_photo : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// True iff `text` is 64 lower-case hexadecimal digits. Nothing else ever becomes part of a path.
[[nodiscard]] bool is_photo_id(std::string_view text) noexcept;

// "jpg", "webp" or "avif"; empty for a media type that is not published.
[[nodiscard]] std::string_view extension_of(std::string_view media_type) noexcept;

// The inverse of extension_of().
[[nodiscard]] std::string_view media_type_of(std::string_view extension) noexcept;

// True iff `bytes` begin as a file of this type does.
[[nodiscard]] bool begins_as(std::string_view media_type, std::span<const std::byte> bytes) noexcept;

[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

// The rules of one part each; all throw invalid_photo.
void check_id(std::string_view id);
void check_shape(const rendition& item,
                 int width_before);  // all but the bytes; width_before: the previous one's, 0 for the first
void check_fields(const std::map<std::string, std::string>& fields);

// All of them.
void check(const photo& item);

}  // namespace penstock::gallery
