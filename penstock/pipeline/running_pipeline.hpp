// running_pipeline: a pipeline at work in the background: what start() returns.
//
//   auto line = penstock::from<photo>()
//             | penstock::stage("resize", resize, {.workers = 4})
//             | penstock::sink ("upload", upload, {.workers = 5})
//             | penstock::start();
//   while (camera.next(shot)) line.push(std::move(shot));      // waits when the line is full
//   line.close();
//   auto report = line.wait();
//
// THREADS  push, close, drain, request_stop and snapshot at the same time from any thread; wait() and the destructor
//          from one.
// ENDING   wait() returns when everything is through, or stopped; it throws run_error if the run failed. Destroying a
//          pipeline that was not waited for stops it (what waits is lost to the caller) and joins its threads.
#pragma once

#include <cassert>
#include <memory>
#include <utility>

#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/source.hpp>

namespace penstock {

class running_pipeline_base {
 public:
  // No more items from the source; everything that has entered is finished.
  void drain() noexcept { control_->drain(); }
  // What waits is handed back in report::unfinished; what is in a worker's hand is finished first.
  void request_stop() noexcept { control_->request_stop(); }
  [[nodiscard]] report snapshot() const { return control_->snapshot(); }
  // REQUIRES: called once; once more only if it has thrown std::bad_alloc, because there was no memory for the report. Throws
  // std::logic_error on a thread of one of the pipeline's own stages: that thread would wait for itself.
  report wait() { return control_->wait(); }

 protected:
  explicit running_pipeline_base(std::unique_ptr<run_control> control) : control_(std::move(control)) {}
  std::unique_ptr<run_control> control_;
};

// T: what is pushed; void: the pipeline has a source of its own, and there is no push.
template <class T>
class [[nodiscard]] running_pipeline : public running_pipeline_base {
 public:
  running_pipeline(std::unique_ptr<run_control> control, open_source_node<T>* source)
      : running_pipeline_base(std::move(control)), source_(source) {}

  // Waits for room. False iff the pipeline takes no more (closed, stopped, failed); then the item is unchanged.
  bool push(T&& item) { return push(std::move(item), wait_limit{}) == conqueue_status::success; }
  bool push(const T& item) { return push(T(item)); }
  // Success, closed, or full when the limit was reached first. An exception of the item's own size function reaches the
  // caller.
  conqueue_status push(T&& item, const wait_limit& limit) { return source_->push(item, &limit); }
  conqueue_status try_push(T&& item) { return source_->push(item, nullptr); }
  void close() noexcept {
    control_->source_ended();
    control_->close_entrance();
  }

 private:
  open_source_node<T>* source_;  // owned by the run
};

template <>
class [[nodiscard]] running_pipeline<void> : public running_pipeline_base {
 public:
  explicit running_pipeline(std::unique_ptr<run_control> control) : running_pipeline_base(std::move(control)) {}
};

}  // namespace penstock
