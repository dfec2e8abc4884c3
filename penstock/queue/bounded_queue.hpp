// bounded_queue<T>: a first-in-first-out queue between threads that holds at most `capacity` items.
//
//   penstock::bounded_queue<photo> queue(64);
//   ...producer...                              ...consumer...
//   while (camera.next(shot))                   while (auto shot = queue.pop())
//     if (!queue.push(std::move(shot))) break;    resize(*shot);
//   queue.close();
//
// Names and meanings are those of the standard's proposed concurrent queues (P0260R20); everything else is an
// additional overload.
//
// Two engines stand behind it. fast_engine.hpp: a ring that takes no lock as long as nobody has to sleep.
// plain_engine.hpp: a mutex; for items whose moves may throw, and for queues with a limit in bytes.
//
// THREADS  Every member may be called at the same time, constructor and destructor excepted. Waiting threads are served
//          first come, first served, though one that need not wait may overtake those being woken. T's moves and
//          destructor must not call the queue, and be short: while one runs, the place in the queue is held. The
//          weighing function runs outside of any lock.
// ORDER    Items leave in the order in which they entered; the items of one producer in the order of its pushes.
// ENDING   close(): no more will come; what waits is still popped; everyone who blocks is woken. Final.
//          cancel(): close(), and what waits is handed back to the caller, oldest first.
//          join(): every item that was ever pushed is done: popped by pop(), its lease ended, or handed back by
//          cancel().
//          Destroying: REQUIRES that no call is under way and no lease is out. Items still inside are destroyed.
// REFUSED  An item that is not taken (full, closed, an exception) stays with its owner, unchanged. (emplace is the
//          exception where the item has to be made first: to be weighed, or because making it may throw.)
// THROWS   A push that throws leaves the queue as it was (push_range: what was taken before that is in). A pop whose
//          move out throws leaves the item where it is, at the front.
// MEMORY   The constructor is the only allocation.
// COST     script/bench queue; no processor use while waiting beyond the first 10 µs.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/base/expected.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/queue/accounts.hpp>
#include <penstock/queue/concepts.hpp>
#include <penstock/queue/fast_engine.hpp>
#include <penstock/queue/lease.hpp>
#include <penstock/queue/plain_engine.hpp>
#include <penstock/queue/ring.hpp>
#include <penstock/queue/status.hpp>
#include <penstock/queue/wait_line.hpp>

namespace penstock {

// The engine of a queue of T: fast where that is possible.
template <class T>
class chosen_engine;

template <class T, class Engine = chosen_engine<T>>
class bounded_queue final {
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T> && std::is_destructible_v<T>,
                "bounded_queue<T>: T must be a movable object type");

 public:
  using value_type = T;
  class items_range;

  // REQUIRES: capacity > 0 (throws std::invalid_argument).
  explicit bounded_queue(std::size_t capacity) : engine_(checked(capacity)) {}
  bounded_queue(std::size_t capacity, byte_capacity<T> weigh) : engine_(checked(capacity), std::move(weigh)) {}
  bounded_queue(const bounded_queue&) = delete;
  bounded_queue& operator=(const bounded_queue&) = delete;

  // --- pushing ------------------------------------------------------------------------------------------------------
  // Waits for room. False iff the queue is closed.
  bool push(const T& item) { return push(item, wait_limit{}) == conqueue_status::success; }
  bool push(T&& item) { return push(std::move(item), wait_limit{}) == conqueue_status::success; }
  template <class... Args>
  bool emplace(Args&&... args) {
    const wait_limit for_ever;
    return engine_.insert(&for_ever, std::forward<Args>(args)...) == conqueue_status::success;
  }
  // Returns success, closed, or full when the limit was reached first.
  conqueue_status push(const T& item, const wait_limit& limit) { return engine_.insert(&limit, item); }
  conqueue_status push(T&& item, const wait_limit& limit) { return engine_.insert(&limit, std::move(item)); }
  // Never waits: success, full or closed.
  conqueue_status try_push(const T& item) { return engine_.insert(nullptr, item); }
  conqueue_status try_push(T&& item) { return engine_.insert(nullptr, std::move(item)); }
  template <class... Args>
  conqueue_status try_emplace(Args&&... args) {
    return engine_.insert(nullptr, std::forward<Args>(args)...);
  }
  // Moves the items in, in order, waiting for room as often as it takes, many at once. Returns how many were taken:
  // fewer than all only when the queue was closed or the limit reached; the rest is unchanged. Other producers' items
  // may come between.
  std::size_t push_range(std::span<T> items, const wait_limit& limit = {}) { return engine_.push_range(items, limit); }

  // --- popping ------------------------------------------------------------------------------------------------------
  // Waits for an item. Empty iff the queue is closed and drained.
  [[nodiscard]] std::optional<T> pop() {
    std::optional<T> out;
    const wait_limit for_ever;
    (void)extract_into(out, &for_ever);
    return out;
  }
  // Returns the item, closed, or empty when the limit was reached first.
  expected<T, conqueue_status> pop(const wait_limit& limit) { return pop_within(&limit); }
  // Never waits.
  expected<T, conqueue_status> try_pop() { return pop_within(nullptr); }
  // Waits for at least one item, then appends what is there, at most `most`, to `into`, at once. Returns how many; 0
  // iff closed and drained, the limit was reached, or most == 0.
  std::size_t pop_some(std::vector<T>& into, std::size_t most, const wait_limit& limit = {}) {
    return engine_.pop_some(into, most, limit);
  }

  // The same with the duty to say how each item ended; see lease.hpp.
  [[nodiscard]] std::optional<lease<T>> take() {
    std::optional<lease<T>> out;
    const wait_limit for_ever;
    (void)lease_into(out, &for_ever);
    return out;
  }
  expected<lease<T>, conqueue_status> take(const wait_limit& limit) { return take_within(&limit); }
  expected<lease<T>, conqueue_status> try_take() { return take_within(nullptr); }
  // for (auto& item : queue.items()): each item leased for one turn of the loop; ends when closed and drained, or at
  // the limit.
  [[nodiscard]] items_range items(wait_limit limit = {}) { return items_range(*this, std::move(limit)); }

  // --- without a thread ---------------------------------------------------------------------------------------------
  // For what waits otherwise than by sleeping (penstock/async/queue_ends.hpp). As the calls above, but where they would
  // wait, `self` stands in line and is told (place::told) when to call again; until then the item stays with its owner.
  // Whoever gives up leaves, before `self` goes.
  conqueue_status push_in_line(wait_line::place& self, T& item) { return engine_.insert_in_line(self, item); }
  conqueue_status pop_in_line(wait_line::place& self, std::optional<T>& out) {
    return engine_.extract_in_line(self, after_pop::done,
                                   [&](T& item, std::uint64_t) { out.emplace(std::move(item)); });
  }
  // One that is `patient` is told when much has become free. Whoever says so waits for a millisecond, then says:
  void lose_patience(wait_line::place& self) noexcept { engine_.lose_patience(self); }
  void leave_push(wait_line::place& self) noexcept { engine_.leave_insert(self); }
  void leave_pop(wait_line::place& self) noexcept { engine_.leave_extract(self); }

  // --- ending -------------------------------------------------------------------------------------------------------
  void close() noexcept { engine_.close(); }
  [[nodiscard]] bool is_closed() const noexcept { return engine_.is_closed(); }
  [[nodiscard]] ring<T> cancel() noexcept { return engine_.cancel(); }
  // Waits until, at some moment during the call, every item pushed so far is done. The queue need not be closed; items
  // whose consumers are gone keep it waiting, so close and cancel before joining, or give a limit (then: busy when it
  // was reached first).
  join_result join() { return *join(wait_limit{}); }
  expected<join_result, conqueue_status> join(const wait_limit& limit) { return engine_.join(limit); }

  // --- looking ------------------------------------------------------------------------------------------------------
  [[nodiscard]] std::size_t capacity() const noexcept { return engine_.capacity(); }
  // True at one moment; old news when you read it.
  [[nodiscard]] std::size_t size_approx() const noexcept { return engine_.size_approx(); }
  [[nodiscard]] queue_statistics statistics() const noexcept { return engine_.statistics(); }

 private:
  static std::size_t checked(std::size_t capacity) {
    if (capacity == 0) throw std::invalid_argument("penstock: a bounded_queue needs a capacity of at least 1");
    return capacity;
  }
  template <class U, class... Args>
  static void emplace_value(std::optional<U>& out, Args&&... args) {
    out.emplace(std::forward<Args>(args)...);
  }
  template <class U, class... Args>
  static void emplace_value(expected<U, conqueue_status>& out, Args&&... args) {
    penstock::emplace_value(out, std::forward<Args>(args)...);
  }
  // An item, or a lease of one, is made in the place that the caller gets, so that a throwing move has one chance only,
  // before the item has left the queue.
  template <class Out>
  conqueue_status extract_into(Out& out, const wait_limit* limit) {
    return engine_.extract(after_pop::done, limit,
                           [&](T& item, std::uint64_t) { emplace_value(out, std::move(item)); });
  }
  template <class Out>
  conqueue_status lease_into(Out& out, const wait_limit* limit) {
    return engine_.extract(after_pop::leased, limit, [&](T& item, std::uint64_t ticket) {
      emplace_value(out, std::move(item), engine_.issuer(), ticket);
    });
  }
  expected<T, conqueue_status> pop_within(const wait_limit* limit) {
    expected<T, conqueue_status> out{unexpected(conqueue_status::empty)};
    if (const auto status = extract_into(out, limit); status != conqueue_status::success) out = unexpected(status);
    return out;
  }
  expected<lease<T>, conqueue_status> take_within(const wait_limit* limit) {
    expected<lease<T>, conqueue_status> out{unexpected(conqueue_status::empty)};
    if (const auto status = lease_into(out, limit); status != conqueue_status::success) out = unexpected(status);
    return out;
  }

  Engine engine_;
};

// The range behind items(). Single pass; one per consuming thread.
template <class T, class Engine>
class bounded_queue<T, Engine>::items_range {
 public:
  struct sentinel {};
  class iterator {
   public:
    T& operator*() const noexcept { return **range_->current_; }
    iterator& operator++() {
      range_->advance();
      return *this;
    }
    bool operator==(sentinel) const noexcept { return !range_->current_; }

   private:
    friend class items_range;
    explicit iterator(items_range& range) noexcept : range_(&range) {}
    items_range* range_;
  };

  iterator begin() {
    advance();
    return iterator(*this);
  }
  sentinel end() const noexcept { return {}; }

 private:
  friend class bounded_queue;
  items_range(bounded_queue& queue, wait_limit limit) : queue_(queue), limit_(std::move(limit)) {}
  void advance() {
    current_.reset();  // the item before this one is done, before this thread waits for the next
    (void)queue_.lease_into(current_, &limit_);
  }

  bounded_queue& queue_;
  wait_limit limit_;
  std::optional<lease<T>> current_;
};

// --- which engine ---

// A queue of T with one of the two engines inside, chosen by T and by the constructor.
template <class T>
class chosen_engine {
 public:
  explicit chosen_engine(std::size_t capacity) : plain_(nullptr) {
    if constexpr (can_be_fast)
      fast_.emplace(capacity);
    else
      plain_ = std::make_unique<plain_engine<T>>(capacity);
  }
  chosen_engine(std::size_t capacity, byte_capacity<T> weigh)
      : plain_(std::make_unique<plain_engine<T>>(capacity, std::move(weigh))) {}

  template <class... Args>
  conqueue_status insert(const wait_limit* limit, Args&&... args) {
    return on_engine([&](auto& engine) { return engine.insert(limit, std::forward<Args>(args)...); });
  }
  std::size_t push_range(std::span<T> items, const wait_limit& limit) {
    return on_engine([&](auto& engine) { return engine.push_range(items, limit); });
  }
  template <class Take>
  conqueue_status extract(after_pop then, const wait_limit* limit, Take take) {
    return on_engine([&](auto& engine) { return engine.extract(then, limit, std::move(take)); });
  }
  std::size_t pop_some(std::vector<T>& into, std::size_t most, const wait_limit& limit) {
    return on_engine([&](auto& engine) { return engine.pop_some(into, most, limit); });
  }
  conqueue_status insert_in_line(wait_line::place& self, T& item) {
    return on_engine([&](auto& engine) { return engine.insert_in_line(self, item); });
  }
  template <class Take>
  conqueue_status extract_in_line(wait_line::place& self, after_pop then, Take take) {
    return on_engine([&](auto& engine) { return engine.extract_in_line(self, then, std::move(take)); });
  }
  void lose_patience(wait_line::place& self) noexcept {
    on_engine([&](auto& engine) { engine.lose_patience(self); });
  }
  void leave_insert(wait_line::place& self) noexcept {
    on_engine([&](auto& engine) { engine.leave_insert(self); });
  }
  void leave_extract(wait_line::place& self) noexcept {
    on_engine([&](auto& engine) { engine.leave_extract(self); });
  }
  void close() noexcept {
    on_engine([](auto& engine) { engine.close(); });
  }
  [[nodiscard]] bool is_closed() const noexcept {
    return on_engine([](auto& engine) { return engine.is_closed(); });
  }
  [[nodiscard]] ring<T> cancel() noexcept {
    return on_engine([](auto& engine) { return engine.cancel(); });
  }
  expected<join_result, conqueue_status> join(const wait_limit& limit) {
    return on_engine([&](auto& engine) { return engine.join(limit); });
  }
  [[nodiscard]] std::size_t capacity() const noexcept {
    return on_engine([](auto& engine) { return engine.capacity(); });
  }
  [[nodiscard]] std::size_t size_approx() const noexcept {
    return on_engine([](auto& engine) { return engine.size_approx(); });
  }
  [[nodiscard]] queue_statistics statistics() const noexcept {
    return on_engine([](auto& engine) { return engine.statistics(); });
  }
  [[nodiscard]] lease_issuer& issuer() noexcept {
    return on_engine([](auto& engine) -> lease_issuer& { return engine.issuer(); });
  }

 private:
  static constexpr bool can_be_fast = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>;
  struct never_there {};

  template <class F>
  decltype(auto) on_engine(F f) {
    if constexpr (can_be_fast)
      if (fast_) [[likely]]
        return f(*fast_);
    return f(*plain_);
  }
  template <class F>
  decltype(auto) on_engine(F f) const {
    if constexpr (can_be_fast)
      if (fast_) [[likely]]
        return f(*fast_);
    return f(std::as_const(*plain_));
  }

  typename std::conditional<can_be_fast, std::optional<fast_engine<T>>, never_there>::type fast_;
  std::unique_ptr<plain_engine<T>> plain_;
};

static_assert(concurrent_queue<bounded_queue<int>>);

}  // namespace penstock
