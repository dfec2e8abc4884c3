// async_run, async_wait, async_communicate: what run(), child::wait() and communication do, for tasks: a loop sees to a
// thousand children, and no thread waits for any of them.
//
//   command list({"git", "ls-files"});                                           // (g++ 12 takes no {...} in a co_await)
//   completed done = co_await async_run(list, options);                          // all of run()'s options
//   child c = spawn({"sleep", "1"});
//   exit_status s = co_await async_wait(c);
//   std::optional<exit_status> s = co_await async_wait(c, 100ms);                // empty: it still runs
//   completed done = co_await async_communicate(c, {.input = text});
//
// CANCELLING  A task that is destroyed while its child runs in async_run() ends the child, as child's destructor does: KILL,
//             and its end is collected. The others leave the child to its owner.
// THREADS     The task's. Others may wait for and signal the child meanwhile.
// ERRORS      Those of run(), child and communication.
// COST        Two to eight epoll_ctl for each time that something is waited for. Starting a child is not waited for: the
//             loop is busy with it for as long as spawn() takes, 0.3 to 0.6 ms.
#pragma once

#include <optional>

#include <penstock/async/task.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/process/child.hpp>
#include <penstock/process/communication.hpp>
#include <penstock/process/run.hpp>

namespace penstock::process {

// Not default arguments: g++ 12 destroys those twice that are aggregates, in a co_await (docs/coroutines.md).
task<completed> async_run(command what);
task<completed> async_run(command what, run_options options);
task<completed> async_run(command_row row);
task<completed> async_run(command_row row, run_options options);

// REQUIRES, of these: the child, or the communication, outlives the task.
task<exit_status> async_wait(child& c);
task<std::optional<exit_status>> async_wait(child& c, wait_limit limit);
task<completed> async_communicate(child& c);
task<completed> async_communicate(child& c, communication_options options);
// communication::advance() and terminate().
task<bool> async_advance(communication& talk, wait_limit limit = {});
task<bool> async_terminate(communication& talk, termination how = {});

}  // namespace penstock::process
