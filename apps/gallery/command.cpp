#include "apps/gallery/command.hpp"

#include <ostream>

#include <penstock/base/mutex.hpp>

#include "apps/gallery/store.hpp"

namespace penstock::gallery {
namespace {

class latch {
 public:
  void open() noexcept {
    mutex_lock lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  void wait() {
    mutex_lock lock(mutex_);
    while (!open_) opened_.wait(lock);
  }

 private:
  mutex mutex_;
  bool open_ PENSTOCK_GUARDED_BY(mutex_) = false;
  condition opened_;
};

}  // namespace

int serve_command(const std::filesystem::path& directory, server_options options, std::ostream& out,
                  const std::stop_token& stop) {
  const bool is_there = std::filesystem::exists(directory / "gallery.db");
  const bool takes_uploads = !options.token.empty();
  const bool is_private = takes_uploads && !options.public_read;
  store photos(directory, takes_uploads || !is_there ? store::access::publish : store::access::read);
  server running(photos, std::move(options));
  out << "gallery " << directory.string() << " at " << running.url()
      << (!takes_uploads ? " (no token: no uploads)"
          : is_private   ? " (sign in with the token)"
                         : "")
      << std::endl;
  latch asked;
  const std::stop_callback on_stop(stop, [&asked] { asked.open(); });
  asked.wait();
  running.stop();
  return 0;
}

}  // namespace penstock::gallery
