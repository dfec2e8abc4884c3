// node: one stage of a run as the run sees it, whatever kind of stage it is. Worker threads are one kind
// (thread_stage.hpp); a kind that is added is a class derived from node and inlet<In>, and a description with
// `output<In>` and `make_node<In>` (pipeline.hpp has that of worker threads).
//
// Life: check() → work() on each worker's thread → close_input() once all workers of the stage before have ended →
// work() returns → hand_back_rest(), when every thread of the run has ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <penstock/pipeline/item.hpp>
#include <penstock/pipeline/report.hpp>
#include <penstock/pipeline/worker.hpp>
#include <penstock/queue/bounded_queue.hpp>

namespace penstock {

class node {
 public:
  node(std::string name, std::size_t workers) : name_(std::move(name)), workers_(workers) {}
  node(const node&) = delete;
  node& operator=(const node&) = delete;
  virtual ~node() = default;

  // Throws std::invalid_argument, with the stage's name, if its options contradict each other. Before any thread
  // starts.
  virtual void check() const {}
  // One worker's whole life, on its own thread. Returns when the input is closed and drained. Answers for its items;
  // what it throws ends the run as a failure of the stage.
  virtual void work(worker& self) = 0;
  virtual void close_input() noexcept {}
  // The run is being stopped: wake whoever waits inside the node for something else than its input queue.
  virtual void stop() noexcept {}
  // Gives what is left to the run. No worker runs any more.
  virtual void hand_back_rest() noexcept {}

  // For the report.
  // Sets `in`, and adds what did not happen on this stage's own workers (items refused at its entrance).
  virtual void add_entrance_counts(stage_report& r) const noexcept = 0;
  [[nodiscard]] virtual queue_statistics input() const noexcept { return {}; }
  [[nodiscard]] virtual std::size_t capacity() const noexcept { return 0; }
  [[nodiscard]] virtual bool delivers() const noexcept { return false; }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::vector<worker>& workers() noexcept { return workers_; }
  [[nodiscard]] const std::vector<worker>& workers() const noexcept { return workers_; }

 private:
  const std::string name_;
  std::vector<worker> workers_;
};

// Where the stage before puts its results: a node's typed side.
template <class T>
class inlet {
 public:
  // Takes the item in every case: it enters the stage, or is counted as entered and returned because the run is being
  // stopped, or as failed because its size could not be told. False: no more will be taken. `from`: the worker that
  // calls, for its waiting time.
  virtual bool accept(envelope<T>&& item, worker& from) noexcept = 0;
  // For those who can keep an item that is refused: it stays in `item`, and nothing is counted.
  virtual conqueue_status offer(envelope<T>& item, const wait_limit* limit) = 0;
  // How many offers were taken; counted together with the taking, so that no moment shows one without the other.
  [[nodiscard]] virtual std::uint64_t taken() const noexcept = 0;

 protected:
  ~inlet() = default;
};

}  // namespace penstock
