// What does the pipeline add to the work of its stages, and is its bottleneck kept busy? The same photos, serially (the
// stages' own work, one after the other on one thread) and through the photo line, in turn; processor time of the
// process for each.
//
//   bench_photo_line SCRATCH ROUNDS FOLDER...        prints one line of JSON
#include "apps/photos/photo_line.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include "apps/gallery/store.hpp"

namespace {

using namespace penstock;

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto s = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return s(used.ru_utime) + s(used.ru_stime);
}

struct outcome_of_round {
  double processor = 0;
  double wall = 0;
  std::uint64_t photos = 0;
  double busy = 0;  // of the bottleneck
};

template <class Work>
outcome_of_round timed(Work work) {
  const auto start = std::chrono::steady_clock::now();
  const double before = processor_seconds();
  outcome_of_round r;
  work(r);
  r.processor = processor_seconds() - before;
  r.wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return r;
}

void serially(const std::vector<std::filesystem::path>& folders, gallery::target& target, outcome_of_round& r) {
  photos::photo_source source(folders);
  while (auto found = source.next()) {
    (void)photos::probe(found->path);
    const auto bytes = photos::read_whole(*found);
    auto id = photos::sha256(bytes);
    if (target.contains(id)) continue;
    auto made = photos::make_renditions(bytes);
    target.publish({std::move(id), std::move(made.renditions), std::move(made.fields)});
    ++r.photos;
  }
}

void through_the_line(const std::vector<std::filesystem::path>& folders, gallery::target& target, outcome_of_round& r) {
  photos::photo_line line({.sources = folders}, target);
  line.start();
  const auto result = line.wait();
  r.photos = result.published;
  if (const auto i = result.report.bottleneck(); i != report::npos) r.busy = result.report.stages[i].busy;
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: bench_photo_line SCRATCH ROUNDS FOLDER...\n";
    return 2;
  }
  const std::filesystem::path scratch = argv[1];
  const int rounds = std::stoi(argv[2]);
  const std::vector<std::filesystem::path> folders(argv + 3, argv + argc);
  const photos::image_library library;
  std::vector<double> serial, line, ratio, busy, speed;
  std::uint64_t photos = 0;
  for (int round = 0; round < rounds; ++round) {
    for (const bool whole_line : {round % 2 == 0, round % 2 != 0}) {
      std::filesystem::remove_all(scratch / "gallery");
      gallery::store store(scratch / "gallery");
      const auto r = timed(
          [&](outcome_of_round& o) { whole_line ? through_the_line(folders, store, o) : serially(folders, store, o); });
      photos = r.photos;
      (whole_line ? line : serial).push_back(r.processor / static_cast<double>(r.photos));
      if (whole_line) busy.push_back(r.busy);
      speed.push_back(whole_line ? r.wall : -r.wall);
    }
    ratio.push_back(line.back() / serial.back());
  }
  std::filesystem::remove_all(scratch / "gallery");
  std::vector<double> line_wall, serial_wall;
  for (const double s : speed) (s > 0 ? line_wall : serial_wall).push_back(std::abs(s));
  std::cout << "{\"photos\": " << photos << ", \"rounds\": " << rounds
            << ", \"serial_cpu_ms\": " << 1e3 * median(serial) << ", \"line_cpu_ms\": " << 1e3 * median(line)
            << ", \"ratio\": " << median(ratio) << ", \"bottleneck_busy\": " << median(busy)
            << ", \"serial_wall_s\": " << median(serial_wall) << ", \"line_wall_s\": " << median(line_wall) << "}\n";
}
