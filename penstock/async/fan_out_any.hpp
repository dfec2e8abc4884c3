// Of fan_out.hpp: the same over any input range, whose elements can only be had one after the other, and of which nobody
// knows how many will come: a file's lines, a generator, a set.
//
// The range is advanced by one thread at a time, whichever is free, under a mutex of its own: what it does meanwhile
// holds up the others' next element only. An element that stays where it is (a forward range's reference) is passed as it
// is; any other is kept by whoever works at it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/async/fan_out.hpp>
#include <penstock/pipeline/stage_function.hpp>

namespace penstock {

namespace fan_out_parts {

template <class Range>
concept stream = std::ranges::input_range<Range> && !elements<Range>;
template <class Range>
inline constexpr bool stays =
    std::ranges::forward_range<Range> && std::is_lvalue_reference_v<std::ranges::range_reference_t<Range>>;

// One element, and its number. F: the function that it is for.
template <class Range, class F>
class one_of {
  using value = std::ranges::range_value_t<Range>;
  static constexpr bool consumed = !stays<Range> && stage_traits::consumes<F, value>();

 public:
  using argument = std::conditional_t<stays<Range>, std::ranges::range_reference_t<Range>,
                                      std::conditional_t<consumed, value&&, value&>>;
  std::size_t index = 0;

  void is(std::ranges::iterator_t<Range>& at) {
    if constexpr (stays<Range>)
      here_ = std::addressof(*at);
    else
      kept_.emplace(*at);
    if constexpr (consumed && has_label<value>) label_ = label_of<value>(*kept_);
  }
  [[nodiscard]] argument get() noexcept {
    if constexpr (stays<Range>)
      return *here_;
    else
      return static_cast<argument>(*kept_);
  }
  // After it has failed.
  [[nodiscard]] std::string label() {
    if constexpr (!has_label<value>)
      return {};
    else if constexpr (stays<Range>)
      return label_of<value>(*here_);
    else if constexpr (consumed)
      return std::move(label_);
    else
      return label_of<value>(*kept_);
  }

 private:
  struct nothing {};
  std::conditional_t<stays<Range>, std::add_pointer_t<std::ranges::range_reference_t<Range>>, nothing> here_{};
  std::conditional_t<stays<Range>, nothing, std::optional<value>> kept_{};
  std::conditional_t<consumed && has_label<value>, std::string, nothing> label_{};
};

template <class F, class Argument>
  requires std::invocable<F&, Argument&&> || std::invocable<F&, Argument&&, std::stop_token>
decltype(auto) call_one(F& f, Argument&& argument, const std::stop_token& stop) {
  if constexpr (std::invocable<F&, Argument&&, std::stop_token>)
    return std::invoke(f, std::forward<Argument>(argument), stop);
  else
    return std::invoke(f, std::forward<Argument>(argument));
}
template <class F, class Range>
using stream_result = decltype(call_one(std::declval<F&>(), std::declval<typename one_of<Range, F>::argument>(),
                                        std::declval<const std::stop_token&>()));

// Gives the elements out.
template <class Range, class F>
class feed {
 public:
  explicit feed(Range& range) : at_(std::ranges::begin(range)), end_(std::ranges::end(range)) {}

  // False: there are no more. given(): under the mutex, once for each, in their order.
  template <class Given>
  bool next(one_of<Range, F>& one, Given given) {
    const mutex_lock lock(mutex_);
    // Not before the next is asked for: a range that is read as it comes may have to wait for it.
    if (count_ && !ended_) ++at_;
    if (ended_ || at_ == end_) {
      ended_ = true;
      return false;
    }
    one.index = count_++;
    try {
      one.is(at_);
      given();
    } catch (...) {
      ended_ = true;
      throw;
    }
    return true;
  }

 private:
  mutex mutex_;  // guards what follows
  std::ranges::iterator_t<Range> at_ PENSTOCK_GUARDED_BY(mutex_);
  const std::ranges::sentinel_t<Range> end_;
  std::size_t count_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  bool ended_ PENSTOCK_GUARDED_BY(mutex_) = false;
};

// Works at what is left while `all` goes on. given(): as in feed::next(), before each work(one).
template <class Range, class F, class Given, class Work>
void work_through(feed<Range, F>& left, sharing& all, Given given, Work work) noexcept {
  try {
    one_of<Range, F> one;
    while (!all.token().stop_requested() && left.next(one, given)) {
      try {
        work(one);
      } catch (...) {
        all.failed(one.index, std::current_exception(), one.label());
      }
    }
  } catch (...) {
    all.failed(sharing::no_element, std::current_exception());  // the range's own: thrown as it is
  }
}

// Where the results are that come in any order; what is there stays where it is.
template <class T>
using places_of = std::deque<std::optional<task_result<T>>>;
template <class T>
std::vector<T> all_of(std::deque<std::optional<T>>& places) {
  std::vector<T> values;
  values.reserve(places.size());
  for (auto& p : places) values.push_back(std::move(*p));
  return values;
}

// --- in tasks ---

struct first_failure {
  std::size_t index = sharing::no_element;
  std::string label{};
  bool of_taker = false;
};
template <class T, class Range, class F, class Done>
task<> one_streamed(F& f, one_of<Range, F> one, Done done, first_failure& failed) {
  std::optional<task_result<T>> result;
  try {
    task<T> t = call_one(f, one.get(), std::stop_token{});
    if constexpr (std::is_void_v<T>) {
      co_await std::move(t);
      result.emplace();
    } else {
      result.emplace(co_await std::move(t));
    }
  } catch (...) {
    if (failed.index == sharing::no_element) {
      failed.index = one.index;
      failed.label = one.label();
    }
    throw;
  }
  try {
    done(one.index, std::move(*result));
  } catch (...) {
    failed.of_taker = failed.index == sharing::no_element;
    failed.index = one.index;
    throw;
  }
}
// begin(index) makes the function that its result is given to.
template <class T, class Range, class F, class Begin>
task<> stream_through(Range& range, F& f, Begin begin, fan_out_options options) {
  group_options bounds;
  if (options.in_flight) bounds.in_flight = options.in_flight;
  group g(bounds);
  first_failure failed;
  std::exception_ptr cause;
  try {
    std::size_t index = 0;
    for (auto at = std::ranges::begin(range); !g.failure() && at != std::ranges::end(range); ++at, ++index) {
      co_await g.room();
      if (g.failure()) break;
      one_of<Range, F> one;
      one.index = index;
      one.is(at);
      g.add(one_streamed<T, Range>(f, std::move(one), begin(index), failed));
    }
    (void)co_await g.wait();
  } catch (const task_error& e) {
    cause = e.nested_ptr();
  }
  if (!cause) co_return;
  if (failed.of_taker) std::rethrow_exception(cause);
  fail(failed.index, std::move(failed.label), cause);
}

template <class T, class Range, class F>
task<results<T>> stream_in_tasks(Range range, F f, fan_out_options options) {
  places_of<T> places;
  const auto begin = [&places](std::size_t) {
    auto* const place = &places.emplace_back();
    return [place](std::size_t, task_result<T>&& value) { place->emplace(std::move(value)); };
  };
  task<> all = stream_through<T>(range, f, begin, options);
  co_await std::move(all);
  if constexpr (!std::is_void_v<T>) co_return all_of(places);
}
template <class T, class Range, class F, class Take>
task<> taken_in_tasks(Range range, F f, Take take, fan_out_options options) {
  const auto begin = [&take](std::size_t) {
    return [&take](std::size_t index, T&& value) { std::invoke(take, index, std::move(value)); };
  };
  task<> all = stream_through<T>(range, f, begin, options);
  co_await std::move(all);
}

template <class Range, class F>
concept worked_on_threads = stream<Range> && !is_task<stream_result<F, std::remove_reference_t<Range>>>;
template <class Range, class F>
concept worked_in_tasks = std::ranges::input_range<Range> && is_task<stream_result<F, std::remove_reference_t<Range>>>;
template <class Range, class F>
using stream_value = typename stream_result<F, std::remove_reference_t<Range>>::value_type;

}  // namespace fan_out_parts

// On threads, the calling one among them.
template <class Range, class F>
  requires fan_out_parts::worked_on_threads<Range, F>
auto fan_out(Range&& range, F function, fan_out_options options = {})
    -> fan_out_parts::results<fan_out_parts::stream_result<F, std::remove_reference_t<Range>>> {
  using namespace fan_out_parts;
  using type = stream_result<F, std::remove_reference_t<Range>>;
  feed<std::remove_reference_t<Range>, F> left(range);
  places_of<type> places;
  sharing all(sharing::no_element, options.workers);
  const auto work = [&] {
    std::optional<task_result<type>>* place = nullptr;
    work_through(
        left, all,
        [&] {
          if constexpr (!std::is_void_v<type>) place = &places.emplace_back();
        },
        [&](auto& one) {
          if constexpr (std::is_void_v<type>)
            call_one(function, one.get(), all.token());
          else
            place->emplace(call_one(function, one.get(), all.token()));
        });
  };
  {
    const auto threads = start(all.threads() - 1, all, work);
    work();
  }
  all.rethrow();
  if constexpr (!std::is_void_v<type>) return all_of(places);
}

// On threads; take(index, result) on the calling one, as they come.
template <class Range, class F, class Take>
  requires fan_out_parts::worked_on_threads<Range, F> &&
           std::invocable<Take&, std::size_t, fan_out_parts::stream_result<F, std::remove_reference_t<Range>>>
void fan_out(Range&& range, F function, Take take, fan_out_options options = {}) {
  using namespace fan_out_parts;
  using type = stream_result<F, std::remove_reference_t<Range>>;
  feed<std::remove_reference_t<Range>, F> left(range);
  sharing all(sharing::no_element, options.workers);
  take_as_they_come<type>(all, options, take, [&](auto& done) {
    work_through(
        left, all, [] {},
        [&](auto& one) {
          (void)done.push({one.index, call_one(function, one.get(), all.token())});
        });
  });
  all.rethrow();
}

// In tasks, of the loop that awaits it.
template <class Range, class F>
  requires fan_out_parts::stream<Range> && fan_out_parts::worked_in_tasks<Range, F>
auto fan_out(Range&& range, F function, fan_out_options options = {}) {
  return fan_out_parts::stream_in_tasks<fan_out_parts::stream_value<Range, F>>(
      std::views::all(std::forward<Range>(range)), std::move(function), options);
}

// In tasks; take(index, result) between them, as they come. task<>
template <class Range, class F, class Take>
  requires fan_out_parts::worked_in_tasks<Range, F> &&
           std::invocable<Take&, std::size_t, fan_out_parts::stream_value<Range, F>>
task<> fan_out(Range&& range, F function, Take take, fan_out_options options = {}) {
  return fan_out_parts::taken_in_tasks<fan_out_parts::stream_value<Range, F>>(
      std::views::all(std::forward<Range>(range)), std::move(function), std::move(take), options);
}

}  // namespace penstock
