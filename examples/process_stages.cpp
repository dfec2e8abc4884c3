// Other programs, and functions that may crash, as stages of a pipeline: what goes wrong costs one item and is told.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <penstock/penstock.hpp>
#include <penstock/process/command_stage.hpp>
#include <penstock/process/isolated.hpp>

using namespace penstock::process;

// A function of this program that does not survive every item.
std::string decode(const std::string& picture) {
  if (picture == "broken.jpg") std::raise(SIGKILL);
  return "pixels of " + picture;
}

int main(int argc, char** argv) {
  serve_if_worker<decode>(argc, argv);  // first: a worker process is this program, executed anew
  using penstock::on_error;

  const std::vector<std::string> pictures{"beach.jpg", "broken.jpg", "forest.jpg", "river.jpg"};
  // A child for each item; what it prints becomes part of the result.
  const auto count = [](const std::string& pixels) { return fed_command(command({"wc", "-c"}), pixels); };
  const auto with_count = [](std::string& pixels, completed done) {
    return pixels + ", bytes: " + std::to_string(std::stoi(done.out));
  };
  // A child for each worker: a line in, a line out.
  const auto shout = command::shell(R"(while read -r line; do echo "$line!"; done)");

  std::vector<std::string> all;
  const auto report =
      penstock::from(pictures)
      | penstock::stage("decode", isolated<decode>(), {.workers = 2, .on_error = on_error::skip})
      | penstock::stage("count", command_per_item(count, with_count), {.workers = 2})
      | penstock::stage("shout", persistent_worker(shout))
      | penstock::sink("keep", [&](const std::string& text) { all.push_back(text); })
      | penstock::run();
  std::ranges::sort(all);
  for (const std::string& text : all) std::printf("%s\n", text.c_str());
  for (const auto& f : report.failures)
    std::printf("failed: %s in %s: %s\n", f.place.label.c_str(), f.place.stage.c_str(), f.reason.c_str());
}
