// Life in two phases: counting the neighbours has become something that waits, too, and gets workers of its own. With threads and queues by
// hand that is a second queue, a second loop and a second end; in a pipeline it is one line.
#include <penstock/pipeline/pipeline.hpp>

#include "world.hpp"

using namespace life;

struct counted {
  place at;
  int neighbours = 0;
  friend std::string item_label(const counted& c) { return item_label(c.at); }
};

board step(const board& now, const world& w) {
  board next(now.height(), now.width());
  const auto count = [&](place p) {
    w.write(p);
    return counted{p, alive_around(now, p)};
  };
  const auto decide = [&](const counted& c) {
    w.write(c.at);
    next[c.at] = rule(now[c.at], c.neighbours);
  };
  (void)(penstock::from(places(now))
       | penstock::stage("count",  count,  {.workers = 10})
       | penstock::sink ("decide", decide, {.workers = 10})
       | penstock::run());
  return next;
}

int main(int argc, char** argv) { return show(argc, argv, step); }
