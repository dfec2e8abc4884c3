// Of thread_stage.hpp, how a turn goes: what is taken at once, carried on, relieved of, and sent in order.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/pipeline/thread_stage.hpp>

namespace penstock {

// --- turns ---

template <class In, class F>
bool thread_stage<In, F>::turn(crew_member& me) {
  if constexpr (stage_traits::is_per_worker<F>) {
    return false;
  } else {
    if (policy_.control().stopping() || entrance_.waiting() == 0 || !has_free_worker()) return false;
    const std::int64_t now = now_ns();
    worker* const self = hire(now);
    if (!self) return false;
    if (!range().is_fixed()) policy_.control().scales();
    at_work one(*this, *self, now);
    return work_once(*self, function_, me, one.now, false, one.why);
  }
}

template <class In, class F>
void thread_stage<In, F>::serve(worker&, crew_member& me) {
  if constexpr (stage_traits::is_per_worker<F>) {
    worker* const self = hire(now_ns());
    const at_work one(*this, *self);
    auto f = function_.factory();
    while (!policy_.control().stopping()) {
      if (entrance_.waiting() == 0) {
        const counted_wait waiting(*self, wait_kind::starved);
        if (!entrance_.wait_for_items()) break;
      }
      wait_kind why = wait_kind::starved;
      std::int64_t now = now_ns();
      // Nothing to take: another worker has it, or somebody is in the middle of putting it in.
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
// Throws std::bad_alloc: then nothing has been promised. Later, when something has been taken, nothing throws.
template <class In, class F>
auto thread_stage<In, F>::make_plan(bool must_go, crew_member& me) -> plan {
  const std::size_t most = stage_traits::is_each<std::decay_t<result>> ? 1 : most_at_once;
  std::size_t items = std::min({pace_.batch(turn_ns), entrance_.capacity(), most});
  const std::size_t workers = present();
  if (items > 1 && workers > 1 && pace_.each() >= share_from_ns && !(this->computes() && me.nobody_is_free())) {
    // Work worth sharing is shared: as many as leave something for the others, in turns that are worth their cost.
    const std::size_t worthwhile = static_cast<std::size_t>(least_turn_ns / pace_.each() + 1);
    items = std::clamp<std::size_t>(entrance_.waiting() / workers, std::min(worthwhile, items), items);
  }
  make_room(items, me);
  if constexpr (std::is_void_v<out> || stage_traits::is_each<std::decay_t<result>>) {
    return {items, 0};
  } else {
    const std::size_t places = next_->reserve(items);
    if (places) return {places, places};
    // A long item may as well be worked at until there is room for its result; a short one would only have to wait.
    if (must_go || pace_.is_long(1) || next_->room() == inlet<out>::npos) return {1, 0};
    return {};
  }
}

// For so many items and their results, in this thread's hands.
template <class In, class F>
void thread_stage<In, F>::make_room(std::size_t items, crew_member& me) {
  (void)me.for_items().template room_for<envelope<In>>(items);
  if constexpr (!std::is_void_v<out>)
    if (items > 1) (void)me.for_results().template room_for<result_envelope>(items);
}

template <class In, class F>
bool thread_stage<In, F>::work_once(worker& self, callable& f, crew_member& me, std::int64_t& now, bool must_go,
                                    wait_kind& why) {
  const plan p = make_plan(must_go, me);
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
                                      callable& f, crew_member& me) noexcept {
  outputs results(*this, ticket, places, self, me);
  results.of(e);
  process(e, results, f, self, me);
}

template <class In, class F>
void thread_stage<In, F>::work_at_many(envelope<In>* items, std::size_t count, std::uint64_t ticket, std::size_t places,
                                       worker& self, callable& f, crew_member& me, std::int64_t now) noexcept {
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
    const auto as_myself = [&] { return &self; };
    const auto late = [&] {
      send_what_is_done(at, now_ns(), as_myself, me);
      me.changed_something();
    };
    for (std::size_t i = at.items.next(late); i != hand<envelope<In>>::npos; i = at.items.next(late), ++begun) {
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
    if (!me.takes_turns_anywhere() || gate_) return false;
    if (count < 2 || count > most_at_once) return false;
    // Asked again when a worker is hired, which is dearer.
    if (entrance_.waiting() || !has_free_worker()) return false;
    // Long work is left for others, unless it is a turn's worth and there is nobody who could take it.
    if (pace_.is_long(count) && (count > 2 * pace_.batch(turn_ns) || !this->computes() || !me.nobody_is_free()))
      return false;
    if constexpr (!std::is_void_v<out>) {
      try {
        // The room for items will be that for results, when these have become the items.
        (void)me.for_items().template room_for<result_envelope>(count);
      } catch (const std::bad_alloc&) {
        return false;
      }
    }
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
  this->accept(items, b.count);
  std::destroy_n(items, b.count);
  if constexpr (!std::is_void_v<out>) next_->give_back(b.count);
  leave(*b.by, wait_kind::unmanned, now_ns());
}

template <class In, class F>
void thread_stage<In, F>::carried_turn(const crew_member::burden& b, crew_member& me) noexcept {
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
template <class Sender>
void thread_stage<In, F>::send_what_is_done(post& at, std::int64_t now, Sender sender, crew_member& me) noexcept {
  if constexpr (!std::is_void_v<out>) {
    if (!gate_)
      return at.results.take_if_older_than(pace::stuck_ns, now, [&](const portion<result_envelope>& made) {
        next_->accept(made.results, made.count);
        return true;
      });
    worker* self = nullptr;
    std::vector<result_envelope> results;
    std::array<bool, decltype(at.ordered)::most_marked> has_result;
    portion<result_envelope> made;
    std::uint64_t ticket = 0;
    at.ordered.take_if_older_than(pace::stuck_ns, now, [&](const portion<result_envelope>& done) {
      try {
        results.reserve(done.count);
      } catch (const std::bad_alloc&) {
        return false;  // then they go when the batch is done
      }
      self = sender();
      if (!self) return false;
      std::move(done.results, done.results + done.count, std::back_inserter(results));
      std::copy_n(done.present, done.items, has_result.begin());
      made = {results.data(), done.count, done.first, done.items, has_result.data()};
      // Here, where the owner cannot go on: outside he may have begun another batch.
      ticket = at.ticket.load(std::memory_order_relaxed) + done.first;
      return true;
    });
    if (!self) return;
    send_in_order(ticket, made, true, false, *self, me);
  }
}

template <class In, class F>
void thread_stage<In, F>::relieve(crew_member& me) noexcept {
  if constexpr (!stage_traits::is_per_worker<F>) {
    for (std::size_t w = 0; w < range().most(); ++w) {
      try {
        make_room(most_at_once, me);  // each time: what was carried on has changed which room is for what
      } catch (const std::bad_alloc&) {
        return;  // then nobody is helped any more this time
      }
      post& at = posts_[w];
      const std::int64_t now = now_ns();
      // As a worker, if in order, because it may wait for its turn or for room: no more threads than workers may, or else
      // none is left for the stages behind. So while all workers are at work, what one of them has done waits for him.
      worker* helper = nullptr;
      const auto as_a_helper = [&] { return helper = hire(now); };
      send_what_is_done(at, now, as_a_helper, me);
      if (helper) leave(*helper, wait_kind::unmanned, now_ns());
      worker* self = nullptr;
      std::uint64_t batch = 0;  // its first ticket
      auto* const items = me.for_items().template room_for<envelope<In>>(most_at_once);
      std::size_t count = 0;
      const auto loot = at.items.relieve(pace::stuck_ns, now, [&](envelope<In>* rest, std::size_t n) {
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

}  // namespace penstock
