// dimensions_of: the pixels that an encoded rendition really has: the gallery server's check of what is uploaded.
#pragma once

#include "apps/gallery/server.hpp"

namespace penstock::photos {

// From the header only. Throws not_a_photo or bad_photo.
[[nodiscard]] gallery::dimensions dimensions_of(const gallery::rendition& encoded);

}  // namespace penstock::photos
