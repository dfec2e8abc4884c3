// asio_function: a function of Boost.Asio's coroutines as the function of a stage, or as a task.
//
//   asio_thread net;                                             // an io_context with a thread
//   asio::awaitable<page> fetch(const url& u);                   // runs there
//   auto report = from(urls) | stage("fetch", asio_function<url>(net, fetch), {.in_flight = 1000}) | ... | run();
//   page p = co_await asio_function<url>(net, fetch)(u);
//
// THREADS     The awaitable runs on the io_context's thread, everything else on the loop's.
// ERRORS      What the awaitable throws is thrown where the task is awaited.
// CANCELLING  A task that is destroyed emits a terminal cancellation to the awaitable and waits for its end, because it may
//             refer to what is being destroyed. An awaitable that disables cancellation is waited for all the same.
// ENDING      Destroying the asio_thread: REQUIRES that nothing is awaited on it.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <boost/asio.hpp>

#include <penstock/async/loop.hpp>
#include <penstock/async/task.hpp>
#include <penstock/async/when.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>

namespace penstock {

class asio_thread {
 public:
  asio_thread() : thread_([this] { context_.run(); }) {}
  asio_thread(const asio_thread&) = delete;
  asio_thread& operator=(const asio_thread&) = delete;
  ~asio_thread() { work_.reset(); }

  [[nodiscard]] boost::asio::io_context& context() noexcept { return context_; }

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  system::thread thread_;  // joined first
};

// One awaitable that a task waits for.
template <class R>
class [[nodiscard]] asio_call final : private notice {
 public:
  asio_call(asio_thread& thread, boost::asio::awaitable<R> what) : thread_(thread), what_(std::move(what)) {}
  ~asio_call() { end(); }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    coroutine_ = h;
    loop_ = &loop::here();
    phase_ = phase::under_way;
    boost::asio::co_spawn(thread_.context(), std::move(what_),
                          boost::asio::bind_cancellation_slot(cancel_.slot(), completion{this}));
  }
  R await_resume() {
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<R>) return std::move(*value_);
  }

 private:
  enum class phase { none, under_way, done };
  struct completion {
    asio_call* self;
    void operator()(const std::exception_ptr& error) const { self->ended(error); }
    template <class V>
    void operator()(const std::exception_ptr& error, V value) const {
      if (!error) self->value_.emplace(std::move(value));
      self->ended(error);
    }
  };
  void ended(const std::exception_ptr& error) noexcept {
    const mutex_lock lock(mutex_);
    error_ = error;
    phase_ = phase::done;
    loop_->post(*this);
    done_.notify_all();
  }
  void delivered() noexcept override {
    delivered_ = true;
    {
      const mutex_lock lock(mutex_);  // the thread that told has let go of it
    }
    loop_->resume_now(coroutine_);
  }
  void end() noexcept {
    mutex_lock lock(mutex_);
    if (phase_ == phase::under_way) {
      boost::asio::post(thread_.context(), [this] { cancel_.emit(boost::asio::cancellation_type::terminal); });
      // The context's thread does one thing after the other: this comes after that, and after it nobody refers to the call.
      bool heard = false;
      boost::asio::post(thread_.context(), [this, &heard] {
        const mutex_lock heard_lock(mutex_);
        heard = true;
        done_.notify_all();
      });
      while (phase_ == phase::under_way || !heard) done_.wait(lock);
    }
    if (phase_ == phase::done && !delivered_) {
      lock.unlock();
      loop_->retract(*this);
    }
  }

  asio_thread& thread_;
  boost::asio::awaitable<R> what_;
  boost::asio::cancellation_signal cancel_;
  loop* loop_ = nullptr;
  std::coroutine_handle<> coroutine_;
  bool delivered_ = false;
  std::optional<task_result<R>> value_;
  std::exception_ptr error_;
  mutex mutex_;  // guards phase_, and error_ until it is done
  condition done_;
  phase phase_ = phase::none;
};

// A function of Item that returns a task. Item is taken as F takes it: by reference, or by value.
template <class Item, class F>
[[nodiscard]] auto asio_function(asio_thread& thread, F f) {
  using result = typename std::invoke_result_t<F&, const Item&>::value_type;
  return [&thread, f](const Item& item) -> task<result> { co_return co_await asio_call<result>(thread, f(item)); };
}

}  // namespace penstock
