// What does the pipeline add to the work of its stages, is its bottleneck kept busy, and what does it cost to decode in
// processes of their own? The same photos, serially (the stages' own work, one after the other on one thread), through
// the photo line, and through the line with --isolate, in turn; processor time, that of worker processes too, for each.
//
//   bench_photo_line SCRATCH ROUNDS FOLDER...        prints one line of JSON
#include "apps/photos/photo_line.hpp"

#include <algorithm>
#include <array>
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
  const auto s = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  double sum = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage used{};
    getrusage(who, &used);
    sum += s(used.ru_utime) + s(used.ru_stime);
  }
  return sum;
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

void through_the_line(const std::vector<std::filesystem::path>& folders, gallery::target& target, outcome_of_round& r,
                      bool isolated) {
  photos::line_options options{.sources = folders};
  if (isolated) options.images = photos::isolated_with({.deadline = std::chrono::minutes(2)});
  photos::photo_line line(std::move(options), target);
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
  photos::serve_images(argc, argv);
  if (argc < 4) {
    std::cerr << "usage: bench_photo_line SCRATCH ROUNDS FOLDER...\n";
    return 2;
  }
  const std::filesystem::path scratch = argv[1];
  const int rounds = std::stoi(argv[2]);
  const std::vector<std::filesystem::path> folders(argv + 3, argv + argc);
  photos::limit_heap();  // as the tool and its workers do
  const photos::image_library library;
  enum way : std::size_t { serial, line, isolated, ways };
  std::array<std::vector<double>, ways> processor, wall;  // per photo; in all
  std::vector<double> busy, processors_busy;
  std::uint64_t photos = 0;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t turn = 0; turn < ways; ++turn) {
      const auto now = static_cast<way>((turn + static_cast<std::size_t>(round)) % ways);
      std::filesystem::remove_all(scratch / "gallery");
      gallery::store store(scratch / "gallery");
      const auto r = timed([&](outcome_of_round& o) {
        if (now == serial)
          serially(folders, store, o);
        else
          through_the_line(folders, store, o, now == isolated);
      });
      photos = r.photos;
      processor[now].push_back(r.processor / static_cast<double>(r.photos));
      wall[now].push_back(r.wall);
      if (now == line) {
        busy.push_back(r.busy);
        processors_busy.push_back(r.processor / r.wall / std::thread::hardware_concurrency());
      }
    }
  }
  std::filesystem::remove_all(scratch / "gallery");
  // Within each round, so that a machine that changes its pace cancels out.
  const auto ratio = [](const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> each;
    for (std::size_t i = 0; i < a.size(); ++i) each.push_back(a[i] / b[i]);
    return median(std::move(each));
  };
  std::cout << "{\"photos\": " << photos << ", \"rounds\": " << rounds
            << ", \"serial_cpu_ms\": " << 1e3 * median(processor[serial])
            << ", \"line_cpu_ms\": " << 1e3 * median(processor[line])
            << ", \"isolated_cpu_ms\": " << 1e3 * median(processor[isolated])
            << ", \"ratio\": " << ratio(processor[line], processor[serial])
            << ", \"isolated_ratio\": " << ratio(processor[isolated], processor[line])
            << ", \"isolated_wall_ratio\": " << ratio(wall[isolated], wall[line])
            << ", \"bottleneck_busy\": " << median(busy) << ", \"processors_busy\": " << median(processors_busy)
            << ", \"serial_wall_s\": " << median(wall[serial]) << ", \"line_wall_s\": " << median(wall[line])
            << ", \"isolated_wall_s\": " << median(wall[isolated]) << "}\n";
}
