// assets: the page, embedded in the binary by embed.cmake from what `npm run build` made of apps/gallery/web.
#pragma once

#include <span>
#include <string_view>

namespace penstock::gallery {

struct asset {
  std::string_view path;  // "/" is index.html; else as in the address: "/assets/page.js"
  std::string_view media_type;
  std::string_view etag;  // quoted; a digest of the bytes
  std::string_view bytes;
};

// In no particular order, "/" among them.
[[nodiscard]] std::span<const asset> assets() noexcept;

}  // namespace penstock::gallery
