// slot_ring<T>: a closable first-in-first-out ring for any number of producers and consumers that never waits and takes
// no lock. Waiting is fast_queue's.
//
//   if (auto mine = ring.claim_push(64); mine.count)          if (auto mine = ring.claim_pop(64); mine.count)
//     for (i < mine.count)                                      for (i < mine.count)
//       ring.fill(mine, i, std::move(items[i]));                  out.push_back(ring.vacate(mine, i));
//
// A claim takes 1..n neighbouring places with one compare-and-swap of its side's word, which says where the next claim
// begins. It is made only when all of these places are ready (free for a push, full for a pop), so nobody who holds a
// place ever waits for somebody else. A fetch-and-add could not promise that: a ticket that was drawn cannot be given
// back when the queue is closed or patience ends.
//
// Each place has a state beside its item: twice the number of laps of the ring it has seen, plus one while it is full:
//
//   lap 0: 0 free → 1 full → lap 1: 2 free → 3 full → …
//
// so a place tells by itself whether it is ready for a given lap, and neither side reads the other's word unless there
// is nothing to do: that would cost a cache-line transfer (120 ns) for each item. States and items are two arrays:
// then a line of states serves 16 items, and take_all() can hand the array of items over as it is.
//
// CLOSING  The word of the producers holds the closed bit, so each push falls before the close or after it:
//          linearizable.
// ORDER    The claim is the moment at which a push or pop happens; places are claimed in order.
// WORDS    tail: [ lap | index | closed ], head: [ lap | index ]. An index has just the bits that the capacity needs and
//          the lap all others, so that a position is taken apart by masks, not by a division, for any capacity.
// COST     Entering a cache line asks for the next one: without that each line is fetched at the moment it is needed,
//          and the producer, who has to own it, waits: half the throughput (script/bench queue).
// SOURCES  A sequence number per slot: D. Vyukov's bounded MPMC queue. Lap and index in one word: crossbeam's array
//          channel. Claims of many, made only when they need not wait, are ours.
// THREADS  Every member at the same time, except the destructor and take_all().
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <penstock/base/system.hpp>
#include <penstock/queue/ring.hpp>

namespace penstock {

template <class T>
class slot_ring {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "slot_ring<T>: what happens at a claimed place must not fail");

 public:
  enum class verdict : std::uint8_t {
    claimed,
    none,    // nothing to take, or no room: true at one moment during the call
    closed,  // and, for a pop, drained
    soon,    // the next place is being filled or vacated by somebody else right now
  };
  // Places [index, index + count) of one lap: a claim ends at the end of the array at the latest.
  struct claim {
    verdict result = verdict::none;
    std::size_t count = 0;  // 0 iff not claimed
    std::uint64_t position = 0;
    std::size_t index = 0;
    std::uint32_t state = 0;  // of a free place in this lap
  };

  // REQUIRES: capacity > 0.
  explicit slot_ring(std::size_t capacity)
      : capacity_(capacity),
        index_bits_(static_cast<unsigned>(std::bit_width(capacity - 1))),
        memory_(std::make_unique_for_overwrite<place[]>(capacity)),
        items_(memory_.get()),
        states_(std::make_unique<system::atomic<std::uint32_t>[]>(capacity)) {}
  slot_ring(const slot_ring&) = delete;
  slot_ring& operator=(const slot_ring&) = delete;
  ~slot_ring() {
    for (claim left = claim_pop(1); left.count; left = claim_pop(1)) vacate(left);
  }

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  [[nodiscard]] claim claim_push(std::size_t most) noexcept;
  [[nodiscard]] claim claim_pop(std::size_t most) noexcept;

  // Makes an item in the first place of a claim of one, from then on it can be popped.
  template <class... Args>
  void fill(const claim& mine, Args&&... args) noexcept {
    static_assert(std::is_nothrow_constructible_v<T, Args...>);
    ask_for_next_line<for_writing>(mine.index);
    ::new (static_cast<void*>(items_[mine.index].bytes)) T(std::forward<Args>(args)...);
    // release: pairs with the acquire in ready(): who finds the place full finds the item whole.
    states_[mine.index].store(mine.state + 1, std::memory_order_release);
  }
  // The same for all places of a claim, from the items at `from`.
  void fill_from(const claim& mine, T* from) noexcept {
    std::uninitialized_move_n(from, mine.count, item(mine));
    for (std::size_t i = mine.index; i < mine.index + mine.count; ++i)
      states_[i].store(mine.state + 1, std::memory_order_release);
  }
  // The first of the items of a claim to pop; the others stand behind it.
  [[nodiscard]] T* item(const claim& mine) noexcept {
    static_assert(sizeof(place) == sizeof(T));
    return std::launder(reinterpret_cast<T*>(items_[mine.index].bytes));
  }
  // How many came before the first of a claim since the beginning.
  [[nodiscard]] std::uint64_t number(const claim& mine) const noexcept { return number_of(mine.position); }
  // Ends the items of a claim, after they were moved out; their places are free for the next lap.
  void vacate(const claim& mine) noexcept {
    if (mine.count == 1) ask_for_next_line<for_reading>(mine.index);
    std::destroy_n(item(mine), mine.count);
    // release: pairs with the acquire in ready(): the next item is made here after this one has gone.
    for (std::size_t i = mine.index; i < mine.index + mine.count; ++i)
      states_[i].store(mine.state + 2, std::memory_order_release);
  }

  // No push succeeds from now on.
  void close() noexcept { tail_.fetch_or(closed_bit, std::memory_order_seq_cst); }
  [[nodiscard]] bool is_closed() const noexcept { return tail_.load(std::memory_order_acquire) & closed_bit; }

  // What has happened, by claims, at one moment.
  struct counts {
    std::uint64_t pushed = 0, popped = 0;
    bool closed = false;
    [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(pushed - popped); }
  };
  [[nodiscard]] counts look() const noexcept {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      const std::uint64_t tail = tail_.load(std::memory_order_acquire);
      const std::uint64_t again = head_.load(std::memory_order_acquire);
      // It never goes back, so it stood there while the tail was read.
      if (again == head) return {number_of(tail >> 1), number_of(head), (tail & closed_bit) != 0};
      head = again;
    }
  }

  // True only if at one moment during the call every item ever pushed had been popped, and moved out of its place. May
  // be false for nothing while pushes or pops are under way; looks at every place.
  [[nodiscard]] bool is_all_vacated() const noexcept {
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    if (tail_.load(std::memory_order_acquire) >> 1 != head) return false;
    std::uint64_t position = head;
    for (std::size_t i = 0; i < capacity_; ++i, position = advance(position, 1))
      if (states_[index_of(position)].load(std::memory_order_acquire) != state_of(position)) return false;
    return head_.load(std::memory_order_acquire) == head;
  }

  // Everything that is left, and the memory it is in. REQUIRES: closed, and the only call of it. Waits, busily, for
  // those who are at a claimed place at this moment. Whoever pops later finds the ring drained.
  [[nodiscard]] ring<T> take_all() noexcept;

 private:
  static constexpr std::uint64_t closed_bit = 1;
  static constexpr int for_reading = 0, for_writing = 1;
  using place = typename ring<T>::slot;

  [[nodiscard]] std::size_t index_of(std::uint64_t position) const noexcept {
    return static_cast<std::size_t>(position & ((std::uint64_t{1} << index_bits_) - 1));
  }
  [[nodiscard]] std::uint32_t state_of(std::uint64_t position) const noexcept {
    return static_cast<std::uint32_t>(position >> index_bits_) * 2;
  }
  [[nodiscard]] std::uint64_t number_of(std::uint64_t position) const noexcept {
    return (position >> index_bits_) * capacity_ + index_of(position);
  }
  // The position `n` places on. REQUIRES: not beyond the beginning of the next lap.
  [[nodiscard]] std::uint64_t advance(std::uint64_t position, std::size_t n) const noexcept {
    const std::uint64_t lap = position >> index_bits_;
    return index_of(position) + n == capacity_ ? (lap + 1) << index_bits_ : position + n;
  }
  // How many of the places from `index` on are in `state`: at most `most`, none beyond the end of the array.
  [[nodiscard]] std::size_t ready(std::size_t index, std::uint32_t state, std::size_t most) const noexcept {
    const std::size_t end = index + std::min(most, capacity_ - index);
    std::size_t i = index;
    while (i < end && states_[i].load(std::memory_order_acquire) == state) ++i;
    return i - index;
  }
  // After a lost race for a claim. Two threads that push at the same time pay a cache-line transfer for every item; when
  // one of them gives its processor to somebody else, a consumer as likely as not, the other works alone: five times
  // the throughput with four producers and four consumers on two processors.
  // Where yields are dear, no: the next try may be the one.
  static void step_aside() noexcept {
    if (!system::yield_briefly()) system::pause();
  }
  static constexpr std::size_t line = 64;
  template <int Purpose>
  void ask_for_next_line(std::size_t index) const noexcept {
    constexpr std::size_t items = std::bit_floor(std::max<std::size_t>(1, line / sizeof(T)));
    constexpr std::size_t states = line / sizeof(std::uint32_t);
    if (index % items == 0) __builtin_prefetch(items_ + index + items, Purpose);
    if (index % states == 0) __builtin_prefetch(states_.get() + index + states, for_writing);
  }
  // The lines of a block, all at once: their transfers overlap.
  template <int Purpose>
  void ask_for_block(std::size_t index, std::size_t most) const noexcept {
    const std::size_t count = std::min(most, capacity_ - index);
    const std::byte* const bytes = items_[index].bytes;
    for (std::size_t at = 0; at < std::min<std::size_t>(count * sizeof(T), 16 * line); at += line)
      __builtin_prefetch(bytes + at, Purpose);
    for (std::size_t at = 0; at < std::min<std::size_t>(count, 256); at += line / sizeof(std::uint32_t))
      __builtin_prefetch(states_.get() + index + at, for_writing);
  }

  const std::size_t capacity_;
  const unsigned index_bits_;
  std::unique_ptr<place[]> memory_;  // who owns items_: take_all() hands it over
  place* const items_;
  const std::unique_ptr<system::atomic<std::uint32_t>[]> states_;
  alignas(line) system::atomic<std::uint64_t> tail_ = 0;
  alignas(line) system::atomic<std::uint64_t> head_ = 0;
};

// --- below: how ---

template <class T>
auto slot_ring<T>::claim_push(std::size_t most) noexcept -> claim {
  std::uint64_t word = tail_.load(std::memory_order_relaxed);
  if (most > 1) ask_for_block<for_writing>(index_of(word >> 1), most);
  for (;;) {
    if (word & closed_bit) return {.result = verdict::closed};
    const std::uint64_t position = word >> 1;
    const std::size_t index = index_of(position);
    const std::uint32_t state = state_of(position);
    const std::size_t n = ready(index, state, most);
    if (n == 0) [[unlikely]] {
      const std::uint64_t head = head_.load(std::memory_order_acquire);
      const std::uint64_t again = tail_.load(std::memory_order_acquire);
      // The tail stood there while the head was read: full, or a place that a consumer has claimed and not vacated.
      if (again == word)
        return {.result = number_of(position) - number_of(head) == capacity_ ? verdict::none : verdict::soon};
      word = again;
      continue;
    }
    if (tail_.compare_exchange_weak(word, advance(position, n) << 1, std::memory_order_acq_rel,
                                    std::memory_order_relaxed)) [[likely]]
      return {verdict::claimed, n, position, index, state};
    step_aside();
  }
}

template <class T>
auto slot_ring<T>::claim_pop(std::size_t most) noexcept -> claim {
  std::uint64_t position = head_.load(std::memory_order_relaxed);
  if (most > 1) ask_for_block<for_reading>(index_of(position), most);
  for (;;) {
    const std::size_t index = index_of(position);
    const std::uint32_t state = state_of(position);
    const std::size_t n = ready(index, state + 1, most);
    if (n == 0) [[unlikely]] {
      const std::uint64_t tail = tail_.load(std::memory_order_acquire);
      const std::uint64_t again = head_.load(std::memory_order_acquire);
      if (again == position) {
        if (tail >> 1 != position) return {.result = verdict::soon};
        return {.result = tail & closed_bit ? verdict::closed : verdict::none};
      }
      position = again;
      continue;
    }
    if (head_.compare_exchange_weak(position, advance(position, n), std::memory_order_acq_rel,
                                    std::memory_order_relaxed)) [[likely]]
      return {verdict::claimed, n, position, index, state};
    step_aside();
  }
}

template <class T>
ring<T> slot_ring<T>::take_all() noexcept {
  assert(is_closed());
  const std::uint64_t tail = tail_.load(std::memory_order_acquire) >> 1;
  std::uint64_t head = head_.load(std::memory_order_relaxed);
  while (!head_.compare_exchange_weak(head, tail, std::memory_order_acq_rel, std::memory_order_relaxed)) {
  }
  // Everything in [head, tail) is ours; wait until it is there, and until nobody moves out of a place before it.
  const auto settled = [&](std::uint64_t position, std::uint32_t state) {
    for (system::backoff pause; states_[index_of(position)].load(std::memory_order_acquire) != state;) pause.once();
  };
  const std::size_t count = static_cast<std::size_t>(number_of(tail) - number_of(head));
  const std::size_t first = index_of(head);
  std::uint64_t position = head;
  for (std::size_t i = 0; i < count; ++i, position = advance(position, 1)) {
    settled(position, state_of(position) + 1);
    states_[index_of(position)].store(state_of(position) + 2, std::memory_order_relaxed);  // vacated, as it were
  }
  for (std::size_t i = count; i < capacity_; ++i, position = advance(position, 1))
    settled(position, state_of(position));
  return ring<T>(std::move(memory_), capacity_, first, count);
}

}  // namespace penstock
