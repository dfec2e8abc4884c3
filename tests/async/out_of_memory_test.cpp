// The same as tests/pipeline/out_of_memory_test.cpp for stages of coroutines: each frame that there is no memory for.
#include <stdexcept>

#include <gtest/gtest.h>

#include <penstock/async/stage.hpp>

#include "tests/pipeline/scarcity.hpp"

namespace penstock {
namespace {

using testing::parcel;
using testing::parcels;
using testing::with_each_allocation_failing_once;

class out_of_memory_in_tasks : public ::testing::TestWithParam<bool> {};

task<parcel> pass(parcel p) {
  co_await yield_to_others();
  co_return p;
}
task<> arrive(parcel p) {
  co_await yield_to_others();
  p.arrive();
}

TEST_P(out_of_memory_in_tasks, ends_a_run_of_several_stages) {
  with_each_allocation_failing_once(1, [] {
    return from(parcels(20)) | stage("as it comes, with a long name", pass, {.in_flight = 4, .ordered = GetParam()}) |
           sink("sink", arrive, {.in_flight = 3}) | run();
  });
}

INSTANTIATE_TEST_SUITE_P(ordered, out_of_memory_in_tasks, ::testing::Bool());

}  // namespace
}  // namespace penstock
