#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/process/child_state.hpp>
#include <penstock/process/descriptors.hpp>
#include <penstock/process/spawn.hpp>
#include <penstock/process/start_program.hpp>

namespace penstock::process {
namespace {

constexpr std::array standard_names{"input", "output", "errors"};

spawn_error cannot_start(const command& what, int error, const std::string& why,
                         spawn_error::part part = spawn_error::part::program) {
  return {part, error, "cannot start " + shell_quoted(what.words().front()) + why};
}

// A zero byte ends a name for the system: what follows it would be cut off, and another file be meant.
void refuse_zero_byte(const std::string& text, const char* where) {
  if (text.find('\0') != text.npos) throw std::invalid_argument("penstock: a zero byte in " + std::string(where));
}
void check_texts(const command& what, const spawn_options& options) {
  if (what.words().empty()) throw std::invalid_argument("penstock: a command without words");
  for (const std::string& word : what.words()) refuse_zero_byte(word, "a word of a command");
  refuse_zero_byte(what.directory().native(), "the name of a directory");
  for (const redirect* each : {&options.in, &options.out, &options.err})
    refuse_zero_byte(each->path().native(), "the name of a file");
}

bool is_shortage(int error) { return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE; }

// 0, or why this path cannot be executed: also EACCES for what is no file, as exec says.
int reason_not_to_execute(const std::string& path) {
  if (::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) != 0) return errno;
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return errno;
  return S_ISREG(about.st_mode) ? 0 : EACCES;
}

// Where execvp would look; by ourselves, so that the child's own PATH counts, a relative name is meant from here and
// not from its directory, and the error says what was tried.
std::string find_program(const command& what, const std::vector<std::string>& environment) {
  const std::string& name = what.words().front();
  const auto from_here = [&](const std::string& path) {
    if (path.front() == '/' || what.directory().empty()) return path;
    // Without its own directory's name a relative path would be looked for in the child's directory.
    std::error_code error;
    const std::filesystem::path here = std::filesystem::current_path(error);
    if (error) throw cannot_start(what, error.value(), ": program " + path + ", from a directory without a name");
    return (here / path).native();
  };
  if (name.empty()) throw cannot_start(what, ENOENT, ": program");
  if (name.find('/') != name.npos) return from_here(name);
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  if (what.keeps_environment()) {
    if (const char* ours = std::getenv("PATH")) path = ours;
  } else {
    for (const std::string& entry : environment)
      if (entry.starts_with("PATH=")) path = entry.substr(5);
  }
  int error = ENOENT;
  for (std::size_t from = 0; from <= path.size();) {
    const std::size_t colon = std::min(path.find(':', from), path.size());
    std::string candidate = path.substr(from, colon - from);
    from = colon + 1;
    candidate += candidate.empty() ? "./" + name : '/' + name;
    const int reason = reason_not_to_execute(candidate);
    if (reason == 0) return from_here(candidate);
    if (is_shortage(reason)) throw cannot_start(what, reason, "", spawn_error::part::system);
    if (reason == EACCES) error = EACCES;
  }
  throw cannot_start(what, error, ": program, searched for in " + (path.empty() ? "an empty PATH" : path));
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> made;
  made.reserve(strings.size() + 1);
  for (const std::string& s : strings) made.push_back(const_cast<char*>(s.c_str()));  // exec does not write
  made.push_back(nullptr);
  return made;
}

// What a descriptor of the child is made from. -1: nothing is done about it.
struct source {
  int fd = -1;
  unique_fd own;
};

std::string name_of_standard(std::size_t which) { return "standard " + std::string(standard_names[which]); }

unique_fd open_file(const command& what, const std::filesystem::path& path, int flags, std::size_t which) {
  unique_fd file(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0666));
  if (!file)
    throw cannot_start(what, errno, ": " + name_of_standard(which) + ", file " + path.string(),
                       spawn_error::part::descriptor);
  return file;
}

// `ours`: where the end of a pipe that stays here goes.
source source_of(const command& what, const redirect& where, std::size_t which, unique_fd& ours) {
  const auto owned = [](unique_fd fd) {
    const int number = fd.get();
    return source{number, std::move(fd)};
  };
  switch (where.what()) {
    case redirect::kind::inherit:
    case redirect::kind::as_out:
      return {};
    case redirect::kind::null:
      return owned(open_file(what, "/dev/null", which == 0 ? O_RDONLY : O_WRONLY, which));
    case redirect::kind::pipe: {
      pipe_ends ends = make_pipe();
      ours = std::move(which == 0 ? ends.write : ends.read);
      return owned(std::move(which == 0 ? ends.read : ends.write));
    }
    case redirect::kind::from_file:
      return owned(open_file(what, where.path(), O_RDONLY, which));
    case redirect::kind::to_file:
      return owned(open_file(what, where.path(), O_WRONLY | O_CREAT | O_TRUNC, which));
    case redirect::kind::append_to:
      return owned(open_file(what, where.path(), O_WRONLY | O_CREAT | O_APPEND, which));
    case redirect::kind::descriptor:
      break;
  }
  if (::fcntl(where.get(), F_GETFD) < 0)
    throw cannot_start(what, errno, ": " + name_of_standard(which) + ", descriptor " + std::to_string(where.get()),
                       spawn_error::part::descriptor);
  return {where.get(), {}};
}

// The same, with each failure as a spawn_error that names the descriptor.
source source_or_error(const command& what, const redirect& where, std::size_t which, unique_fd& ours) {
  try {
    source made = source_of(what, where, which, ours);
    if (made.own) {
      made.own = moved_above(std::move(made.own));
      made.fd = made.own.get();
    }
    return made;
  } catch (const spawn_error&) {
    throw;
  } catch (const std::system_error& e) {
    throw cannot_start(what, e.code().value(), ": " + name_of_standard(which), spawn_error::part::descriptor);
  }
}

// A failed start tells an error number only. What it can have been is looked at afterwards.
[[noreturn]] void explain(const command& what, const std::string& program, bool is_limited, int error) {
  if (is_shortage(error) || error == EPERM || error == ESRCH)
    throw cannot_start(what, error, "", spawn_error::part::system);
  if (!what.directory().empty()) {
    struct stat about {};
    const char* const directory = what.directory().c_str();
    int reason = ::stat(directory, &about) != 0 ? errno : S_ISDIR(about.st_mode) ? 0 : ENOTDIR;
    if (!reason && ::faccessat(AT_FDCWD, directory, X_OK, AT_EACCESS) != 0) reason = errno;
    if (reason)
      throw cannot_start(what, reason, ": directory " + what.directory().string(), spawn_error::part::directory);
  }
  if (error == E2BIG)
    throw cannot_start(
        what, error, std::string(": arguments and environment together") + (is_limited ? ", or its memory limit" : ""),
        spawn_error::part::arguments);
  struct stat about {};
  if (error == ENOENT && ::stat(program.c_str(), &about) == 0)
    throw cannot_start(what, error, ": program " + program + " is there, its interpreter or loader is not");
  throw cannot_start(what, error, ": program " + program);
}

}  // namespace

class spawner {
 public:
  static child start(const command& what, spawn_options options);
};

child spawner::start(const command& what, spawn_options options) {
  check_texts(what, options);
  const std::vector<std::string> environment =
      what.keeps_environment() ? std::vector<std::string>{} : what.environment();
  const std::string program = find_program(what, environment);
  auto made = std::make_unique<child::state>();

  // --- descriptors: where each of the child's comes from ---
  const int above = 3 + static_cast<int>(options.pass.size());
  std::vector<source> sources(static_cast<std::size_t>(above));
  if (options.in.what() == redirect::kind::as_out || options.out.what() == redirect::kind::as_out)
    throw std::invalid_argument("penstock: only errors can go where the output goes");
  sources[0] = source_or_error(what, options.in, 0, made->in);
  sources[1] = source_or_error(what, options.out, 1, made->out);
  sources[2] = source_or_error(what, options.err, 2, made->err);
  if (options.err.what() == redirect::kind::as_out) sources[2].fd = sources[1].fd >= 0 ? sources[1].fd : STDOUT_FILENO;
  for (std::size_t i = 0; i < options.pass.size(); ++i) {
    sources[3 + i].fd = options.pass[i];
    if (::fcntl(options.pass[i], F_GETFD) < 0)
      throw cannot_start(what, errno, ": descriptor " + std::to_string(options.pass[i]), spawn_error::part::descriptor);
  }
  // A source among the targets would be overwritten before its turn: it is copied out of the way. One that is its own
  // target is only made to survive exec.
  for (int target = 0; target < above; ++target) {
    source& from = sources[static_cast<std::size_t>(target)];
    if (from.fd < 0 || from.fd == target || from.fd >= above) continue;
    unique_fd copy = duplicate_above(from.fd, above);
    if (!copy)
      throw cannot_start(what, errno, ": a copy of descriptor " + std::to_string(from.fd),
                         spawn_error::part::descriptor);
    from.fd = copy.get();
    from.own = std::move(copy);
  }
  const std::vector<char*> words = pointers(what.words());
  const std::vector<char*> variables = pointers(environment);
  made->leads_group = options.group == spawn_options::own_group;
  program_start start{.program = program.c_str(),
                      .words = words.data(),
                      .environment = what.keeps_environment() ? environ : variables.data(),
                      .directory = what.directory().empty() ? nullptr : what.directory().c_str(),
                      .copies = {},
                      .close_from = above,
                      .joins_group = options.group != 0,
                      .group = made->leads_group ? 0 : options.group,
                      .memory_bytes = options.memory_bytes};
  for (int target = 0; target < above; ++target)
    if (const int fd = sources[static_cast<std::size_t>(target)].fd; fd >= 0) start.copies.push_back({fd, target});

  // The child's own descriptor is made once it runs. One is reserved before, so that a program which has none left is
  // refused before anything has begun.
  unique_fd reserved(::eventfd(0, EFD_CLOEXEC));
  if (!reserved) throw cannot_start(what, errno, ": no descriptor for it", spawn_error::part::descriptor);

  made->started = system::clock::now();
  int error = 0;
  for (int attempt = 1;; ++attempt) {
    error = start_program(start, made->pid);
    if (error != ETXTBSY || attempt > 5) break;
    // A program that was written a moment ago: some other thread's child, between its fork and its exec, still has it
    // open. It is over in a moment, and there is nothing to wait for but time.
    std::this_thread::sleep_for(std::chrono::milliseconds(attempt * attempt));
  }
  if (error) explain(what, program, options.memory_bytes != 0, error);

  // Nobody has collected the child yet, unless SIGCHLD is ignored or somebody here waits for all children. Then the
  // number may even be another process's by now, which is not our child.
  reserved.reset();
  made->pidfd.reset(open_process(made->pid));
  // Another thread may have taken the reserved one.
  for (int attempt = 1; !made->pidfd && is_shortage(errno) && attempt <= 5; ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(attempt * attempt));
    made->pidfd.reset(open_process(made->pid));
  }
  if (made->pidfd) {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(made->pidfd.get()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 &&
        errno == ECHILD) {
      made->pidfd.reset();
    } else if (made->pidfd.get() < 3) {
      // Where it must not fail any more, a low one will do: no child inherits it.
      if (unique_fd higher = duplicate_above(made->pidfd.get()); higher) made->pidfd = std::move(higher);
    }
  } else if (errno != ESRCH) {
    // No descriptor left for it, and without one nobody could wait for it.
    const int reason = errno;
    ::kill(made->pid, SIGKILL);
    int ignored = 0;
    while (::waitpid(made->pid, &ignored, 0) < 0 && errno == EINTR) {
    }
    throw cannot_start(what, reason, ": no descriptor for it", spawn_error::part::descriptor);
  }
  return child(std::move(made));
}

bool is_shortage(const std::error_code& code) noexcept {
  // Both categories number these as errno does.
  return (code.category() == std::generic_category() || code.category() == std::system_category()) &&
         is_shortage(code.value());
}

bool program_exists(const std::string& name) {
  if (name.find('\0') != name.npos) return false;
  try {
    return reason_not_to_execute(find_program(command({name}), {})) == 0;
  } catch (const spawn_error&) {
    return false;
  }
}

child spawn(const command& what, spawn_options options) { return spawner::start(what, std::move(options)); }

}  // namespace penstock::process
