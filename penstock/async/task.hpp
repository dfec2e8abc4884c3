// task<T>: a coroutine that computes a T, now and then waiting for something; while it waits the thread does other things.
//
//   task<page> fetch(url u) {
//     auto connection = co_await connect(u);
//     co_await send_request(connection, u);
//     co_return co_await read_page(connection);
//   }
//   page p = run(fetch(u));                       // from ordinary code; inside of a task: co_await fetch(u)
//
// STARTING    A task does nothing until it is awaited, run (run.hpp), or added to a group (group.hpp).
// CANCELLING  Destroying a task that waits destroys its frame: destructors run, from the innermost awaited task outwards;
//             nothing is thrown, and nothing can be awaited on the way. That is how a group ends its tasks. What wants to
//             end in good order takes a std::stop_token and looks at it.
// ERRORS      What escapes from a task is thrown where it is awaited.
// THREADS     A task stays on the thread that runs it.
// COMPILERS   g++ 12 miscompiles some coroutines; docs/coroutines.md has the list and the safe forms.
// COST        14 ns for a child that is awaited, its frame included; 160 bytes for a task of a group that sleeps
//             (script/bench async).
#pragma once

#include <cassert>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <penstock/async/loop.hpp>
#include <penstock/base/links.hpp>

namespace penstock {

template <class T>
class task;
class task_promise;

// Who is told that a task has ended which nobody awaits.
class task_owner {
 public:
  // Between two tasks or from within one that it did not start. May destroy the ended one.
  virtual void ended(task_promise& p) noexcept = 0;
  [[nodiscard]] loop& on() const noexcept { return loop_; }

 protected:
  explicit task_owner(loop& l) noexcept : loop_(l) {}
  ~task_owner() = default;

 private:
  loop& loop_;
};

// What a task is without its result.
class task_promise : public link {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() const noexcept { return end(); }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  [[nodiscard]] task_owner& owner() const noexcept { return *owner_; }
  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }

  // --- for an owner; it also links it into a list of its own, by which an owned task is known ---
  void be_owned(task_owner& owner, std::coroutine_handle<> self, std::uint64_t number) noexcept {
    owner_ = &owner;
    coroutine_ = self;
    number_ = number;
  }
  [[nodiscard]] std::coroutine_handle<> coroutine() const noexcept { return coroutine_; }
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

  // --- for a parent ---
  void be_awaited(const task_promise& parent, std::coroutine_handle<> parents) noexcept {
    owner_ = parent.owner_;
    coroutine_ = parents;
  }

 private:
  struct end {
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<task_promise> P>
    void await_suspend(std::coroutine_handle<P> h) const noexcept {
      task_promise& p = h.promise();
      if (p.is_linked())
        p.owner_->ended(p);  // which may destroy it
      else
        p.owner_->on().go_on_with(p.coroutine_);
    }
    void await_resume() const noexcept {}
  };

  task_owner* owner_ = nullptr;
  std::coroutine_handle<> coroutine_;  // who awaits it; of an owned one: itself
  std::exception_ptr error_;
  std::uint64_t number_ = 0;
};

template <class P>
concept penstock_promise = std::derived_from<P, task_promise>;

template <class T>
class task_promise_of final : public task_promise {
 public:
  task_promise_of() noexcept {}
  ~task_promise_of() {
    if (has_value_) std::destroy_at(std::addressof(value_));
  }
  task<T> get_return_object() noexcept;
  template <class U = T>
    requires std::convertible_to<U&&, T>
  void return_value(U&& value) {
    std::construct_at(std::addressof(value_), std::forward<U>(value));
    has_value_ = true;
  }
  // REQUIRES: it has ended. Once.
  T result() {
    if (error()) std::rethrow_exception(error());
    return std::move(value_);
  }

 private:
  union {
    T value_;
  };
  bool has_value_ = false;
};
template <class T>
class task_promise_of<T&> final : public task_promise {
 public:
  task<T&> get_return_object() noexcept;
  void return_value(T& value) noexcept { value_ = std::addressof(value); }
  T& result() {
    if (error()) std::rethrow_exception(error());
    return *value_;
  }

 private:
  T* value_ = nullptr;
};
template <>
class task_promise_of<void> final : public task_promise {
 public:
  task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void result() const {
    if (error()) std::rethrow_exception(error());
  }
};

template <class T = void>
class [[nodiscard]] task {
 public:
  using promise_type = task_promise_of<T>;
  using value_type = T;

  task() noexcept = default;
  explicit task(std::coroutine_handle<promise_type> h) noexcept : coroutine_(h) {}
  task(task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      if (coroutine_) coroutine_.destroy();
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  ~task() {
    if (coroutine_) coroutine_.destroy();
  }
  explicit operator bool() const noexcept { return coroutine_ != nullptr; }

  // co_await fetch(u), co_await std::move(t): once. Gives its result or throws what it ended with.
  bool await_ready() const noexcept {
    assert(coroutine_ && "an empty task was awaited");
    return false;
  }
  template <class P>
  void await_suspend(std::coroutine_handle<P> parent) noexcept {
    static_assert(penstock_promise<P>, "penstock: a task is awaited in a task; from ordinary code: run(task)");
    coroutine_.promise().be_awaited(parent.promise(), parent);
    coroutine_.promise().owner().on().go_on_with(coroutine_);
  }
  T await_resume() { return coroutine_.promise().result(); }

  // For an owner.
  [[nodiscard]] promise_type& promise() const noexcept { return coroutine_.promise(); }
  [[nodiscard]] std::coroutine_handle<promise_type> release() noexcept { return std::exchange(coroutine_, nullptr); }

 private:
  std::coroutine_handle<promise_type> coroutine_;
};

// --- below: how ---

template <class T>
task<T> task_promise_of<T>::get_return_object() noexcept {
  return task<T>(std::coroutine_handle<task_promise_of>::from_promise(*this));
}
template <class T>
task<T&> task_promise_of<T&>::get_return_object() noexcept {
  return task<T&>(std::coroutine_handle<task_promise_of>::from_promise(*this));
}
inline task<void> task_promise_of<void>::get_return_object() noexcept {
  return task<void>(std::coroutine_handle<task_promise_of>::from_promise(*this));
}

template <class>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

}  // namespace penstock
