// Testing stages of one's own on simulated threads: every schedule of a small pipeline, whichever item fails, wherever a stop comes,
// and a clock that is moved by hand. Links penstock::simulated. The careless uploader hangs in some of them.
#include <chrono>
#include <cstdio>
#include <ranges>
#include <stdexcept>
#include <stop_token>

#include <penstock/pipeline/pipeline.hpp>
#include <penstock/queue/bounded_queue.hpp>
#include <penstock/simulation/simulation.hpp>

using namespace std::chrono_literals;
using namespace penstock;
using connections = bounded_queue<int>;

// What is tested: uploads over a few connections. `Send` does the sending; in the test it fails when it is told to.
template <class Send>
struct careless_uploader {
  connections& free;
  Send send;
  void operator()(int photo) const {
    const auto connection = free.pop();
    send(photo);
    (void)free.push(*connection);
  }
};
template <class Send>
struct uploader {
  connections& free;
  Send send;
  void operator()(int photo) const {
    struct borrowed {
      connections& from;
      int number = *from.pop();
      ~borrowed() { (void)from.push(number); }
    } const connection{free};
    send(photo);
  }
};

// One of three photos cannot be sent, and a stop may come at any step, or never.
template <template <class> class Uploader>
void one_photo_fails() {
  connections free(1);
  (void)free.push(1);
  const auto bad = 1 + static_cast<int>(simulation::choose(3));
  const auto send = simulation::failing([](int) {}, [bad](int photo) { return photo == bad; });
  std::stop_source stop;
  simulation::at_step(1 + simulation::choose(500), [stop]() mutable { stop.request_stop(); });
  const report r = from(std::views::iota(1, 4))
                 | sink("upload", Uploader<decltype(send)>{free, send}, {.workers = 2, .on_error = on_error::skip})
                 | run({.stop = stop.get_token()});
  simulation::check(r.delivered + r.failed + r.returned == r.entered && r.failed <= 1, "every photo is accounted for");
  simulation::check(free.size_approx() == 1, "the connection is there again");
}

// A photo that hangs is given up after five seconds, not before; the clock moves only when it is told to.
void one_photo_hangs() {
  simulation::manual_clock clock;
  const auto began = system::clock::now();
  const auto upload = [began](int, const std::stop_token& give_up) {
    if (sleep_for(1h, give_up)) return;
    simulation::check(system::clock::now() - began >= 5s, "not before its time");
    throw std::runtime_error("no answer");
  };
  auto line = from(std::views::single(1)) | sink("upload", upload, {.on_error = on_error::skip, .timeout = 5s}) | start();
  while (line.snapshot().stages.back().failed == 0) {
    clock.advance(1s);
    system::yield();
  }
  simulation::check(line.wait().failed == 1);
}

int main() {
  const auto found = simulation::search({.preemptions = 0}, one_photo_fails<careless_uploader>);
  std::printf("careless: %s\n", found ? found->reason().c_str() : "nothing found");
  const auto all = simulation::explore({.preemptions = 0}, one_photo_fails<uploader>);
  std::printf("careful: %s\n", all.complete ? "every schedule ends well" : "cut short");
  const auto many = simulation::simulate_many(1, 2000, one_photo_fails<uploader>);
  std::printf("at random: %d of 2000 runs end well\n", static_cast<int>(many.runs));
  std::printf("hanging: %s\n", simulation::explore({.preemptions = 1}, one_photo_hangs).complete ? "given up in time" : "cut short");
}
