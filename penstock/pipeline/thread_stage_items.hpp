// Of thread_stage.hpp, how one item is worked at: called, called again, accounted for; and where its results go.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>

#include <penstock/pipeline/thread_stage.hpp>

namespace penstock {

// The results of one item: into the next stage, into a batch with those of its neighbours, or through the gate.
template <class In, class F>
class thread_stage<In, F>::outputs {
 public:
  // Its result waits for room if there is none.
  outputs(thread_stage& stage, std::uint64_t ticket, worker& self, crew_member& me) noexcept
      : stage_(stage), ticket_(ticket), self_(self), me_(me) {}
  // Into a batch.
  outputs(thread_stage& stage, batch_type& at, worker& self, crew_member& me) noexcept
      : stage_(stage), at_(&at), self_(self), me_(me) {}
  outputs(const outputs&) = delete;
  outputs& operator=(const outputs&) = delete;
  // An item that put nothing gives its turn away.
  ~outputs() {
    if constexpr (!std::is_void_v<out>) {
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
      return result_envelope{box<out>(std::forward<Value>(value)), number_, entered_ns_, 0};
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
    if (!stage_.gate_) return at_ ? at_->add(std::move(e)) : put_now(std::move(e));
    turn_given_ = true;
    at_ ? at_->add(std::move(e)) : take_turn({&e, 1, 0, 1, nullptr});
  }
  template <class Range>
  void many(Range& range) {
    std::size_t count = 0;
    const auto write = [&] {
      for (auto it = std::ranges::begin(range); it != std::ranges::end(range); ++it) {
        stage_.go_on_with_results(count);
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
  void put_now(result_envelope&& e) noexcept { stage_.next_->accept(std::move(e), self_, me_); }
  void skip_turn() noexcept {
    static constexpr bool absent = false;
    turn_given_ = true;
    at_ ? at_->skip() : take_turn({nullptr, 0, 0, 1, &absent});
  }
  void take_turn(const batch_view<result_envelope>& made) noexcept {
    stage_.send_in_order(ticket_, made, false, false, self_, me_);
  }

  thread_stage& stage_;
  batch_type* const at_ = nullptr;
  const std::uint64_t ticket_ = 0;
  worker& self_;
  crew_member& me_;
  std::uint64_t number_ = 0;
  std::int64_t entered_ns_ = 0;
  bool turn_given_ = true;
};

// --- one item ---

template <class In, class F>
void thread_stage<In, F>::process(envelope<In>& e, outputs& results, callable& f, worker& self,
                                  crew_member& me) noexcept {
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
    } catch (const cut_short&) {
      return end_cut_short(e, label, attempt, intact, self);
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

}  // namespace penstock
