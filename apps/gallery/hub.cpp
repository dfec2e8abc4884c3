#include "apps/gallery/hub.hpp"

#include <boost/asio/post.hpp>

#include "apps/gallery/session.hpp"

namespace penstock::gallery {

hub::hub(store& photos, server_options chosen)
    : gallery(photos),
      options(std::move(chosen)),
      entry(options.token, options.public_read),
      addresses(gallery, entry, options.limits.body_bytes),
      readers(options.limits.readers),
      writers(options.limits.writers) {}

hub::upload_permit::upload_permit(hub& owner, std::uint64_t bytes) noexcept : owner_(&owner), bytes_(bytes) {
  ++owner_->uploads_;
  owner_->upload_bytes_ += bytes_;
}

hub::upload_permit::~upload_permit() {
  if (owner_ == nullptr) return;
  --owner_->uploads_;
  owner_->upload_bytes_ -= bytes_;
}

hub::upload_permit hub::permit_upload(std::uint64_t bytes) {
  if (uploads_ >= limits.uploads || bytes > limits.upload_bytes - upload_bytes_) return {};
  return {*this, bytes};
}

bool hub::close_longest_idle() {
  for (const auto since : {&session::waits_since, &session::head_incomplete_since}) {
    session* longest = nullptr;
    std::chrono::steady_clock::time_point earliest = std::chrono::steady_clock::time_point::max();
    for (auto* one : sessions)
      if (const auto began = (one->*since)(); began && *began < earliest) {
        longest = one;
        earliest = *began;
      }
    if (longest == nullptr) continue;
    longest->cut();
    return true;
  }
  return false;
}

bool hub::add_stream(session& stream) {
  if (streams_.size() >= limits.event_streams) return false;
  streams_.insert(&stream);
  if (!subscription_)
    subscription_ = gallery.on_change([this] {
      // release: pairs with the acquire in wake_streams(); a commit before this call is seen after that one.
      if (!wake_posted_.exchange(true, std::memory_order_acq_rel)) boost::asio::post(io, [this] { wake_streams(); });
    });
  return true;
}

void hub::remove_stream(session& stream) {
  streams_.erase(&stream);
  if (streams_.empty()) subscription_.end();
}

void hub::wake_streams() {
  wake_posted_.exchange(false, std::memory_order_acq_rel);
  for (auto* stream : streams_) stream->wake();
}

}  // namespace penstock::gallery
