// child_state: what a child object stands for; shared between spawn, which fills it, and child.
#pragma once

#include <optional>

#include <sys/types.h>

#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/thread_annotations.hpp>
#include <penstock/base/unique_fd.hpp>
#include <penstock/process/child.hpp>

namespace penstock::process {

struct child::state {
  // --- constant once started ---
  pid_t pid = -1;
  unique_fd pidfd;  // none: it had ended, and had been collected by somebody else, before one could be had
  bool leads_group = false;
  system::clock::time_point started;

  unique_fd in, out, err;  // their user's

  mutex gate;  // guards what follows, and that nobody signals by number what somebody else collects
  bool group_goes_along PENSTOCK_GUARDED_BY(gate) = false;
  std::optional<exit_status> status PENSTOCK_GUARDED_BY(gate);

  // Collects the child if it has ended.
  std::optional<exit_status> look();
};

}  // namespace penstock::process
