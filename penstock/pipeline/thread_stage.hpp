// thread_stage: the kind of stage whose function runs on threads, one item at a time for each of its workers.
//
// One turn of a worker: take as many items as a turn is worth (pace.hpp), with room promised for their results → for
// each: call the function, again after a pause if it fails and the policy says so; count how it ended → put the results
// into the next stage, in order if asked. An item that is, or may be, long is taken alone, and its result waits for room
// if there is none. Everything else: retry, dead letters, limits are stage_policy's; the order is reorder_gate's; what
// happens to a batch that takes longer than expected is hand's; threads are the crew's and the end is run_control's.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <penstock/pipeline/entrance.hpp>
#include <penstock/pipeline/hand.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/pace.hpp>
#include <penstock/pipeline/reorder_gate.hpp>
#include <penstock/pipeline/run_control.hpp>
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
        entrance_(std::max<std::size_t>(1, policy_.options().capacity), policy_.options().capacity_bytes),
        posts_(std::make_unique<post[]>(range().most())) {
    if constexpr (!std::is_void_v<out>)
      if (policy_.options().ordered && range().most() > 1)
        gate_ = std::make_unique<gate_type>(range().most() + policy_.options().capacity);
  }

  void check() const override { policy_.check(); }

  bool turn(crew_member& me) override;
  void carried_turn(const crew_member::burden& b, crew_member& me) override;
  [[nodiscard]] readiness ready() const noexcept override;
  [[nodiscard]] bool has_work() const noexcept override {
    if constexpr (!std::is_void_v<out>)
      if (next_->room() == 0) return false;
    return entrance_.waiting() > 0;
  }
  void relieve(crew_member& me) override;
  [[nodiscard]] bool has_own_threads() const noexcept override { return stage_traits::is_per_worker<F>; }
  void serve(worker& self, crew_member& me) override;

  void close_input() noexcept override { entrance_.close(); }
  [[nodiscard]] bool is_over() const noexcept override {
    return entrance_.is_closed() && (policy_.control().stopping() || entrance_.waiting() == 0);
  }
  void stop() noexcept override {
    if constexpr (!std::is_void_v<out>)
      if (gate_) gate_->stop();
  }
  void hand_back_rest() noexcept override;

  std::size_t reserve(std::size_t most) noexcept override {
    return policy_.options().capacity_bytes ? 0 : entrance_.reserve(most);
  }
  void give_back(std::size_t places) noexcept override { entrance_.give_back(places); }
  std::size_t reserve_in_line(std::size_t most, wait_line::place& self) noexcept override {
    if (entrance_.weighs()) return inlet<In>::npos;
    const std::size_t places = entrance_.reserve_in_line(most, self);
    return places == 0 && entrance_.is_closed() ? inlet<In>::npos : places;
  }
  void leave_line(wait_line::place& self) noexcept override { entrance_.leave_room_line(self); }
  void accept(envelope<In>* items, std::size_t count) noexcept override;
  bool await(envelope<In>* items, std::size_t count, crew_member& me) noexcept override;
  void put_down(crew_member& me) noexcept override;
  bool accept(envelope<In>&& item, worker& from, crew_member& me) noexcept override;
  conqueue_status offer(envelope<In>& item, const wait_limit* limit) override;
  [[nodiscard]] std::size_t room() const noexcept override {
    return entrance_.weighs() ? inlet<In>::npos : entrance_.room();
  }
  [[nodiscard]] std::size_t room_in_all() const noexcept override { return entrance_.capacity(); }
  [[nodiscard]] std::uint64_t taken() const noexcept override { return entrance_.taken_in(); }

  void add_entrance_counts(stage_report& r) const noexcept override {
    r.in = entrance_.taken_in() + refused_.load() + unweighed_failed_.load() + unweighed_dead_.load();
    r.returned += refused_.load() + rest_.load();
    r.failed += unweighed_failed_.load();
    r.dead_lettered += unweighed_dead_.load();
    r.waiting = entrance_.waiting();
    r.peak_waiting = entrance_.peak();
    r.capacity = entrance_.capacity();
  }
  [[nodiscard]] bool delivers() const noexcept override { return std::is_void_v<out>; }

 private:
  using callable = stage_callable<F>;
  using argument = stage_traits::argument<callable, In>;
  using result = stage_result<F, In>;
  // What is there instead of results where there are none.
  using result_item = std::conditional_t<std::is_void_v<out>, char, out>;
  using result_envelope = envelope<result_item>;
  using gate_type = reorder_gate<result_envelope>;
  static constexpr bool consumes = stage_traits::consumes<callable, In>();

  static stage_abilities abilities() {
    return {.is_sink = std::is_void_v<out>,
            .takes_stop = stage_traits::takes_stop<callable&, argument>,
            .can_keep_item = !consumes || std::copy_constructible<In>,
            .shareable = shareable(),
            .knows_bytes = has_bytes<In>,
            .own_threads = stage_traits::is_per_worker<F>};
  }
  static constexpr bool shareable() {
    if constexpr (stage_traits::is_per_worker<F>)
      return std::invocable<const decltype(F::factory)&>;  // the workers' threads call it at the same time
    else
      return stage_traits::takes<const callable&, argument>;
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

  // Items that take so long are left for other workers rather than taken at once.
  static constexpr std::int64_t share_from_ns = 500, least_turn_ns = 15'000;
  // A function that foresees its items has a long way to them, which they go together.
  static constexpr bool foresees = stage_traits::foresees<callable, In>;
  static constexpr std::int64_t turn_ns = foresees ? 1'000'000 : pace::turn_ns;
  // A batch and its results stay in the first cache.
  static constexpr std::size_t most_at_once =
      std::clamp<std::size_t>(16384 / std::max(sizeof(envelope<In>), sizeof(result_envelope)), 1, pace::most_at_once);

  // What a worker works with when it has taken several items at once.
  struct post {
    hand<envelope<In>> items;
    tray<result_envelope> results;          // unordered
    tray<result_envelope, true> ordered;    // with the items that have none
    std::atomic<std::uint64_t> ticket = 0;  // of the first item
  };
  // How many items to take, and how many places in the next stage are promised; none: not now.
  struct plan {
    std::size_t items = 0, places = 0;
  };
  plan make_plan(bool must_go) noexcept;
  // One turn, by a worker who was hired at `now`, which moves on. False if there was nothing to do.
  bool work_once(worker& self, callable& f, crew_member& me, std::int64_t& now, bool must_go, wait_kind& why);
  void work_at_one(envelope<In>& e, std::uint64_t ticket, std::size_t places, worker& self, callable& f,
                   crew_member& me);
  // items: in me.for_items(); they are destroyed.
  void work_at_many(envelope<In>* items, std::size_t count, std::uint64_t ticket, std::size_t places, worker& self,
                    callable& f, crew_member& me, std::int64_t now);
  // The end of every turn: a worker at work is what may have kept the stage from ending.
  void leave(worker& self, wait_kind why, std::int64_t now) noexcept {
    let_go(self, why, now);
    if (entrance_.is_closed()) policy_.control().may_have_ended(*this);
  }
  void account_for(std::int64_t began, std::int64_t waited_before, std::size_t items, worker& self, crew_member& me,
                   std::int64_t ended) noexcept;
  // ticket: of the first of the items; placed: places are promised for the results. True: they were taken over, where
  // they are, to be carried on; only if they may be.
  bool send_in_order(std::uint64_t ticket, const portion<result_envelope>& made, bool placed, bool may_be_carried,
                     worker& self, crew_member& me) noexcept;
  // In order, with so many places promised; for the others it waits for room.
  void send(result_envelope* items, std::size_t count, std::size_t places, worker& self, crew_member& me) noexcept;

  // Where the results of one item go.
  class outputs;
  void process(envelope<In>& e, outputs& results, callable& f, worker& self, crew_member& me);
  result call(callable& f, argument item, worker& self);
  void end_failed(envelope<In>& e, const std::string& label, unsigned attempt, bool intact,
                  const std::exception_ptr& cause, worker& self) noexcept;

  stage_policy policy_;
  F function_;
  inlet<out>* const next_;
  entrance<In> entrance_;
  penstock::pace pace_;
  std::unique_ptr<post[]> posts_;                    // one for each worker
  std::unique_ptr<gate_type> gate_;                  // null: unordered
  std::atomic<std::uint64_t> refused_ = 0;           // at the entrance, because the run is being stopped
  std::atomic<std::uint64_t> unweighed_failed_ = 0;  // at the entrance, because their size function threw
  std::atomic<std::uint64_t> unweighed_dead_ = 0;
  std::atomic<std::uint64_t> rest_ = 0;  // handed back after the end
};

// --- below: how ---

// The results of one item: into the next stage, onto a tray with those of its neighbours, or through the gate.
template <class In, class F>
class thread_stage<In, F>::outputs {
 public:
  // places: 1 if room is promised for one result, which is then put at once; 0: it waits for room.
  outputs(thread_stage& stage, std::uint64_t ticket, std::size_t places, worker& self, crew_member& me) noexcept
      : stage_(stage), ticket_(ticket), places_(places), self_(self), me_(me) {}
  // On the tray of a batch.
  outputs(thread_stage& stage, post& at, worker& self, crew_member& me) noexcept
      : stage_(stage), at_(&at), self_(self), me_(me) {}
  outputs(const outputs&) = delete;
  outputs& operator=(const outputs&) = delete;
  // An item that put nothing gives its turn and its place away.
  ~outputs() {
    if constexpr (!std::is_void_v<out>) {
      if (places_) stage_.next_->give_back(places_);  // first: the turn may be long in coming
      if (stage_.gate_ && !turn_given_) skip_turn();
    }
  }
  void of(const envelope<In>& e) noexcept {
    number_ = e.number;
    entered_ns_ = e.entered_ns;
    turn_given_ = false;
  }
  // Between two items of a batch.
  void item_done() noexcept {
    if constexpr (!std::is_void_v<out>)
      if (stage_.gate_ && !turn_given_) skip_turn();
    turn_given_ = true;
  }

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
    if constexpr (std::is_same_v<std::decay_t<Value>, out> && std::is_rvalue_reference_v<Value&&>) {
      return result_envelope{box<out>(std::move(value)), number_, entered_ns_, 0};
    } else {
      out made(std::forward<Value>(value));
      return result_envelope{box<out>(std::move(made)), number_, entered_ns_, 0};
    }
  }
  template <class Value>
  void one(Value&& value) {
    auto e = wrap(std::forward<Value>(value));  // may throw: then the item has failed, and nothing was put out
    self_.passed.add();
    self_.out.add();
    if (!stage_.gate_) return at_ ? at_->results.add(std::move(e)) : put_now(std::move(e));
    turn_given_ = true;
    at_ ? at_->ordered.add(std::move(e)) : take_turn({&e, 1, 0, 1, nullptr}, std::exchange(places_, 0));
  }
  template <class Range>
  void many(Range& range) {
    std::size_t count = 0;
    const auto write = [&] {
      for (auto it = std::ranges::begin(range); it != std::ranges::end(range); ++it) {
        if (count && stage_.policy_.control().stopping()) throw cut_short{};  // not after the last: then it is finished
        if constexpr (stage_traits::owns_elements<Range>) {
          auto e = wrap(std::ranges::iter_move(it));
          self_.out.add();
          put_now(std::move(e));
        } else {
          auto e = wrap(*it);
          self_.out.add();
          put_now(std::move(e));
        }
        ++count;
      }
    };
    if (!stage_.gate_) {
      write();
    } else {
      turn_given_ = true;
      stage_.gate_->in_turn(
          ticket_, self_, write,
          [this](result_envelope* items, std::size_t n, std::size_t places) {
            stage_.send(items, n, places, self_, me_);
          },
          [this] { me_.goes_on_long(); });
    }
    count ? self_.passed.add() : self_.filtered.add();
  }
  void put_now(result_envelope&& e) noexcept {
    if (std::exchange(places_, 0))
      stage_.next_->accept(&e, 1);
    else
      stage_.next_->accept(std::move(e), self_, me_);
  }
  void skip_turn() noexcept {
    static constexpr bool absent = false;
    turn_given_ = true;
    at_ ? at_->ordered.skip() : take_turn({nullptr, 0, 0, 1, &absent}, true);
  }
  void take_turn(const portion<result_envelope>& made, bool placed) noexcept {
    stage_.send_in_order(ticket_, made, placed, false, self_, me_);
  }

 public:
  // The run was stopped in the middle of an expansion: some results are out, the item is not finished.
  struct cut_short {};

 private:
  thread_stage& stage_;
  post* const at_ = nullptr;
  const std::uint64_t ticket_ = 0;
  std::size_t places_ = 0;
  worker& self_;
  crew_member& me_;
  std::uint64_t number_ = 0;
  std::int64_t entered_ns_ = 0;
  bool turn_given_ = true;
};

// --- turns ---

template <class In, class F>
bool thread_stage<In, F>::turn(crew_member& me) {
  if constexpr (stage_traits::is_per_worker<F>) {
    return false;
  } else {
    if (policy_.control().stopping() || entrance_.waiting() == 0 || !has_free_worker()) return false;
    std::int64_t now = now_ns();
    worker* const self = hire(now);
    if (!self) return false;
    if (!range().is_fixed()) policy_.control().scales();
    wait_kind why = wait_kind::starved;
    const bool done = work_once(*self, function_, me, now, false, why);
    leave(*self, why, now);
    return done;
  }
}

template <class In, class F>
void thread_stage<In, F>::serve(worker&, crew_member& me) {
  if constexpr (stage_traits::is_per_worker<F>) {
    worker* const self = hire(now_ns());
    struct leaving {
      thread_stage& stage;
      worker& self;
      ~leaving() { stage.leave(self, wait_kind::starved, now_ns()); }
    } const at_the_end{*this, *self};
    auto f = function_.factory();
    while (!policy_.control().stopping()) {
      if (entrance_.waiting() == 0) {
        const counted_wait waiting(*self, wait_kind::starved);
        if (!entrance_.wait_for_items()) break;
      }
      wait_kind why = wait_kind::starved;
      std::int64_t now = now_ns();
      // There is an item, and it cannot be taken: somebody is in the middle of putting it in.
      if (!work_once(*self, f, me, now, true, why)) system::yield();
    }
  } else {
    (void)me;
  }
}

template <class In, class F>
readiness thread_stage<In, F>::ready() const noexcept {
  if (stage_traits::is_per_worker<F> || policy_.control().stopping() || !has_free_worker()) return readiness::nothing;
  std::size_t items = entrance_.waiting();
  if (items == 0) return readiness::nothing;
  if (pace_.is_long(1)) return readiness::plenty;
  if constexpr (!std::is_void_v<out>) {
    const std::size_t room = next_->room();
    if (room == 0) return readiness::nothing;
    if (room >= next_->room_in_all() / 2) return readiness::plenty;
    items = std::min(items, room);
  }
  return pace_.is_long(items) ? readiness::plenty : readiness::some;
}

// must_go: take at least one item though there is no room for its result: nobody else will do this worker's work.
template <class In, class F>
auto thread_stage<In, F>::make_plan(bool must_go) noexcept -> plan {
  std::size_t items = std::min({pace_.batch(turn_ns), entrance_.capacity(), most_at_once});
  const std::size_t workers = present();
  if (items > 1 && workers > 1 && pace_.each() >= share_from_ns) {
    // Work worth sharing is shared: as many as leave something for the others, in turns that are worth their cost.
    const std::size_t worthwhile = static_cast<std::size_t>(least_turn_ns / pace_.each() + 1);
    items = std::clamp<std::size_t>(entrance_.waiting() / workers, std::min(worthwhile, items), items);
  }
  if constexpr (std::is_void_v<out>) {
    return {items, 0};
  } else if constexpr (stage_traits::is_each<std::decay_t<result>>) {
    return {1, 0};
  } else {
    const std::size_t places = next_->reserve(items);
    if (places) return {places, places};
    // A long item may as well be worked at until there is room for its result; a short one would only have to wait.
    if (must_go || pace_.is_long(1) || next_->room() == inlet<out>::npos) return {1, 0};
    return {};
  }
}

template <class In, class F>
bool thread_stage<In, F>::work_once(worker& self, callable& f, crew_member& me, std::int64_t& now, bool must_go,
                                    wait_kind& why) {
  const plan p = make_plan(must_go);
  if (p.items == 0) {
    why = wait_kind::blocked;
    return false;
  }
  auto* const items = me.for_items().template room_for<envelope<In>>(p.items);
  auto* end = items;
  const auto batch = entrance_.take(p.items, [&](envelope<In>&& e) { std::construct_at(end++, std::move(e)); });
  if constexpr (!std::is_void_v<out>)
    if (p.places > batch.count) next_->give_back(p.places - batch.count);
  if (batch.count == 0) return false;
  const std::size_t places = std::min(p.places, batch.count);
  const std::int64_t waited = self.waited_at_work();
  if (batch.count == 1) entrance_.freed(1);  // before the others are told that this one looks no more
  me.turn_begins(*this, pace_, batch.count, now);
  if (!me.takes_turns_anywhere()) me.changed_something();
  if (batch.count == 1) {
    work_at_one(*items, batch.ticket, places, self, f, me);
    std::destroy_at(items);
  } else {
    work_at_many(items, batch.count, batch.ticket, places, self, f, me, now);
  }
  const std::int64_t ended = now_ns();
  account_for(now, waited, batch.count, self, me, ended);
  me.turn_ends();
  me.changed_something();
  now = ended;
  if constexpr (!std::is_void_v<out>)
    why = entrance_.waiting() == 0 ? wait_kind::starved : next_->room() == 0 ? wait_kind::blocked : wait_kind::unmanned;
  else
    why = entrance_.waiting() == 0 ? wait_kind::starved : wait_kind::unmanned;
  return true;
}

template <class In, class F>
void thread_stage<In, F>::account_for(std::int64_t began, std::int64_t waited_before, std::size_t items, worker& self,
                                      crew_member& me, std::int64_t ended) noexcept {
  const std::int64_t ns = std::max<std::int64_t>(0, ended - began - (self.waited_at_work() - waited_before));
  me.usage.worked(*this, ns);
  // A thread that had to wait for a processor has not met a slow item.
  const bool surprise = pace_.is_surprise(ns, items) && pace_.is_surprise(ns - me.usage.crowded_since_look(), items);
  pace_.took(ns, items, surprise);
  me.usage.settle(ended);
}

template <class In, class F>
void thread_stage<In, F>::work_at_one(envelope<In>& e, std::uint64_t ticket, std::size_t places, worker& self,
                                      callable& f, crew_member& me) {
  outputs results(*this, ticket, places, self, me);
  results.of(e);
  process(e, results, f, self, me);
}

template <class In, class F>
void thread_stage<In, F>::work_at_many(envelope<In>* items, std::size_t count, std::uint64_t ticket, std::size_t places,
                                       worker& self, callable& f, crew_member& me, std::int64_t now) {
  post& at = posts_[index_of(self)];
  at.ticket.store(ticket, std::memory_order_relaxed);
  if constexpr (!std::is_void_v<out>) {
    if (gate_)
      at.ordered.open(me.for_results().template room_for<result_envelope>(count), now);
    else
      at.results.open(me.for_results().template room_for<result_envelope>(count), now);
  }
  at.items.open(items, count, now);
  if constexpr (foresees) {
    std::array<const In*, most_at_once> next;
    for (std::size_t i = 0; i < count; ++i) next[i] = &*items[i].item;
    f.foresee(std::span<const In* const>(next.data(), count));
  }
  std::size_t begun = 0;
  {
    outputs results(*this, at, self, me);
    for (std::size_t i = at.items.next(); i != hand<envelope<In>>::npos; i = at.items.next(), ++begun) {
      results.of(at.items.item(i));
      process(at.items.item(i), results, f, self, me);
      results.item_done();
    }
  }
  entrance_.freed(at.items.close());
  if constexpr (!std::is_void_v<out>) {
    // Those whose items were taken over went with them; those of items without a result are left.
    const std::size_t left = places - (count - begun) - (gate_ ? at.ordered.size() : at.results.size());
    if (left) next_->give_back(left);
    if (gate_) {
      at.ordered.close([&](const portion<result_envelope>& made) {
        return send_in_order(ticket + made.first, made, true, true, self, me);
      });
    } else {
      at.results.close([&](const portion<result_envelope>& made) {
        if (next_->await(made.results, made.count, me)) return true;
        next_->accept(made.results, made.count);
        return false;
      });
    }
  }
}

template <class In, class F>
bool thread_stage<In, F>::await(envelope<In>* items, std::size_t count, crew_member& me) noexcept {
  if constexpr (stage_traits::is_per_worker<F> || stage_traits::is_each<std::decay_t<result>>) {
    return false;
  } else {
    if (!me.takes_turns_anywhere() || gate_ || count < 2 || count > most_at_once || pace_.is_long(count) ||
        entrance_.is_closed() || entrance_.waiting() || !has_free_worker())
      return false;
    // While the worker who made them is still at work, so that nobody can put later ones before them.
    worker* const self = hire(now_ns());
    if (!self) return false;
    bool can_go_on = entrance_.waiting() == 0;
    if constexpr (!std::is_void_v<out>) {
      const std::size_t places = can_go_on ? next_->reserve(count) : 0;
      can_go_on = places == count;
      if (!can_go_on) next_->give_back(places);
    }
    if (!can_go_on) {
      leave(*self, wait_kind::unmanned, now_ns());
      return false;
    }
    entrance_.carried_past(count);
    me.carry({this, self, items, count});
    return true;
  }
}

template <class In, class F>
void thread_stage<In, F>::put_down(crew_member& me) noexcept {
  const crew_member::burden b = me.put_down();
  if (!b.to) return;
  auto* const items = static_cast<envelope<In>*>(b.items);
  entrance_.not_carried_past(b.count);
  accept(items, b.count);
  std::destroy_n(items, b.count);
  if constexpr (!std::is_void_v<out>) next_->give_back(b.count);
  leave(*b.by, wait_kind::unmanned, now_ns());
}

template <class In, class F>
void thread_stage<In, F>::carried_turn(const crew_member::burden& b, crew_member& me) {
  if constexpr (!stage_traits::is_per_worker<F>) {
    const std::int64_t now = now_ns();
    auto* const items = static_cast<envelope<In>*>(b.items);
    const std::int64_t waited = b.by->waited_at_work();
    me.turn_begins(*this, pace_, b.count, now);
    work_at_many(items, b.count, 0, std::is_void_v<out> ? 0 : b.count, *b.by, function_, me, now);
    const std::int64_t ended = now_ns();
    account_for(now, waited, b.count, *b.by, me, ended);
    me.turn_ends();
    leave(*b.by, wait_kind::starved, ended);
  } else {
    (void)b;
    (void)me;
  }
}

template <class In, class F>
void thread_stage<In, F>::relieve(crew_member& me) {
  if constexpr (!stage_traits::is_per_worker<F>) {
    constexpr std::int64_t stuck = 1'000'000;
    for (std::size_t w = 0; w < range().most(); ++w) {
      post& at = posts_[w];
      const std::int64_t now = now_ns();
      if constexpr (!std::is_void_v<out>) {
        worker for_nobody;
        if (gate_) {
          std::vector<result_envelope> results;
          std::array<bool, decltype(at.ordered)::most_marked> present;
          portion<result_envelope> made;
          std::uint64_t ticket = 0;
          at.ordered.take_if_older_than(stuck, now, [&](const portion<result_envelope>& done) {
            made = done;
            results.assign(std::move_iterator(done.results), std::move_iterator(done.results + done.count));
            std::copy_n(done.present, done.items, present.begin());
            // Here, where the owner cannot go on: outside he may have begun another batch, or be the last to leave.
            ticket = at.ticket.load(std::memory_order_relaxed) + done.first;
            help_begins();
          });
          if (made.items) {
            made.results = results.data();
            made.present = present.data();
            send_in_order(ticket, made, true, false, for_nobody, me);
            help_ends();
            if (entrance_.is_closed()) policy_.control().may_have_ended(*this);
          }
        } else {
          at.results.take_if_older_than(
              stuck, now, [&](const portion<result_envelope>& made) { next_->accept(made.results, made.count); });
        }
      }
      worker* self = nullptr;
      std::uint64_t batch = 0;  // its first ticket
      auto* const items = me.for_items().template room_for<envelope<In>>(most_at_once);
      std::size_t count = 0;
      const auto loot = at.items.relieve(stuck, now, [&](envelope<In>* rest, std::size_t n) {
        self = hire(now);
        if (self) std::uninitialized_move_n(rest, count = n, items);
        batch = at.ticket.load(std::memory_order_relaxed);
        return self != nullptr;
      });
      if (loot.freed) entrance_.freed(loot.freed);
      if (!self) continue;
      const std::int64_t waited = self->waited_at_work();
      me.long_turn_begins();
      work_at_many(items, count, batch + loot.first, count, *self, function_, me, now);
      const std::int64_t ended = now_ns();
      account_for(now, waited, count, *self, me, ended);
      me.turn_ends();
      leave(*self, wait_kind::starved, ended);
      me.deliver();
    }
  } else {
    (void)me;
  }
}

template <class In, class F>
bool thread_stage<In, F>::send_in_order(std::uint64_t ticket, const portion<result_envelope>& made, bool placed,
                                        bool may_be_carried, worker& self, crew_member& me) noexcept {
  const auto pass = [&](result_envelope* first, std::size_t n, std::size_t places) {
    if (may_be_carried && places == n && next_->await(first, n, me)) return true;
    send(first, n, places, self, me);
    return false;
  };
  const auto release = [&](result_envelope* later, std::size_t n, std::size_t places) {
    // What is to be carried goes before these, and holds a worker who may be the one to make room for them.
    next_->put_down(me);
    send(later, n, places, self, me);
  };
  return gate_->put(
      ticket, made, placed ? made.count : 0, self, pass, release, [&](std::size_t places) { next_->give_back(places); },
      [&] { me.goes_on_long(); });
}

template <class In, class F>
void thread_stage<In, F>::send(result_envelope* items, std::size_t count, std::size_t places, worker& self,
                               crew_member& me) noexcept {
  if constexpr (!std::is_void_v<out>) {
    while (count) {
      if (places == 0) places = next_->reserve(count);
      if (places == 0) places = gate_->want_places();
      const std::size_t n = std::min(count, std::max<std::size_t>(places, 1));
      if (places) {
        next_->accept(items, n);
        places -= n;
      } else {
        next_->accept(std::move(*items), self, me);
        gate_->has_found_room();
      }
      items += n;
      count -= n;
    }
    if (places) next_->give_back(places);
  }
}

// --- one item ---

template <class In, class F>
void thread_stage<In, F>::process(envelope<In>& e, outputs& results, callable& f, worker& self, crew_member& me) {
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
        results.put(std::forward<decltype(r)>(r));
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
        if (attempt < policy_.options().retry.attempts) me.goes_on_long();
        again = policy_.try_again(attempt, cause, self);
      } catch (...) {
        cause = std::current_exception();  // retry_if threw
      }
    }
    if (!again) {
      if constexpr (!consumes) label = text_of(e);
      return end_failed(e, label, attempt, intact, cause, self);
    }
  }
}

template <class In, class F>
void thread_stage<In, F>::end_failed(envelope<In>& e, const std::string& label, unsigned attempt, bool intact,
                                     const std::exception_ptr& cause, worker& self) noexcept {
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
  if constexpr (!stage_traits::takes_stop<callable&, argument>) {
    return std::invoke(f, std::forward<argument>(item));
  } else {
    if (policy_.options().timeout.count() == 0)
      return std::invoke(f, std::forward<argument>(item), policy_.control().stop_token());
    std::stop_source give_up;
    const system::stop_callback stopped(policy_.control().stop_token(), [&] { give_up.request_stop(); });
    const auto watched = policy_.control().deadlines().arm(wait_limit(policy_.options().timeout).deadline(), give_up);
    try {
      return std::invoke(f, std::forward<argument>(item), give_up.get_token());
    } catch (...) {
      if (!give_up.stop_requested() || policy_.control().stopping()) throw;
      throw timed_out("gave up after its timeout of " + duration_text(policy_.options().timeout));
    }
  }
}

// --- the entrance ---

template <class In, class F>
conqueue_status thread_stage<In, F>::offer(envelope<In>& item, const wait_limit* limit) {
  weigh(item);
  return entrance_.put(item, limit);
}

template <class In, class F>
void thread_stage<In, F>::accept(envelope<In>* items, std::size_t count) noexcept {
  for (std::size_t done = entrance_.put(items, count); done < count; ++done) {
    ++refused_;
    hand_back(std::move(items[done]), 0, nullptr);
  }
}

template <class In, class F>
bool thread_stage<In, F>::accept(envelope<In>&& item, worker& from, crew_member& me) noexcept {
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
  conqueue_status status = entrance_.put(item, nullptr);
  if (status == conqueue_status::full) {
    me.goes_on_long();
    const counted_wait waiting(from, wait_kind::blocked);
    const wait_limit for_ever;
    status = entrance_.put(item, &for_ever);
  }
  if (status == conqueue_status::success) {
    me.changed_something();
    return true;
  }
  ++refused_;
  hand_back(std::move(item), 0, nullptr);
  return false;
}

template <class In, class F>
void thread_stage<In, F>::hand_back_rest() noexcept {
  entrance_.close();
  for (envelope<In>& e : entrance_.hand_over()) {
    ++rest_;
    hand_back(std::move(e), 0, nullptr);
  }
  if constexpr (!std::is_void_v<out>) {
    // Finished results that were waiting for their turn: they belong to the next stage, whose input is closed and
    // counts them.
    if (gate_) gate_->leftovers([&](result_envelope&& e) { next_->accept(&e, 1); });
  }
}

}  // namespace penstock
