// A throw at every place, while the run is running, draining and stopping: it ends, every thread is joined, every item
// is accounted for.
//
// Places: the source, a per-worker factory, the item's constructor, its move, its label, its size function, a stage in
// the middle (each kind of result), in the middle of an expansion, the sink, retry_if, the dead-letter function,
// on_failure.
#include <array>
#include <functional>
#include <string>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

enum class place {
  nowhere,
  source,
  factory,
  constructor,
  move,
  label,
  size,
  stage,
  optional_stage,
  expansion,
  sink,
  retry_if,
  dead_letter,
  on_failure
};
constexpr std::array all_places{place::nowhere,        place::source,    place::factory, place::constructor,
                                place::move,           place::label,     place::size,    place::stage,
                                place::optional_stage, place::expansion, place::sink,    place::retry_if,
                                place::dead_letter,    place::on_failure};
const char* name_of(place p) {
  constexpr const char* names[] = {"nowhere", "source",   "factory",     "constructor",    "move",
                                   "label",   "size",     "stage",       "optional_stage", "expansion",
                                   "sink",    "retry_if", "dead_letter", "on_failure"};
  return names[static_cast<int>(p)];
}
enum class state { running, draining, stopping };

struct boom : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws at one place, at its n-th passage; counts who is alive, so that nothing leaks and nothing is destroyed twice.
struct mine {
  static inline std::atomic<int> armed = -1;    // the place
  static inline std::atomic<int> passages = 0;  // until it goes off
  static inline std::atomic<int> alive = 0;
  static inline std::atomic<int> explosions = 0;
  static inline std::function<void()> ask_for_the_end;  // so that the throw comes while the run drains, or stops
  static void step_on(place p) {
    if (armed != static_cast<int>(p) || passages-- != 0) return;
    ++explosions;
    ask_for_the_end();
    throw boom(name_of(p));
  }
};

struct parcel {
  explicit parcel(int n) : number(n) {
    mine::step_on(place::constructor);
    ++mine::alive;
  }
  parcel(const parcel& other) : number(other.number) {
    mine::step_on(place::move);
    ++mine::alive;
  }
  parcel(parcel&& other) : number(other.number) {
    mine::step_on(place::move);
    ++mine::alive;
  }
  parcel& operator=(const parcel&) = default;
  ~parcel() { --mine::alive; }
  int number;
  friend std::string item_label(const parcel& p) {
    mine::step_on(place::label);
    return std::to_string(p.number);
  }
  friend std::size_t item_bytes(const parcel&) {
    mine::step_on(place::size);
    return 1;
  }
};

class throw_everywhere : public ::testing::TestWithParam<place> {};

TEST_P(throw_everywhere, the_run_ends_and_every_item_is_accounted_for) {
  mine::explosions = 0;
  for (const state when : {state::running, state::draining, state::stopping})
    for (const bool ordered : {false, true})
      for (const on_error policy : {on_error::stop, on_error::skip})
        for (const int passage : {0, 1, 7, 40}) {
          SCOPED_TRACE(::testing::Message()
                       << name_of(GetParam()) << " state " << static_cast<int>(when) << " ordered " << ordered
                       << " policy " << static_cast<int>(policy) << " passage " << passage);
          mine::passages = passage;
          mine::armed = static_cast<int>(GetParam());
          std::stop_source stop, drain;
          mine::ask_for_the_end = [&] {
            if (when == state::draining) drain.request_stop();
            if (when == state::stopping) stop.request_stop();
          };
          std::atomic<int> made = 0;
          const bool letters = GetParam() == place::dead_letter;
          const bool breaks =
              GetParam() == place::retry_if || letters || GetParam() == place::on_failure || GetParam() == place::label;
          stage_options options{.workers = 2, .capacity = 3, .ordered = ordered, .on_error = policy};
          options.retry = {
              .attempts = 2, .backoff = std::chrono::nanoseconds(0), .retry_if = [](const std::exception_ptr&) {
                mine::step_on(place::retry_if);
                return true;
              }};
          stage_options dead = options;
          if (letters) dead.dead_letter = [](unfinished_item&&) { mine::step_on(place::dead_letter); };
          options.capacity_bytes = 100;
          try {
            const auto r = from([&]() -> std::optional<parcel> {
                             mine::step_on(place::source);
                             if (++made > 60) return std::nullopt;
                             return parcel(made);
                           }) |
                           stage("factory", per_worker([] {
                                   mine::step_on(place::factory);
                                   return [](const parcel& p) {
                                     mine::step_on(place::stage);
                                     return p;
                                   };
                                 }),
                                 options) |
                           stage(
                               "optional",
                               [&](const parcel& p) -> std::optional<parcel> {
                                 mine::step_on(place::optional_stage);
                                 if (breaks && p.number % 5 == 0) throw std::runtime_error("on purpose");
                                 if (p.number % 3 == 0) return std::nullopt;
                                 return p;
                               },
                               dead) |
                           stage(
                               "expansion",
                               [](const parcel& p) {
                                 return each(std::views::iota(0, 2) | std::views::transform([n = p.number](int) {
                                               mine::step_on(place::expansion);
                                               return parcel(n);
                                             }));
                               },
                               options) |
                           sink("sink", [](const parcel&) { mine::step_on(place::sink); },
                                {.workers = 2, .capacity = 3, .on_error = policy}) |
                           run({.stop = stop.get_token(), .drain = drain.get_token(), .on_failure = [](const failure&) {
                                  mine::step_on(place::on_failure);
                                }});
            testing::expect_sums_meet(r);
          } catch (const run_error& e) {
            EXPECT_TRUE(e.report().sums_meet());
            EXPECT_EQ(e.report().outcome, outcome::failed);
            testing::expect_sums_meet(e.report());
          }
          ASSERT_EQ(mine::alive, 0) << "an item leaked, or was destroyed twice";
        }
  EXPECT_EQ(mine::explosions > 0, GetParam() != place::nowhere) << "nothing was thrown, so nothing was tested";
}

INSTANTIATE_TEST_SUITE_P(all, throw_everywhere, ::testing::ValuesIn(all_places),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

}  // namespace
}  // namespace penstock
