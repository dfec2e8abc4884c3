// How fast do bytes go through another program, in and out at once, all of the output kept?
//
//   bench_process_through_cat penstock MEBIBYTES
#include <string>

#include <penstock/process/run.hpp>

#include "bench/process/children.hpp"

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_process_through_cat penstock MEBIBYTES");
  const std::size_t bytes = bench::number(argv[2]) << 20;
  std::string text(bytes, 'x');
  for (std::size_t i = 0; i < bytes; i += 4096) text[i] = static_cast<char>('a' + i / 4096 % 26);
  const bench::stopwatch_with_children watch;
  const auto done = penstock::process::run({"cat"}, {.input = text, .check = true, .most_bytes = bytes});
  bench::result r(bytes, watch.read());
  bench::check(done.out == text, "what came out of cat");
  r.print();
}
