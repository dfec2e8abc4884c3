// What is around the rules: cells whose every change is written somewhere, which takes its time and can fail, and the command line that all
// seven programs have:
//
//   --io 100ms         how long it takes (1ms; s, ms, us)
//   --broken 2,3       the cell at y 2, x 3 cannot be written
//   --size 100x100     another board than the one of 5 x 9
//   --generations 2    how many are shown (5), the first one included
#pragma once

#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <penstock/async/sleep.hpp>
#include <penstock/async/task.hpp>
#include <penstock/base/exception_text.hpp>

#include "rules.hpp"

namespace life {

struct no_answer : std::runtime_error {
  no_answer() : std::runtime_error("the disk does not answer") {}
};

struct world {
  std::chrono::microseconds io = std::chrono::milliseconds(1);
  place broken{-1, -1};

  // The thread waits.
  void write(place p) const {
    std::this_thread::sleep_for(io);
    if (p == broken) throw no_answer();
  }
  // The task waits.
  penstock::task<> write_async(place p) const {
    co_await penstock::sleep_for(io);
    if (p == broken) throw no_answer();
  }
};

// What a cell will be, with all that it takes to get there: the function that the programs spread over threads.
inline cell next_cell(const board& now, place p, const world& w) {
  const cell next = rule(now[p], alive_around(now, p));
  w.write(p);
  return next;
}
// For those who spread it by hand. REQUIRES: in a catch. What was caught, nested in an error that says where.
inline std::exception_ptr failed_at(place p) {
  try {
    std::throw_with_nested(std::runtime_error(item_label(p)));
  } catch (...) {
    return std::current_exception();
  }
}

template <class Cause>
bool is_caused_by(const std::exception& e) {
  try {
    std::rethrow_if_nested(e);
  } catch (const Cause&) {
    return true;
  } catch (const std::exception& cause) {
    return is_caused_by<Cause>(cause);
  }
  return false;
}

// A glider, and what becomes of it: step(board, world) → board, from generation to generation; shown side by side.
template <class Step>
int show(int argc, char** argv, Step step) {
  world w;
  int height = 5, width = 9, generations = 5;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i], value = argv[i + 1];
    double amount = 0;
    char unit[4] = "";
    bool understood = false;
    if (option == "--io" && std::sscanf(value.c_str(), "%lf%3s", &amount, unit) >= 1) {
      const double us = std::strcmp(unit, "s") == 0 ? 1e6 : std::strcmp(unit, "ms") == 0 ? 1e3 : 1;
      w.io = std::chrono::microseconds(static_cast<long>(amount * us));
      understood = true;
    }
    if (option == "--broken") understood = std::sscanf(value.c_str(), "%d,%d", &w.broken.y, &w.broken.x) == 2;
    if (option == "--size") understood = std::sscanf(value.c_str(), "%dx%d", &height, &width) == 2 && height > 2 && width > 4;
    if (option == "--generations") understood = std::sscanf(value.c_str(), "%d", &generations) == 1;
    if (!understood) {
      std::fprintf(stderr, "not understood: %s %s\n", option.c_str(), value.c_str());
      return 2;
    }
  }

  board now(height, width);
  for (const place p : {place{0, 3}, {1, 4}, {2, 2}, {2, 3}, {2, 4}}) now[p] = cell::alive;
  std::vector<std::string> lines(static_cast<std::size_t>(height) + 1);
  try {
    for (int generation = 0; generation < generations; ++generation) {
      if (generation > 0) {
        now = step(now, w);
        lines[0].resize(lines[1].size(), ' ');
        for (std::string& line : lines) line += " | ";
      }
      lines[0] += std::to_string(generation);
      for (const place p : places(now)) lines[static_cast<std::size_t>(p.y) + 1] += static_cast<char>(now[p]);
    }
  } catch (const std::exception& e) {
    const std::string what = penstock::exception_text(std::current_exception());
    std::fprintf(stderr, "%s%s\n", what.c_str(), is_caused_by<no_answer>(e) ? " (look at the disk)" : "");
    return 1;
  }
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  return 0;
}

}  // namespace life
