#include "tests/gallery/fixtures.hpp"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/gallery/bundle.hpp"
#include "apps/gallery/rules.hpp"

namespace penstock::gallery {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// As a parser sees it: the beginning, one scan, the end. No decoder would make a picture of it.
std::vector<std::byte> jpeg_of(std::uint64_t seed, std::size_t bytes) {
  constexpr std::string_view begin("\xff\xd8\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00", 12);
  std::vector<std::byte> file(bytes);
  for (auto& b : file) {
    b = static_cast<std::byte>(splitmix64(seed));
    if (b == std::byte{0xff}) b = std::byte{0xfe};
  }
  for (std::size_t i = 0; i < begin.size(); ++i) file.at(i) = static_cast<std::byte>(begin[i]);
  file.at(bytes - 2) = std::byte{0xff};
  file.at(bytes - 1) = std::byte{0xd9};
  return file;
}

}  // namespace

temporary_directory::temporary_directory() {
  std::string pattern = (fs::temp_directory_path() / "penstock-gallery-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) fail("mkdtemp");
  path_ = pattern;
}

temporary_directory::~temporary_directory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string id_of(std::uint64_t seed) {
  constexpr char digits[] = "0123456789abcdef";
  std::string id;
  for (std::uint64_t state = seed; id.size() < 64;) {
    std::uint64_t value = splitmix64(state);
    for (int i = 0; i < 16; ++i, value >>= 4) id += digits[value & 15];
  }
  return id;
}

photo photo_of(std::uint64_t seed, std::size_t bytes) {
  return {id_of(seed),
          {{640, 480, "image/jpeg", jpeg_of(seed, bytes)}, {320, 240, "image/jpeg", jpeg_of(seed + 1, bytes / 2 + 3)}},
          {}};
}

std::set<std::string> directories_on_disk(const fs::path& gallery) {
  std::set<std::string> found;
  for (const auto& shelf : fs::directory_iterator(gallery / "photos"))
    if (shelf.is_directory())
      for (const auto& place : fs::directory_iterator(shelf)) found.insert(place.path().filename());
  return found;
}

std::vector<fs::path> drafts_on_disk(const fs::path& gallery) {
  std::vector<fs::path> found;
  for (const auto& session : fs::directory_iterator(gallery / "tmp"))
    for (const auto& draft : fs::directory_iterator(session)) found.push_back(draft.path());
  return found;
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string text_of(const rendition& item) {
  return {reinterpret_cast<const char*>(item.bytes.data()), item.bytes.size()};
}

std::string difference(store& gallery, const photo& item) {
  const auto shown = gallery.find(item.id);
  if (!shown) return "not visible";
  if (shown->renditions.size() != item.renditions.size()) return "another number of renditions";
  if (shown->fields != item.fields) return "other fields";
  for (const auto& r : item.renditions) {
    const auto file = gallery.rendition_of(item.id, r.width, r.media_type);
    if (!file) return "a rendition is not listed";
    if (file->described.height != r.height) return "another height";
    if (text_of(file->path) != text_of(r)) return "other bytes in " + file->path.string();
  }
  return "";
}

child_process::child_process(std::vector<std::string> arguments) {
  int to_child[2], from_child[2];
  if (::pipe2(to_child, O_CLOEXEC) != 0 || ::pipe2(from_child, O_CLOEXEC) != 0) fail("pipe2");
  const unique_fd child_in(to_child[0]), child_out(from_child[1]);
  input_.reset(to_child[1]);
  output_.reset(from_child[0]);
  std::vector<char*> argv;
  std::string program = PENSTOCK_GALLERY_TEST_PROCESS;
  argv.push_back(program.data());
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, child_in.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, child_out.get(), STDOUT_FILENO);
  errno = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (errno != 0) fail("posix_spawn");
}

child_process::~child_process() {
  if (pid_ < 0) return;
  kill();
  wait();
}

void child_process::kill() { ::kill(pid_, SIGKILL); }
void child_process::close_input() { input_.reset(); }

std::string child_process::read_line() {
  for (;;) {
    if (const auto end = buffered_.find('\n'); end != std::string::npos) {
      std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return line;
    }
    char bytes[4096];
    const ssize_t got = ::read(output_.get(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return "";
    buffered_.append(bytes, static_cast<std::size_t>(got));
  }
}

std::string child_process::read_all() {
  std::string all;
  for (std::string line = read_line(); !line.empty(); line = read_line()) all += line + '\n';
  return all;
}

int child_process::wait() {
  if (pid_ >= 0) {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return status_;
}

std::string raw_reply::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

raw_connection::raw_connection(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!socket_ || ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
}

bool raw_connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void raw_connection::send_end() { ::shutdown(socket_.get(), SHUT_WR); }

bool raw_connection::fill() {
  char bytes[65536];
  for (;;) {
    const ssize_t got = ::recv(socket_.get(), bytes, sizeof bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    buffered_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }
}

bool raw_connection::is_at_end() { return buffered_.empty() && !fill(); }

std::string raw_connection::read_line() {
  for (;;) {
    if (const auto end = buffered_.find('\n'); end != std::string::npos) {
      std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return line;
    }
    if (!fill()) return "";
  }
}

raw_reply raw_connection::read_reply(bool with_body) {
  raw_reply reply;
  std::size_t end;
  while ((end = buffered_.find("\r\n\r\n")) == std::string::npos)
    if (!fill()) return reply;
  std::string head = buffered_.substr(0, end + 2);
  buffered_.erase(0, end + 4);
  const int status = std::atoi(head.substr(9, 3).c_str());
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const auto line_end = head.find("\r\n", at);
    const auto colon = head.find(": ", at);
    std::string name = head.substr(at, colon - at);
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    reply.headers.emplace(name, head.substr(colon + 2, line_end - colon - 2));
    at = line_end + 2;
  }
  const std::size_t length = static_cast<std::size_t>(std::atoll(reply.header("content-length").c_str()));
  if (with_body && length > 0 && status != 304) {
    while (buffered_.size() < length)
      if (!fill()) return reply;
    reply.body = buffered_.substr(0, length);
    buffered_.erase(0, length);
  }
  reply.status = status;
  return reply;
}

std::string get(std::string_view target, std::string_view more) {
  return get_without_token(target, "Authorization: Bearer " + std::string(test_token) + "\r\n" + std::string(more));
}

std::string get_without_token(std::string_view target, std::string_view more) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(more) + "\r\n";
}

std::string put(const photo& item, std::string_view token, std::string_view more) {
  const std::string body = encode_bundle(item);
  return "PUT /api/photos/" + item.id +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + std::string(bundle_media_type) +
         "\r\nContent-Length: " + std::to_string(body.size()) +
         (token.empty() ? "" : "\r\nAuthorization: Bearer " + std::string(token)) + "\r\n" + std::string(more) +
         "\r\n" + body;
}

}  // namespace penstock::gallery
