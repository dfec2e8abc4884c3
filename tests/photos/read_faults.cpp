// Preloaded into penstock: system calls on chosen paths fail, as on a faulty card, a share that has gone, or a full disk.
//
//   PENSTOCK_TEST_FAULTS="read:5:/IMG_2.jpg;readdir:5:/DCIM:3;any:2:/card:40"
//
// Each fault is CALL:ERRNO:PART-OF-THE-PATH[:N]. The first N calls on such a path succeed, all later ones fail.
// CALL is open, read (read and pread), opendir, readdir, stat (stat and lstat), write, or any (all of them but write).
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

struct fault {
  std::string call, part;
  int error = 0;
  long good = 0;
  std::atomic<long> calls = 0;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (const char c : text) c == at ? static_cast<void>(parts.emplace_back()) : parts.back().push_back(c);
  return parts;
}

// Never destroyed: calls are made until the process ends.
std::vector<fault>& faults() {
  static auto* const all = [] {
    const char* const text = std::getenv("PENSTOCK_TEST_FAULTS");
    std::vector<std::vector<std::string>> given;
    for (const auto& one : split(text ? text : "", ';'))
      if (auto parts = split(one, ':'); parts.size() >= 3) given.push_back(std::move(parts));
    auto* const made = new std::vector<fault>(given.size());
    for (std::size_t i = 0; i < given.size(); ++i) {
      fault& f = (*made)[i];
      f.call = given[i][0];
      f.error = std::atoi(given[i][1].c_str());
      f.part = given[i][2];
      f.good = given[i].size() > 3 ? std::atol(given[i][3].c_str()) : 0;
    }
    return made;
  }();
  return *all;
}

bool fails(std::string_view call, std::string_view path) {
  for (fault& f : faults()) {
    const bool any = f.call == "any" && call != "write";
    if ((any || f.call == call) && path.find(f.part) != std::string_view::npos && f.calls++ >= f.good) {
      errno = f.error;
      return true;
    }
  }
  return false;
}

bool fails_at(std::string_view call, int file) {
  if (faults().empty()) return false;
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  std::array<char, PATH_MAX> path{};
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size > 0 && fails(call, {path.data(), static_cast<std::size_t>(size)});
}

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int open_it(const char* path, int flags, mode_t mode) {
  static auto* const next = real<int(const char*, int, ...)>("open");
  return fails("open", path) ? -1 : next(path, flags, mode);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_it(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_it(path, flags, mode);
}
ssize_t read(int file, void* into, size_t size) {
  static auto* const next = real<ssize_t(int, void*, size_t)>("read");
  return fails_at("read", file) ? -1 : next(file, into, size);
}
ssize_t pread(int file, void* into, size_t size, off_t at) {
  static auto* const next = real<ssize_t(int, void*, size_t, off_t)>("pread");
  return fails_at("read", file) ? -1 : next(file, into, size, at);
}
ssize_t pread64(int file, void* into, size_t size, off64_t at) { return pread(file, into, size, at); }
ssize_t write(int file, const void* from, size_t size) {
  static auto* const next = real<ssize_t(int, const void*, size_t)>("write");
  return fails_at("write", file) ? -1 : next(file, from, size);
}
DIR* opendir(const char* path) {
  static auto* const next = real<DIR*(const char*)>("opendir");
  return fails("opendir", path) ? nullptr : next(path);
}
struct dirent* readdir(DIR* from) {
  static auto* const next = real<struct dirent*(DIR*)>("readdir");
  return fails_at("readdir", ::dirfd(from)) ? nullptr : next(from);
}
struct dirent64* readdir64(DIR* from) {
  static auto* const next = real<struct dirent64*(DIR*)>("readdir64");
  return fails_at("readdir", ::dirfd(from)) ? nullptr : next(from);
}
int stat(const char* path, struct stat* out) noexcept {
  static auto* const next = real<int(const char*, struct stat*)>("stat");
  return fails("stat", path) ? -1 : next(path, out);
}
int lstat(const char* path, struct stat* out) noexcept {
  static auto* const next = real<int(const char*, struct stat*)>("lstat");
  return fails("stat", path) ? -1 : next(path, out);
}
int stat64(const char* path, struct stat64* out) noexcept {
  static auto* const next = real<int(const char*, struct stat64*)>("stat64");
  return fails("stat", path) ? -1 : next(path, out);
}
int lstat64(const char* path, struct stat64* out) noexcept {
  static auto* const next = real<int(const char*, struct stat64*)>("lstat64");
  return fails("stat", path) ? -1 : next(path, out);
}

}  // extern "C"
