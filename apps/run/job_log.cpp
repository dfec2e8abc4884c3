#include "apps/run/job_log.hpp"

#include <cstdio>
#include <utility>

namespace penstock::runner {

job_log::job_log(const std::string& path, append_file::start how, std::function<void(int)> on_broken)
    : file_(path, how), on_broken_(std::move(on_broken)) {
  if (file_.was_empty() || how == append_file::start::empty)
    write("Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\tStage\tAttempt\n");
}

void job_log::write(const std::string& record) {
  if (const int error = file_.add(record); error && !told_.exchange(true)) on_broken_(error);
}

void job_log::add(const line& l) {
  const double began = std::chrono::duration<double>(l.began.time_since_epoch()).count();
  const double wall = std::chrono::duration<double>(l.status.wall).count();
  const bool signalled = l.status.how == process::exit_status::end::signalled;
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, "\t:\t%.3f\t%10.3f\t0\t%llu\t%d\t%d\t", began, wall,
                static_cast<unsigned long long>(l.received), signalled ? 0 : l.status.shell_number(),
                signalled ? l.status.signal : 0);
  write(l.number + numbers + as_field(l.command) + '\t' + as_field(l.stage) + '\t' + std::to_string(l.attempt) + '\n');
}

}  // namespace penstock::runner
