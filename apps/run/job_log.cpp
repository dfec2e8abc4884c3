#include "apps/run/job_log.hpp"

#include <cstdio>

namespace penstock::runner {

job_log::job_log(const std::string& path, append_file::start how) : file_(path, how) {
  if (file_.was_empty() || how == append_file::start::empty)
    (void)file_.add("Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\tStage\tAttempt\n");
}

int job_log::add(const line& l) {
  const double began = std::chrono::duration<double>(l.began.time_since_epoch()).count();
  const double wall = std::chrono::duration<double>(l.status.wall).count();
  const bool signalled = l.status.how == process::exit_status::end::signalled;
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, "\t:\t%.3f\t%10.3f\t0\t%llu\t%d\t%d\t", began, wall,
                static_cast<unsigned long long>(l.received), signalled ? 0 : l.status.shell_number(),
                signalled ? l.status.signal : 0);
  return file_.add(l.number + numbers + as_field(l.command) + '\t' + as_field(l.stage) + '\t' +
                   std::to_string(l.attempt) + '\n');
}

}  // namespace penstock::runner
