// Where items come from:
//
//   from(range)      any range, walked once; an lvalue is referred to, so it must outlive the run
//   from(callable)   a function that returns optional<T>, nothing at the end; it may take a std::stop_token, requested
//                    when the run drains or stops, so that a source that waits for something can be told
//   from(callable, {.read_ahead = 64})
//                    the same, called up to so many times before the first item is handed on
//   from<T>()        an open pipeline: the caller pushes, see running_pipeline
//
// A source is called by one thread at a time, though not always by the same one.
// A source that throws ends the run as a failure of the stage "source".
//
// READ AHEAD  What a callable has returned is handed on before it is called again, because only its author knows whether it
//             waits for what becomes of it. A range that can be walked more than once (std::ranges::forward_range) is read in
//             batches of up to 256 items, as quickly as it goes; a range that cannot, such as a stream, is read one by one.
//             If reading takes far longer than before, what has been read is handed on meanwhile.
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <concepts>
#include <memory>
#include <optional>
#include <ranges>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <penstock/pipeline/claimed_batch.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/pace.hpp>
#include <penstock/pipeline/run_control.hpp>

namespace penstock {

struct source_options {
  std::size_t read_ahead = 1;  // how many items may be asked for before the first of them is handed on; at most 256
};

// Walks a range: a callable source.
template <std::ranges::view View>
class range_walk {
 public:
  using item = std::ranges::range_value_t<View>;
  explicit range_walk(View view) : view_(std::move(view)) {}

  std::optional<item> operator()() {
    if (!at_)
      at_.emplace(std::ranges::begin(view_));  // here, on the source's thread: finding the first may be work
    else
      ++*at_;
    if (*at_ == std::ranges::end(view_)) return std::nullopt;
    // Items of a container that was given away are moved out of it; those of one that is only referred to are copied.
    if constexpr (owns)
      return std::optional<item>(std::in_place, std::ranges::iter_move(*at_));
    else
      return std::optional<item>(std::in_place, **at_);
  }

 private:
  template <class V>
  struct is_owning : std::false_type {};
  template <class R>
  struct is_owning<std::ranges::owning_view<R>> : std::true_type {};
  static constexpr bool owns = is_owning<View>::value;

  View view_;
  std::optional<std::ranges::iterator_t<View>>
      at_;  // the item handed out last; advanced at the next call, not before it is wanted
};

template <class Pull>
struct pulled {
  using type = std::invoke_result_t<Pull&>;
};
template <class Pull>
  requires std::invocable<Pull&, std::stop_token>
struct pulled<Pull> {
  using type = std::invoke_result_t<Pull&, std::stop_token>;
};

// A callable source.
template <class F>
concept pull_function = (std::invocable<F&> || std::invocable<F&, std::stop_token>)&&requires {
  typename pulled<F>::type::value_type;
  requires std::same_as<typename pulled<F>::type, std::optional<typename pulled<F>::type::value_type>>;
};

template <class Pull>
class pull_source_node final : public node {
 public:
  using item = typename pulled<Pull>::type::value_type;
  pull_source_node(Pull pull, source_options options, inlet<item>& next, run_control& control)
      : node("source", 1),
        pull_(std::move(pull)),
        max_batch_(std::clamp<std::size_t>(options.read_ahead, 1, max_at_once)),
        next_(next),
        control_(control) {}

  bool turn(crew_member& me) override {
    if (is_over() || !control_.is_open()) return false;
    // Asked again when a worker is hired, which is dearer.
    if (!has_free_worker() || next_.room() == 0) return false;
    const std::int64_t began = now_ns();
    worker* const self = hire(began);
    if (!self) return false;
    struct leaving {  // at the end of the block, however it ends
      pull_source_node& source;
      worker& self;
      ~leaving() {
        source.let_go(self, source.next_.room() == 0 ? wait_kind::blocked : wait_kind::unmanned, now_ns());
        if (source.is_over()) source.control_.may_have_ended(source);
      }
    } const at_the_end{*this, *self};
    return !is_over() && pull_some(*self, me, began);
  }
  [[nodiscard]] readiness ready() const noexcept override {
    if (is_over() || !control_.is_open() || !has_free_worker()) return readiness::nothing;
    const std::size_t room = next_.room();
    if (room == 0) return readiness::nothing;
    return pace_.is_long(1) || room >= next_.room_in_all() / 2 ? readiness::plenty : readiness::some;
  }
  supervision look_after(crew& threads, std::int64_t now) noexcept override {
    const std::int64_t due = batch_.due();
    if (due == 0 || now < due) return {.due = due};
    batch_.look_after(
        now, [&](crew_member& owner) { threads.overdue(owner); }, [](std::size_t, std::size_t) {},
        [&](const batch_view<envelope<item>>& made, std::size_t, std::uint64_t) {
          next_.accept(made.results, made.count);
        });
    return {.acted = true};
  }
  [[nodiscard]] bool is_over() const noexcept override { return over_.load() || control_.draining(); }
  void hand_back_rest() noexcept override { assert(control_.stopping() || next_.no_place_is_lost()); }
  void add_entrance_counts(stage_report& r) const noexcept override { r.in = r.passed; }

 private:
  auto call() {
    if constexpr (std::invocable<Pull&, std::stop_token>)
      return pull_(control_.drain_token());
    else
      return pull_();
  }

  static constexpr std::size_t max_at_once =
      std::clamp<std::size_t>(16384 / sizeof(envelope<item>), 1, pace::max_at_once);

  // As many as a turn is worth and find room.
  bool pull_some(worker& self, crew_member& me, std::int64_t began) {
    std::size_t wanted = std::min(pace_.batch(), max_batch_);
    if (wanted > 1 && !control_.supervised_by().is_there()) wanted = 1;
    auto* const room = me.for_results().template room_for<envelope<item>>(wanted);  // before anything is promised
    std::size_t most = wanted > 1 ? next_.reserve(wanted) : 0;
    if (most == 1) next_.give_back(std::exchange(most, 0));
    if (most == 0 && next_.room() == 0) return false;
    most = std::max<std::size_t>(most, 1);
    const std::int64_t waited = self.waited_at_work();
    me.turn_begins(*this, pace_, most);
    std::size_t pulled = 0;
    if (most == 1) {
      if (auto e = pull_one(self)) {
        pulled = 1;
        next_.accept(*std::move(e), self, me);
      }
    } else {
      const std::int64_t due = began + pace::stuck_ns + pace_.each() * static_cast<std::int64_t>(most);
      batch_.open({.results = room}, due, &me);
      control_.supervised_by().watch(due);
      while (pulled < most && !is_over() && !batch_.is_shared()) {
        auto e = pull_one(self);
        if (!e) break;
        batch_.add(*std::move(e));
        ++pulled;
      }
      next_.give_back(most - pulled);
      batch_.finish([](bool) {},
                    [&](const batch_view<envelope<item>>& made) {
                      if (next_.await(made.results, made.count, me)) return true;
                      next_.accept(made.results, made.count);
                      return false;
                    });
      batch_.close();
    }
    me.changed_something();
    const std::int64_t ended = now_ns();
    const std::int64_t ns = std::max<std::int64_t>(0, ended - began - (self.waited_at_work() - waited));
    me.usage.worked(*this, ns);
    if (pulled) {
      const bool surprise =
          pace_.is_surprise(ns, pulled) && pace_.is_surprise(ns - me.usage.crowded_since_look(), pulled);
      pace_.took(ns, pulled, surprise);
    }
    me.usage.settle(ended);
    me.turn_ends();
    return pulled > 0;
  }
  std::optional<envelope<item>> pull_one(worker& self) {
    const bool timed = self.should_time();
    const std::int64_t before = timed ? now_ns() : 0;
    std::optional<envelope<item>> made;
    std::int64_t after = 0;
    try {
      std::optional<item> next = call();
      after = timed ? now_ns() : 0;
      if (next) made.emplace(envelope<item>{box<item>(*std::move(next)), number_ + 1, after, 0});
    } catch (...) {
      control_.record_failure(place_in(name(), number_ + 1, {}, 1), std::current_exception(), true);
      return std::nullopt;
    }
    if (!made) {
      // An end that comes because the source was told to stop is none of its own.
      if (!control_.draining()) control_.source_ended();
      over_ = true;
      return std::nullopt;
    }
    if (timed) self.timed(after - before);
    ++number_;
    self.passed.add();
    self.out.add();
    return made;
  }

  Pull pull_;
  const std::size_t max_batch_;
  inlet<item>& next_;
  run_control& control_;
  penstock::pace pace_;
  claimed_batch<char, envelope<item>> batch_;
  std::uint64_t number_ = 0;  // of the items so far; the worker's
  system::atomic<bool> over_ = false;
};

// No thread: running_pipeline::push() is the source.
template <class T>
class open_source_node final : public node {
 public:
  open_source_node(inlet<T>& next, run_control& control) : node("source", 0), next_(next), control_(control) {}

  bool turn(crew_member&) override { return false; }
  [[nodiscard]] readiness ready() const noexcept override { return readiness::nothing; }
  [[nodiscard]] bool is_over() const noexcept override { return false; }
  // Success, closed, or full when the limit was reached; then the item is still in `item`.
  conqueue_status push(T& item, const wait_limit* limit) {
    std::uint64_t number = ++numbers_;
    envelope<T> e{box<T>(std::move(item)), number, now_ns(), 0};
    conqueue_status status = conqueue_status::closed;
    try {
      status = next_.offer(e, limit);
    } catch (...) {
      give_back(item, e);
      throw;
    }
    if (status != conqueue_status::success) {
      numbers_.compare_exchange_strong(number, number - 1);  // refused: the next one has this number
      give_back(item, e);
    } else {
      control_.made_ready();
    }
    return status;
  }
  void add_entrance_counts(stage_report& r) const noexcept override { r.in = r.passed = r.out = next_.taken(); }

 private:
  // REQUIRES one of the two, so that a refused item gets home whole.
  static_assert(std::is_move_assignable_v<T> || std::is_nothrow_move_constructible_v<T>,
                "penstock: the items of an open pipeline must be move-assignable, or movable without throwing");
  static void give_back(T& item, envelope<T>& e) {
    if constexpr (std::is_move_assignable_v<T>) {
      item = std::move(*e.item);
    } else {
      std::destroy_at(&item);
      std::construct_at(&item, std::move(*e.item));
    }
  }

  inlet<T>& next_;
  run_control& control_;
  std::atomic<std::uint64_t> numbers_ = 0;
};

template <class Pull>
struct pull_source {
  using item = typename pulled<Pull>::type::value_type;
  using opens = void;
  Pull pull;
  source_options options;
  std::unique_ptr<node> make_node(inlet<item>& next, run_control& control) {
    return std::make_unique<pull_source_node<Pull>>(std::move(pull), options, next, control);
  }
};

template <class T>
struct open_source {
  using item = T;
  using opens = T;
  std::unique_ptr<node> make_node(inlet<T>& next, run_control& control) {
    return std::make_unique<open_source_node<T>>(next, control);
  }
};

}  // namespace penstock
