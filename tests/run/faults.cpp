// Loaded before the C library (LD_PRELOAD) into `penstock run`: lets one chosen call fail, once.
//
//   PENSTOCK_FAULT="ppoll 3 12" LD_PRELOAD=librun_faults.so penstock run …    the third ppoll fails with errno 12
//   PENSTOCK_FAULT="ppoll 0 12"                                                every one
//   PENSTOCK_FAULT_COUNTS=FILE                                                 at exit: how often each call was made
//
// Only in a program that is called penstock; what it starts is left alone.
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

constexpr std::array<std::string_view, 23> names{
    "open",           "read",    "pread", "write", "writev", "fdatasync",  "pipe2",
    "posix_spawn",    "eventfd", "poll",  "ppoll", "fcntl",  "dup",        "fallocate",
    "ftruncate",      "lseek",   "mkdir", "fstat", "waitid", "pidfd_open", "pidfd_send_signal",
    "pthread_create", "access"};
std::array<std::atomic<unsigned>, names.size()> counts{};
int chosen = -1, chosen_errno = 0;
unsigned chosen_call = 0;
bool active = false;
char counts_file[4096];

int number_of(std::string_view name) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<int>(i);
  return -1;
}

__attribute__((constructor)) void begin() {
  if (std::strcmp(program_invocation_short_name, "penstock") != 0) return;
  ::unsetenv("LD_PRELOAD");
  if (const char* file = std::getenv("PENSTOCK_FAULT_COUNTS"))
    std::snprintf(counts_file, sizeof counts_file, "%s", file);
  char name[64] = "";
  if (const char* fault = std::getenv("PENSTOCK_FAULT"))
    if (std::sscanf(fault, "%63s %u %d", name, &chosen_call, &chosen_errno) == 3) chosen = number_of(name);
  active = true;
}

__attribute__((destructor)) void end() {
  if (!active || !counts_file[0]) return;
  active = false;
  if (std::FILE* file = std::fopen(counts_file, "w")) {
    for (std::size_t i = 0; i < names.size(); ++i)
      std::fprintf(file, "%.*s %u\n", static_cast<int>(names[i].size()), names[i].data(), counts[i].load());
    std::fclose(file);
  }
}

// The errno with which this call fails; 0: it does not.
int fault(std::string_view name) {
  if (!active) return 0;
  static thread_local bool inside = false;
  if (inside) return 0;
  const int number = number_of(name);
  const unsigned call = ++counts[static_cast<std::size_t>(number)];
  return number == chosen && (call == chosen_call || chosen_call == 0) ? chosen_errno : 0;
}

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

// The n-th call fails as the kernel would let it.
#define PENSTOCK_FAIL(name)            \
  if (const int error = fault(name)) { \
    errno = error;                     \
    return -1;                         \
  }

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  PENSTOCK_FAIL("open")
  static const auto next = real<int(const char*, int, ...)>("open");
  return next(path, flags, mode);
}
ssize_t read(int fd, void* to, size_t size) {
  PENSTOCK_FAIL("read")
  static const auto next = real<ssize_t(int, void*, size_t)>("read");
  return next(fd, to, size);
}
ssize_t pread(int fd, void* to, size_t size, off_t at) {
  PENSTOCK_FAIL("pread")
  static const auto next = real<ssize_t(int, void*, size_t, off_t)>("pread");
  return next(fd, to, size, at);
}
ssize_t write(int fd, const void* from, size_t size) {
  PENSTOCK_FAIL("write")
  static const auto next = real<ssize_t(int, const void*, size_t)>("write");
  return next(fd, from, size);
}
ssize_t writev(int fd, const iovec* parts, int count) {
  PENSTOCK_FAIL("writev")
  static const auto next = real<ssize_t(int, const iovec*, int)>("writev");
  return next(fd, parts, count);
}
int fdatasync(int fd) {
  PENSTOCK_FAIL("fdatasync")
  static const auto next = real<int(int)>("fdatasync");
  return next(fd);
}
int pipe2(int* fds, int flags) {
  PENSTOCK_FAIL("pipe2")
  static const auto next = real<int(int*, int)>("pipe2");
  return next(fds, flags);
}
int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const* words, char* const* variables) {
  if (const int error = fault("posix_spawn")) return error;
  static const auto next = real<int(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
                                    char* const*, char* const*)>("posix_spawn");
  return next(pid, path, actions, attributes, words, variables);
}
int eventfd(unsigned value, int flags) {
  PENSTOCK_FAIL("eventfd")
  static const auto next = real<int(unsigned, int)>("eventfd");
  return next(value, flags);
}
int poll(pollfd* fds, nfds_t count, int timeout) {
  PENSTOCK_FAIL("poll")
  static const auto next = real<int(pollfd*, nfds_t, int)>("poll");
  return next(fds, count, timeout);
}
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  PENSTOCK_FAIL("ppoll")
  static const auto next = real<int(pollfd*, nfds_t, const timespec*, const sigset_t*)>("ppoll");
  return next(fds, count, timeout, mask);
}
int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  if (command == F_DUPFD_CLOEXEC) {
    PENSTOCK_FAIL("fcntl")
  }
  static const auto next = real<int(int, int, ...)>("fcntl");
  return next(fd, command, argument);
}
int dup(int fd) {
  PENSTOCK_FAIL("dup")
  static const auto next = real<int(int)>("dup");
  return next(fd);
}
int fallocate(int fd, int mode, off_t at, off_t size) {
  PENSTOCK_FAIL("fallocate")
  static const auto next = real<int(int, int, off_t, off_t)>("fallocate");
  return next(fd, mode, at, size);
}
int ftruncate(int fd, off_t size) noexcept {
  PENSTOCK_FAIL("ftruncate")
  static const auto next = real<int(int, off_t)>("ftruncate");
  return next(fd, size);
}
off_t lseek(int fd, off_t at, int whence) noexcept {
  PENSTOCK_FAIL("lseek")
  static const auto next = real<off_t(int, off_t, int)>("lseek");
  return next(fd, at, whence);
}
int mkdir(const char* path, mode_t mode) noexcept {
  PENSTOCK_FAIL("mkdir")
  static const auto next = real<int(const char*, mode_t)>("mkdir");
  return next(path, mode);
}
int fstat(int fd, struct stat* about) noexcept {
  PENSTOCK_FAIL("fstat")
  static const auto next = real<int(int, struct stat*)>("fstat");
  return next(fd, about);
}
int access(const char* path, int mode) noexcept {
  PENSTOCK_FAIL("access")
  static const auto next = real<int(const char*, int)>("access");
  return next(path, mode);
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) noexcept {
  if (const int error = fault("pthread_create")) return error;
  static const auto next = real<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  return next(thread, attributes, run, argument);
}
// The process library makes these calls without the C library's functions.
long syscall(long number, ...) noexcept {
  va_list rest;
  va_start(rest, number);
  long a[6];
  for (long& each : a) each = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_waitid) {
    PENSTOCK_FAIL("waitid")
  }
  if (number == SYS_pidfd_open) {
    PENSTOCK_FAIL("pidfd_open")
  }
  if (number == SYS_pidfd_send_signal) {
    PENSTOCK_FAIL("pidfd_send_signal")
  }
  static const auto next = real<long(long, ...)>("syscall");
  return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

}  // extern "C"
