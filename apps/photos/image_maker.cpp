#include "apps/photos/image_maker.hpp"

#include <algorithm>

#include <malloc.h>

namespace penstock::photos {
namespace {

void prepare_worker() {
  // Never destroyed: a worker ends without destroying anything.
  static const image_library* const library = [] {
    limit_heap();
    return new image_library;
  }();
  static_cast<void>(library);
}

}  // namespace

void limit_heap() {
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, 64 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 128 << 20);
}

image_info images_here::probe(const std::filesystem::path& file, const std::stop_token&) {
  return photos::probe(file, options_);
}
photo_file images_here::read(const found_photo& found) { return photo_file(read_whole(found)); }
rendition_set images_here::make(photo_file& file, const std::stop_token& stop) {
  return make_renditions(file.bytes(), options_, stop);
}

probe_answer probe_there(const probe_request& request) {
  prepare_worker();
  try {
    return {probe(request.file, request.options), {}, 0};
  } catch (const not_a_photo& e) {
    return {std::nullopt, e.what(), 0};
  } catch (const std::system_error& e) {
    return {std::nullopt, {}, e.code().value()};
  }
}

rendition_set make_there(const make_request& request) {
  prepare_worker();
  return make_renditions(request.file.bytes(), request.options);
}

spare_memory::block spare_memory::take(const std::shared_ptr<spare_memory>& from, std::size_t size) {
  {
    const mutex_lock lock(from->mutex_);
    for (auto& spare : from->spare_)
      if (spare->capacity() >= size) {
        std::swap(spare, from->spare_.back());
        block found(from->spare_.back().release(), give_back{from});
        from->spare_.pop_back();
        found->resize(size);
        return found;
      }
  }
  block made(new process::shared_bytes(std::max(size, least_size)), give_back{from});
  made->resize(size);
  return made;
}

void spare_memory::give_back::operator()(process::shared_bytes* block) const noexcept {
  std::unique_ptr<process::shared_bytes> owned(block);
  const mutex_lock lock(to->mutex_);
  if (to->spare_.size() < most_spare) to->spare_.push_back(std::move(owned));
}

photo_file read_shared(const found_photo& found, const std::shared_ptr<spare_memory>& spare) {
  auto bytes = spare_memory::take(spare, static_cast<std::size_t>(found.bytes) + 1);
  read_whole(found, bytes->writable());
  bytes->resize(static_cast<std::size_t>(found.bytes));
  return photo_file(std::move(bytes));
}

}  // namespace penstock::photos
