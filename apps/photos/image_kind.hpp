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

// The bytes do not say what the file is or was: none at all, nothing but zeros or erased memory (0xff), or nothing that is known. A file that is
// named like a photo and has such contents is a lost photo, not some other kind of file.
class no_content : public not_a_photo {
 public:
  using not_a_photo::not_a_photo;
};

enum class photo_kind { jpeg, png, webp, heic, avif, tiff, gif };

[[nodiscard]] std::string_view name_of(photo_kind kind) noexcept;  // "JPEG", "HEIC", ...

// The reason of not_a_photo for a camera's RAW file.
inline constexpr std::string_view raw_reason = "camera RAW is not supported: publish the JPEG beside it";

// As many first bytes as kind_of() makes use of; with fewer it may call a photo none.
inline constexpr std::size_t first_bytes_wanted = 4096;

// Returns the kind of photo whose file starts like this. Throws not_a_photo. Of a TIFF file this is only half of the
// answer: camera RAW files are TIFF files too, and image_tiff.hpp tells them apart.
[[nodiscard]] photo_kind kind_of(std::span<const std::byte> first_bytes);

}  // namespace penstock::photos
