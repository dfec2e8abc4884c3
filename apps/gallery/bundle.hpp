// bundle: a photo as the body of one PUT request.
//
//   {"renditions":[{"width":2048,"height":1365,"type":"image/jpeg","bytes":412345}, ...],"fields":{}}\n
//   412345 bytes of the first rendition, then those of the second, ... and nothing after the last
//
//   gallery::bundle_decoder decoder(id, content_length);
//   while (read(chunk)) decoder.feed(chunk);
//   gallery::photo item = decoder.finish();
//
// Strict: what is not exactly this is refused (invalid_photo), as early as it can be known. The photo's id is not in
// the body: it is in the address, so that the two cannot contradict each other.
//
// MEMORY  The encoder makes the JSON line only; the sender streams the renditions from where they are. The decoder
//         fills each rendition where it will stay: at any time at most the declared bytes plus one JSON line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "apps/gallery/photo.hpp"
#include "apps/gallery/rules.hpp"

namespace penstock::gallery {

inline constexpr std::string_view bundle_media_type = "application/vnd.penstock.photo";

// The JSON line, its line feed included. REQUIRES: check(item) passes.
[[nodiscard]] std::string encode_bundle_head(const photo& item);

// The whole body in one piece. REQUIRES: check(item) passes.
[[nodiscard]] std::string encode_bundle(const photo& item);

class bundle_decoder {
 public:
  // Throws invalid_photo for an id that is none.
  bundle_decoder(std::string id, std::uint64_t total_bytes);

  // Takes the next piece, of any size. After a throw the decoder is of no more use.
  void feed(std::span<const std::byte> piece);

  // The photo. Throws invalid_photo when bytes are missing.
  [[nodiscard]] photo finish();

 private:
  void read_head();

  photo item_;
  std::uint64_t left_;  // of the total, not fed yet
  std::string head_;    // the JSON line, while it comes in
  bool head_done_ = false;
  std::size_t at_ = 0;              // the rendition being filled
  std::vector<std::size_t> sizes_;  // bytes of each rendition
};

}  // namespace penstock::gallery
