#include "apps/gallery/token.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <penstock/base/unique_fd.hpp>

namespace penstock::gallery {
namespace {

constexpr std::size_t max_token_bytes = 4096;

std::string checked(std::string token, const std::string& origin) {
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  const std::string advice = ": make one with \"openssl rand -hex 32\"";
  if (token.size() < min_token_length)
    throw std::runtime_error("the token in " + origin + " is shorter than " + std::to_string(min_token_length) +
                             " characters" + advice);
  if (token.size() > max_token_bytes) throw std::runtime_error("the token in " + origin + " is far too long" + advice);
  if (std::ranges::any_of(token, [](char c) { return c <= ' ' || c > '~'; }))
    throw std::runtime_error("the token in " + origin + " has a space, a line feed or a character that is not ASCII" +
                             advice);
  return token;
}

found_token read_token_file(const std::filesystem::path& file) {
  const auto fail = [&](int reason) {
    throw std::runtime_error("cannot read the token from " + file.string() + ": " +
                             std::generic_category().message(reason));
  };
  const unique_fd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = {};
  if (!opened || ::fstat(opened.get(), &status) != 0) fail(errno);
  std::string text(max_token_bytes + 2, '\0');
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const ssize_t got = ::read(opened.get(), text.data() + bytes, text.size() - bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(errno);
    if (got == 0) break;
    bytes += static_cast<std::size_t>(got);
  }
  text.resize(bytes);
  found_token found{checked(std::move(text), file.string()), ""};
  if (S_ISREG(status.st_mode) && (status.st_mode & S_IROTH) != 0)
    found.warning =
        "every user of this machine can read the token in " + file.string() + ": chmod 600 " + file.string();
  return found;
}

}  // namespace

std::optional<found_token> read_token(const std::filesystem::path& file) {
  if (!file.empty()) return read_token_file(file);
  const char* const text = std::getenv("PENSTOCK_TOKEN");
  if (text == nullptr) return std::nullopt;
  return found_token{checked(text, "PENSTOCK_TOKEN"), ""};
}

}  // namespace penstock::gallery
