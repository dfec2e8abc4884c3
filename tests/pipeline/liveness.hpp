// The promise of every combination of source and stages: an item that was produced arrives without another one being
// produced, however long other calls of its stage take; and as many calls are under way as there are workers.
//
// Two stages behind a source. run() plays one scene with one combination of kinds. It ends, or hangs: then a promise is broken.
#pragma once

#include <cstdint>
#include <optional>
#include <ranges>
#include <stop_token>
#include <string>
#include <utility>

#include <penstock/pipeline/pipeline.hpp>

namespace penstock::testing {

enum class source_kind { range, callable, open };
enum class scene {
  burst_then_silence,  // the source waits until everything it has produced has arrived
  one_blocks,          // one call waits until all other items have arrived
  calls_meet,          // calls wait until as many of them are under way as there are workers
  stop,                // a stop while one call blocks
  drain,               // the same with a drain
};

struct play {
  source_kind source;
  scene what;
  int stage = 0;    // in which of the two something special happens
  int cheap = 6;    // items before the special one, or ones
  int workers = 2;  // of each stage
  bool ordered = false;
  std::size_t capacity = 4;  // before each stage
  bool slow = false;         // every call takes a millisecond

  [[nodiscard]] int items() const { return what == scene::calls_meet ? cheap + 2 * workers : cheap + 6; }
};

// The state that all participants share. A World holds one: change(f) calls f(state&) alone; wait(condition) returns when
// condition(const state&) holds; some_time() takes a millisecond.
struct state {
  int arrived = 0, met = 0;
  bool blocked = false, released = false;
};

// One call with an item in one of the stages.
template <class World>
void act(World& world, const play& p, int stage, int item) {
  if (p.slow) world.some_time();
  if (stage == p.stage) {
    switch (p.what) {
      case scene::burst_then_silence:
        break;
      case scene::one_blocks:
        // Behind an ordered stage, later items cannot arrive before this one.
        if (item == p.cheap)
          world.wait([&](const state& s) { return s.arrived >= (p.ordered && stage == 0 ? p.cheap : p.items() - 1); });
        break;
      case scene::calls_meet: {
        if (item < p.cheap) break;
        int enough = 0;
        world.change([&](state& s) { enough = (s.met++ / p.workers + 1) * p.workers; });
        world.wait([&](const state& s) { return s.met >= enough; });
        break;
      }
      case scene::stop:
      case scene::drain:
        if (item != p.cheap) break;
        world.change([](state& s) { s.blocked = true; });
        world.wait([](const state& s) { return s.released; });
        break;
    }
  }
  if (stage == 1) world.change([](state& s) { ++s.arrived; });
}

// The source's next item: 0, 1, …; after the last it waits as the scene wants.
template <class World>
class producer {
 public:
  producer(World& world, const play& p) : world_(&world), play_(p) {}
  std::optional<int> operator()() {
    if (next_ < play_.items()) return next_++;
    world_->wait([this](const state& s) { return s.arrived == play_.items() || s.released; });
    return std::nullopt;
  }

 private:
  World* world_;
  play play_;
  int next_ = 0;
};

// first, second: descriptions of the two stages. Returns the report of a run that ended.
template <class World, class First, class Second>
report run(World& world, const play& p, First first, Second second) {
  const auto go_on = [&](auto line) {
    if (p.what == scene::stop || p.what == scene::drain) {
      world.wait([](const state& s) { return s.blocked; });
      p.what == scene::stop ? line.request_stop() : line.drain();
      world.change([](state& s) { s.released = true; });
    }
    return line.wait();
  };
  switch (p.source) {
    case source_kind::range: {
      // A range that can be walked twice, so that it is read ahead. It waits when it is asked whether there are more.
      auto is_there = [&world, p](int i) {
        if (i < p.items()) return true;
        world.wait([p](const state& s) { return s.arrived == p.items() || s.released; });
        return false;
      };
      return go_on(from(std::views::iota(0) | std::views::take_while(is_there)) | std::move(first) | std::move(second) |
                   start());
    }
    case source_kind::callable:
      return go_on(from(producer<World>(world, p)) | std::move(first) | std::move(second) | start());
    case source_kind::open: {
      auto line = from<int>() | std::move(first) | std::move(second) | start();
      const bool cut_short = p.what == scene::stop || p.what == scene::drain;
      for (int i = 0; i < p.items(); ++i) {
        if (cut_short && i == p.cheap + 1) break;  // others may find no room while that call blocks
        (void)line.push(i);
      }
      if (!cut_short) {
        world.wait([&](const state& s) { return s.arrived == p.items(); });
        line.close();
      }
      return go_on(std::move(line));
    }
  }
  return {};
}

// The properties that a report must have; empty: it has them.
[[nodiscard]] inline std::string wrong_with(const report& r, const play& p) {
  if (!r.sums_meet()) return "the sums do not meet";
  if (p.what != scene::stop && r.delivered != r.entered)
    return "not everything that entered was delivered: " + to_json(r);
  if (p.what != scene::stop && p.what != scene::drain && r.entered != static_cast<std::uint64_t>(p.items()))
    return "not everything entered";
  return {};
}

}  // namespace penstock::testing
