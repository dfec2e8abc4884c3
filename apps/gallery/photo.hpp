// photo: what is published, the same on the line, on the wire and in the store.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace penstock::gallery {

struct rendition {
  int width = 0;                 // pixels
  int height = 0;                // pixels
  std::string media_type;        // "image/jpeg", "image/webp" or "image/avif"
  std::vector<std::byte> bytes;  // the encoded file; the store removes metadata from it
};

struct photo {
  std::string id;                             // SHA-256 of the original file, 64 lower-case hexadecimal digits
  std::vector<rendition> renditions;          // at least one, largest first, no two of the same width
  std::map<std::string, std::string> fields;  // metadata the owner chose to publish; empty by default
};

}  // namespace penstock::gallery
