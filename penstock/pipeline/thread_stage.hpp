// thread_stage: the kind of stage whose function runs on worker threads, one item at a time on each.
//
// One worker's turn: take the next item (lease) → call the function, again after a pause if it fails and the policy
// says so → put the results into the next stage, in order if asked → count how the item ended. Everything else (retry,
// dead letters, limits) is stage_policy's; the order is reorder_gate's; threads and the end are run_control's.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/reorder_gate.hpp>
#include <penstock/pipeline/stage_function.hpp>
#include <penstock/pipeline/stage_policy.hpp>

namespace penstock {

template <class In, class F>
class thread_stage final : public node, public inlet<In> {
 public:
  using out = stage_output<F, In>;

  // next: null iff `out` is void.
  thread_stage(std::string name, F function, stage_options options, inlet<out>* next, run_control& control)
      : node(name, options.workers),
        policy_(std::move(name), std::move(options), abilities(), control),
        function_(std::move(function)),
        next_(next),
        queue_(std::max<std::size_t>(1, policy_.options().capacity), weighing()) {
    if constexpr (!std::is_void_v<out>)
      if (policy_.options().ordered && policy_.options().workers > 1)
        gate_ = std::make_unique<reorder_gate<envelope<out>>>(policy_.options().workers + policy_.options().capacity);
  }

  void check() const override { policy_.check(); }
  void work(worker& self) override;
  void close_input() noexcept override { queue_.close(); }
  void stop() noexcept override {
    if constexpr (!std::is_void_v<out>)
      if (gate_) gate_->stop();
  }
  void hand_back_rest() noexcept override;

  bool accept(envelope<In>&& item, worker& from) noexcept override;
  conqueue_status offer(envelope<In>& item, const wait_limit* limit) override;
  [[nodiscard]] std::uint64_t taken() const noexcept override { return queue_.statistics().pushed; }

  void add_entrance_counts(stage_report& r) const noexcept override {
    r.in = queue_.statistics().pushed + refused_.load() + unweighed_failed_.load() + unweighed_dead_.load();
    r.returned += refused_.load() + rest_.load();
    r.failed += unweighed_failed_.load();
    r.dead_lettered += unweighed_dead_.load();
    r.out += rest_out_.load();
  }
  [[nodiscard]] queue_statistics input() const noexcept override { return queue_.statistics(); }
  [[nodiscard]] std::size_t capacity() const noexcept override { return queue_.capacity(); }
  [[nodiscard]] bool delivers() const noexcept override { return std::is_void_v<out>; }

 private:
  using callable = stage_callable<F>;
  using argument = stage_traits::argument<callable, In>;
  using result = stage_result<F, In>;
  using held_item = lease<envelope<In>>;
  struct nothing {};
  using gate_type = std::conditional_t<std::is_void_v<out>, nothing,
                                       reorder_gate<envelope<std::conditional_t<std::is_void_v<out>, int, out>>>>;
  static constexpr bool consumes = stage_traits::consumes<callable, In>();

  static stage_abilities abilities() {
    return {.is_sink = std::is_void_v<out>,
            .takes_stop = stage_traits::takes_stop<callable&, argument>,
            .can_keep_item = !consumes || std::copy_constructible<In>,
            .shareable = shareable(),
            .knows_bytes = has_bytes<In>};
  }
  static constexpr bool shareable() {
    if constexpr (stage_traits::is_per_worker<F>)
      return std::invocable<const decltype(F::factory)&>;  // the workers' threads call it at the same time
    else
      return stage_traits::takes<const callable&, argument>;
  }
  byte_capacity<envelope<In>> weighing() const {
    if (policy_.options().capacity_bytes == 0) return {0, nullptr};
    return {policy_.options().capacity_bytes, [](const envelope<In>& e) { return e.bytes; }};
  }
  // Told by the item, which is user code, before the item is on its way and can no longer be answered for.
  void weigh(envelope<In>& e) const {
    if constexpr (has_bytes<In>)
      if (policy_.options().capacity_bytes) e.bytes = bytes_of<In>(*e.item);
  }

  static std::string text_of(envelope<In>& e) noexcept {
    try {
      return label_of<In>(*e.item);
    } catch (...) {
      return {};  // it has a number, too
    }
  }
  item_place place_of(const envelope<In>& e, std::string label, unsigned attempt) const {
    return {name(), e.number, std::move(label), attempt};
  }
  void hand_back(envelope<In>&& e, unsigned attempt, std::exception_ptr error) noexcept {
    auto place = place_of(e, text_of(e), attempt);
    policy_.control().hand_back({std::move(place), std::move(error), erase(e)});
  }
  static erased_item erase(envelope<In>& e) noexcept {
    try {
      return erased_item(std::move(e.item));
    } catch (...) {
      return {};  // no memory left: its place and number are still told
    }
  }

  std::optional<held_item> next_item(worker& self);
  void process(held_item& held, callable& f, worker& self);
  result call(callable& f, argument item, worker& self);
  result call_within(callable& f, argument item, const std::stop_token& stop);
  void end_failed(held_item& held, const std::string& label, unsigned attempt, bool intact,
                  const std::exception_ptr& cause, worker& self) noexcept;

  // Where the results of one item go. Unless something was put, the item's turn in an ordered stage is passed on at the
  // end.
  class outputs;

  stage_policy policy_;
  F function_;
  inlet<out>* const next_;
  bounded_queue<envelope<In>> queue_;
  std::unique_ptr<gate_type> gate_;                  // null: unordered
  std::atomic<std::uint64_t> refused_ = 0;           // at the entrance, because the run is being stopped
  std::atomic<std::uint64_t> unweighed_failed_ = 0;  // at the entrance, because their size function threw
  std::atomic<std::uint64_t> unweighed_dead_ = 0;
  std::atomic<std::uint64_t> rest_ = 0;  // handed back after the end
  std::atomic<std::uint64_t> rest_out_ = 0;
};

// --- below: how ---

template <class In, class F>
class thread_stage<In, F>::outputs {
 public:
  outputs(thread_stage& stage, held_item& held, worker& self) noexcept : stage_(stage), held_(held), self_(self) {}
  outputs(const outputs&) = delete;
  outputs& operator=(const outputs&) = delete;
  ~outputs() { pass_turn(); }

  template <class R>
  void put(R&& r) {
    using kind = std::decay_t<R>;
    if constexpr (stage_traits::is_optional<kind>) {
      if (r)
        one(*std::forward<R>(r));
      else
        self_.filtered.add();
    } else if constexpr (stage_traits::is_each<kind>) {
      many(r.range);
    } else {
      one(std::forward<R>(r));
    }
  }

 private:
  template <class Value>
  auto wrap(Value&& value) {
    out made(std::forward<Value>(value));
    return envelope<out>{box<out>(std::move(made)), held_->number, held_->entered_ns, 0};
  }
  template <class Value>
  void one(Value&& value) {
    auto e = wrap(std::forward<Value>(value));  // may throw: then the item has failed, and nothing was put out
    self_.passed.add();
    if (!stage_.gate_) return push(std::move(e));
    has_turn_ = false;
    stage_.gate_->put(held_.ticket(), std::move(e), self_,
                      [this](auto&& r) { this->push(std::forward<decltype(r)>(r)); });
  }
  template <class Range>
  void many(Range& range) {
    std::size_t count = 0;
    const auto write = [&] {
      for (auto it = std::ranges::begin(range); it != std::ranges::end(range); ++it) {
        if (count && stage_.policy_.control().stopping()) throw cut_short{};  // not after the last: then it is finished
        if constexpr (stage_traits::owns_elements<Range>)
          push(wrap(std::ranges::iter_move(it)));
        else
          push(wrap(*it));
        ++count;
      }
    };
    if (!stage_.gate_) {
      write();
    } else {
      has_turn_ = false;
      stage_.gate_->in_turn(held_.ticket(), self_, write,
                            [this](auto&& r) { this->push(std::forward<decltype(r)>(r)); });
    }
    count ? self_.passed.add() : self_.filtered.add();
  }
  template <class E>
  void push(E&& e) noexcept {
    self_.out.add();
    stage_.next_->accept(std::forward<E>(e), self_);
  }
  void pass_turn() noexcept {
    if constexpr (!std::is_void_v<out>)
      if (stage_.gate_ && std::exchange(has_turn_, false))
        stage_.gate_->put(held_.ticket(), std::nullopt, self_,
                          [this](auto&& r) { this->push(std::forward<decltype(r)>(r)); });
  }

 public:
  // The run was stopped in the middle of an expansion: some results are out, the item is not finished.
  struct cut_short {};

 private:
  thread_stage& stage_;
  held_item& held_;
  worker& self_;
  bool has_turn_ = true;
};

template <class In, class F>
auto thread_stage<In, F>::next_item(worker& self) -> std::optional<held_item> {
  if (auto now = queue_.try_take())
    return *std::move(now);
  else if (now.error() == conqueue_status::closed)
    return std::nullopt;
  const counted_wait waiting(self, wait_kind::starved);
  return queue_.take();
}

template <class In, class F>
void thread_stage<In, F>::work(worker& self) {
  const auto run = [&](callable& f) {
    while (auto held = next_item(self)) process(*held, f, self);
  };
  if constexpr (stage_traits::is_per_worker<F>) {
    auto f = function_.factory();
    run(f);
  } else {
    run(function_);
  }
}

template <class In, class F>
void thread_stage<In, F>::process(held_item& held, callable& f, worker& self) {
  envelope<In>& e = *held;
  std::optional<outputs> results;
  if constexpr (!std::is_void_v<out>) results.emplace(*this, held, self);
  if (policy_.control().stopping()) {
    self.returned.add();
    hand_back(std::move(e), 0, nullptr);
    return;
  }
  // An item that the function uses up is asked for its name before; others only when there is something to tell.
  std::string label;
  if constexpr (consumes && has_label<In>) label = text_of(e);
  for (unsigned attempt = 1;; ++attempt) {
    bool intact = !consumes;
    bool called = false;
    std::exception_ptr cause;
    try {
      const auto call_it = [&]() -> result {
        if constexpr (!consumes) {
          return call(f, *e.item, self);
        } else {
          if constexpr (std::copy_constructible<In>) {
            if (policy_.must_keep(attempt)) {
              intact = true;  // whatever becomes of the copy
              In copy(*e.item);
              return call(f, std::move(copy), self);
            }
          }
          return call(f, std::move(*e.item), self);
        }
      };
      if constexpr (std::is_void_v<result>) {
        call_it();
        self.passed.add();
        if (e.entered_ns) self.latency.add(now_ns() - e.entered_ns);
      } else {
        auto&& r = call_it();
        called = true;
        results->put(std::forward<decltype(r)>(r));
      }
      return;
    } catch (const typename outputs::cut_short&) {
      // Handed back if it is still there; an item that has been used up is counted as returned all the same: it was not
      // at fault.
      self.returned.add();
      if (intact)
        hand_back(std::move(e), attempt, nullptr);
      else
        policy_.control().hand_back({place_of(e, label, attempt), nullptr, {}});
      return;
    } catch (...) {
      cause = std::current_exception();
    }
    bool again = false;
    if (intact && !called) {
      try {
        again = policy_.try_again(attempt, cause, self);
      } catch (...) {
        cause = std::current_exception();  // retry_if threw
      }
    }
    if (!again) {
      if constexpr (!consumes) label = text_of(e);
      return end_failed(held, label, attempt, intact, cause, self);
    }
  }
}

template <class In, class F>
void thread_stage<In, F>::end_failed(held_item& held, const std::string& label, unsigned attempt, bool intact,
                                     const std::exception_ptr& cause, worker& self) noexcept {
  envelope<In>& e = *held;
  held.fail(cause);
  auto place = place_of(e, label, attempt);
  if (intact && policy_.control().stopping()) {
    // Most likely it gave up because it was asked to; in any case nothing is lost.
    self.returned.add();
    hand_back(std::move(e), attempt, std::make_exception_ptr(stage_error(std::move(place), cause)));
    return;
  }
  const bool letter = intact && policy_.options().dead_letter;
  switch (policy_.give_up(std::move(place), cause, letter ? erase(e) : erased_item(), workers())) {
    case stage_policy::verdict::failed:
      self.failed.add();
      break;
    case stage_policy::verdict::dead_lettered:
      self.dead_lettered.add();
      break;
  }
}

template <class In, class F>
auto thread_stage<In, F>::call(callable& f, argument item, worker& self) -> result {
  struct timing {
    worker& self;
    std::int64_t start = self.should_time() ? now_ns() : 0;
    ~timing() {
      if (start) self.timed(now_ns() - start);
    }
  } const timing{self};
  if (policy_.options().timeout.count() == 0)
    return call_within(f, std::forward<argument>(item), policy_.control().stop_token());
  if constexpr (stage_traits::takes_stop<callable&, argument>) {
    std::stop_source give_up;
    const std::stop_callback stopped(policy_.control().stop_token(), [&] { give_up.request_stop(); });
    const auto watched = policy_.control().deadlines().arm(wait_limit(policy_.options().timeout).deadline(), give_up);
    try {
      return call_within(f, std::forward<argument>(item), give_up.get_token());
    } catch (...) {
      if (!give_up.stop_requested() || policy_.control().stopping()) throw;
      throw timed_out("gave up after its timeout of " + duration_text(policy_.options().timeout));
    }
  } else {
    std::terminate();  // check() has refused a timeout for a function that cannot be told
  }
}

template <class In, class F>
auto thread_stage<In, F>::call_within(callable& f, argument item, const std::stop_token& stop) -> result {
  if constexpr (stage_traits::takes_stop<callable&, argument>)
    return std::invoke(f, std::forward<argument>(item), stop);
  else
    return std::invoke(f, std::forward<argument>(item));
}

template <class In, class F>
conqueue_status thread_stage<In, F>::offer(envelope<In>& item, const wait_limit* limit) {
  weigh(item);
  return limit ? queue_.push(std::move(item), *limit) : queue_.try_push(std::move(item));
}

template <class In, class F>
bool thread_stage<In, F>::accept(envelope<In>&& item, worker& from) noexcept {
  try {
    weigh(item);
  } catch (...) {
    auto place = place_of(item, text_of(item), 0);
    switch (policy_.give_up(std::move(place), std::current_exception(), erase(item), workers())) {
      case stage_policy::verdict::failed:
        ++unweighed_failed_;
        break;
      case stage_policy::verdict::dead_lettered:
        ++unweighed_dead_;
        break;
    }
    return !policy_.control().stopping();
  }
  conqueue_status status = queue_.try_push(std::move(item));
  if (status == conqueue_status::full) {
    const counted_wait waiting(from, wait_kind::blocked);
    status =
        queue_.push(std::move(item), wait_limit{});  // NOLINT(bugprone-use-after-move): what is refused is unchanged
  }
  if (status == conqueue_status::success) return true;
  ++refused_;
  hand_back(std::move(item), 0, nullptr);  // NOLINT(bugprone-use-after-move): the same
  return false;
}

template <class In, class F>
void thread_stage<In, F>::hand_back_rest() noexcept {
  for (envelope<In>& e : queue_.cancel()) {
    ++rest_;
    hand_back(std::move(e), 0, nullptr);
  }
  if constexpr (!std::is_void_v<out>) {
    // Finished results that were waiting for their turn: they belong to the next stage, whose input is closed and
    // counts them.
    worker nobody;
    if (gate_)
      gate_->leftovers([&](envelope<out>&& e) {
        ++rest_out_;
        next_->accept(std::move(e), nobody);
      });
  }
}

}  // namespace penstock
