// A pipeline: a source, stages that work at the same time, a sink; bounded queues between them.
//
//   auto report = penstock::from(camera.shots())
//               | penstock::stage("download", download, {.workers = 3})
//               | penstock::stage("resize",   resize,   {.workers = 4})
//               | penstock::sink ("upload",   upload,   {.workers = 5})
//               | penstock::run();
//
// What a stage's function may look like: stage_function.hpp. What can be said about a stage: options.hpp. What comes
// back: report.hpp. What a source can be: source.hpp. Errors: errors.hpp. In the background, or fed by hand:
// running_pipeline.hpp.
//
// THREADS  `workers` is how many calls of a stage's function may be under way at the same time. There are as many threads
//          as workers, and one for a source that is not fed by hand; which thread calls which function is the crew's
//          choice (crew.hpp), except for per_worker(...): there each worker is a thread. A source, and a stage with one
//          worker, is called by one thread at a time. run() uses none of the caller's.
// ORDER    Unordered where a stage has several workers; `ordered` keeps the order of its input.
// ENDING   The source ends → each stage finishes what it has → run() returns. A stop, or the first failure: every
//          worker finishes what is in its hand, what waits is handed back, run() returns or throws. Every thread is
//          joined in every case.
// MEMORY   Before each stage wait at most `capacity` items; in all, at most the sum of capacities and workers, and one
//          at the source. An ordered stage with several workers may hold as many results once more, until their
//          turn comes.
#pragma once

#include <memory>
#include <ranges>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <penstock/pipeline/running_pipeline.hpp>
#include <penstock/pipeline/source.hpp>
#include <penstock/pipeline/thread_stage.hpp>

namespace penstock {

// The description of a stage of worker threads. Another kind of stage is another such type.
template <class F>
struct thread_stage_description {
  template <class In>
  static constexpr bool accepts = stage_accepts<F, In>;
  template <class In>
  using output = stage_output<F, In>;
  template <class In>
  using node_type = thread_stage<In, F>;

  std::string name;
  F function;
  stage_options options;

  template <class In>
  std::unique_ptr<node_type<In>> make_node(inlet<output<In>>* next, run_control& control) {
    return std::make_unique<node_type<In>>(std::move(name), std::move(function), std::move(options), next, control);
  }
};

template <class F>
[[nodiscard]] thread_stage_description<std::decay_t<F>> stage(std::string name, F&& function,
                                                              stage_options options = {}) {
  return {std::move(name), std::forward<F>(function), std::move(options)};
}
// A stage that must be the last: its function returns void.
template <class F>
struct sink_description : thread_stage_description<F> {};
template <class F>
[[nodiscard]] sink_description<std::decay_t<F>> sink(std::string name, F&& function, stage_options options = {}) {
  return {{std::move(name), std::forward<F>(function), std::move(options)}};
}

struct run_request {
  run_options options;
};
struct start_request {
  run_options options;
};
// Runs the pipeline to its end. Throws run_error if it failed, std::invalid_argument if its options do not fit,
// std::system_error if a thread could not be started.
[[nodiscard]] inline run_request run(run_options options = {}) { return {std::move(options)}; }
// Starts it in the background and returns a running_pipeline.
[[nodiscard]] inline start_request start(run_options options = {}) { return {std::move(options)}; }

// A source and the stages behind it so far; Out is what the last of them puts out.
template <class Source, class Out, class... Stages>
class [[nodiscard]] pipeline {
 public:
  using output = Out;
  pipeline(Source source, std::tuple<Stages...> stages) : source_(std::move(source)), stages_(std::move(stages)) {}

  template <class D>
  auto then(D description) && {
    using next_out = typename D::template output<Out>;
    return pipeline<Source, next_out, Stages..., D>(
        std::move(source_), std::tuple_cat(std::move(stages_), std::tuple<D>(std::move(description))));
  }
  running_pipeline<typename Source::opens> start(run_options options) && {
    auto control = std::make_unique<run_control>(std::move(options));
    inlet<typename Source::item>* first = build<0, typename Source::item>(*control);
    auto source = source_.make_node(*first, *control);
    node* const source_node = source.get();
    control->add_in_front(std::move(source));
    control->start();
    if constexpr (std::is_void_v<typename Source::opens>) {
      (void)source_node;
      return running_pipeline<void>(std::move(control));
    } else {
      using item = typename Source::item;
      return running_pipeline<item>(std::move(control), static_cast<open_source_node<item>*>(source_node));
    }
  }

 private:
  // From the last stage to the first, because each is given where its results go.
  template <std::size_t I, class In>
  inlet<In>* build(run_control& control) {
    auto& description = std::get<I>(stages_);
    using out = typename std::decay_t<decltype(description)>::template output<In>;
    inlet<out>* next = nullptr;
    if constexpr (I + 1 < sizeof...(Stages)) next = build<I + 1, out>(control);
    auto made = description.template make_node<In>(next, control);
    inlet<In>* entrance = made.get();
    control.add_in_front(std::move(made));
    return entrance;
  }

  Source source_;
  std::tuple<Stages...> stages_;
};

// What follows a stage that does not fit, so that the compiler speaks of the first mistake only.
struct ill_fitting_pipeline {};
template <class D>
ill_fitting_pipeline operator|(ill_fitting_pipeline p, D&&) {
  return p;
}

// Function: that of the stage. Item: what the stage before it puts out.
template <class Function, class Item>
inline constexpr bool stage_fits = false;

// --- sources ---
template <std::ranges::viewable_range Range>
[[nodiscard]] auto from(Range&& range) {
  using walk = range_walk<std::views::all_t<Range>>;
  constexpr std::size_t read_ahead = std::ranges::forward_range<Range> ? pace::max_at_once : 1;
  return pipeline<pull_source<walk>, typename walk::item>(
      {walk(std::views::all(std::forward<Range>(range))), {.read_ahead = read_ahead}}, {});
}
template <class F>
  requires pull_function<std::decay_t<F>>
[[nodiscard]] auto from(F&& pull, source_options options = {}) {
  using function = std::decay_t<F>;
  return pipeline<pull_source<function>, typename pull_source<function>::item>({std::forward<F>(pull), options}, {});
}
template <class T>
  requires(!std::ranges::viewable_range<T> && !pull_function<std::decay_t<T>>)
ill_fitting_pipeline from(T&&) {
  static_assert(stage_fits<T, void>,
                "penstock: a source is a range, or a function that returns an optional, which is empty at its end");
  return {};
}
template <class T>
[[nodiscard]] auto from() {
  return pipeline<open_source<T>, T>({}, {});
}

// --- putting them together ---

template <class Source, class Out, class... Stages, class F>
auto operator|(pipeline<Source, Out, Stages...>&& p, thread_stage_description<F> d) {
  if constexpr (std::is_void_v<Out>) {
    static_assert(stage_fits<F, Out>, "penstock: a stage follows a sink: the stage before this one returns nothing");
    return ill_fitting_pipeline{};
  } else if constexpr (!stage_accepts<F, Out>) {
    static_assert(stage_fits<F, Out>,
                  "penstock: this stage's function cannot be called with what the stage before it returns");
    return ill_fitting_pipeline{};
  } else {
    return std::move(p).then(std::move(d));
  }
}
template <class Source, class Out, class... Stages, class F>
auto operator|(pipeline<Source, Out, Stages...>&& p, sink_description<F> d) {
  if constexpr (std::is_void_v<Out>) {
    static_assert(stage_fits<F, Out>, "penstock: a sink follows a sink");
    return ill_fitting_pipeline{};
  } else if constexpr (!stage_accepts<F, Out>) {
    static_assert(stage_fits<F, Out>,
                  "penstock: this sink's function cannot be called with what the stage before it returns");
    return ill_fitting_pipeline{};
  } else if constexpr (!std::is_void_v<stage_output<F, Out>>) {
    static_assert(stage_fits<F, Out>,
                  "penstock: a sink's function returns nothing; use stage(...) for one that has a result");
    return ill_fitting_pipeline{};
  } else {
    return std::move(p).then(static_cast<thread_stage_description<F>&&>(std::move(d)));
  }
}
template <class Source, class Out, class... Stages>
auto operator|(pipeline<Source, Out, Stages...>&& p, start_request request) {
  if constexpr (!std::is_void_v<Out>) {
    static_assert(stage_fits<pipeline<Source, Out, Stages...>, Out>,
                  "penstock: a pipeline ends with a sink, a stage whose function returns nothing");
    return ill_fitting_pipeline{};
  } else {
    return std::move(p).start(std::move(request.options));
  }
}
template <class Source, class Out, class... Stages>
report operator|(pipeline<Source, Out, Stages...>&& p, run_request request) {
  static_assert(std::is_void_v<typename Source::opens>,
                "penstock: an open pipeline is fed by its caller: use start(), push(), close() and wait()");
  if constexpr (!std::is_void_v<Out>) {
    static_assert(stage_fits<pipeline<Source, Out, Stages...>, Out>,
                  "penstock: a pipeline ends with a sink, a stage whose function returns nothing");
    return {};
  } else {
    return std::move(p).start(std::move(request.options)).wait();
  }
}

}  // namespace penstock
