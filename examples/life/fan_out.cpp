// Life with fan_out: the loop of serial.cpp, at ten cells at the same time. The results come back in order, the first failure ends it and
// says where, and no thread outlives the call.
#include <penstock/async/fan_out.hpp>

#include "world.hpp"

using namespace life;

board step(const board& now, const world& w) {
  const auto next = [&](place p) { return next_cell(now, p, w); };
  return {now.height(), now.width(), penstock::fan_out(places(now), next, {.workers = 10})};
}

int main(int argc, char** argv) { return show(argc, argv, step); }
