// entered_stage<In>: a stage with an entrance before it: how items come in, wait, are refused and handed back, how a failed
// one ends. The same whoever works behind it: thread_stage.hpp, async/stage.hpp.
//
// THREADS  The inlet's side at the same time; see node.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include <penstock/pipeline/entrance.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/stage_policy.hpp>

namespace penstock {

template <class In>
class entered_stage : public node, public inlet<In> {
 public:
  // --- as the run sees it ---
  void check() const override { policy_.check(); }
  void close_input() noexcept override { entrance_.close(); }
  [[nodiscard]] bool is_over() const noexcept override {
    return entrance_.is_closed() && (policy_.control().stopping() || entrance_.waiting() == 0);
  }
  void hand_back_rest() noexcept override {
    for (envelope<In>& e : entrance_.hand_over()) {
      ++rest_;
      hand_back(std::move(e), 0, nullptr);
    }
  }
  void add_entrance_counts(stage_report& r) const noexcept override {
    r.in = entrance_.taken_in() + refused_.load() + unweighed_failed_.load() + unweighed_dead_.load();
    r.returned += refused_.load() + rest_.load();
    r.failed += unweighed_failed_.load();
    r.dead_lettered += unweighed_dead_.load();
    r.waiting = entrance_.waiting();
    r.peak_waiting = entrance_.peak();
    r.capacity = entrance_.capacity();
  }

  // --- as the stage before sees it ---
  std::size_t reserve(std::size_t most) noexcept override { return entrance_.reserve(most); }
  void give_back(std::size_t places) noexcept override { entrance_.give_back(places); }
  void accept(envelope<In>* items, std::size_t count) noexcept override {
    for (std::size_t done = entrance_.put(items, count); done < count; ++done) refuse(std::move(items[done]));
  }
  bool await(envelope<In>*, std::size_t, crew_member&) noexcept override { return false; }
  void put_down(crew_member&) noexcept override {}  // nothing is carried to a stage that never says it awaits it
  void accept(envelope<In>&& item, worker& from, crew_member& me) noexcept override;
  bool accept_in_line(envelope<In>&& item, outside_place& self) noexcept override;
  void leave_line(outside_place& self) noexcept override { entrance_.leave_line(self); }
  conqueue_status offer(envelope<In>& item, const wait_limit* limit) override {
    weigh(item);
    return entrance_.put(item, limit);
  }
  [[nodiscard]] std::size_t room() const noexcept override {
    return entrance_.weighs() ? inlet<In>::npos : entrance_.room();
  }
  [[nodiscard]] bool no_place_is_lost() const noexcept override { return entrance_.room() == entrance_.capacity(); }
  [[nodiscard]] std::size_t room_in_all() const noexcept override { return entrance_.capacity(); }
  [[nodiscard]] std::uint64_t taken() const noexcept override { return entrance_.taken_in(); }

 protected:
  entered_stage(std::string name, stage_options options, stage_abilities abilities, run_control& control)
      : node(name, options.workers),
        policy_(std::move(name), std::move(options), abilities, control),
        entrance_(std::max<std::size_t>(1, policy_.options().capacity), policy_.options().capacity_bytes) {}
  ~entered_stage() override = default;

  static std::string text_of(envelope<In>& e) noexcept {
    try {
      return label_of<In>(*e.item);
    } catch (...) {
      return {};  // it has a number, too
    }
  }
  item_place place_of(const envelope<In>& e, const std::string& label, unsigned attempt) const noexcept {
    return place_in(name(), e.number, label, attempt);
  }
  void hand_back(envelope<In>&& e, unsigned attempt, std::exception_ptr error) noexcept {
    auto place = place_of(e, text_of(e), attempt);
    policy_.control().hand_back({std::move(place), std::move(error), erase(e)});
  }
  // Thrown where a stop cuts the results of one item short. Not after the last: then it is finished.
  struct cut_short {};
  void go_on_with_results(std::size_t so_far) const {
    if (so_far && policy_.control().stopping()) throw cut_short{};
  }
  // intact: the item is still there. self: who worked at it.
  void end_cut_short(envelope<In>& e, const std::string& label, unsigned attempt, bool intact, worker& self) noexcept;
  void end_failed(envelope<In>& e, const std::string& label, unsigned attempt, bool intact,
                  const std::exception_ptr& cause, worker& self) noexcept;

  stage_policy policy_;
  entrance<In> entrance_;

 private:
  erased_item erase(envelope<In>& e) noexcept {
    try {
      return erased_item(std::move(e.item));
    } catch (...) {
      policy_.control().no_memory();  // its place and number are still told
      return {};
    }
  }
  // Told by the item, which is user code, before the item is on its way and can no longer be answered for.
  void weigh(envelope<In>& e) const {
    if constexpr (has_bytes<In>)
      if (policy_.options().capacity_bytes) e.bytes = bytes_of<In>(*e.item);
  }
  // The same for one that has left the stage before. False: it threw, and the item has failed here.
  bool weighs_well(envelope<In>& e) noexcept;
  void refuse(envelope<In>&& e) noexcept {
    ++refused_;
    hand_back(std::move(e), 0, nullptr);
  }

  std::atomic<std::uint64_t> refused_ = 0;           // at the entrance, because the run is being stopped
  std::atomic<std::uint64_t> unweighed_failed_ = 0;  // at the entrance, because their size function threw
  std::atomic<std::uint64_t> unweighed_dead_ = 0;
  std::atomic<std::uint64_t> rest_ = 0;  // handed back after the end
};

// --- below: how ---

template <class In>
bool entered_stage<In>::weighs_well(envelope<In>& e) noexcept {
  try {
    weigh(e);
    return true;
  } catch (...) {
    auto place = place_of(e, text_of(e), 0);
    switch (policy_.give_up(std::move(place), std::current_exception(), erase(e), workers())) {
      case stage_policy::verdict::failed:
        ++unweighed_failed_;
        break;
      case stage_policy::verdict::dead_lettered:
        ++unweighed_dead_;
        break;
    }
    return false;
  }
}

template <class In>
void entered_stage<In>::accept(envelope<In>&& item, worker& from, crew_member& me) noexcept {
  if (!weighs_well(item)) return;
  conqueue_status status = entrance_.put(item, nullptr);
  if (status == conqueue_status::full) {
    me.goes_on_long();
    const counted_wait waiting(from, wait_kind::blocked);
    const wait_limit for_ever;
    status = entrance_.put(item, &for_ever);
  }
  if (status == conqueue_status::success)
    me.changed_something();
  else
    refuse(std::move(item));
}

template <class In>
bool entered_stage<In>::accept_in_line(envelope<In>&& item, outside_place& self) noexcept {
  if (!self.began) {
    self.began = true;
    if (!weighs_well(item)) return true;
  }
  const conqueue_status status = entrance_.put_in_line(item, self);
  if (status == conqueue_status::closed) refuse(std::move(item));
  return status != conqueue_status::full;
}

template <class In>
void entered_stage<In>::end_cut_short(envelope<In>& e, const std::string& label, unsigned attempt, bool intact,
                                      worker& self) noexcept {
  self.returned.add();  // one that has been used up, too: it was not at fault
  if (intact)
    hand_back(std::move(e), attempt, nullptr);
  else
    policy_.control().hand_back({place_of(e, label, attempt), nullptr, {}});
}

template <class In>
void entered_stage<In>::end_failed(envelope<In>& e, const std::string& label, unsigned attempt, bool intact,
                                   const std::exception_ptr& cause, worker& self) noexcept {
  auto place = place_of(e, label, attempt);
  if (intact && policy_.control().stopping()) {
    // Most likely it gave up because it was asked to; in any case nothing is lost.
    self.returned.add();
    std::exception_ptr error = cause;
    try {
      error = std::make_exception_ptr(stage_error(std::move(place), cause));
    } catch (...) {
      // No memory for the place: then the cause alone.
    }
    hand_back(std::move(e), attempt, std::move(error));
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

}  // namespace penstock
