// What a stage's function may look like, and what becomes of its result.
//
//   takes     the item, as T, T&, const T& or T&&, and, if it likes, a std::stop_token after it
//   returns   a value          the next stage's item
//             optional<value>  the next stage's item, or nothing: filtered
//             each(range)      any number of items for the next stage
//             void             the end of the line: delivered
//
// A range by itself is a value: a std::vector<std::byte> or a std::string is one item far more often than many, and
// guessing wrong would compile. each() says it.
//
// An item taken by reference is still there if the function throws: it can be tried again, dead-lettered or handed
// back. One taken by value is moved into the function; where a retry or a dead letter may need it again, a copy is
// made, and where it cannot be copied the run says so before it starts.
#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <ranges>
#include <span>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace penstock {

// each(range): a stage's answer "these are my results". REQUIRES nothing of the range but to be walked once.
template <std::ranges::input_range Range>
struct each {
  explicit each(Range r) : range(std::move(r)) {}
  Range range;
};

// per_worker(factory): the stage's function is made anew for each worker, on its thread: for connections, buffers,
// random generators.
template <class Factory>
struct per_worker {
  explicit per_worker(Factory f) : factory(std::move(f)) {}
  Factory factory;
};

namespace stage_traits {

template <class F, class Arg>
concept takes = std::invocable<F, Arg> || std::invocable<F, Arg, std::stop_token>;
template <class F, class Arg>
concept takes_stop = std::invocable<F, Arg, std::stop_token>;

// The type of the first parameter, if F has one signature; void if it is a template or overloaded.
template <class F>
struct first_parameter {
  using type = void;
};
template <class R, class A, class... Rest>
struct first_parameter<R (*)(A, Rest...)> {
  using type = A;
};
template <class R, class A, class... Rest>
struct first_parameter<R (*)(A, Rest...) noexcept> {
  using type = A;
};
template <class R, class C, class A, class... Rest>
struct first_parameter<R (C::*)(A, Rest...)> {
  using type = A;
};
template <class R, class C, class A, class... Rest>
struct first_parameter<R (C::*)(A, Rest...) const> {
  using type = A;
};
template <class R, class C, class A, class... Rest>
struct first_parameter<R (C::*)(A, Rest...) noexcept> {
  using type = A;
};
template <class R, class C, class A, class... Rest>
struct first_parameter<R (C::*)(A, Rest...) const noexcept> {
  using type = A;
};

template <class F>
struct parameter {
  using type = typename first_parameter<F>::type;
};
template <class F>
  requires requires { &F::operator(); }
struct parameter<F> {
  using type = typename first_parameter<decltype(&F::operator())>::type;
};

// Whether calling F with an item uses the item up.
template <class F, class In>
constexpr bool consumes() {
  using p = typename parameter<F>::type;
  if constexpr (std::is_void_v<p>)
    return !takes<F&, In&>;
  else if constexpr (std::is_lvalue_reference_v<p>)
    return false;
  else
    return std::is_rvalue_reference_v<p> || !std::is_trivially_copyable_v<In>;
}

template <class F, class In>
using argument = std::conditional_t<consumes<F, In>(), In&&, In&>;

template <class F, class In>
struct result {
  using type = std::invoke_result_t<F&, argument<F, In>>;
};
template <class F, class In>
  requires takes_stop<F&, argument<F, In>>
struct result<F, In> {
  using type = std::invoke_result_t<F&, argument<F, In>, std::stop_token>;
};

template <class R>
constexpr bool is_optional = false;
template <class U>
constexpr bool is_optional<std::optional<U>> = true;
template <class R>
constexpr bool is_each = false;
template <class Range>
constexpr bool is_each<each<Range>> = true;

template <class R>
struct output {
  using type = R;
};
template <class U>
struct output<std::optional<U>> {
  using type = U;
};
template <class Range>
struct output<each<Range>> {
  using type = std::ranges::range_value_t<Range>;
};

// Whether a range's elements are its own to be moved out: not those that a view only refers to.
template <class Range>
constexpr bool owns_elements = !std::ranges::view<Range>;
template <class Range>
constexpr bool owns_elements<std::ranges::owning_view<Range>> = true;

// F itself, or what a per_worker factory makes.
template <class F>
struct callable {
  using type = F;
};
template <class Factory>
struct callable<per_worker<Factory>> {
  using type = std::decay_t<std::invoke_result_t<Factory&>>;
};

// A function that can use to know which items come next: foresee(items) is called before the first of several is. Each
// of them is then passed to the function, in this order and from where it is now, unless the run is being stopped. Only where
// the stage has one worker: what this worker knows ahead, no other worker could begin.
template <class F, class In>
concept foresees = !consumes<F, In>() && requires(F& f, std::span<const In* const> items) {
  { f.foresee(items) } noexcept;
};

template <class F>
constexpr bool is_per_worker = false;
template <class Factory>
constexpr bool is_per_worker<per_worker<Factory>> = true;

template <class F>
constexpr bool makes_callable = true;
template <class Factory>
constexpr bool makes_callable<per_worker<Factory>> = std::invocable<Factory&>;

}  // namespace stage_traits

// The function of a stage, or what its factory makes.
template <class F>
using stage_callable = typename stage_traits::callable<F>::type;

// True iff a stage with function F can take items of type In.
template <class F, class In>
concept stage_accepts = !std::is_void_v<In> && stage_traits::makes_callable<F> &&
                        stage_traits::takes<stage_callable<F>&, stage_traits::argument<stage_callable<F>, In>>;

template <class F, class In>
using stage_result = typename stage_traits::result<stage_callable<F>, In>::type;

// The type of the items that the stage after F gets; void: F is the end.
template <class F, class In>
using stage_output = std::decay_t<typename stage_traits::output<std::decay_t<stage_result<F, In>>>::type>;

}  // namespace penstock
