// Life whose logic does not know where cells are kept: a two-way generator asks for a cell, is given it, and says in the end what is to
// become of its own. Whoever plays it decides what asking and changing mean: here a look into a table, which a test would do, and then the
// same logic in a task for every cell, whose changes take their time.
#include <variant>

#include <penstock/async/fan_out.hpp>
#include <penstock/async/generator.hpp>
#include <penstock/async/run.hpp>

#include "world.hpp"

using namespace life;

struct query {
  place at;
};
struct transition {
  place at;
  cell to;
};
using request = std::variant<query, transition>;

penstock::generator<request, cell, int> count_alive(place p) {
  int alive = 0;
  for (const place neighbour : around(p)) {
    const cell c = co_yield query{neighbour};
    alive += c == cell::alive;
  }
  co_return alive;
}
penstock::generator<request, cell> step_cell(place p) {
  const cell now = co_yield query{p};
  const int neighbours = co_await count_alive(p);  // its questions go to whoever plays this one
  co_yield transition{p, rule(now, neighbours)};
}

board step_in_memory(const board& now) {
  board next(now.height(), now.width());
  for (const place p : places(now)) {
    auto logic = step_cell(p);
    while (const request* asked = logic.question()) {
      if (const auto* change = std::get_if<transition>(asked)) next[change->at] = change->to;
      logic.send(now[std::visit([](const auto& r) { return r.at; }, *asked)]);
    }
  }
  return next;
}

penstock::task<> play(place p, const board& now, board& next, const world& w) {
  auto logic = step_cell(p);
  while (const request* asked = logic.question()) {
    if (const auto* change = std::get_if<transition>(asked)) {
      co_await w.write_async(change->at);
      next[change->at] = change->to;
    }
    logic.send(now[std::visit([](const auto& r) { return r.at; }, *asked)]);
  }
}
board step(const board& now, const world& w) {
  board next(now.height(), now.width());
  penstock::run(penstock::fan_out(places(now), [&](place p) { return play(p, now, next, w); }));
  if (next != step_in_memory(now)) throw std::logic_error("the same logic came to another end");
  return next;
}

int main(int argc, char** argv) { return show(argc, argv, step); }
