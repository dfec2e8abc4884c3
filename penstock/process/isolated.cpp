#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <penstock/base/exception_text.hpp>
#include <penstock/process/descriptors.hpp>
#include <penstock/process/isolated.hpp>

namespace penstock::process::isolation_parts {
namespace {

constexpr const char* mark = "penstock-worker";
constexpr std::size_t length_bytes = 4;

// Whether main() has begun as it must: a program that does not would run its main() once more in place of a worker.
std::atomic<bool> main_serves = false;

// --- the worker's side ---

int replies_to = -1;

// The reader of the replies is gone, and with it the parent: nobody waits for what f does, if it ends at all.
void on_change(int) {
  const int saved = errno;
  pollfd parent{replies_to, 0, 0};
  if (::poll(&parent, 1, 0) > 0 && (parent.revents & POLLERR)) ::_exit(1);
  errno = saved;
}
void end_with_the_parent() {
  struct sigaction action {};
  action.sa_handler = on_change;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGIO, &action, nullptr);
  ::fcntl(replies_to, F_SETOWN, ::getpid());
  ::fcntl(replies_to, F_SETFL, ::fcntl(replies_to, F_GETFL) | O_ASYNC);
  on_change(SIGIO);  // it may be gone already
}

[[noreturn]] void refuse(const char* why) {
  std::fprintf(stderr, "penstock: %s\n", why);
  ::_exit(127);
}

// Before the first item. A worker that cannot be limited does not work without.
void limit(const char* memory, const char* cores) {
  if (std::strcmp(cores, "cores") != 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
  }
  const std::string_view text(memory);
  rlim_t bytes = 0;
  std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (bytes == 0) return;
  std::size_t pages = 0;
  std::FILE* const now = std::fopen("/proc/self/statm", "re");
  if (!now || std::fscanf(now, "%zu", &pages) != 1) refuse("how much memory a worker has cannot be read");
  std::fclose(now);
  rlimit both{};
  if (::getrlimit(RLIMIT_AS, &both) != 0) refuse("the memory of a worker cannot be limited");
  // A stricter limit that holds already stays; a sum beyond the largest number is none.
  const rlim_t has = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
  both.rlim_max = std::min(both.rlim_max, bytes > RLIM_INFINITY - has ? RLIM_INFINITY : bytes + has);
  both.rlim_cur = both.rlim_max;
  if (::setrlimit(RLIMIT_AS, &both) != 0) refuse("the memory of a worker cannot be limited");
}

void reply(char kind, std::string_view bytes) {
  const std::size_t size = bytes.size() + 1;
  char head[length_bytes + 1];
  for (std::size_t i = 0; i < length_bytes; ++i) head[i] = static_cast<char>(size >> (8 * i));
  head[length_bytes] = kind;
  std::size_t written = 0;
  while (written < sizeof head + bytes.size()) {
    const std::size_t of_bytes = written > sizeof head ? written - sizeof head : 0;
    const std::size_t of_head = written < sizeof head ? written : sizeof head;
    iovec parts[2] = {{head + of_head, sizeof head - of_head},
                      {const_cast<char*>(bytes.data()) + of_bytes, bytes.size() - of_bytes}};
    const ssize_t n = ::writev(replies_to, parts, 2);
    if (n < 0 && errno != EINTR) {
      if (errno == EBADF) refuse("an isolated function closed the descriptors of its worker");
      ::_exit(1);  // the parent is gone
    }
    if (n > 0) written += static_cast<std::size_t>(n);
  }
}

// Of a copy of this worker, which a function has made by fork(): it has no requests, and nothing to answer.
bool is_copy = false;

// Each reply is written before the next request is begun: what has been said cannot die with the worker.
void answer(const served& function, std::string_view request) {
  try {
    const std::string bytes = function.call(request);
    if (is_copy) ::_exit(1);
    if (bytes.size() >= 0xffff'ffff) throw std::length_error("a result longer than 4 GiB");
    reply('+', bytes);
  } catch (...) {
    if (is_copy) ::_exit(1);
    const std::exception_ptr thrown = std::current_exception();
    if (!thrown) {
      // No exception of the language: pthread_exit(), or a cancellation. The thread of the worker cannot go on.
      reply('!', "ended: the function ended its thread");
      ::_exit(1);
    }
    reply('-', exception_text(thrown));
  }
}

// Whether the requests still come by the pipe that they came by: a function may close any descriptor, and another file
// may have its number since.
bool is_pipe(int fd, const struct stat& as) {
  struct stat about {};
  return ::fstat(fd, &about) == 0 && about.st_dev == as.st_dev && about.st_ino == as.st_ino;
}

[[noreturn]] void work(const served& function, int requests) {
  std::string in(65'536, '\0');
  std::size_t from = 0, to = 0;
  struct stat first {};
  ::fstat(requests, &first);
  for (;;) {
    while (to - from >= length_bytes) {
      std::size_t length = 0;
      for (std::size_t i = 0; i < length_bytes; ++i)
        length |= std::size_t{static_cast<unsigned char>(in[from + i])} << (8 * i);
      if (to - from - length_bytes < length) {
        if (in.size() - from < length + length_bytes) {
          in.erase(0, from);
          to -= std::exchange(from, 0);
          in.resize(std::max(in.size(), length + length_bytes));
        }
        break;
      }
      answer(function, std::string_view(in).substr(from + length_bytes, length));
      from += length_bytes + length;
    }
    if (from == to) from = to = 0;
    if (to == in.size()) {
      in.erase(0, from);
      to -= std::exchange(from, 0);
      in.resize(to + 65'536);
    }
    if (!is_pipe(requests, first)) refuse("an isolated function closed the descriptors of its worker");
    const ssize_t n = ::read(requests, in.data() + to, in.size() - to);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    to += static_cast<std::size_t>(n);
  }
  std::fflush(nullptr);
  ::_exit(0);  // not exit(): nothing of main() has begun, so there is nothing of it to end
}

}  // namespace

void serve(int argc, char** argv, std::span<const served> functions) {
  if (argc != 5 || std::strcmp(argv[1], mark) != 0) {
    main_serves = true;
    return;
  }
  for (const served& f : functions) {
    if (std::strcmp(f.name, argv[2]) != 0) continue;
    // The pipes move away from where f, or a library of it, would read and print.
    const int requests = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    replies_to = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    ::close(nothing);
    end_with_the_parent();
    ::pthread_atfork(nullptr, nullptr, [] { is_copy = true; });
    limit(argv[3], argv[4]);
    reply('+', {});  // here I am
    work(f, requests);
  }
  std::fprintf(stderr, "penstock: serve_if_worker() in main() does not name the function that is isolated: %s\n",
               argv[2]);
  ::_exit(127);
}

// --- the parent's side ---

worker_process make_worker(const char* function, const isolation& how) {
  if (!main_serves)
    throw std::logic_error("penstock: main() must begin with serve_if_worker<...>(argc, argv) to isolate a function");
  return {
      command({"/proc/self/exe", mark, function, std::to_string(how.memory_bytes), how.core_dumps ? "cores" : "none"}),
      {.framing = framing::answers, .deadline = how.deadline, .most_bytes = how.most_bytes}};
}

}  // namespace penstock::process::isolation_parts
