// What goes wrong in a pipeline, and how it is told.
//
//   try { auto report = ... | penstock::run(); }
//   catch (const penstock::run_error& e) {
//     std::cerr << e.what() << '\n';        // stage "resize", item 17 (IMG_0017.JPG), attempt 3: truncated JPEG
//     std::cerr << e.report();              // what was done, and what was not
//   }
//
// The original exception is nested: std::rethrow_if_nested(e) gives it back with its own type.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include <penstock/pipeline/item.hpp>

namespace penstock {

struct report;

// Where in a pipeline something happened.
struct item_place {
  std::string stage;         // the name given to stage() or sink(); "source" for the source
  std::uint64_t number = 0;  // of the item at the source, from 1; 0: no item was involved
  std::string label;         // the text that names the item; may be empty
  unsigned attempt = 0;      // from 1; 0: before any
};

// The place; without its texts where there is no memory for them.
item_place place_in(const std::string& stage, std::uint64_t number, const std::string& label,
                    unsigned attempt) noexcept;

// REQUIRES: constructed while the cause is being handled, or with the cause.
class stage_error : public std::runtime_error, public std::nested_exception {
 public:
  explicit stage_error(item_place place, const std::exception_ptr& cause);
  [[nodiscard]] const std::string& stage() const noexcept { return place_.stage; }
  [[nodiscard]] const item_place& place() const noexcept { return place_; }

 private:
  item_place place_;
};

// What run() and wait() throw: the first failure that ended the run, and the report of all of it.
class run_error : public stage_error {
 public:
  run_error(const stage_error& first, std::shared_ptr<penstock::report> report);
  [[nodiscard]] penstock::report& report() const noexcept { return *report_; }

 private:
  std::shared_ptr<penstock::report> report_;
};

// A function that was asked to stop because its item's time was over, and gave up. The cause it threw is nested.
class timed_out : public std::runtime_error, public std::nested_exception {
 public:
  using std::runtime_error::runtime_error;
};

// One failed item, as the report lists it.
struct failure {
  item_place place;
  std::string reason;        // the text of the cause, with its own causes
  std::exception_ptr error;  // a stage_error with the cause nested; std::bad_alloc where there is no memory for one
};

// An item that did not get to the end: a dead letter, or one that is handed back because the run was stopped.
struct unfinished_item {
  item_place place;          // the stage that it waited for, or that failed on it
  std::exception_ptr error;  // as in failure; null: nothing was wrong with it
  erased_item item;
};

}  // namespace penstock
