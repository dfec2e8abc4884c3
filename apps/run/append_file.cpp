#include "apps/run/append_file.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::runner {

append_file::append_file(const std::string& path, start how)
    : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (how == start::empty ? O_TRUNC : 0), 0666)) {
  struct stat about {};
  if (!file_ || ::fstat(file_.get(), &about) != 0) throw std::system_error(errno, std::generic_category(), path);
  was_empty_ = about.st_size == 0;
  if (!S_ISREG(about.st_mode)) stream_.emplace(file_.get());
  char last = '\n';
  if (about.st_size > 0 && S_ISREG(about.st_mode) && ::pread(file_.get(), &last, 1, about.st_size - 1) == 1)
    torn_ = last != '\n';
}

int append_file::add(std::string_view record) noexcept {
  if (stream_) {
    mutex_lock lock(one_at_a_time_);
    return stream_->write(record);
  }
  try {
    std::string after;
    if (torn_.exchange(false)) {
      after = '\n';
      record = after += record;
    }
    for (;;) {
      const ssize_t n = ::write(file_.get(), record.data(), record.size());
      if (n == static_cast<ssize_t>(record.size())) return 0;
      if (n < 0 && errno == EINTR) continue;
      const int error = n < 0 ? errno : ENOSPC;
      if (n > 0) torn_ = true;
      return error;
    }
  } catch (...) {
    return ENOMEM;
  }
}

int append_file::sync() noexcept { return ::fdatasync(file_.get()) == 0 || errno == EINVAL ? 0 : errno; }

std::string as_field(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '\t':
        out += "\\t";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\\':
        out += "\\\\";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string from_field(std::string_view field) {
  std::string out;
  out.reserve(field.size());
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] != '\\' || i + 1 == field.size()) {
      out += field[i];
      continue;
    }
    const char c = field[++i];
    out += c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
  }
  return out;
}

}  // namespace penstock::runner
