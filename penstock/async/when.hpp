// when_all, when_any, within: a few tasks at the same time, and their results.
//
//   auto [user, photos] = co_await when_all(fetch_user(id), fetch_photos(id));
//   std::vector<page> pages = co_await when_all(std::move(fetches));          // a vector of tasks
//   auto first = co_await when_any(ask(a), ask(b));                           // a variant; first.index() tells which
//   std::optional<page> p = co_await within(2s, fetch(u));                    // empty: the time was over
//
// RESULTS   void becomes std::monostate, and T& a std::reference_wrapper<T>.
// ERRORS    The first task that fails cancels the others, and its exception is thrown as it is.
// ENDING    when_any: the first that ends, well or not, decides; the others are destroyed where they wait (group.hpp), and
//           none of them is resumed any more. So of when_any(pop(a), pop(b)) exactly one takes an item, the same goes for
//           pushes, and what the first has taken reaches the caller, through any number of when_any and within. (A task
//           that has taken an item and then waits for something else still has it when it is destroyed: one wait each.)
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <penstock/async/group.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/task.hpp>
#include <penstock/base/wait_limit.hpp>

namespace penstock {

template <class T>
using task_result = std::conditional_t<
    std::is_void_v<T>, std::monostate,
    std::conditional_t<std::is_reference_v<T>, std::reference_wrapper<std::remove_reference_t<T>>, T>>;

namespace when_parts {

// Arguments by reference to places in the frame that waits for these tasks.
template <class T>
task<> into(task<T> t, std::optional<task_result<T>>& out) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(t);
    out.emplace();
  } else {
    out.emplace(co_await std::move(t));
  }
}
template <std::size_t I, class Out, class T>
task<> first_into(task<T> t, std::optional<Out>& out, group& g) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(t);
    if (!out) out.emplace(std::in_place_index<I>);
  } else {
    task_result<T> value = co_await std::move(t);
    if (!out) out.emplace(std::in_place_index<I>, std::move(value));
  }
  g.cancel();
}
template <class T>
task<> first_of_many(task<T> t, std::size_t index, std::optional<std::pair<std::size_t, task_result<T>>>& out,
                     group& g) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(t);
    if (!out) out.emplace(index, std::monostate{});
  } else {
    task_result<T> value = co_await std::move(t);
    if (!out) out.emplace(index, std::move(value));
  }
  g.cancel();
}
inline task<> cancel_at(wait_limit limit, group& g) {
  (void)co_await sleep_until(limit);
  g.cancel();
}
// The exception as it is: of a few tasks the caller knows which can throw what.
inline task<> end_of(group& g) {
  try {
    (void)co_await g.wait();
  } catch (const task_error& e) {
    e.rethrow_nested();
  }
}

}  // namespace when_parts

template <class... T>
task<std::tuple<task_result<T>...>> when_all(task<T>... tasks) {
  std::tuple<std::optional<task_result<T>>...> results;
  group g;
  std::apply([&](auto&... result) { (g.add(when_parts::into(std::move(tasks), result)), ...); }, results);
  co_await when_parts::end_of(g);
  co_return std::apply([](auto&... result) { return std::tuple<task_result<T>...>(std::move(*result)...); }, results);
}

template <class T>
task<std::vector<task_result<T>>> when_all(std::vector<task<T>> tasks) {
  std::vector<std::optional<task_result<T>>> results(tasks.size());
  group g;
  for (std::size_t i = 0; i < tasks.size(); ++i) g.add(when_parts::into(std::move(tasks[i]), results[i]));
  co_await when_parts::end_of(g);
  std::vector<task_result<T>> values;
  values.reserve(results.size());
  for (auto& r : results) values.push_back(std::move(*r));
  co_return values;
}

template <class... T>
  requires(sizeof...(T) > 0)
task<std::variant<task_result<T>...>> when_any(task<T>... tasks) {
  std::optional<std::variant<task_result<T>...>> result;
  group g;
  const auto add_all = [&]<std::size_t... I>(std::index_sequence<I...>) {
    (g.add(when_parts::first_into<I>(std::move(tasks), result, g)), ...);
  };
  add_all(std::index_sequence_for<T...>{});
  co_await when_parts::end_of(g);
  co_return std::move(*result);
}

// Its index, and what it gave. REQUIRES: at least one.
template <class T>
task<std::pair<std::size_t, task_result<T>>> when_any(std::vector<task<T>> tasks) {
  std::optional<std::pair<std::size_t, task_result<T>>> result;
  group g;
  for (std::size_t i = 0; i < tasks.size(); ++i) g.add(when_parts::first_of_many(std::move(tasks[i]), i, result, g));
  co_await when_parts::end_of(g);
  co_return std::move(*result);
}

template <class T>
task<std::optional<task_result<T>>> within(wait_limit limit, task<T> t) {
  std::optional<std::pair<std::size_t, task_result<T>>> result;
  group g;
  g.add(when_parts::first_of_many(std::move(t), 0, result, g));
  if (!result) g.add(when_parts::cancel_at(std::move(limit), g));
  co_await when_parts::end_of(g);
  if (!result) co_return std::nullopt;
  co_return std::move(result->second);
}

}  // namespace penstock
