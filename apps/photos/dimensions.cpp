#include "apps/photos/dimensions.hpp"

#include "apps/photos/image.hpp"

namespace penstock::photos {

gallery::dimensions dimensions_of(const gallery::rendition& encoded) {
  const image_info info = probe(encoded.bytes);
  return {info.width, info.height};
}

}  // namespace penstock::photos
