// Every kind of source with every pair of kinds of stage, on the machine: threads, a thread for each worker, coroutines,
// processes. The first two in every interleaving: tests/simulation/liveness_test.cpp.
#include "tests/pipeline/liveness.hpp"

#include <cstdlib>
#include <new>
#include <string>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <penstock/async/on.hpp>
#include <penstock/async/stage.hpp>
#include <penstock/penstock.hpp>
#include <penstock/process/isolated.hpp>

namespace penstock {

using testing::act;
using testing::play;
using testing::scene;
using testing::source_kind;
using testing::state;

namespace {

// In memory that worker processes have, too.
class world {
 public:
  world() {
    pthread_mutexattr_t for_processes;
    ::pthread_mutexattr_init(&for_processes);
    ::pthread_mutexattr_setpshared(&for_processes, PTHREAD_PROCESS_SHARED);
    ::pthread_mutex_init(&mutex_, &for_processes);
    ::pthread_mutexattr_destroy(&for_processes);
    pthread_condattr_t the_same;
    ::pthread_condattr_init(&the_same);
    ::pthread_condattr_setpshared(&the_same, PTHREAD_PROCESS_SHARED);
    ::pthread_cond_init(&changed_, &the_same);
    ::pthread_condattr_destroy(&the_same);
  }
  world(const world&) = delete;
  world& operator=(const world&) = delete;
  ~world() = default;  // a worker process that was killed may still count as waiting here

  template <class F>
  void change(F f) {
    ::pthread_mutex_lock(&mutex_);
    f(state_);
    ::pthread_cond_broadcast(&changed_);
    ::pthread_mutex_unlock(&mutex_);
  }
  template <class Condition>
  void wait(Condition holds) {
    ::pthread_mutex_lock(&mutex_);
    while (!holds(std::as_const(state_))) ::pthread_cond_wait(&changed_, &mutex_);
    ::pthread_mutex_unlock(&mutex_);
  }
  void some_time() { (void)sleep_for(std::chrono::milliseconds(1), {}); }

  play played{};

 private:
  pthread_mutex_t mutex_;
  pthread_cond_t changed_;
  state state_{};
};

constexpr const char* where_it_is = "PENSTOCK_LIVENESS_WORLD";
world* mapped(int file) {
  void* const memory = ::mmap(nullptr, sizeof(world), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<world*>(memory);
}
// In a worker process: its parent's.
world& of_the_parent() {
  static world* const shared = mapped(::open(std::getenv(where_it_is), O_RDWR | O_CLOEXEC));
  return *shared;
}

}  // namespace

// --- in processes of their own ---
int first_call(int i) {
  act(of_the_parent(), of_the_parent().played, 0, i);
  return i;
}
void second_call(int i) { act(of_the_parent(), of_the_parent().played, 1, i); }

namespace {

enum class kind { threads, own_threads, coroutines, processes };

struct shared_things {
  world& w;
  play p;
  thread_pool& pool;
};

template <kind Kind>
auto stage_of(const shared_things& s) {
  const auto function = [&w = s.w, p = s.p](int i) {
    act(w, p, 0, i);
    return i;
  };
  const stage_options options{.workers = s.p.workers, .capacity = s.p.capacity, .ordered = s.p.ordered};
  if constexpr (Kind == kind::threads) return stage("first", function, options);
  if constexpr (Kind == kind::own_threads) return stage("first", per_worker([function] { return function; }), options);
  if constexpr (Kind == kind::processes) return stage("first", process::isolated<first_call>(), options);
  if constexpr (Kind == kind::coroutines) {
    auto call = [function, &pool = s.pool](int i) -> task<int> {
      auto work = [&] { return function(i); };
      co_return co_await on(pool, work);
    };
    return stage("first", call,
                 async_options{.in_flight = s.p.workers, .capacity = s.p.capacity, .ordered = s.p.ordered});
  }
}
template <kind Kind>
auto sink_of(const shared_things& s) {
  const auto function = [&w = s.w, p = s.p](int i) { act(w, p, 1, i); };
  const stage_options options{.workers = s.p.workers, .capacity = s.p.capacity};
  if constexpr (Kind == kind::threads) return sink("second", function, options);
  if constexpr (Kind == kind::own_threads) return sink("second", per_worker([function] { return function; }), options);
  if constexpr (Kind == kind::processes) return sink("second", process::isolated<second_call>(), options);
  if constexpr (Kind == kind::coroutines) {
    auto call = [function, &pool = s.pool](int i) -> task<> {
      auto work = [&] { function(i); };
      co_await on(pool, work);
    };
    return sink("second", call, async_options{.in_flight = s.p.workers, .capacity = s.p.capacity});
  }
}

template <kind First, kind Second>
void run_all() {
  const int file = ::memfd_create("world", MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(file, sizeof(world)), 0);
  ::setenv(where_it_is, ("/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file)).c_str(), 1);
  for (const auto source : {source_kind::range, source_kind::callable, source_kind::open})
    for (const auto what : {scene::burst_then_silence, scene::one_blocks, scene::calls_meet, scene::stop, scene::drain})
      for (const int where : {0, 1}) {
        // A stop ends a process in the middle of its call, which then holds what others need.
        if (what == scene::stop && (First == kind::processes || Second == kind::processes)) continue;
        for (const bool ordered : {false, true}) {
          const play p{.source = source,
                       .what = what,
                       .stage = where,
                       .cheap = 40,
                       .ordered = ordered,
                       .capacity = where == 0 ? 1U : 4U};
          SCOPED_TRACE("source " + std::to_string(static_cast<int>(source)) + ", scene " +
                       std::to_string(static_cast<int>(what)) + " in stage " + std::to_string(where) +
                       (ordered ? ", ordered" : ""));
          world& w = *std::construct_at(mapped(file));
          w.played = p;
          thread_pool pool(8);
          const shared_things s{w, p, pool};
          EXPECT_EQ(testing::wrong_with(testing::run(w, p, stage_of<First>(s), sink_of<Second>(s)), p), "");
          ::munmap(&w, sizeof(world));
        }
      }
  ::close(file);
}

template <class Pair>
class liveness : public ::testing::Test {};
template <kind First, kind Second>
struct pair_of {
  static constexpr kind first = First, second = Second;
};
using pairs =
    ::testing::Types<pair_of<kind::threads, kind::threads>, pair_of<kind::threads, kind::own_threads>,
                     pair_of<kind::threads, kind::coroutines>, pair_of<kind::threads, kind::processes>,
                     pair_of<kind::own_threads, kind::threads>, pair_of<kind::own_threads, kind::own_threads>,
                     pair_of<kind::own_threads, kind::coroutines>, pair_of<kind::own_threads, kind::processes>,
                     pair_of<kind::coroutines, kind::threads>, pair_of<kind::coroutines, kind::own_threads>,
                     pair_of<kind::coroutines, kind::coroutines>, pair_of<kind::coroutines, kind::processes>,
                     pair_of<kind::processes, kind::threads>, pair_of<kind::processes, kind::own_threads>,
                     pair_of<kind::processes, kind::coroutines>, pair_of<kind::processes, kind::processes>>;
TYPED_TEST_SUITE(liveness, pairs);

TYPED_TEST(liveness, every_item_arrives_and_every_worker_can_be_at_work) {
  run_all<TypeParam::first, TypeParam::second>();
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  penstock::process::serve_if_worker<penstock::first_call, penstock::second_call>(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
