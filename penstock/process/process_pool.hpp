// process_pool<f>: a plain map over values, worked in processes: what a crash costs is one value.
//
//   int main(int argc, char** argv) {
//     penstock::process::serve_if_worker<decode>(argc, argv);
//     penstock::process::process_pool<decode> pool({.workers = 4, .isolation = {.deadline = 5s}});
//     std::vector<photo> photos = pool.map(files);                   // throws if one failed
//     for (auto& p : pool.try_map(files)) if (p) use(*p); else std::rethrow_exception(p.error());
//     photos = penstock::fan_out(files, pool);                       // the same in the words of fan_out.hpp
//
// What holds for a worker and its function: isolated.hpp. The workers stay between calls.
// ORDER    Results are in the order of the values.
// THREADS  One at a time; it starts none: all workers are served by the thread that calls.
// MEMORY   Values are sent as their turn comes, a few per worker ahead.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <exception>
#include <iterator>
#include <ranges>
#include <utility>
#include <vector>

#include <penstock/async/fan_out.hpp>
#include <penstock/base/expected.hpp>
#include <penstock/base/system.hpp>
#include <penstock/process/isolated.hpp>

namespace penstock::process {

struct pool_options {
  std::size_t workers = system::processors();
  penstock::process::isolation isolation{};
};

// Several workers, and which of the values each of them has: the part that needs no types.
class worker_set {
 public:
  worker_set(const char* function, const pool_options& options);
  worker_set(worker_set&&) noexcept = default;
  worker_set& operator=(worker_set&& other) noexcept;

  // Asks `request(i)` for each i below `count` and gives its reply to `done(i, reply)`, in whatever order they come. What
  // these throw ends the workers, and is thrown on.
  template <class Request, class Done>
  void work(std::size_t count, Request request, Done done) {
    struct ending {
      worker_set& set;
      bool finished = false;
      ~ending() {
        if (!finished) set.reset();
      }
    } end{*this};
    std::size_t sent = 0;
    for (std::size_t back = 0; back < count;) {
      for (lane& l : lanes_)
        while (sent < count && wants_more(l, count - sent)) {
          l.worker.submit(request(sent));
          l.indices.push_back(sent++);
        }
      wait();
      for (lane& l : lanes_)
        while (l.worker.has_reply()) {
          const std::size_t index = l.indices.front();
          l.indices.pop_front();
          ++back;
          done(index, l.worker.next());
        }
    }
    end.finished = true;
  }
  void reset() noexcept;
  [[nodiscard]] std::uint64_t started() const noexcept;

 private:
  struct lane {
    worker_process worker;
    std::deque<std::size_t> indices;  // of what it has, in order
  };
  [[nodiscard]] bool wants_more(const lane& l, std::size_t left) const noexcept;
  // Until one of them has a reply.
  void wait();

  std::vector<lane> lanes_;
  std::vector<pollfd> fds_;
};

template <auto F>
class process_pool {
 public:
  using item = typename isolated_signature<F>::item;
  using result = typename isolated_signature<F>::value;
  static_assert(!std::is_void_v<result>, "penstock: a map needs a function with a result");

  // Throws std::logic_error if main() did not call serve_if_worker(), std::invalid_argument for no workers.
  explicit process_pool(const pool_options& options = {}) : workers_(isolation_parts::name_of<F>(), options) {}

  // REQUIRES a random access range of items. Throws what the first failed one, in their order, failed with; all others
  // have been worked on.
  template <std::ranges::random_access_range Range>
  std::vector<result> map(const Range& items) {
    std::vector<result> results;
    results.reserve(std::ranges::size(items));
    for (auto& r : try_map(items)) {
      if (!r) std::rethrow_exception(r.error());
      results.push_back(std::move(*r));
    }
    return results;
  }
  template <std::ranges::random_access_range Range>
  std::vector<expected<result, std::exception_ptr>> try_map(const Range& items) {
    std::vector<expected<result, std::exception_ptr>> results(std::ranges::size(items),
                                                              unexpected<std::exception_ptr>(nullptr));
    workers_.work(
        results.size(),
        [&](std::size_t i) {
          return to_wire<item>(std::ranges::begin(items)[static_cast<std::ranges::range_difference_t<const Range>>(i)]);
        },
        [&](std::size_t i, worker_process::reply r) {
          if (r.error) {
            results[i] = unexpected<std::exception_ptr>(r.error);
            return;
          }
          try {
            results[i] = expected<result, std::exception_ptr>(from_wire<result>(r.bytes));
          } catch (...) {
            results[i] = unexpected<std::exception_ptr>(std::current_exception());  // this value's, not the others'
          }
        });
    return results;
  }
  // Worker processes so far: those that there are, and those that were replaced.
  [[nodiscard]] std::uint64_t started() const noexcept { return workers_.started(); }

 private:
  worker_set workers_;
};

}  // namespace penstock::process

namespace penstock {

// Results in the order of the range. Throws an element_error about the first that failed, in that order; all others have
// been worked on.
template <class Range, auto F>
  requires fan_out_parts::elements<Range>
auto fan_out(Range&& range, process::process_pool<F>& pool) {
  std::vector<typename process::process_pool<F>::result> results;
  for (auto& r : pool.try_map(range)) {
    if (!r) fan_out_parts::fail(range, results.size(), r.error());
    results.push_back(std::move(*r));
  }
  return results;
}

}  // namespace penstock
