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
// CANCELLING  Destroying a task that waits destroys its frame: destructors run, from the innermost awaited task outwards,
//             one frame after the other, so the stack does not grow with the depth; nothing is thrown, and nothing can be
//             awaited on the way. That is how a group ends its tasks. A task that has to end in good order takes a
//             std::stop_token and looks at it. REQUIRES: a task is not moved while it is awaited.
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
  void be_owned(task_owner& owner, std::uint64_t number) noexcept {
    owner_ = &owner;
    number_ = number;
  }
  [[nodiscard]] std::coroutine_handle<> coroutine() const noexcept { return coroutine_; }
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

  // --- for a task ---
  void is_frame_of(std::coroutine_handle<> coroutine) noexcept { coroutine_ = coroutine; }
  // where: what refers to this one in the parent's frame.
  void be_awaited(task_promise& parent, task_promise*& where) noexcept {
    owner_ = parent.owner_;
    parent_ = &parent;
    parent.awaited_ = &where;
  }
  // Destroys the frame, and before it those of the tasks that it awaits, the innermost first.
  static void destroy(task_promise& outermost) noexcept {
    task_promise* p = &outermost;
    while (p->awaited_) p = *p->awaited_;
    while (p != &outermost) {
      task_promise* const parent = p->parent_;
      *std::exchange(parent->awaited_, nullptr) = nullptr;
      p->destroy_frame();
      p = parent;
    }
    p->destroy_frame();
  }

 private:
  struct end {
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<task_promise> P>
    void await_suspend(std::coroutine_handle<P> h) const noexcept {
      task_promise& p = h.promise();
      if (p.is_linked()) return p.owner_->ended(p);  // which may destroy it
      p.parent_->awaited_ = nullptr;
      p.owner_->on().go_on_with(p.parent_->coroutine_);
    }
    void await_resume() const noexcept {}
  };

  void destroy_frame() const noexcept {
    loop::forget(coroutine_);
    coroutine_.destroy();
  }

  task_owner* owner_ = nullptr;
  std::coroutine_handle<> coroutine_;  // its own
  task_promise** awaited_ = nullptr;   // what refers to the task that it awaits; null: it awaits none
  std::exception_ptr error_;
  union {
    std::uint64_t number_ = 0;  // of an owned one
    task_promise* parent_;      // of an awaited one
  };
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
  explicit task(std::coroutine_handle<promise_type> h) noexcept : promise_(&h.promise()) { promise_->is_frame_of(h); }
  task(task&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      destroy();
      promise_ = std::exchange(other.promise_, nullptr);
    }
    return *this;
  }
  ~task() { destroy(); }
  explicit operator bool() const noexcept { return promise_ != nullptr; }

  // co_await fetch(u), co_await std::move(t): once. Gives its result or throws what it ended with.
  bool await_ready() const noexcept {
    assert(promise_ && "an empty task was awaited");
    return false;
  }
  template <class P>
  void await_suspend(std::coroutine_handle<P> parent) noexcept {
    static_assert(penstock_promise<P>, "penstock: a task is awaited in a task; from ordinary code: run(task)");
    promise_->be_awaited(parent.promise(), promise_);
    promise_->owner().on().go_on_with(promise_->coroutine());
  }
  T await_resume() { return promise().result(); }

  // For an owner.
  [[nodiscard]] promise_type& promise() const noexcept { return static_cast<promise_type&>(*promise_); }
  // The frame belongs to the caller from now on: task_promise::destroy().
  promise_type& release() noexcept { return static_cast<promise_type&>(*std::exchange(promise_, nullptr)); }

 private:
  void destroy() noexcept {
    if (promise_) task_promise::destroy(*promise_);
  }

  task_promise* promise_ = nullptr;
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
