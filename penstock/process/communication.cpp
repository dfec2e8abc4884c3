#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <penstock/process/communication.hpp>
#include <penstock/process/descriptors.hpp>

namespace penstock::process {
namespace {

// So much is written or read at once: what is in the pipes stays in the processor's cache, and both ends have something to
// do at any time.
constexpr std::size_t at_once = std::size_t{128} << 10;

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "writing output to a file");
    if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

unique_fd file_without_a_name() {
  const char* const directory = std::getenv("TMPDIR");
  const std::string where = directory && *directory ? directory : "/tmp";
  unique_fd file(::open(where.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    std::string name = where + "/penstock-XXXXXX";
    file.reset(::mkostemp(name.data(), O_CLOEXEC));
    if (file) ::unlink(name.c_str());
  }
  if (!file) throw std::system_error(errno, std::generic_category(), "a file for output in " + where);
  return moved_above(std::move(file));
}

// What comes out of one pipe.
//
// Much of it is kept in a string that is filled where it lies: its room is made eight times larger when it is full, so
// that little is ever copied, and room that is not reached yet is no memory. Blocks that are put together at the end
// would be a second gigabyte for a first one, and doubling copies everything once more on average.
class collected {
 public:
  collected(const char* name, unique_fd* from, std::size_t most, excess more, std::function<void(std::string_view)> on)
      : name_(name), from_(from), most_(most), more_(more), on_(std::move(on)) {}

  [[nodiscard]] bool is_open() const noexcept { return from_ && *from_; }
  [[nodiscard]] int fd() const noexcept { return from_->get(); }
  void close() noexcept {
    if (from_) from_->reset();
  }
  // One read. Closes at the end.
  void read_some() {
    const bool in_place = enlarged_ && !on_ && kept_ < most_;
    const auto [at, room] = in_place ? room_for_kept() : room_for_passing();
    const ssize_t got = ::read(fd(), at, room);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      throw std::system_error(errno, std::generic_category(), std::string("reading a child's ") + name_);
    }
    if (got == 0) return close();
    const std::string_view bytes(at, static_cast<std::size_t>(got));
    total_ += bytes.size();
    if (bytes.size() >= usual_pipe && !enlarged_) {
      enlarged_ = true;
      enlarge_pipe(fd());
    }
    if (on_) return on_(bytes);
    const std::size_t keep = std::min(bytes.size(), most_ - kept_);
    if (!in_place) text_.replace(kept_, text_.npos, bytes.substr(0, keep));
    kept_ += keep;
    if (keep < bytes.size()) too_much(bytes.substr(keep));
  }
  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] unique_fd take_file() {
    if (file_) ::lseek(file_.get(), 0, SEEK_SET);
    return std::move(file_);
  }
  [[nodiscard]] std::string take_text() {
    text_.resize(kept_);
    return std::move(text_);
  }

 private:
  static constexpr std::size_t further_block = std::size_t{1} << 20;

  std::pair<char*, std::size_t> room_for_kept() {
    if (kept_ == text_.size()) {
      if (text_.capacity() - kept_ < further_block) make_more_room();
      text_.resize(kept_ + further_block);
    }
    return {text_.data() + kept_, std::min(at_once, text_.size() - kept_)};
  }
  void make_more_room() {
    const std::size_t needed = kept_ + further_block;
    const std::size_t most = std::min(most_, text_.max_size() / 2) + further_block;
    // The last step goes all the way, because it would copy most.
    const std::size_t wanted = most / 64 < needed ? most : 8 * needed;
    try {
      text_.reserve(std::max(needed, wanted));
    } catch (const std::bad_alloc&) {
      text_.reserve(needed);  // where address space is counted as memory
    }
    // Fewer faults. Only a hint.
    void* begin = text_.data();
    std::size_t room = text_.capacity();
    if (std::align(4096, 1, begin, room)) ::madvise(begin, room, MADV_HUGEPAGE);
  }
  std::pair<char*, std::size_t> room_for_passing() {
    const std::size_t size = enlarged_ ? at_once : usual_pipe;
    if (passing_size_ < size) {
      passing_ = std::make_unique_for_overwrite<char[]>(size);
      passing_size_ = size;
    }
    return {passing_.get(), passing_size_};
  }
  // The part of what was read that is not kept.
  void too_much(std::string_view bytes) {
    switch (more_) {
      case excess::error:
        throw output_too_long("a child's " + std::string(name_) + " is longer than " + std::to_string(most_) +
                              " bytes");
      case excess::truncate:
        return;
      case excess::spill:
        break;
    }
    if (!file_) {
      file_ = file_without_a_name();
      write_all(file_.get(), std::string_view(text_).substr(0, kept_));
    }
    write_all(file_.get(), bytes);
  }

  const char* const name_;
  unique_fd* const from_;
  const std::size_t most_;
  const excess more_;
  const std::function<void(std::string_view)> on_;
  std::string text_;  // of which the first kept_ bytes are what is kept
  std::size_t kept_ = 0;
  std::unique_ptr<char[]> passing_;  // for little, and for what is not kept
  std::size_t passing_size_ = 0;
  std::uint64_t total_ = 0;
  unique_fd file_;
  bool enlarged_ = false;
};

}  // namespace

struct communication::state {
  state(participants who, communication_options o)
      : children(std::move(who.children)),
        in(who.in),
        input(std::move(o.input)),
        out("output", who.out, o.most_bytes, o.excess, std::move(o.on_out)),
        err("errors", who.err, o.most_bytes, o.excess, std::move(o.on_err)),
        drain(o.drain),
        ended(children.size(), false) {}

  std::vector<child*> children;
  unique_fd* in;
  std::string input;
  std::size_t written = 0;
  collected out;
  collected err;
  std::chrono::nanoseconds drain;
  std::vector<bool> ended;
  bool all_ended = false;
  bool group_goes_along = false;
  bool pipes_held = false;
  bool over = false;
  system::clock::time_point drain_until = system::never;
  std::vector<exit_status> statuses;
  std::vector<pollfd> fds;

  [[nodiscard]] bool pipes_open() const { return out.is_open() || err.is_open(); }
  static constexpr auto none = static_cast<std::size_t>(-1);
  struct places {
    std::size_t in = none, out = none, err = none, first_child = 0;
  };
  places list_descriptors();  // into fds
  void write_some();
  void note_ends();
  void finish();
  bool advance(const wait_limit& limit);
};

void communication::state::write_some() {
  // Around the write only: what on_out() writes is its own affair.
  const no_sigpipe quietly;
  const ssize_t n = ::write(in->get(), input.data() + written, std::min(at_once, input.size() - written));
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    // It does not want to hear more: its own business.
    if (errno != EPIPE) throw std::system_error(errno, std::generic_category(), "writing a child's input");
    written = input.size();
  } else {
    written += static_cast<std::size_t>(n);
  }
  if (written == input.size()) {
    in->reset();
    input = {};
    written = 0;
  }
}

// Every child has ended, though none is collected: until then their group can be signalled.
void communication::state::note_ends() {
  if (all_ended || std::find(ended.begin(), ended.end(), false) != ended.end()) return;
  all_ended = true;
  if (in) in->reset();
  drain_until = wait_limit(drain).deadline();
  if (group_goes_along)
    for (child* each : children) each->signal_group(SIGKILL);
}

void communication::state::finish() {
  pipes_held = pipes_open();
  out.close();
  err.close();
  statuses.assign(children.size(), {});
  // The leader last, because its number is the group's.
  for (std::size_t i = children.size(); i-- > 0;)
    if (const auto status = children[i]->poll()) statuses[i] = *status;
  over = true;
}

auto communication::state::list_descriptors() -> places {
  fds.clear();
  const auto add = [this](int fd, short events) {
    fds.push_back({fd, events, 0});
    return fds.size() - 1;
  };
  places at;
  if (in && *in) at.in = add(in->get(), POLLOUT);
  if (out.is_open()) at.out = add(out.fd(), POLLIN);
  if (err.is_open()) at.err = add(err.fd(), POLLIN);
  at.first_child = fds.size();
  for (std::size_t i = 0; i < children.size(); ++i)
    if (!ended[i]) add(children[i]->descriptor(), POLLIN);
  return at;
}

bool communication::state::advance(const wait_limit& limit) {
  if (over) return true;
  limited_poll until(limit);
  for (bool anything_seen = false;; anything_seen = true) {
    note_ends();
    if (all_ended && (!pipes_open() || system::clock::now() >= drain_until)) {
      finish();
      return true;
    }
    // Asked by itself: with a child that always has something to say, waiting never comes to its limit.
    if (anything_seen && limit.reached()) return false;
    const places at = list_descriptors();
    if (!until.wait(fds, drain_until) && system::clock::now() < drain_until) return false;
    const auto ready = [this](std::size_t place) { return place != none && fds[place].revents != 0; };
    for (std::size_t i = 0, place = at.first_child; i < children.size(); ++i)
      if (!ended[i] && fds[place++].revents) ended[i] = true;
    if (ready(at.in)) write_some();
    if (ready(at.out)) out.read_some();
    if (ready(at.err)) err.read_some();
  }
}

communication::communication(participants who, communication_options options)
    : state_(std::make_unique<state>(std::move(who), std::move(options))) {
  state& s = *state_;
  for (std::size_t i = 0; i < s.children.size(); ++i)
    if (s.children[i]->descriptor() < 0) s.ended[i] = true;
  // Only this program's ends: each end of a pipe has flags of its own.
  if (s.out.is_open()) set_nonblocking(s.out.fd(), true);
  if (s.err.is_open()) set_nonblocking(s.err.fd(), true);
  if (!s.in || !*s.in) return;
  if (s.input.empty()) {
    s.in->reset();
    return;
  }
  set_nonblocking(s.in->get(), true);
  if (s.input.size() > usual_pipe) enlarge_pipe(s.in->get());
}
communication::communication(child& c, communication_options options)
    : communication(participants{{&c}, &c.in(), &c.out(), &c.err()}, std::move(options)) {}
communication::communication(communication&&) noexcept = default;
communication::~communication() = default;

bool communication::advance(const wait_limit& limit) { return state_->advance(limit); }

communication::wait communication::waits_for() const {
  state& s = *state_;
  if (s.over) return {};
  s.note_ends();
  if (s.all_ended && !s.pipes_open()) return {};
  s.list_descriptors();
  return {s.fds, s.drain_until};
}

void communication::begin_termination() {
  state& s = *state_;
  if (s.over) return;
  s.group_goes_along = true;
  s.drain = std::min<std::chrono::nanoseconds>(s.drain, std::chrono::milliseconds(250));
  if (s.all_ended) {
    // What is waited for is only somebody who holds its pipes.
    for (child* each : s.children) each->signal_group(SIGKILL);
    s.drain_until = std::min(s.drain_until, wait_limit(s.drain).deadline());
  }
}

void communication::signal(int number) {
  state& s = *state_;
  if (s.over) return;
  child& leader = *s.children.front();
  // SIGCONT, because a stopped process would hear only after somebody has let it go on.
  for (const int one : {number, SIGCONT}) {
    if (leader.signal_group(one) && leader.leads_group()) continue;
    // No group of theirs, or its leader is gone, which happens where SIGCHLD is ignored.
    for (std::size_t i = 1; i < s.children.size(); ++i) s.children[i]->signal_group(one);
  }
}

bool communication::terminate(const termination& how) {
  begin_termination();
  if (state_->over) return true;
  for (const termination::step& step : how.steps()) {
    signal(step.signal);
    if (advance(step.wait)) return true;
  }
  return false;
}

std::uint64_t communication::out_bytes() const noexcept { return state_->out.total(); }
std::uint64_t communication::err_bytes() const noexcept { return state_->err.total(); }

completed communication::result() {
  state& s = *state_;
  completed done;
  if (!s.statuses.empty()) done.status = s.statuses.back();
  if (s.children.size() > 1) done.members = s.statuses;
  done.out = s.out.take_text();
  done.err = s.err.take_text();
  done.out_bytes = s.out.total();
  done.err_bytes = s.err.total();
  done.out_file = s.out.take_file();
  done.err_file = s.err.take_file();
  done.pipes_held = s.pipes_held;
  return done;
}

}  // namespace penstock::process
