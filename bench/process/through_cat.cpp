// How fast do bytes go through another program, in and out at once? All of the output kept, or handed on as it comes.
//
//   bench_process_through_cat kept|handed_on MEBIBYTES
#include <functional>
#include <string>
#include <utility>

#include <penstock/process/run.hpp>

#include "bench/process/children.hpp"

namespace {

bench::used through_cat(std::size_t bytes, bool kept) {
  std::string text(bytes, 'x');
  for (std::size_t i = 0; i < bytes; i += 4096) text[i] = static_cast<char>('a' + i / 4096 % 26);
  const std::size_t hash = std::hash<std::string>()(text);
  std::size_t seen = 0;
  penstock::process::run_options options{.input = std::move(text), .check = true, .most_bytes = bytes};
  if (!kept) options.on_out = [&](std::string_view part) { seen += part.size(); };
  const bench::stopwatch_with_children watch;
  const auto done = penstock::process::run({"cat"}, std::move(options));
  const bench::used used = watch.read();
  bench::check_sum(done.out_bytes, bytes, "what came out of cat");
  bench::check(kept ? std::hash<std::string>()(done.out) == hash : seen == bytes, "what came out of cat");
  return used;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_process_through_cat kept|handed_on MEBIBYTES");
  const std::size_t bytes = bench::number(argv[2]) << 20;
  const bool kept = std::string(argv[1]) == "kept";
  // Twice: on a virtual machine memory that was free for a while comes from its host, at a fraction of this speed.
  (void)through_cat(bytes, kept);
  bench::result(bytes, through_cat(bytes, kept)).print();
}
