#include "apps/photos/image_webp.hpp"

#include <stdexcept>
#include <string>

#include <webp/encode.h>

#include "apps/photos/image.hpp"

namespace penstock::photos {
namespace {

struct memory {
  WebPMemoryWriter writer{};
  memory() noexcept { WebPMemoryWriterInit(&writer); }
  ~memory() { WebPMemoryWriterClear(&writer); }
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;
};

struct encoder {
  WebPConfig config{};
  WebPPicture picture{};
  encoder() {
    if (WebPConfigInit(&config) == 0 || WebPPictureInit(&picture) == 0)
      throw std::runtime_error("cannot write WebP: libwebp does not fit its headers");
  }
  ~encoder() { WebPPictureFree(&picture); }
  encoder(const encoder&) = delete;
  encoder& operator=(const encoder&) = delete;
};

}  // namespace

std::vector<std::byte> webp_bytes(const raster& picture, int quality, const std::stop_token& stop) {
  memory out;
  encoder webp;
  webp.config.quality = static_cast<float>(quality);
  webp.picture.width = picture.size().width;
  webp.picture.height = picture.size().height;
  webp.picture.writer = WebPMemoryWrite;
  webp.picture.custom_ptr = &out.writer;
  webp.picture.user_data = const_cast<std::stop_token*>(&stop);  // only asked, never changed
  webp.picture.progress_hook = [](int, const WebPPicture* at) {
    return static_cast<const std::stop_token*>(at->user_data)->stop_requested() ? 0 : 1;
  };
  const bool done = WebPPictureImportRGBX(&webp.picture, picture.row(0), static_cast<int>(picture.row_bytes())) != 0 &&
                    WebPEncode(&webp.config, &webp.picture) != 0;
  if (!done && webp.picture.error_code == VP8_ENC_ERROR_USER_ABORT) throw cancelled();
  if (!done && webp.picture.error_code == VP8_ENC_ERROR_BAD_DIMENSION) {
    throw bad_photo("a WebP picture has no side longer than " + std::to_string(WEBP_MAX_DIMENSION) +
                    " pixels: choose smaller sizes or JPEG");
  }
  if (!done)
    throw std::runtime_error("cannot write WebP: error " + std::to_string(static_cast<int>(webp.picture.error_code)));
  const auto* first = reinterpret_cast<const std::byte*>(out.writer.mem);
  return {first, first + out.writer.size};
}

}  // namespace penstock::photos
