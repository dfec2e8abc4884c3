// process: what the gallery's tests need another process for. Everything it does goes through the real store.
//
//   publish DIR FIRST COUNT THREADS   publishes photos FIRST..FIRST+COUNT-1; a line "ID" for each, once publish()
//   returned limited DIR SEED BYTES            publishes one photo when no file may grow above BYTES; prints what
//   publish() threw unsynced DIR SEED fsync|fdatasync publishes one photo, and the next, when this system call fails
//   with EIO; same hold DIR SEED                     opens DIR, publishes SEED, says "open", and stays until its input
//   ends
//
// Exit code 0: all was published; 1: publish() threw.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/gallery/fixtures.hpp"

namespace penstock::gallery {
namespace {

void say(const std::string& text) {
  const std::string line = text + '\n';
  static_cast<void>(!::write(STDOUT_FILENO, line.data(), line.size()));
}

int publish(const std::string& directory, std::uint64_t first, std::uint64_t count, unsigned threads) {
  store gallery(directory);
  say("open");
  std::atomic<std::uint64_t> next = first;
  const auto work = [&] {
    for (std::uint64_t seed = next++; seed < first + count; seed = next++) {
      gallery.publish(photo_of(seed));
      say(id_of(seed));
    }
  };
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < threads; ++i) workers.emplace_back(work);
  return 0;
}

int try_to_publish(store& gallery, std::uint64_t seed) {
  try {
    gallery.publish(photo_of(seed, 100'000));
    return 0;
  } catch (const std::exception& failure) {
    say(failure.what());
    return 1;
  }
}

int publish_limited(const std::string& directory, std::uint64_t seed, rlim_t bytes) {
  store gallery(directory);
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {bytes, bytes};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
  return try_to_publish(gallery, seed);
}

// From here on the kernel answers the system call `number` with EIO, as it does for a dying disk.
bool break_system_call(unsigned number) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {sizeof program / sizeof *program, program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

int publish_unsynced(const std::string& directory, std::uint64_t seed, const std::string& call) {
  store gallery(directory);
  if (!break_system_call(call == "fsync" ? SYS_fsync : SYS_fdatasync)) return 2;
  const int first = try_to_publish(gallery, seed);
  return try_to_publish(gallery, seed + 1) | first;
}

int hold(const std::string& directory, std::uint64_t seed) {
  store gallery(directory);
  gallery.publish(photo_of(seed));
  say("open");
  char byte;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}

}  // namespace
}  // namespace penstock::gallery

int main(int argc, char** argv) try {
  using namespace penstock::gallery;
  const std::vector<std::string> a(argv + 1, argv + argc);
  if (a.size() == 5 && a[0] == "publish")
    return publish(a[1], std::stoull(a[2]), std::stoull(a[3]), static_cast<unsigned>(std::stoul(a[4])));
  if (a.size() == 4 && a[0] == "limited") return publish_limited(a[1], std::stoull(a[2]), std::stoull(a[3]));
  if (a.size() == 4 && a[0] == "unsynced") return publish_unsynced(a[1], std::stoull(a[2]), a[3]);
  if (a.size() == 3 && a[0] == "hold") return hold(a[1], std::stoull(a[2]));
  return 2;
} catch (const std::exception& failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 3;
}
