// isolated<f>: the function f of this program, called in a process of its own: what kills it costs one item.
//
//   photo decode(const std::string& file);                     // may crash, hang, or eat all memory
//
//   int main(int argc, char** argv) {
//     penstock::process::serve_if_worker<decode>(argc, argv);   // first: in a worker process it does not return
//     auto report = penstock::from(files)
//                 | penstock::stage("decode", penstock::process::isolated<decode>({.deadline = 5s, .memory_bytes = 1 << 30}),
//                                   {.workers = 2, .capacity = 64, .on_error = penstock::on_error::skip})
//                 | ...
//
// f takes one value and returns one, or nothing; both go through wire.hpp. An exception of f comes back as
// request_failed with its message; the end of its process as worker_died: "the worker was killed by signal 11 (SEGV)",
// "the worker exited with 3" after exit(3), "the worker ended: the function ended its thread" after pthread_exit().
//
// WORKERS  Each worker of the stage has a process, started at its first item and replaced when it died. It is this
//          program, executed anew (/proc/self/exe), which is safe whatever threads are running; nothing of the
//          state of this process is there: f may use its argument, and what it makes itself.
// ITEMS    In a stage with one worker, further items are sent while one is worked at. When a worker dies, the item that
//          it was working at has failed; those behind it go to the next worker; none is worked at twice.
// LIMITS   deadline: for one item; then its process group is killed. memory_bytes: beyond what the program has at the
//          beginning of its main(), before the first item; then new throws std::bad_alloc there, and malloc returns
//          null.
// ENDING   A stop of the run ends the process at once, and the item is handed back. A worker whose parent is gone, in
//          whatever way, ends, even if f hangs.
// OUTPUT   What f prints to the standard output goes to the errors; its input is empty.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include <penstock/pipeline/stage_function.hpp>
#include <penstock/process/wire.hpp>
#include <penstock/process/worker_process.hpp>

namespace penstock::process {

struct isolation {
  std::chrono::nanoseconds deadline{0};           // 0: none
  std::size_t memory_bytes = 0;                   // 0: no limit
  bool core_dumps = false;                        // whether a crash may leave one
  std::size_t most_bytes = std::size_t{1} << 30;  // in a result
};

// What f takes and returns.
template <auto F>
struct isolated_signature {
  using parameter = typename stage_traits::parameter<std::decay_t<decltype(F)>>::type;
  static_assert(!std::is_void_v<parameter>, "penstock: an isolated function has one parameter, and is no template");
  using item = std::remove_cvref_t<parameter>;
  using result = std::invoke_result_t<decltype(F), item&>;
  using value = std::remove_cvref_t<result>;
  static_assert(wireable<item>,
                "penstock: the item cannot go to another process: give its type a function wire_parts()");
  static_assert(std::is_void_v<value> || wireable<std::conditional_t<std::is_void_v<value>, int, value>>,
                "penstock: the result cannot come from another process: give its type a function wire_parts()");
};

namespace isolation_parts {

template <auto F>
struct tag {};
// The same in every process of one program.
template <auto F>
const char* name_of() {
  return typeid(tag<F>).name();
}

struct served {
  const char* name;
  std::string (*call)(std::string_view request);
};

template <auto F>
std::string call(std::string_view request) {
  using signature = isolated_signature<F>;
  auto item = from_wire<typename signature::item>(request);
  if constexpr (std::is_void_v<typename signature::result>) {
    F(item);
    return {};
  } else {
    return to_wire<typename signature::value>(F(item));
  }
}

void serve(int argc, char** argv, std::span<const served> functions);
[[nodiscard]] worker_process make_worker(const char* function, const isolation& how);

}  // namespace isolation_parts

// To be called first in main(), once, with every function that this program isolates. In a worker process it works and
// does not return; else it does nothing.
template <auto... Functions>
void serve_if_worker(int argc, char** argv) {
  static constexpr std::size_t count = sizeof...(Functions);
  const std::array<isolation_parts::served, count> functions{
      isolation_parts::served{isolation_parts::name_of<Functions>(), &isolation_parts::call<Functions>}...};
  isolation_parts::serve(argc, argv, functions);
}

// f as a function object with a process behind it: what a worker of an isolated stage calls. Also by itself:
//
//   isolated_call<decode> safely({.deadline = 5s});
//   photo p = safely("IMG_0017.JPG", {});
//
// Throws std::logic_error if main() did not call serve_if_worker(). THREADS  One at a time.
template <auto F>
class isolated_call {
 public:
  using item = typename isolated_signature<F>::item;
  using result = typename isolated_signature<F>::value;

  explicit isolated_call(const isolation& how = {})
      : worker_(isolation_parts::make_worker(isolation_parts::name_of<F>(), how)) {}

  isolated_call(isolated_call&&) noexcept = default;
  isolated_call& operator=(isolated_call&& other) noexcept {
    if (this == &other) return *this;
    std::destroy_at(this);
    return *std::construct_at(this, std::move(other));
  }

  // Throws worker_died, request_failed; std::runtime_error if it was stopped.
  result operator()(const item& x, std::stop_token stop) {
    const bool is_next = at_ < ahead_.size() && ahead_[at_] == &x;
    if (!is_next) worker_.submit(to_wire(x));  // alone, or once more
    const wait_limit limit(std::move(stop));
    // What was sent before it is answered before it.
    for (std::size_t before = is_next ? 0 : ahead_.size() - at_ - early_.size(); before > 0; --before)
      early_.push_back(reply_within(limit));
    worker_process::reply r;
    if (is_next && !early_.empty()) {
      r = std::move(early_.front());
      early_.pop_front();
    } else {
      r = reply_within(limit);
    }
    if (is_next) ++at_;
    if (r.error) std::rethrow_exception(r.error);
    if constexpr (!std::is_void_v<result>) return from_wire<result>(r.bytes);
  }

  // The stage says which items will be next: they are sent already.
  void foresee(std::span<const item* const> items) noexcept {
    forget();
    try {
      ahead_.assign(items.begin(), items.end());
      for (const item* x : items) worker_.submit(to_wire(*x));
      worker_.exchange();
    } catch (...) {
      forget();  // then each of them finds out by itself
    }
  }

 private:
  worker_process::reply reply_within(const wait_limit& limit) {
    try {
      if (!worker_.has_reply() && !worker_.wait_for_reply(limit))
        throw std::runtime_error("stopped before it was done");
    } catch (...) {
      forget();
      throw;
    }
    return worker_.next();
  }
  // Those that were sent ahead and are not asked for any more: the run is being stopped.
  void forget() noexcept {
    ahead_.clear();
    early_.clear();
    at_ = 0;
    if (worker_.under_way()) worker_.reset();
  }

  worker_process worker_;
  std::vector<const item*> ahead_;  // sent ahead; from at_ on not asked for yet
  std::size_t at_ = 0;
  std::deque<worker_process::reply> early_;  // to the first of those, because one before them was tried again
};

// The function of a stage that calls f in a process per worker.
template <auto F>
[[nodiscard]] auto isolated(isolation how = {}) {
  return per_worker([how] { return isolated_call<F>(how); });
}

}  // namespace penstock::process
