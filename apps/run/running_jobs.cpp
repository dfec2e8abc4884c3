#include "apps/run/running_jobs.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <dirent.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/base/sleep.hpp>
#include <penstock/base/system.hpp>

namespace penstock::runner {
namespace {

// From /proc: the kernel has no call that tells a process its children.
std::vector<pid_t> children_of_this_program() {
  std::vector<pid_t> found;
  DIR* const all = ::opendir("/proc");
  if (!all) return found;
  const pid_t self = ::getpid();
  while (const dirent* entry = ::readdir(all)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    std::ifstream file("/proc/" + std::string(entry->d_name) + "/stat");
    std::string stat;
    if (!std::getline(file, stat, '\0')) continue;
    // pid (name) state parent …; the name may have brackets and blanks in it.
    const auto bracket = stat.rfind(')');
    if (bracket == stat.npos || bracket + 4 >= stat.size()) continue;
    if (std::strtol(stat.c_str() + bracket + 4, nullptr, 10) == self)
      found.push_back(static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10)));
  }
  ::closedir(all);
  return found;
}

}  // namespace

running_jobs::starting::starting(running_jobs& jobs) : jobs_(jobs) {
  mutex_lock lock(jobs_.mutex_);
  ++jobs_.being_started_;
}
running_jobs::starting::~starting() {
  mutex_lock lock(jobs_.mutex_);
  --jobs_.being_started_;
}

running_jobs::running_jobs() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  for (const pid_t pid : children_of_this_program()) there_before_.insert(pid);
}

running_jobs::job_process::job_process(running_jobs& jobs, const process::command& what, process::spawn_options options)
    : jobs_(jobs) {
  // All memory before the start: a job that runs must not be given up for want of it, and then be started again.
  std::set<process::child*> running{&child_};
  std::set<pid_t> number{-1};
  auto running_node = running.extract(running.begin());
  auto number_node = number.extract(number.begin());
  const starting now(jobs);
  child_ = process::spawn(what, std::move(options));
  number_node.value() = child_.pid();
  mutex_lock lock(jobs_.mutex_);
  jobs_.running_.insert(std::move(running_node));
  jobs_.ours_.insert(std::move(number_node));
}
running_jobs::job_process::~job_process() {
  if (!child_) return;
  const pid_t pid = child_.pid();
  {
    mutex_lock lock(jobs_.mutex_);
    jobs_.running_.erase(&child_);
  }
  child_ = {};  // collected, whatever happened; only then its number may be a stray's
  mutex_lock lock(jobs_.mutex_);
  jobs_.ours_.erase(pid);
}

void running_jobs::kill_all() noexcept {
  mutex_lock lock(mutex_);
  for (process::child* c : running_) {
    c->take_group_along();
    c->signal_group(SIGKILL);
  }
}

void running_jobs::collect_strays() noexcept {
  for (;;) {
    // Under the lock, so that nobody starts a process between the look and the collecting.
    mutex_lock lock(mutex_);
    if (being_started_) return;
    siginfo_t ended{};
    if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) return;
    // A job that has ended: its owner will collect it. Strays behind it are seen next time.
    if (ours_.contains(ended.si_pid)) return;
    ::waitid(P_PID, static_cast<id_t>(ended.si_pid), &ended, WEXITED | WNOHANG);
  }
}

bool running_jobs::kill_strays() noexcept {
  using namespace std::chrono_literals;
  // What a killed one had started becomes our child only when it has ended, so it is looked again, and again.
  const auto enough = system::clock::now() + 5s;
  for (;;) {
    bool any = false;
    try {
      for (const pid_t pid : children_of_this_program()) {
        if (there_before_.contains(pid)) continue;
        any = true;
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, WNOHANG);
      }
    } catch (...) {
      return false;  // no memory: nothing more can be done
    }
    if (!any) return true;
    if (system::clock::now() > enough) return false;
    sleep_for(1ms, {});
  }
}

}  // namespace penstock::runner
