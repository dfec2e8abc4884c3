// on(pool, function): what blocks is done by a thread of a pool; the task that awaits it waits, its loop does not.
//
//   thread_pool pool(4);
//   ...
//   const address a = co_await on(pool, [&] { return resolve(name); });
//
// THREADS     The function runs on a thread of the pool, everything else on the loop's. A pool may serve many loops.
// ERRORS      What the function throws is thrown where it is awaited.
// CANCELLING  A task that is destroyed while its function waits for a thread takes it back. While the function runs,
//             destroying waits for its end, because it may refer to what is being destroyed; a function that takes a
//             std::stop_token is asked to stop. For so long the loop stands still, so the pool begins none of its other
//             functions: they may be next to be destroyed. Those whose tasks are still there when the loop goes on stand
//             in line again.
// ENDING      Destroying the pool: REQUIRES that nothing is awaited on it. Its threads are joined.
// MEMORY      Nothing is allocated for a call; those that wait for a thread stand in line in their tasks.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/async/loop.hpp>
#include <penstock/async/when.hpp>
#include <penstock/base/links.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>

namespace penstock {

class thread_pool {
 public:
  // Throws std::invalid_argument for 0, std::system_error if a thread cannot be started.
  explicit thread_pool(std::size_t threads);
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool();

  enum class phase { none, in_line, at_work, done };
  class job_state {
   protected:
    friend class thread_pool;
    loop* loop_ = nullptr;
    phase phase_ = phase::none;  // guarded by the pool's mutex
  };
  // One call, in the task that awaits it.
  class job : public job_state, public chore, public notice {
   public:
    virtual void work() noexcept = 0;     // on the pool's thread
    virtual void stop_work() noexcept {}  // a request to end; while work() runs

   protected:
    explicit job(thread_pool& pool) noexcept : pool_(pool) {}
    ~job() = default;

    void begin(std::coroutine_handle<> h);
    // Takes it back, or waits for its end. By the destructor of what derives.
    void end() noexcept;

   private:
    void stand_in_line() noexcept;
    void perform() noexcept final { stand_in_line(); }
    void delivered() noexcept final;

    thread_pool& pool_;
    std::coroutine_handle<> coroutine_;
    bool delivered_ = false;
  };

 private:
  void serve();
  void finish() noexcept;
  // Takes the jobs of this loop out of the line, until the loop goes on.
  void send_back(loop& to) noexcept PENSTOCK_REQUIRES(mutex_);

  mutex mutex_;  // guards what follows
  condition work_;
  condition done_;
  links<job> line_ PENSTOCK_GUARDED_BY(mutex_);
  bool over_ PENSTOCK_GUARDED_BY(mutex_) = false;
  std::vector<system::thread> threads_;
};

template <class F>
class [[nodiscard]] pool_call final : private thread_pool::job {
  static constexpr bool takes_stop = std::invocable<F&, std::stop_token>;
  static auto invoke(F& f, const std::stop_source* stop) {
    if constexpr (takes_stop)
      return std::invoke(f, stop->get_token());
    else
      return std::invoke(f);
  }
  using result = decltype(invoke(std::declval<F&>(), nullptr));

 public:
  pool_call(thread_pool& pool, F f) : job(pool), function_(std::move(f)) {
    if constexpr (takes_stop) stop_ = std::make_unique<std::stop_source>();
  }
  ~pool_call() { end(); }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) { begin(h); }
  result await_resume() {
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<result>) return std::move(*value_);
  }

 private:
  void work() noexcept override {
    try {
      if constexpr (std::is_void_v<result>)
        invoke(function_, stop_.get());
      else
        value_.emplace(invoke(function_, stop_.get()));
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  void stop_work() noexcept override {
    if (stop_) stop_->request_stop();
  }

  F function_;
  std::unique_ptr<std::stop_source> stop_;  // on the heap: g++ 12 takes one on the stack for uninitialised
  std::optional<task_result<result>> value_;
  std::exception_ptr error_;
};

template <class F>
[[nodiscard]] pool_call<std::decay_t<F>> on(thread_pool& pool, F&& function) {
  return {pool, std::forward<F>(function)};
}

}  // namespace penstock
