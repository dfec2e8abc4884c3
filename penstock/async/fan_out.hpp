// fan_out: one function over all elements of a range, several at the same time, and their results together again.
//
//   std::vector<thumbnail> t = fan_out(photos, shrink, {.workers = 4});            // on threads; in the order of the range
//   auto pages = fan_out(urls, fetch, {.in_flight = 1000});                        // fetch returns a task: in tasks
//   std::vector<page> p = co_await std::move(pages);                               // (in one line g++ 12 gets it wrong)
//   fan_out(photos, shrink, [&](std::size_t index, thumbnail t) { ... },           // as they come, on the calling thread
//           {.workers = 4, .in_flight = 16});
//   std::vector<thumbnail> u = fan_out(photos, pool);                              // in processes: process/process_pool.hpp
//   auto sums = fan_out(std::views::istream<std::string>(file), checksum);         // any input range
//
// ERRORS    The first element that fails ends it: no other is begun, those on threads are finished, tasks are destroyed where
//           they wait. Thrown is an element_error, which tells the element's index and label (item.hpp), the cause nested.
//           What the function for results throws ends it too, and is thrown as it is.
// FUNCTION  Called with an element of the range, and, if it likes, a std::stop_token by which it hears that it has ended.
//           From several threads at the same time. A function without results makes fan_out return nothing.
// RANGE     Any input range; it outlives the call, and so do its elements, if they are not made as they come. One that has
//           no random access is advanced by one thread at a time; what it throws ends it, and is thrown as it is.
// MEMORY    A place for each result; with a function for results, in_flight of them. Threads only as long as it takes.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <penstock/async/group.hpp>
#include <penstock/async/task.hpp>
#include <penstock/async/when.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>
#include <penstock/pipeline/item.hpp>
#include <penstock/queue/bounded_queue.hpp>

namespace penstock {

struct fan_out_options {
  std::size_t workers = system::processors();  // threads; of no meaning to tasks
  // Elements begun whose results have not been taken. 0: workers, and of tasks any number.
  std::size_t in_flight = 0;
};

// One element of a fan_out has failed. The cause is nested.
class element_error : public std::runtime_error, public std::nested_exception {
 public:
  // REQUIRES: made while the cause is being handled.
  element_error(std::size_t index, std::string label);
  [[nodiscard]] std::size_t index() const noexcept { return index_; }  // in the range, from 0
  [[nodiscard]] const std::string& label() const noexcept { return label_; }

 private:
  std::size_t index_;
  std::string label_;
};

namespace fan_out_parts {

template <class Range>
concept elements = std::ranges::random_access_range<Range> && std::ranges::sized_range<Range>;
template <elements Range>
decltype(auto) at(Range& range, std::size_t index) {
  return std::ranges::begin(range)[static_cast<std::ranges::range_difference_t<Range>>(index)];
}

template <class F, class Range>
  requires std::invocable<F&, decltype(at(std::declval<Range&>(), 0))> ||
           std::invocable<F&, decltype(at(std::declval<Range&>(), 0)), std::stop_token>
decltype(auto) call(F& f, Range& range, std::size_t index, const std::stop_token& stop) {
  if constexpr (std::invocable<F&, decltype(at(range, index)), std::stop_token>)
    return std::invoke(f, at(range, index), stop);
  else
    return std::invoke(f, at(range, index));
}
template <class F, class Range>
using result = decltype(call(std::declval<F&>(), std::declval<Range&>(), 0, std::declval<const std::stop_token&>()));

[[noreturn]] void fail(std::size_t index, std::string label, const std::exception_ptr& cause);
template <elements Range>
[[noreturn]] void fail(Range& range, std::size_t index, const std::exception_ptr& cause) {
  using element = std::ranges::range_value_t<Range>;
  if constexpr (has_label<element>)
    fail(index, label_of<element>(at(range, index)), cause);
  else
    fail(index, {}, cause);
}

// What threads have in common: the next index, and the first failure.
class sharing {
 public:
  static constexpr auto no_element = static_cast<std::size_t>(-1);

  // count: no_element: not known. Throws std::invalid_argument for no workers.
  sharing(std::size_t count, std::size_t workers);
  // Calls work(index) for the indices that are left, until one throws.
  template <class Work>
  void work(Work work) noexcept {
    for (std::size_t i = next_.fetch_add(1); i < count_ && !stop_->stop_requested(); i = next_.fetch_add(1)) {
      try {
        work(i);
      } catch (...) {
        failed(i, std::current_exception());
      }
    }
  }
  void stop() noexcept { stop_->request_stop(); }
  [[nodiscard]] std::stop_token token() const noexcept { return stop_->get_token(); }
  [[nodiscard]] std::size_t threads() const noexcept { return threads_; }
  // REQUIRES: nobody works any more.
  [[nodiscard]] std::exception_ptr failure() noexcept {
    const mutex_lock lock(mutex_);
    return failure_;
  }
  [[nodiscard]] std::size_t failed_index() noexcept {
    const mutex_lock lock(mutex_);
    return failed_;
  }

  void failed(std::size_t index, std::exception_ptr cause, std::string label = {}) noexcept;
  // The first failure, if there was one, as element_error with its label; one of no element as it is.
  void rethrow();

 private:
  const std::size_t count_;
  const std::size_t threads_;
  std::atomic<std::size_t> next_ = 0;
  const std::unique_ptr<std::stop_source> stop_;  // on the heap: g++ 12 takes one on the stack for uninitialised
  mutex mutex_;                                   // guards what follows
  std::exception_ptr failure_ PENSTOCK_GUARDED_BY(mutex_);
  std::size_t failed_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::string label_ PENSTOCK_GUARDED_BY(mutex_);
};

// Threads that are joined in every case.
template <class Work>
std::vector<system::thread> start(std::size_t count, sharing& all, Work work) {
  std::vector<system::thread> threads;
  threads.reserve(count);
  try {
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back(work);
  } catch (...) {
    all.stop();
    threads.clear();
    throw;
  }
  return threads;
}

// work(queue) on each thread; what it pushes is taken by the calling one.
template <class R, class Take, class Work>
void take_as_they_come(sharing& all, const fan_out_options& options, Take& take, Work work) {
  // A worker that has a result in its hand is in flight, too.
  const std::size_t workers = options.in_flight ? std::min(all.threads(), options.in_flight) : all.threads();
  bounded_queue<std::pair<std::size_t, R>> done(options.in_flight > workers ? options.in_flight - workers : 1);
  std::atomic<std::size_t> at_work = workers;
  const auto work_and_leave = [&] {
    work(done);
    if (at_work.fetch_sub(1) == 1) done.close();
  };
  const auto threads = start(workers, all, work_and_leave);
  try {
    while (auto one = done.pop()) std::invoke(take, one->first, std::move(one->second));
  } catch (...) {
    all.stop();
    done.close();
    throw;
  }
}

template <class R>
using results = std::conditional_t<std::is_void_v<R>, void, std::vector<task_result<R>>>;
template <class R>
std::vector<R> all_of(std::vector<std::optional<R>>& places) {
  std::vector<R> values;
  values.reserve(places.size());
  for (auto& p : places) values.push_back(std::move(*p));
  return values;
}

template <class T, class F, class Range>
task<> one(F& f, Range& range, std::size_t index, std::optional<task_result<T>>* place) {
  task<T> t = call(f, range, index, std::stop_token{});
  if constexpr (std::is_void_v<T>) {
    co_await std::move(t);
    (void)place;
  } else {
    place->emplace(co_await std::move(t));
  }
}
template <class T, class Range, class F>
task<results<T>> in_tasks(Range range, F f, fan_out_options options) {
  const std::size_t count = std::ranges::size(range);
  std::vector<std::optional<task_result<T>>> places(std::is_void_v<T> ? 0 : count);
  group_options bounds;
  if (options.in_flight) bounds.in_flight = options.in_flight;
  group g(bounds);
  std::optional<std::uint64_t> failed;
  std::exception_ptr cause;
  try {
    for (std::size_t i = 0; i < count && !g.failure(); ++i) {
      co_await g.room();
      g.add(one<T>(f, range, i, std::is_void_v<T> ? nullptr : &places[i]));
    }
    (void)co_await g.wait();
  } catch (const task_error& e) {
    failed = e.number() - 1;
    cause = e.nested_ptr();
  }
  if (failed) fail(range, *failed, cause);
  if constexpr (!std::is_void_v<T>) co_return all_of(places);
}

}  // namespace fan_out_parts

// On threads, the calling one among them.
template <class Range, class F>
  requires fan_out_parts::elements<Range>
auto fan_out(Range&& range, F function, fan_out_options options = {})
    -> fan_out_parts::results<fan_out_parts::result<F, std::remove_reference_t<Range>>>
  requires(!is_task<fan_out_parts::result<F, std::remove_reference_t<Range>>>)
{
  using namespace fan_out_parts;
  using type = result<F, std::remove_reference_t<Range>>;
  const std::size_t count = std::ranges::size(range);
  std::vector<std::optional<task_result<type>>> places(std::is_void_v<type> ? 0 : count);
  sharing all(count, options.workers);
  const auto work = [&] {
    all.work([&](std::size_t i) {
      if constexpr (std::is_void_v<type>)
        call(function, range, i, all.token());
      else
        places[i].emplace(call(function, range, i, all.token()));
    });
  };
  if (all.threads() > 0) {
    const auto threads = start(all.threads() - 1, all, work);
    work();
  }
  if (const auto failure = all.failure()) fail(range, all.failed_index(), failure);
  if constexpr (!std::is_void_v<type>) return all_of(places);
}

// On threads; take(index, result) on the calling one, as they come.
template <class Range, class F, class Take>
  requires fan_out_parts::elements<Range> && (!is_task<fan_out_parts::result<F, std::remove_reference_t<Range>>>) &&
           std::invocable<Take&, std::size_t, fan_out_parts::result<F, std::remove_reference_t<Range>>>
void fan_out(Range&& range, F function, Take take, fan_out_options options = {}) {
  using namespace fan_out_parts;
  using type = result<F, std::remove_reference_t<Range>>;
  const std::size_t count = std::ranges::size(range);
  if (count == 0) return;
  sharing all(count, options.workers);
  take_as_they_come<type>(all, options, take, [&](auto& done) {
    // A queue that was closed because take() has thrown takes nothing.
    all.work([&](std::size_t i) { (void)done.push({i, call(function, range, i, all.token())}); });
  });
  if (const auto failure = all.failure()) fail(range, all.failed_index(), failure);
}

// In tasks, of the loop that awaits it.
template <class Range, class F>
  requires fan_out_parts::elements<Range> && is_task<fan_out_parts::result<F, std::remove_reference_t<Range>>>
auto fan_out(Range&& range, F function, fan_out_options options = {}) {
  using type = typename fan_out_parts::result<F, std::remove_reference_t<Range>>::value_type;
  return fan_out_parts::in_tasks<type>(std::views::all(std::forward<Range>(range)), std::move(function), options);
}

}  // namespace penstock

// Over ranges that are no arrays, and in tasks as they come.
#include <penstock/async/fan_out_any.hpp>
