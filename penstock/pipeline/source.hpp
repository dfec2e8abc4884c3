// Where items come from:
//
//   from(range)      any range, walked once on a thread of its own; an lvalue is referred to, so it must outlive the run
//   from(callable)   a function that returns optional<T>, nothing at the end; it may take a std::stop_token, requested
//                    when the run drains or stops, so that a source that waits for something can be told
//   from<T>()        an open pipeline: the caller pushes, see running_pipeline
//
// A source that throws ends the run as a failure of the stage "source".
#pragma once

#include <atomic>
#include <concepts>
#include <memory>
#include <optional>
#include <ranges>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/run_control.hpp>

namespace penstock {

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
  pull_source_node(Pull pull, inlet<item>& next, run_control& control)
      : node("source", 1), pull_(std::move(pull)), next_(next), control_(control) {}

  void work(worker& self) override {
    std::uint64_t number = 0;
    while (!control_.draining()) {
      const bool timed = self.should_time();
      const std::int64_t before = timed ? now_ns() : 0;
      std::optional<item> next;
      try {
        next = call();
      } catch (...) {
        control_.record_failure({name(), number + 1, {}, 1}, std::current_exception(), true);
        return;
      }
      const std::int64_t after = timed ? now_ns() : 0;
      if (!next) {
        // An end that comes because the source was told to stop is none of its own.
        if (!control_.draining()) control_.source_ended();
        return;
      }
      if (timed) self.timed(after - before);
      envelope<item> e{box<item>(*std::move(next)), ++number, after, 0};
      self.passed.add();
      self.out.add();
      if (!next_.accept(std::move(e), self)) return;
    }
  }
  void add_entrance_counts(stage_report& r) const noexcept override { r.in = r.passed; }

 private:
  auto call() {
    if constexpr (std::invocable<Pull&, std::stop_token>)
      return pull_(control_.drain_token());
    else
      return pull_();
  }

  Pull pull_;
  inlet<item>& next_;
  run_control& control_;
};

// No thread: running_pipeline::push() is the source.
template <class T>
class open_source_node final : public node {
 public:
  explicit open_source_node(inlet<T>& next) : node("source", 0), next_(next) {}

  void work(worker&) override {}
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
  std::atomic<std::uint64_t> numbers_ = 0;
};

template <class Pull>
struct pull_source {
  using item = typename pulled<Pull>::type::value_type;
  using opens = void;
  Pull pull;
  std::unique_ptr<node> make_node(inlet<item>& next, run_control& control) {
    return std::make_unique<pull_source_node<Pull>>(std::move(pull), next, control);
  }
};

template <class T>
struct open_source {
  using item = T;
  using opens = T;
  std::unique_ptr<node> make_node(inlet<T>& next, run_control&) { return std::make_unique<open_source_node<T>>(next); }
};

}  // namespace penstock
