// thread_stage: the kind of stage whose function runs on threads, one item at a time for each of its workers.
//
// One turn of a worker: take as many items as a turn is worth (pace.hpp), with room promised for their results → for
// each: call the function, again after a pause if it fails and the policy says so; count how it ended → put the results
// into the next stage, in order if asked. An item that is, or may be, long is taken alone, without a promised place, and its
// result waits for room if there is none.
//
// OVERDUE  A batch that takes longer than expected is shared (claimed_batch.hpp): its items count as waiting again, and any
//          worker begins one at a time. The places of results to come are given back: no place depends on a call that may be
//          waiting for the result of another. While a turn is overdue, the stage begins items though there is no room for their
//          results: they may be what that turn waits for.
//
// Everything else: retry, dead letters, limits are stage_policy's; the order is reorder_gate's; threads are the crew's and the
// end is run_control's.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <penstock/pipeline/claimed_batch.hpp>
#include <penstock/pipeline/entered_stage.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/pace.hpp>
#include <penstock/pipeline/reorder_gate.hpp>
#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/stage_function.hpp>
#include <penstock/pipeline/stage_policy.hpp>

namespace penstock {

template <class In, class F>
class thread_stage final : public entered_stage<In> {
 public:
  using out = stage_output<F, In>;

  // next: null iff `out` is void.
  thread_stage(std::string name, F function, stage_options options, inlet<out>* next, run_control& control)
      : entered_stage<In>(std::move(name), std::move(options), abilities(), control),
        function_(std::move(function)),
        next_(next),
        batches_(std::make_unique<batch_type[]>(range().most())) {
    if constexpr (!std::is_void_v<out>)
      if (policy_.options().ordered && range().most() > 1)
        gate_ = std::make_unique<gate_type>(range().most() + policy_.options().capacity);
  }

  bool turn(crew_member& me) override;
  void carried_turn(const crew_member::burden& b, crew_member& me) noexcept override;
  [[nodiscard]] readiness ready() const noexcept override;
  [[nodiscard]] bool has_work() const noexcept override {
    if (entrance_.shared() > 0) return true;
    if constexpr (!std::is_void_v<out>)
      if (next_->room() == 0) return false;
    return entrance_.waiting() > 0;
  }
  supervision look_after(crew& threads, std::int64_t now) noexcept override;
  [[nodiscard]] bool has_own_threads() const noexcept override { return stage_traits::is_per_worker<F>; }
  void serve(worker& self, crew_member& me) override;

  // Also the results that the supervisor still has to release have left.
  [[nodiscard]] bool is_over() const noexcept override {
    return front::is_over() && (!gate_ || gate_->is_idle() || policy_.control().stopping());
  }
  void hand_back_rest() noexcept override;

  bool await(envelope<In>* items, std::size_t count, crew_member& me) noexcept override;
  void put_down(crew_member& me) noexcept override;

  [[nodiscard]] bool delivers() const noexcept override { return std::is_void_v<out>; }

 private:
  using front = entered_stage<In>;
  using front::end_cut_short, front::end_failed, front::entrance_, front::hand_back, front::policy_, front::text_of;
  using node::has_free_worker, node::has_worker_at_work, node::hire, node::index_of, node::let_go, node::present,
      node::range;
  using typename front::cut_short;

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
  // Items that take so long are left for other workers rather than taken at once.
  static constexpr std::int64_t share_from_ns = 500, least_turn_ns = 15'000;
  // A computing call that stands still waits for its slice of a processor, most likely: for that long it is not overdue.
  static constexpr std::int64_t slices_ns = 20'000'000;
  // A function that foresees its items has a long way to them, which they go together.
  static constexpr bool foresees = stage_traits::foresees<callable, In>;
  static constexpr std::int64_t turn_ns = foresees ? 1'000'000 : pace::turn_ns;
  // A batch and its results stay in the first cache.
  static constexpr std::size_t max_at_once =
      std::clamp<std::size_t>(16384 / std::max(sizeof(envelope<In>), sizeof(result_envelope)), 1, pace::max_at_once);

  using batch_type = claimed_batch<envelope<In>, result_envelope>;
  // How many items to take, and how many places in the next stage are promised; none: not now. With as many tickets reserved, if
  // ordered.
  struct plan {
    std::size_t items = 0, places = 0;
  };
  plan make_plan(bool must_go, crew_member& me);
  void make_room(std::size_t items, crew_member& me);
  // One turn, by a worker who was hired at `now`, which moves on. False if there was nothing to do.
  bool work_once(worker& self, callable& f, crew_member& me, std::int64_t& now, bool must_go, wait_kind& why);
  void work_at_one(envelope<In>& e, std::uint64_t ticket, worker& self, callable& f, crew_member& me) noexcept;
  // The same for one that may turn out to hold up others, and if it does, must be noticed.
  void work_at_watched(envelope<In>& e, std::uint64_t ticket, worker& self, callable& f, crew_member& me,
                       std::int64_t now) noexcept;
  // When the supervisor is to see to a single item that was begun at `now`; 0: never.
  [[nodiscard]] std::int64_t due_of_one(std::int64_t now) const noexcept;
  // One item of a batch that is shared, if there is one.
  struct claimed {
    std::optional<envelope<In>> item{};
    std::uint64_t ticket = 0;
  };
  [[nodiscard]] claimed claim_shared() noexcept;
  [[nodiscard]] claimed claim_from(batch_type& b) noexcept;
  // Items go one by one, and need no place for their results to be begun.
  [[nodiscard]] bool goes_singly() const noexcept {
    return pace_.is_long(1) || overdue_.load(std::memory_order_relaxed) > 0 ||
           policy_.control().supervised_by().is_unavailable();
  }
  // Items wait, and are not begun for want of room, while a call is under way that may be waiting for them.
  void refuses_for_want_of_room() const noexcept {
    supervisor& s = policy_.control().supervised_by();
    if (has_worker_at_work() && s.is_there()) s.watch(now_ns() + pace::stuck_ns);
  }
  // items: in me.for_items(); they are destroyed. Returns how many of them this worker has worked at.
  std::size_t work_at_many(envelope<In>* items, std::size_t count, std::uint64_t ticket, std::size_t places,
                           worker& self, callable& f, crew_member& me, std::int64_t now) noexcept;
  // The end of every turn: a worker at work is what may have kept the stage from ending.
  void leave(worker& self, wait_kind why, std::int64_t now) noexcept {
    let_go(self, why, now);
    if (entrance_.is_closed()) policy_.control().may_have_ended(*this);
  }
  // A worker at work, who leaves at the end of the block, however it ends.
  struct at_work {
    thread_stage& stage;
    worker& self;
    wait_kind why = wait_kind::starved;  // what he waits for from then on
    std::int64_t now = 0;                // when he leaves; 0: look at the clock

    at_work(thread_stage& s, worker& w, std::int64_t n = 0) noexcept : stage(s), self(w), now(n) {}
    at_work(const at_work&) = delete;
    at_work& operator=(const at_work&) = delete;
    ~at_work() { stage.leave(self, why, now ? now : now_ns()); }
  };
  void account_for(std::int64_t began, std::int64_t waited_before, std::size_t items, worker& self, crew_member& me,
                   std::int64_t ended) noexcept;
  // Finished results of a batch, with promised places; ticket: of its first item. As send_in_order().
  bool send_made(const batch_view<result_envelope>& made, std::uint64_t ticket, worker& self, crew_member& me) noexcept;
  // The same after the supervisor has given the places back: waits for room.
  void send_overdue(const batch_view<result_envelope>& made, std::uint64_t ticket, worker& self,
                    crew_member& me) noexcept;
  // ticket: of the first of the items; placed: places are promised for the results. True: they were taken over, where
  // they are, to be carried on; only if they may be.
  bool send_in_order(std::uint64_t ticket, const batch_view<result_envelope>& made, bool placed, bool may_be_carried,
                     worker& self, crew_member& me) noexcept;
  // In order, with so many places promised; for the others it waits for room.
  void send(result_envelope* items, std::size_t count, std::size_t places, worker& self, crew_member& me) noexcept;

  // Where the results of one item go.
  class outputs;
  void process(envelope<In>& e, outputs& results, callable& f, worker& self, crew_member& me) noexcept;
  result call(callable& f, argument item, worker& self);

  F function_;
  inlet<out>* const next_;
  penstock::pace pace_;
  std::unique_ptr<batch_type[]> batches_;    // one for each worker
  std::unique_ptr<gate_type> gate_;          // null: unordered
  system::atomic<std::size_t> overdue_ = 0;  // turns under way that the supervisor has found overdue
};

template <class In, class F>
void thread_stage<In, F>::hand_back_rest() noexcept {
  entered_stage<In>::hand_back_rest();
  if constexpr (!std::is_void_v<out>) {
    assert(policy_.control().stopping() || (next_->no_place_is_lost() && (!gate_ || gate_->is_idle())));
    // After a stop the supervisor may have left some for want of room. The way out is closed: they are handed back there.
    if (gate_)
      (void)gate_->try_release([](std::size_t n) { return n; },
                               [&](result_envelope* items, std::size_t n) { next_->accept(items, n); });
  }
}

}  // namespace penstock

// How; the one about a turn needs the one about an item.
#include <penstock/pipeline/thread_stage_items.hpp>
#include <penstock/pipeline/thread_stage_turns.hpp>
