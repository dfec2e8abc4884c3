// exif: the few things of a photo's EXIF that matter here: which way is up, which colours are meant, and what the owner
// may want to publish.
//
//   const exif_facts facts = read_exif(block);       // block: a TIFF structure, with or without "Exif\0\0" before it
//
// Read directly and not by libexif: of all code that reads photos the EXIF parsers have been broken most often, mostly
// in the makers' own notes, which are of no use here. This one follows three known directories, reads ten tags, and
// checks every offset.
//
// THREADS  Any. Damaged EXIF is no error: what cannot be read is absent.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace penstock::photos {

struct exif_facts {
  int orientation = 1;     // 1 to 8 as in EXIF
  bool adobe_rgb = false;  // cameras mark Adobe RGB here and embed no profile
  // Subset of: copyright, artist, description, date (ISO 8601, as far as known), camera, lens. UTF-8, without control
  // characters.
  std::map<std::string, std::string> fields;
};

[[nodiscard]] exif_facts read_exif(std::span<const std::byte> block);

}  // namespace penstock::photos
