// Functions that are in the middle of something: each keeps its place and its variables between two calls, takes a value when it is
// given one, and answers. No thread, no loop, no queue: generator.hpp.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <variant>

#include <penstock/async/generator.hpp>

using penstock::generator;

// Says the least of all values so far, and takes the next one. At first it has nothing to say.
generator<std::optional<int>, int> minimum_so_far() {
  int least = co_yield std::nullopt;
  while (true) {
    const int value = co_yield least;
    least = std::min(least, value);
  }
}

// Only takes.
generator<std::monostate, std::string> receive_and_print() {
  while (true) {
    const std::string received = co_yield {};
    std::printf("received: %s\n", received.c_str());
  }
}

int main() {
  auto minimum = minimum_so_far();
  (void)minimum.question();  // runs to its first co_yield
  for (const int value : {10, 4, 22, -1}) {
    minimum.send(value);
    std::printf("after %d: %d\n", value, minimum.question()->value());
  }

  auto printer = receive_and_print();
  (void)printer.question();
  printer.send("first");
  printer.send("second");
}  // neither ever ends: both are destroyed where they wait, and so is what they hold
