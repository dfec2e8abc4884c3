// metadata: removes from a picture file all that it says beside its pixels: positions, names, times, serial numbers,
// earlier versions.
//
//   r.bytes = without_metadata(r.media_type, std::move(r.bytes));
//
// Only the parts that a decoder needs are kept; the rule names what stays, so that a kind of metadata which is invented
// later does not stay. By format:
//
//   JPEG   frames, tables, scans; JFIF's density without its thumbnail; Adobe's colour transform. Nothing after the end
//          of the picture.
//   WebP   VP8, VP8L, ALPH and VP8X chunks. Nothing after the RIFF chunk.
//   AVIF   is checked, not changed: removing a part would move all others. Only boxes that a still picture needs.
//
// Removing a part must not change what the picture looks like. So a file is refused (invalid_photo) if it has a colour
// profile other than sRGB, or an orientation that is not upright. It is also refused if it is not whole or not well
// formed, and if a known kind of metadata is found anywhere in what would be kept.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace penstock::gallery {

// Returns the same bytes, at no cost in memory, if there is nothing to remove.
[[nodiscard]] std::vector<std::byte> without_metadata(std::string_view media_type, std::vector<std::byte> bytes);

}  // namespace penstock::gallery
