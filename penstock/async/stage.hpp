// A stage whose function is a coroutine: many items in flight on one thread, beside stages of threads in one pipeline.
//
//   task<page> fetch(url u);                                                  // or task<std::optional<page>>, task<each<...>>
//   auto report = from(urls)
//               | stage("fetch", fetch, {.in_flight = 10'000})
//               | stage("parse", parse, {.workers = 4})                       // on threads
//               | sink ("store", store_async, {.in_flight = 100})             // task<>
//               | run();
//
// `in_flight` is what tells it from a stage of threads. Everything else is said, and means, what it does there: errors,
// retries, dead letters, limits, `ordered`, accounts, the end (pipeline.hpp, options.hpp).
//
// FUNCTION  What stage_function.hpp says, with a task around the result. The item lives until the task has ended, so it may
//           be taken by reference. A lambda that is a coroutine is kept as long as its tasks.
// TIME      `timeout` ends an attempt whether or not the function takes a stop token: its task is destroyed where it waits.
// THREADS   One, with a loop of its own. What computes there holds up all others: that belongs into a stage of threads.
// MEMORY    At most `capacity` items wait before it and `in_flight` are in it; a result that finds no room waits in its task.
// FAIRNESS  However many items wait, after 64 calls those under way are looked after, too.
// ENDING    A stop: what is in flight is finished, but for results of an each() that have not been taken; a function that
//           takes a std::stop_token can be quicker.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/async/group.hpp>
#include <penstock/async/queue_ends.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/task.hpp>
#include <penstock/async/when.hpp>
#include <penstock/base/time_of_many.hpp>
#include <penstock/pipeline/entered_stage.hpp>
#include <penstock/pipeline/pipeline.hpp>
#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/stage_function.hpp>
#include <penstock/pipeline/stage_policy.hpp>

namespace penstock {

// Without a default: it has to be said, and so tells these options from those of a stage of threads.
class in_flight_count {
 public:
  template <std::integral N>
  constexpr in_flight_count(N n) noexcept  // NOLINT(google-explicit-constructor)
      : count_(n > 0 ? static_cast<std::size_t>(n) : 0) {}
  [[nodiscard]] constexpr std::size_t get() const noexcept { return count_; }

 private:
  std::size_t count_;
};

struct async_options {
  in_flight_count in_flight;  // calls under way at the same time; at least 1
  std::size_t capacity = 16;  // the rest: as in stage_options
  std::size_t capacity_bytes = 0;
  bool ordered = false;
  penstock::on_error on_error = penstock::on_error::stop;
  failure_limit limit{};
  retry_policy retry{};
  std::chrono::nanoseconds timeout{0};
  std::function<void(unfinished_item&&)> dead_letter{};
};

// The functions of such stages: what they return around a task is seen through.
template <class F, class In>
concept async_function = stage_accepts<F, In> && is_task<stage_result<F, In>>;
template <class F, class In>
struct async_stage_result {};
template <class F, class In>
  requires async_function<F, In>
struct async_stage_result<F, In> {
  using value = typename stage_result<F, In>::value_type;
  using out = std::decay_t<typename stage_traits::output<std::decay_t<value>>::type>;
};

template <class In, class F>
class async_stage final : public entered_stage<In> {
 public:
  using value = typename async_stage_result<F, In>::value;
  using out = typename async_stage_result<F, In>::out;

  // next: null iff `out` is void.
  async_stage(std::string name, F function, async_options options, inlet<out>* next, run_control& control)
      : entered_stage<In>(std::move(name), stage_part(options), abilities(), control),
        in_flight_(options.in_flight.get()),
        function_(std::move(function)),
        next_(next) {}

  void check() const override {
    if (in_flight_ == 0)
      throw std::invalid_argument("penstock: stage \"" + this->name() + "\": needs an in_flight of at least 1");
    front::check();
  }

  // --- as the crew sees it: a stage with a thread of its own ---
  bool turn(crew_member&) override { return false; }
  [[nodiscard]] readiness ready() const noexcept override { return readiness::nothing; }
  [[nodiscard]] bool has_own_threads() const noexcept override { return true; }
  void serve(worker&, crew_member& me) override;

  [[nodiscard]] bool delivers() const noexcept override { return std::is_void_v<out>; }
  void add_shares(stage_report& r, std::int64_t now) const noexcept override;

 private:
  using front = entered_stage<In>;
  using front::end_cut_short, front::end_failed, front::entrance_, front::go_on_with_results, front::policy_,
      front::text_of;
  using typename front::cut_short;

  using argument = stage_traits::argument<F, In>;
  static constexpr bool consumes = stage_traits::consumes<F, In>();
  using out_item = std::conditional_t<std::is_void_v<out>, char, out>;

  static stage_options stage_part(async_options& o) {
    return {.workers = 1,
            .capacity = o.capacity,
            .capacity_bytes = o.capacity_bytes,
            .ordered = o.ordered && !std::is_void_v<out>,
            .on_error = o.on_error,
            .limit = o.limit,
            .retry = std::move(o.retry),
            .timeout = o.timeout,
            .dead_letter = std::move(o.dead_letter)};
  }
  static stage_abilities abilities() {
    return {.is_sink = std::is_void_v<out>,
            .takes_stop = true,  // its time can be ended in any case
            .can_keep_item = !consumes || std::copy_constructible<In>,
            .shareable = true,  // by one thread
            .knows_bytes = has_bytes<In>,
            .own_threads = true};
  }
  // What one run of the loop's thread works with.
  struct shift;
  class call_under_way;
  class held_up;
  class item_wait;
  class put_wait;
  class turn_wait;
  task<> work(shift& s);
  task<> process(shift& s);
  // One attempt. What it throws is the function's.
  task<> attempt(shift& s, envelope<In>& e, std::uint64_t ticket, bool keep, bool& called);
  task<value> call(argument item);
  // At most once a millisecond, or `at_once`.
  void share_out_thread_time(shift& s, std::int64_t now, bool at_once = false) noexcept;

  const std::size_t in_flight_;
  F function_;
  inlet<out>* const next_;
  // Of the calls, from their first wait on; what comes before is the thread's time. Of those, how long they have waited for
  // room or for their turn, and for their next attempt.
  time_of_many under_way_, blocked_, paused_;
  time_of_many asleep_;  // the thread
};

// --- below: how ---

template <class In, class F>
struct async_stage<In, F>::shift {
  worker& self;
  crew_member& me;
  // What the next task begins with.
  std::optional<envelope<In>> taken{};
  std::uint64_t its_ticket = 0;
  call_under_way* begun = nullptr;  // the task that has just begun, if it has not ended
  std::int64_t shared_out = now_ns();
  // Of `ordered`: whose turn it is, and who waits for his, at his ticket modulo in_flight.
  std::uint64_t turn = 0;
  std::vector<ready_link*> waiting{};

  void end_turn(std::uint64_t ticket) noexcept {
    if (waiting.empty()) return;
    turn = ticket + 1;
    if (ready_link* const next = std::exchange(waiting[turn % waiting.size()], nullptr)) loop::here().make_ready(*next);
  }
};

// Counts a task as under way, if it has to wait: one that ends on the spot costs no look at a clock.
template <class In, class F>
class async_stage<In, F>::call_under_way {
 public:
  call_under_way(async_stage& stage, shift& s) noexcept : stage_(stage), shift_(s) { s.begun = this; }
  ~call_under_way() {
    if (shift_.begun == this) shift_.begun = nullptr;
    if (!counts_) return;
    const std::int64_t now = loop::here().now();
    stage_.under_way_.one_less(now);
    stage_.share_out_thread_time(shift_, now);
  }
  call_under_way(const call_under_way&) = delete;
  call_under_way& operator=(const call_under_way&) = delete;
  void waits() noexcept {
    counts_ = true;
    stage_.under_way_.one_more(now_ns());
  }

 private:
  async_stage& stage_;
  shift& shift_;
  bool counts_ = false;
};

// Counts a wait of a task that is not its function's, for the length of a scope.
template <class In, class F>
class async_stage<In, F>::held_up {
 public:
  explicit held_up(time_of_many& where) noexcept : where_(where) { where_.one_more(loop::here().now()); }
  ~held_up() { where_.one_less(loop::here().now()); }
  held_up(const held_up&) = delete;
  held_up& operator=(const held_up&) = delete;

 private:
  time_of_many& where_;
};

// Until an item waits (true), or the end.
template <class In, class F>
class [[nodiscard]] async_stage<In, F>::item_wait final : private place_in_line {
 public:
  explicit item_wait(async_stage& stage) noexcept : stage_(stage) {}
  ~item_wait() {
    if (!this->has_stood()) return;
    stage_.entrance_.leave_items_line(*this);
    this->forget();
  }
  bool await_ready() const noexcept { return stage_.entrance_.waiting() != 0; }
  bool await_suspend(std::coroutine_handle<> h) {
    coroutine_ = h;
    this->stands_here();
    return !stage_.entrance_.items_in_line(*this);
  }
  bool await_resume() const noexcept { return stage_.entrance_.waiting() != 0; }

 private:
  void called() noexcept override {
    if (stage_.entrance_.items_in_line(*this)) loop::here().resume_now(coroutine_);
  }
  async_stage& stage_;
  std::coroutine_handle<> coroutine_;
};

// Until the next stage has taken a result.
template <class In, class F>
class [[nodiscard]] async_stage<In, F>::put_wait final : private outside_place, private notice {
 public:
  put_wait(async_stage& stage, envelope<out_item>& result) noexcept
      : next_(*stage.next_), result_(result), blocked_(stage.blocked_) {}
  ~put_wait() {
    if (!loop_) return;
    next_.leave_line(*this);
    if (was_told()) loop_->retract(*this);
  }
  bool await_ready() noexcept {
    if (next_.reserve(1) == 0) return false;
    next_.accept(&result_, 1);
    return true;
  }
  bool await_suspend(std::coroutine_handle<> h) noexcept {
    coroutine_ = h;
    loop_ = &loop::here();
    if (next_.accept_in_line(std::move(result_), *this)) return false;
    waiting_.emplace(blocked_);
    return true;
  }
  void await_resume() noexcept { waiting_.reset(); }

 private:
  // Under the mutex of a line: the loop cannot end meanwhile, because this one has to leave first.
  void told() noexcept override { loop_->post(*this); }
  void delivered() noexcept override {
    if (next_.accept_in_line(std::move(result_), *this)) loop_->resume_now(coroutine_);
  }
  inlet<out>& next_;
  envelope<out_item>& result_;
  time_of_many& blocked_;
  std::optional<held_up> waiting_;
  loop* loop_ = nullptr;
  std::coroutine_handle<> coroutine_;
};

template <class In, class F>
class [[nodiscard]] async_stage<In, F>::turn_wait final : private ready_link {
 public:
  turn_wait(async_stage& stage, shift& s, std::uint64_t ticket) noexcept
      : shift_(s), ticket_(ticket), blocked_(stage.blocked_) {}
  bool await_ready() const noexcept { return shift_.waiting.empty() || shift_.turn == ticket_; }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    this->coroutine = h;
    shift_.waiting[ticket_ % shift_.waiting.size()] = this;
    waiting_.emplace(blocked_);
  }
  void await_resume() noexcept { waiting_.reset(); }

 private:
  shift& shift_;
  const std::uint64_t ticket_;
  time_of_many& blocked_;
  std::optional<held_up> waiting_;
};

template <class In, class F>
void async_stage<In, F>::serve(worker&, crew_member& me) {
  worker* const self = this->hire(now_ns());
  struct leaving {
    async_stage& stage;
    worker& self;
    ~leaving() { stage.let_go(self, wait_kind::starved, now_ns()); }
  } const at_the_end{*this, *self};
  shift s{*self, me};
  if (policy_.options().ordered) s.waiting.resize(in_flight_ + 1);
  run(work(s));
}

template <class In, class F>
task<> async_stage<In, F>::work(shift& s) {
  loop::here().counts_sleep_in(asleep_);
  group in_flight({.in_flight = in_flight_});
  system::backoff absent;      // where the next item is claimed by its producer and not there yet
  std::optional<task<>> next;  // made before its item is taken: if there is no memory for it, nothing is lost
  for (std::size_t begun = 0; !policy_.control().stopping(); ++begun) {
    if (begun % 64 == 63) co_await yield_to_others();  // those under way may be able to go on
    co_await in_flight.room();
    if (entrance_.waiting() == 0) {
      share_out_thread_time(s, now_ns());
      const bool some = co_await item_wait(*this);
      if (!some) break;
    }
    if (policy_.control().stopping()) break;
    try {
      if (!next) next.emplace(process(s));
    } catch (const std::bad_alloc&) {
      policy_.control().no_memory();
      break;
    }
    // One at a time: whoever waits for room is told, and what is taken is begun at once.
    const auto batch = entrance_.take(1, [&](envelope<In>&& e) { s.taken.emplace(std::move(e)); });
    if (batch.count == 0) {
      // A producer is in the middle of enqueueing the item and may need this processor, or another task of this loop does.
      absent.once();
      co_await yield_to_others();
      continue;
    }
    absent = {};
    entrance_.freed(1);
    s.me.changed_something();
    s.its_ticket = batch.ticket;
    in_flight.add(*std::exchange(next, std::nullopt));
    while (s.taken) co_await yield_to_others();  // calls are nested too deep: it begins later
    if (s.begun) std::exchange(s.begun, nullptr)->waits();
  }
  co_await in_flight.wait();
  share_out_thread_time(s, now_ns(), true);
}

template <class In, class F>
task<> async_stage<In, F>::process(shift& s) {
  const call_under_way this_one(*this, s);
  envelope<In> e = std::move(*s.taken);
  s.taken.reset();
  const std::uint64_t ticket = s.its_ticket;
  std::string label;
  if constexpr (consumes && has_label<In>) label = text_of(e);
  for (unsigned number = 1;; ++number) {
    const bool keep = !consumes || policy_.must_keep(number);
    const bool intact = !consumes || (keep && std::copy_constructible<In>);
    bool called = false;
    std::exception_ptr cause;
    try {
      co_await attempt(s, e, ticket, keep, called);
    } catch (const cut_short&) {
      end_cut_short(e, label, number, intact, s.self);
      break;
    } catch (...) {
      cause = std::current_exception();
    }
    if (!cause) break;
    std::optional<std::chrono::nanoseconds> pause;
    if (intact && !called) {
      try {
        pause = policy_.pause_after(number, cause);
      } catch (...) {
        cause = std::current_exception();  // retry_if threw
      }
    }
    if (pause) {
      const held_up until_the_next(paused_);
      (void)co_await sleep_until(wait_limit(policy_.control().drain_token(), *pause));
    }
    if (pause && !policy_.control().stopping()) {
      s.self.retried.add();
      continue;
    }
    if constexpr (!consumes) label = text_of(e);
    end_failed(e, label, number, intact, cause, s.self);
    break;
  }
  co_await turn_wait(*this, s, ticket);  // one without a result, too: the next one's turn is after it
  s.end_turn(ticket);
}

template <class In, class F>
task<typename async_stage<In, F>::value> async_stage<In, F>::call(argument item) {
  if constexpr (stage_traits::takes_stop<F&, argument>)
    return std::invoke(function_, std::forward<argument>(item), policy_.control().stop_token());
  else
    return std::invoke(function_, std::forward<argument>(item));
}

template <class In, class F>
task<> async_stage<In, F>::attempt(shift& s, envelope<In>& e, std::uint64_t ticket, bool keep, bool& called) {
  const std::int64_t began = s.self.should_time() ? now_ns() : 0;
  const auto timed = [&] {
    if (began) s.self.timed(now_ns() - began);
  };
  task<value> t;
  std::optional<In> copy;
  if constexpr (!consumes) {
    t = call(*e.item);
  } else {
    if constexpr (std::copy_constructible<In>)
      if (keep) copy.emplace(*e.item);
    t = call(copy ? std::move(*copy) : std::move(*e.item));
  }
  std::optional<task_result<value>> result;
  if (policy_.options().timeout.count() == 0) {
    if constexpr (std::is_void_v<value>) {
      co_await std::move(t);
      result.emplace();
    } else {
      result.emplace(co_await std::move(t));
    }
  } else {
    auto in_time = within(wait_limit(policy_.options().timeout), std::move(t));
    result = co_await std::move(in_time);
    if (!result) throw timed_out("gave up after its timeout of " + duration_text(policy_.options().timeout));
  }
  called = true;
  timed();
  if constexpr (std::is_void_v<value>) {
    s.self.passed.add();
    if (e.entered_ns) s.self.latency.add(now_ns() - e.entered_ns);
  } else {
    const auto wrap = [&](auto&& v) {
      out made(std::forward<decltype(v)>(v));
      return envelope<out_item>{box<out_item>(std::move(made)), e.number, e.entered_ns, 0};
    };
    if constexpr (stage_traits::is_optional<value>) {
      if (!*result) {
        s.self.filtered.add();
        co_return;
      }
      auto one = wrap(std::move(**result));
      s.self.passed.add();
      s.self.out.add();
      co_await turn_wait(*this, s, ticket);
      co_await put_wait(*this, one);
      s.me.changed_something();
    } else if constexpr (stage_traits::is_each<value>) {
      std::size_t count = 0;
      co_await turn_wait(*this, s, ticket);
      for (auto&& v : result->range) {
        go_on_with_results(count);
        auto one = wrap(std::move(v));
        s.self.out.add();
        co_await put_wait(*this, one);
        s.me.changed_something();
        ++count;
      }
      count ? s.self.passed.add() : s.self.filtered.add();
    } else {
      auto one = wrap(std::move(*result));
      s.self.passed.add();
      s.self.out.add();
      co_await turn_wait(*this, s, ticket);
      co_await put_wait(*this, one);
      s.me.changed_something();
    }
  }
}

template <class In, class F>
void async_stage<In, F>::share_out_thread_time(shift& s, std::int64_t now, bool at_once) noexcept {
  if (now - s.shared_out < 1'000'000 && !at_once) return;
  s.me.usage.worked(*this, now - std::exchange(s.shared_out, now));
  s.me.usage.settle(now, at_once);
}

template <class In, class F>
void async_stage<In, F>::add_shares(stage_report& r, std::int64_t now) const noexcept {
  r.in_flight = in_flight_;
  const worker::times t = this->workers().front().spent(now, this->ran_dry());
  if (t.life == 0) return;
  const auto life = static_cast<double>(t.life);
  const auto share = [&](std::int64_t of_calls) {
    return std::clamp(static_cast<double>(of_calls) / (life * static_cast<double>(in_flight_)), 0.0, 1.0);
  };
  r.thread =
      std::clamp(1 - (static_cast<double>(t.starved) + static_cast<double>(asleep_.total(now))) / life, 0.0, 1.0);
  const double under_way = share(under_way_.total(now));
  r.blocked = std::min(share(blocked_.total(now)), under_way);
  r.paused = std::min(share(paused_.total(now)), under_way - r.blocked);
  r.busy = std::clamp(r.thread, under_way - r.blocked - r.paused, 1 - r.blocked - r.paused);
  r.starved = 1 - r.busy - r.blocked - r.paused;
  if (r.busy == 0) return;
  r.processor = std::min(1.0, static_cast<double>(this->ran_ns()) / (r.busy * life));
  r.crowded = std::min(1 - r.processor, static_cast<double>(this->crowded_ns()) / (r.busy * life));
}

// --- in a pipeline ---

template <class F>
struct async_stage_description {
  template <class In>
  using output = typename async_stage_result<F, In>::out;
  template <class In>
  using node_type = async_stage<In, F>;

  std::string name;
  F function;
  async_options options;

  template <class In>
  std::unique_ptr<node_type<In>> make_node(inlet<output<In>>* next, run_control& control) {
    return std::make_unique<node_type<In>>(std::move(name), std::move(function), std::move(options), next, control);
  }
};
template <class F>
struct async_sink_description : async_stage_description<F> {};

template <class F>
[[nodiscard]] async_stage_description<std::decay_t<F>> stage(std::string name, F&& function, async_options options) {
  return {std::move(name), std::forward<F>(function), std::move(options)};
}
template <class F>
[[nodiscard]] async_sink_description<std::decay_t<F>> sink(std::string name, F&& function, async_options options) {
  return {{std::move(name), std::forward<F>(function), std::move(options)}};
}

template <class Source, class Out, class... Stages, class F>
auto operator|(pipeline<Source, Out, Stages...>&& p, async_stage_description<F> d) {
  if constexpr (std::is_void_v<Out>) {
    static_assert(stage_fits<F, Out>, "penstock: a stage follows a sink: the stage before this one returns nothing");
    return ill_fitting_pipeline{};
  } else if constexpr (!async_function<F, Out>) {
    static_assert(
        stage_fits<F, Out>,
        "penstock: this stage's function cannot be called with what the stage before it returns, or returns no "
        "task, which one with in_flight has to");
    return ill_fitting_pipeline{};
  } else {
    return std::move(p).then(std::move(d));
  }
}
template <class Source, class Out, class... Stages, class F>
auto operator|(pipeline<Source, Out, Stages...>&& p, async_sink_description<F> d) {
  if constexpr (std::is_void_v<Out>) {
    static_assert(stage_fits<F, Out>, "penstock: a sink follows a sink");
    return ill_fitting_pipeline{};
  } else if constexpr (!async_function<F, Out>) {
    static_assert(
        stage_fits<F, Out>,
        "penstock: this sink's function cannot be called with what the stage before it returns, or returns no "
        "task, which one with in_flight has to");
    return ill_fitting_pipeline{};
  } else if constexpr (!std::is_void_v<typename async_stage_result<F, Out>::out>) {
    static_assert(stage_fits<F, Out>,
                  "penstock: a sink's task returns nothing; use stage(...) for one that has a result");
    return ill_fitting_pipeline{};
  } else {
    return std::move(p).then(static_cast<async_stage_description<F>&&>(std::move(d)));
  }
}

}  // namespace penstock
