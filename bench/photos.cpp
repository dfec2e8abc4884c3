// How much processor time does it take to make the renditions of a photo? One of the rivals that bench/photos.py runs
// in turn.
//
//   bench_photos WORKERS SIZES FORMAT PHOTO...       SIZES as in 2048,320; prints one line of JSON
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include "apps/photos/image.hpp"
#include "apps/photos/source.hpp"

namespace {

namespace photos = penstock::photos;

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; }

std::vector<int> numbers(std::string_view text) {
  std::vector<int> out;
  while (!text.empty()) {
    int value = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value).ptr;
    out.push_back(value);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (!text.empty()) text.remove_prefix(1);
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 4) {
    std::cerr << "usage: bench_photos WORKERS SIZES FORMAT PHOTO...\n";
    return 2;
  }
  const photos::image_library library;
  photos::rendition_options options;
  options.sizes = numbers(arguments[1]);
  options.format = arguments[2] == "webp"   ? photos::rendition_format::webp
                   : arguments[2] == "avif" ? photos::rendition_format::avif
                                            : photos::rendition_format::jpeg;
  std::atomic<std::size_t> next = 3;
  std::atomic<std::uint64_t> published = 0;
  std::atomic<bool> failed = false;
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < numbers(arguments[0]).front(); ++i) {
      workers.emplace_back([&] {
        for (std::size_t mine = next++; mine < arguments.size(); mine = next++) {
          try {
            const auto bytes = photos::read_whole(photos::look(arguments[mine]));
            for (const auto& r : photos::make_renditions(bytes, options).renditions) published += r.bytes.size();
          } catch (const std::exception& why) {
            std::cerr << arguments[mine] + ": " + why.what() + "\n";
            failed = true;
          }
        }
      });
    }
  }
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  std::cout << "{\"photos\": " << arguments.size() - 3 << ", \"seconds\": " << wall
            << ", \"cpu_seconds\": " << seconds(used.ru_utime) + seconds(used.ru_stime)
            << ", \"peak_rss_kib\": " << used.ru_maxrss << ", \"published_bytes\": " << published << "}\n";
  return failed ? 1 : 0;
}
