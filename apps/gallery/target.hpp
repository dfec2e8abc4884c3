// target: where photos are published. Two kinds, one contract: a gallery directory (store) and a gallery server
// (client). A dry run publishes nowhere.
//
// THREADS  Every member may be called at the same time.
// ENDING   publish() is all or nothing: when it throws, or the process dies in it, nothing of the photo is visible.
#pragma once

#include <string>
#include <string_view>

#include "apps/gallery/photo.hpp"

namespace penstock::gallery {

enum class publish_result { published, already_there };

class target {
 public:
  target() = default;
  target(const target&) = delete;
  target& operator=(const target&) = delete;
  virtual ~target() = default;

  // True iff a photo with this id is visible in the gallery.
  [[nodiscard]] virtual bool contains(std::string_view id) = 0;

  // Makes the photo visible, durably. Publishing an id that is there already changes nothing.
  // Throws std::runtime_error that says what failed and what to do.
  virtual publish_result publish(const photo& item) = 0;

  // For messages: the directory, or the address.
  [[nodiscard]] virtual std::string name() const = 0;
};

}  // namespace penstock::gallery
