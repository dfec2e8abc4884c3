// Life with a few threads that stay, and a queue of cells for them. What waits is bounded, what is started is bounded. The price is seen
// below: the work has to be written as jobs, and the end of a generation has to be waited for somewhere: join() returns when every job
// that was ever pushed is done, and tells the first that failed.
#include <exception>
#include <thread>
#include <vector>

#include <penstock/queue/bounded_queue.hpp>

#include "world.hpp"

using namespace life;

class crew {
 public:
  explicit crew(int workers) {
    for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  }
  ~crew() { jobs_.close(); }

  board step(const board& now, const world& w) {
    board next(now.height(), now.width());
    for (const place p : places(now)) (void)jobs_.push({p, &now, &next, &w});
    if (const auto end = jobs_.join(); end.failed > 0) std::rethrow_exception(end.first_failure);
    return next;
  }

 private:
  struct job {
    place at;
    const board* now;
    board* next;
    const world* w;
  };

  void work() {
    while (auto lease = jobs_.take()) {
      const job& j = **lease;
      try {
        (*j.next)[j.at] = next_cell(*j.now, j.at, *j.w);
      } catch (...) {
        lease->fail(failed_at(j.at));
      }
    }  // the lease ends: the job is done
  }

  penstock::bounded_queue<job> jobs_{16};
  std::vector<std::jthread> threads_;  // last, so that they are joined while the queue is still there
};

int main(int argc, char** argv) {
  crew ten(10);
  return show(argc, argv, [&](const board& now, const world& w) { return ten.step(now, w); });
}
