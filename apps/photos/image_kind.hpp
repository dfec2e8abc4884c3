// kind_of: what a file is, by its first bytes and never by its name.
//
//   photo_kind kind = kind_of(first_bytes);     // throws not_a_photo("SVG is not a photo")
//
// A name is a claim, and claims are wrong often enough to matter: text renamed .jpg, a PNG saved as .jpg, HEIC from a
// phone with a .jpg name. The decoder is chosen by this answer too, so that a file cannot pick a decoder that was not
// meant for it.
//
// THREADS  Any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>

namespace penstock::photos {

// To be skipped and counted, not retried: what() is a reason fit for a report ("video", "empty file").
class not_a_photo : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class photo_kind { jpeg, png, webp, heic, avif, tiff, gif };

[[nodiscard]] std::string_view name_of(photo_kind kind) noexcept;  // "JPEG", "HEIC", ...

// As many first bytes as kind_of() makes use of; with fewer it may call a photo none.
inline constexpr std::size_t first_bytes_wanted = 4096;

// Returns the kind of photo whose file starts like this. Throws not_a_photo.
[[nodiscard]] photo_kind kind_of(std::span<const std::byte> first_bytes);

}  // namespace penstock::photos
