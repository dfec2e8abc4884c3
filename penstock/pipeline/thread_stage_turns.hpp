// Of thread_stage.hpp, how a turn goes: what is taken at once, carried on, shared when it is overdue, and sent in order.
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
    for (system::backoff mid_way; !policy_.control().stopping();) {
      if (entrance_.waiting() == 0) {
        const counted_wait waiting(*self, wait_kind::starved);
        if (!entrance_.wait_for_items()) break;
      }
      if (gate_ && entrance_.shared() == 0)
        gate_->wait_for_ticket(*self, [&] { return entrance_.shared() > 0 || policy_.control().stopping(); });
      wait_kind why = wait_kind::starved;
      std::int64_t now = now_ns();
      struct turn_here {  // at the end of the block, however it ends
        entrance<In>& at;
        explicit turn_here(entrance<In>& e) noexcept : at(e) { at.turn_begins(); }
        turn_here(const turn_here&) = delete;
        turn_here& operator=(const turn_here&) = delete;
        ~turn_here() { at.turn_ends(); }
      } const this_turn(entrance_);
      // Nothing to take: another worker has it, or a thread is in the middle of putting it in.
      if (work_once(*self, f, me, now, true, why))
        mid_way = {};
      else
        mid_way.once();
    }
  } else {
    (void)me;
  }
}

template <class In, class F>
readiness thread_stage<In, F>::ready() const noexcept {
  if (stage_traits::is_per_worker<F> || policy_.control().stopping() || !has_free_worker()) return readiness::nothing;
  if (entrance_.shared() > 0) return readiness::plenty;
  std::size_t items = entrance_.waiting();
  if (items == 0 || (gate_ && gate_->free() == 0)) return readiness::nothing;
  if (goes_singly()) return readiness::plenty;
  if constexpr (!std::is_void_v<out>) {
    const std::size_t room = next_->room();
    if (room == 0) {
      refuses_for_want_of_room();
      return readiness::nothing;
    }
    if (room >= next_->room_in_all() / 2) return readiness::plenty;
    items = std::min(items, room);
  }
  return pace_.is_long(items) ? readiness::plenty : readiness::some;
}

// must_go: take at least one item though there is no room for its result: no other thread will do this worker's work.
// Throws std::bad_alloc: then nothing has been promised. Later, when something has been taken, nothing throws.
template <class In, class F>
auto thread_stage<In, F>::make_plan(bool must_go, crew_member& me) -> plan {
  const std::size_t most = stage_traits::is_each<std::decay_t<result>> ? 1 : max_at_once;
  std::size_t items = std::min({pace_.batch(turn_ns), entrance_.capacity(), most});
  // Items that the function of one worker knows ahead cannot be begun by another worker.
  if (foresees && range().most() > 1) items = 1;
  // Only where it is made sure that no item waits for another one of its batch.
  if (items > 1 && (entrance_.waiting() < 2 || !policy_.control().supervised_by().is_there())) items = 1;
  const std::size_t workers = present();
  if (items > 1 && workers > 1 && pace_.each() >= share_from_ns && !(this->computes() && me.nobody_is_free())) {
    // Work worth sharing is shared: as many as leave something for the others, in turns that are worth their cost.
    const std::size_t worthwhile = static_cast<std::size_t>(least_turn_ns / pace_.each() + 1);
    items = std::clamp<std::size_t>(entrance_.waiting() / workers, std::min(worthwhile, items), items);
  }
  make_room(items, me);
  if (gate_) items = gate_->reserve(items);
  if (items == 0) return {};
  if constexpr (std::is_void_v<out> || stage_traits::is_each<std::decay_t<result>>) {
    return {items, 0};
  } else {
    std::size_t places = items > 1 ? next_->reserve(items) : 0;
    if (places == 1) next_->give_back(std::exchange(places, 0));
    // A single item holds no place while it is worked at: other items may need it before this one is done. A long item may
    // as well be worked at until there is room for its result; a short one would only have to wait.
    const std::size_t go = places ? places : must_go || goes_singly() || next_->room() > 0 ? 1 : 0;
    if (gate_) gate_->give_back(items - go);
    if (go == 0) refuses_for_want_of_room();
    return {go, places};
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
  const std::int64_t waited = self.waited_at_work();
  std::size_t done = 1;
  if (claimed one = entrance_.shared() > 0 ? claim_shared() : claimed{}; one.item) {
    me.turn_begins(*this, pace_, 1);
    me.changed_something();
    work_at_watched(*one.item, one.ticket, self, f, me, now);
  } else {
    const plan p = make_plan(must_go, me);
    if (p.items == 0) {
      why = wait_kind::blocked;
      return false;
    }
    auto* const items = me.for_items().template room_for<envelope<In>>(p.items);
    auto* end = items;
    const auto batch = entrance_.take(p.items, [&](envelope<In>&& e) { std::construct_at(end++, std::move(e)); });
    const std::size_t places = batch.count > 1 ? std::min(p.places, batch.count) : 0;
    if constexpr (!std::is_void_v<out>)
      if (p.places > places) next_->give_back(p.places - places);
    if (gate_) gate_->give_back(p.items - batch.count);
    if (batch.count == 0) return false;
    if (batch.count == 1) entrance_.freed(1);  // before the others are told that this one looks no more
    me.turn_begins(*this, pace_, batch.count);
    if (!me.takes_turns_anywhere()) me.changed_something();
    if (batch.count == 1) {
      work_at_watched(*items, batch.ticket, self, f, me, now);
      std::destroy_at(items);
    } else {
      done = work_at_many(items, batch.count, batch.ticket, places, self, f, me, now);
    }
  }
  const std::int64_t ended = now_ns();
  account_for(now, waited, done, self, me, ended);
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
auto thread_stage<In, F>::claim_from(batch_type& b) noexcept -> claimed {
  claimed one;
  if (b.claim([&](envelope<In>&& e, std::uint64_t ticket) {
        one.item.emplace(std::move(e));
        one.ticket = ticket;
      })) {
    entrance_.shared_one_begins();
    entrance_.freed(1);
  }
  return one;
}

template <class In, class F>
auto thread_stage<In, F>::claim_shared() noexcept -> claimed {
  for (std::size_t w = 0; w < range().most(); ++w)
    if (claimed one = claim_from(batches_[w]); one.item) return one;
  return {};
}

template <class In, class F>
void thread_stage<In, F>::account_for(std::int64_t began, std::int64_t waited_before, std::size_t items, worker& self,
                                      crew_member& me, std::int64_t ended) noexcept {
  const std::int64_t ns = std::max<std::int64_t>(0, ended - began - (self.waited_at_work() - waited_before));
  me.usage.worked(*this, ns);
  if (items == 0) return me.usage.settle(ended);  // other workers had them all
  // A thread that had to wait for a processor has not met a slow item.
  const bool surprise = pace_.is_surprise(ns, items) && pace_.is_surprise(ns - me.usage.crowded_since_look(), items);
  pace_.took(ns, items, surprise);
  me.usage.settle(ended);
}

template <class In, class F>
void thread_stage<In, F>::work_at_one(envelope<In>& e, std::uint64_t ticket, worker& self, callable& f,
                                      crew_member& me) noexcept {
  outputs results(*this, ticket, self, me);
  results.of(e);
  process(e, results, f, self, me);
}

template <class In, class F>
std::int64_t thread_stage<In, F>::due_of_one(std::int64_t now) const noexcept {
  if constexpr (stage_traits::is_per_worker<F>) {
    return 0;  // its workers begin their items in any case, and its threads are not the crew's
  } else {
    if (this->computes() && pace_.is_long(1)) return now + std::max(slices_ns, 4 * pace_.each());
    const bool is_short = !pace_.is_long(1);
    return is_short && (this->computes() || range().most() > 1) ? now + pace::stuck_ns + pace_.each() : 0;
  }
}

template <class In, class F>
void thread_stage<In, F>::work_at_watched(envelope<In>& e, std::uint64_t ticket, worker& self, callable& f,
                                          crew_member& me, std::int64_t now) noexcept {
  const std::int64_t due = due_of_one(now);
  if (due == 0) return work_at_one(e, ticket, self, f, me);
  batch_type& at = batches_[index_of(self)];
  at.open({}, due, &me);
  if (supervisor& s = policy_.control().supervised_by(); this->computes() && s.is_there()) s.watch(due);
  work_at_one(e, ticket, self, f, me);
  if (at.close()) overdue_.fetch_sub(1);
}

template <class In, class F>
std::size_t thread_stage<In, F>::work_at_many(envelope<In>* items, std::size_t count, std::uint64_t ticket,
                                              std::size_t places, worker& self, callable& f, crew_member& me,
                                              std::int64_t now) noexcept {
  batch_type& at = batches_[index_of(self)];
  typename batch_type::contents contents{.items = items, .count = count, .ticket = ticket, .marked = gate_ != nullptr};
  if constexpr (!std::is_void_v<out>) contents.results = me.for_results().template room_for<result_envelope>(count);
  if constexpr (foresees) {
    std::array<const In*, max_at_once> next;
    for (std::size_t i = 0; i < count; ++i) next[i] = &*items[i].item;
    f.foresee(std::span<const In* const>(next.data(), count));
    contents.known_ahead = true;
  }
  const std::int64_t due = now + pace::stuck_ns + pace_.each() * static_cast<std::int64_t>(count);
  at.open(contents, due, &me);
  policy_.control().supervised_by().watch(due);
  std::size_t done = 0;
  {
    outputs results(*this, at, self, me);
    for (std::size_t i = at.next(); i != batch_type::npos; i = at.next(), ++done) {
      results.of(at.item(i));
      process(at.item(i), results, f, self, me);
      results.item_done();
      if (at.is_shared()) {
        at.flush([&](const batch_view<result_envelope>& made) { send_overdue(made, ticket, self, me); });
        me.changed_something();
      }
    }
  }
  bool overdue = false;
  at.finish(
      [&](bool was_overdue) {
        overdue = was_overdue;  // then the supervisor has freed the items' places, and given those of results back
        if (overdue) return;
        entrance_.freed(count);
        if constexpr (!std::is_void_v<out>)
          if (places && count > at.made()) next_->give_back(count - at.made());  // items without a result
      },
      [&](const batch_view<result_envelope>& made) {
        if (!overdue) return send_made(made, ticket, self, me);
        send_overdue(made, ticket, self, me);
        return false;
      });
  for (;;) {
    claimed one = claim_from(at);
    if (!one.item) break;
    me.changed_something();
    work_at_one(*one.item, one.ticket, self, f, me);
    ++done;
  }
  if (at.close()) overdue_.fetch_sub(1);
  return done;
}

template <class In, class F>
bool thread_stage<In, F>::send_made(const batch_view<result_envelope>& made, std::uint64_t ticket, worker& self,
                                    crew_member& me) noexcept {
  if constexpr (std::is_void_v<out>) {
    return false;
  } else {
    if (gate_) return send_in_order(ticket + made.first, made, true, true, self, me);
    if (next_->await(made.results, made.count, me)) return true;
    next_->accept(made.results, made.count);
    return false;
  }
}

template <class In, class F>
void thread_stage<In, F>::send_overdue(const batch_view<result_envelope>& made, std::uint64_t ticket, worker& self,
                                       crew_member& me) noexcept {
  if constexpr (!std::is_void_v<out>) {
    if (gate_)
      send_in_order(ticket + made.first, made, false, false, self, me);
    else
      for (std::size_t i = 0; i < made.count; ++i) next_->accept(std::move(made.results[i]), self, me);
  }
}

template <class In, class F>
supervision thread_stage<In, F>::look_after(crew& threads, std::int64_t now) noexcept {
  supervision found;
  for (std::size_t w = 0; w < range().most(); ++w) {
    batch_type& at = batches_[w];
    const std::int64_t due = at.due();
    if (due == 0) continue;
    if (now < due) {
      found.due = found.due == 0 ? due : std::min(found.due, due);
      continue;
    }
    found.acted = true;
    at.look_after(
        now,
        [&](crew_member& owner) {
          overdue_.fetch_add(1);
          this->may_not_compute();
          threads.overdue(owner);
        },
        [&](std::size_t begun, std::size_t rest) {
          if (begun) entrance_.freed(begun);
          if (rest == 0) return;
          entrance_.share(rest);
          if (gate_) gate_->notify();
        },
        [&](const batch_view<result_envelope>& made, std::size_t count, std::uint64_t ticket) {
          if constexpr (!std::is_void_v<out>) {
            // The places of results to come: the items that are begun next may need them before.
            if (count > made.count) next_->give_back(count - made.count);
            if (made.items == 0) return;
            if (gate_)
              gate_->try_put(ticket, made, made.count, [&](std::size_t places) { next_->give_back(places); });
            else
              next_->accept(made.results, made.count);
          }
        });
  }
  if constexpr (!std::is_void_v<out>) {
    if (gate_) {
      found.owes = gate_->try_release([&](std::size_t n) { return next_->reserve(n); },
                                      [&](result_envelope* items, std::size_t n) { next_->accept(items, n); });
      // The results may have been what kept the stage from ending.
      if (entrance_.is_closed()) policy_.control().may_have_ended(*this);
    }
  }
  return found;
}

template <class In, class F>
bool thread_stage<In, F>::await(envelope<In>* items, std::size_t count, crew_member& me) noexcept {
  if constexpr (stage_traits::is_per_worker<F> || stage_traits::is_each<std::decay_t<result>>) {
    return false;
  } else {
    if (!me.takes_turns_anywhere() || gate_) return false;
    if (!policy_.control().supervised_by().is_there()) return false;
    if (count < 2 || count > max_at_once) return false;
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
    me.turn_begins(*this, pace_, b.count);
    const std::size_t done =
        work_at_many(items, b.count, 0, std::is_void_v<out> ? 0 : b.count, *b.by, function_, me, now);
    const std::int64_t ended = now_ns();
    account_for(now, waited, done, *b.by, me, ended);
    me.turn_ends();
    leave(*b.by, wait_kind::starved, ended);
  } else {
    (void)b;
    (void)me;
  }
}

template <class In, class F>
bool thread_stage<In, F>::send_in_order(std::uint64_t ticket, const batch_view<result_envelope>& made, bool placed,
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
  return gate_->put(ticket, made, placed ? made.count : 0, pass, release,
                    [&](std::size_t places) { next_->give_back(places); });
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
