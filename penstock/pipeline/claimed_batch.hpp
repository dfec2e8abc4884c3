// claimed_batch<In, Out>: items that one thread has claimed at once, and the results it has made of them, within reach of
// other threads if the claiming thread (the owner) turns out to be slow.
//
// A batch saves its owner the way to the queue for each item. But no item may wait behind one that is unforeseeably slow. So
// a batch has a due time; when it passes, the supervisor shares the batch: it forwards the finished results, and from then on
// the items not begun are claimed one by one, by any worker of the stage, the owner included. The owner notices before its
// next item. It sends what it has finished since, and goes on like every other worker: one item at a time.
//
//   owner:       next = i + 1; light fence; shared?  ── no ──→ item i is the owner's
//   supervisor:  shared = true; heavy fence; items from `next` on can be claimed by anyone
//
// At least one of the two sees the other (the protocol of Cilk's work-stealing queues, "THE", Frigo, Leiserson and Randall
// 1998, with the fence on the rare side only). Where each sees the other, the mutex decides. An item costs its owner a store
// and a load. Nothing is ever moved into another thread's batch, so no batch can be taken over twice.
//
// THREADS  The owner: open(), next(), item(), add(), skip(), flush(), finish(), close(). The supervisor: look_after(). Any: claim().
// MEMORY   None of its own: items and results are where the owner says.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>

namespace penstock {

class crew_member;

// Neighbouring results of a batch, sent at once, and for which of the items there is one.
template <class Item>
struct batch_view {
  Item* results = nullptr;
  std::size_t count = 0;
  std::size_t first = 0;          // the index of the first of the items
  std::size_t items = 0;          // how many they are
  const bool* present = nullptr;  // for each of them: whether it has a result; null: all have one
};

template <class In, class Out>
class claimed_batch {
 public:
  static constexpr std::size_t max_marked = 256;
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

  struct contents {
    In* items = nullptr;
    std::size_t count = 0;
    Out* results = nullptr;    // memory for as many
    std::uint64_t ticket = 0;  // of the first item
    bool marked = false;       // items without a result are told apart, by skip(); REQUIRES count <= max_marked
    // The function knows the items already: none of them can be claimed. REQUIRES: no other worker could.
    bool known_ahead = false;
  };

  // --- the owner ---
  // due: when the supervisor is to step in, in ns; 0: never.
  void open(const contents& c, std::int64_t due, crew_member* owner) noexcept {
    const mutex_lock lock(mutex_);
    contents_ = c;
    next_.store(0, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    shared_.store(false, std::memory_order_relaxed);
    overdue_ = false;
    made_ = 0;
    cursor_ = c.count;
    sent_ = {};
    owner_ = owner;
    due_.store(due, std::memory_order_relaxed);
  }
  // The index of the next item to work at; npos: none is left, or the rest is shared, so that this is for claim() to say.
  std::size_t next() noexcept {
    const std::size_t i = next_.load(std::memory_order_relaxed);
    if (i >= contents_.count) return npos;
    next_.store(i + 1, std::memory_order_relaxed);
    system::light_fence();
    if (!shared_.load(std::memory_order_relaxed)) [[likely]]
      return i;
    const mutex_lock lock(mutex_);
    return i < first_shared_ ? i : npos;
  }
  [[nodiscard]] In& item(std::size_t i) noexcept { return contents_.items[i]; }
  // REQUIRES: memory for it.
  void add(Out&& result) noexcept {
    std::construct_at(contents_.results + made_++, std::move(result));
    one_done(true);
  }
  void skip() noexcept { one_done(false); }
  [[nodiscard]] std::size_t made() const noexcept { return made_; }
  // The supervisor has been here: what is finished from now on must not stay here.
  [[nodiscard]] bool is_shared() const noexcept { return shared_.load(std::memory_order_relaxed); }

  // While the batch is shared: send(batch_view) for what is finished and still here; it may wait.
  template <class Send>
  void flush(Send send) {
    batch_view<Out> rest;
    {
      const mutex_lock lock(mutex_);
      rest = not_sent(done_.load(std::memory_order_relaxed));
      sent_.items += rest.items;
      sent_.results += rest.count;
    }
    if (rest.items > 0) send(rest);
  }
  // After next() has said npos. From here on the supervisor leaves the batch alone. before(was_overdue): whether it was here.
  // Then send(batch_view) for the results that are still here, if there are any; it may wait. It returns whether it has taken
  // over the objects themselves, in their place; otherwise they are destroyed.
  template <class Before, class Send>
  void finish(Before before, Send send) {
    batch_view<Out> rest;
    std::size_t sent = 0;
    bool was_overdue = false;
    {
      const mutex_lock lock(mutex_);
      due_.store(0, std::memory_order_relaxed);
      rest = not_sent(done_.load(std::memory_order_relaxed));
      sent = sent_.results;
      was_overdue = overdue_;
    }
    before(was_overdue);
    const bool kept = rest.items > 0 && send(rest);
    std::destroy_n(contents_.results, kept ? sent : made_);
  }
  // The end. Destroys the items. Returns whether the supervisor has found the batch overdue.
  bool close() noexcept {
    const mutex_lock lock(mutex_);
    due_.store(0, std::memory_order_relaxed);
    std::destroy_n(contents_.items, contents_.count);
    contents_ = {};
    cursor_ = 0;
    owner_ = nullptr;
    return overdue_;
  }

  // --- any worker of the stage ---
  // take(In&&, ticket) for one item that is shared. False: there is none.
  template <class Take>
  bool claim(Take take) noexcept {
    const mutex_lock lock(mutex_);
    if (cursor_ >= contents_.count) return false;
    take(std::move(contents_.items[cursor_]), contents_.ticket + cursor_);
    ++cursor_;
    return true;
  }

  // --- the supervisor ---
  // When it is due, in ns; 0: there is nothing to look after.
  [[nodiscard]] std::int64_t due() const noexcept { return due_.load(std::memory_order_relaxed); }
  // If it is overdue: overdue(owner); share(first, n): n items, from the first on, can be claimed from now on;
  // forward(batch_view, number of items in the batch, ticket of its first item): takes the finished results, if there are any. None
  // of the three may wait. Once for a batch: what its owner finishes later is the owner's to send.
  template <class Overdue, class Share, class Forward>
  void look_after(std::int64_t now, Overdue overdue, Share share, Forward forward) noexcept {
    const mutex_lock lock(mutex_);
    const std::int64_t due = due_.load(std::memory_order_relaxed);
    if (due == 0 || now < due) return;
    due_.store(0, std::memory_order_relaxed);
    overdue_ = true;
    shared_.store(true, std::memory_order_relaxed);
    system::heavy_fence();
    first_shared_ = std::min(next_.load(std::memory_order_acquire), contents_.count);
    if (contents_.known_ahead) first_shared_ = contents_.count;
    cursor_ = first_shared_;
    overdue(*owner_);
    share(first_shared_, contents_.count - first_shared_);
    const batch_view<Out> made = not_sent(done_.load(std::memory_order_acquire));
    forward(made, contents_.count, contents_.ticket);
    sent_ = {made.items, made.count};
  }

 private:
  void one_done(bool with_result) noexcept {
    const std::size_t done = done_.load(std::memory_order_relaxed);
    if (contents_.marked) present_[done] = with_result;
    // release: pairs with the acquire load in look_after(): a result that is counted is found whole, and its mark too.
    done_.store(done + 1, std::memory_order_release);
  }
  [[nodiscard]] batch_view<Out> not_sent(std::size_t done) const noexcept PENSTOCK_REQUIRES(mutex_) {
    batch_view<Out> rest{contents_.results + sent_.results, done - sent_.items, sent_.items, done - sent_.items,
                         nullptr};
    if (contents_.marked) {
      rest.present = present_.data() + sent_.items;
      rest.count = static_cast<std::size_t>(std::count(rest.present, rest.present + rest.items, true));
    }
    return rest;
  }

  system::atomic<std::size_t> next_ = 0;    // the first item not begun, while the batch is the owner's alone
  system::atomic<bool> shared_ = false;     // written under the mutex
  system::atomic<std::size_t> done_ = 0;    // items finished by the owner
  system::atomic<std::int64_t> due_ = 0;    // written under the mutex
  std::size_t made_ = 0;                    // results; the owner's
  contents contents_;                       // written by the owner under the mutex
  std::array<bool, max_marked> present_{};  // written by the owner up to done_

  struct counts {
    std::size_t items = 0, results = 0;
  };
  mutex mutex_;  // guards what follows
  std::size_t first_shared_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::size_t cursor_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // the next shared item that was not claimed
  counts sent_ PENSTOCK_GUARDED_BY(mutex_);
  bool overdue_ PENSTOCK_GUARDED_BY(mutex_) = false;
  crew_member* owner_ PENSTOCK_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace penstock
