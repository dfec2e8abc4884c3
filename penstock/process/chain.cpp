#include <cerrno>
#include <csignal>
#include <memory>
#include <stdexcept>

#include <penstock/process/chain.hpp>
#include <penstock/process/descriptors.hpp>

namespace penstock::process {

exit_status status_of_chain(std::span<const exit_status> members, pipefail how) {
  const auto failed = [&](std::size_t i) {
    if (members[i].ok()) return false;
    const bool told_to_stop = members[i].how == exit_status::end::signalled && members[i].signal == SIGPIPE;
    return how == pipefail::strict || !told_to_stop || i + 1 == members.size();
  };
  if (how != pipefail::off)
    for (std::size_t i = members.size(); i-- > 0;)
      if (failed(i)) return members[i];
  return members.back();
}

namespace {
pipe_ends pipe_of(const command& member) {
  try {
    return make_pipe();
  } catch (const std::system_error& e) {
    throw spawn_error(
        spawn_error::part::descriptor, e.code().value(),
        "cannot start " + shell_quoted(member.words().empty() ? "" : member.words().front()) + ": a pipe for it");
  }
}

// The same destination again: what was given stays with the one that was given it, and is lent.
redirect lent(const redirect& r) {
  switch (r.what()) {
    case redirect::kind::inherit:
      break;
    case redirect::kind::null:
      return redirect::null();
    case redirect::kind::pipe:
      return redirect::pipe();
    case redirect::kind::from_file:
      return redirect::from_file(r.path());
    case redirect::kind::to_file:
      return redirect::to_file(r.path());
    case redirect::kind::append_to:
      return redirect::append_to(r.path());
    case redirect::kind::descriptor:
      return redirect::descriptor(r.get());
    case redirect::kind::as_out:
      return redirect::as_out();
  }
  return redirect::inherit();
}
}  // namespace

chain::chain(const command_row& row, spawn_options options) {
  const std::size_t count = row.commands().size();
  if (count == 0) throw std::invalid_argument("penstock: a chain without commands");
  unique_fd all_errors;
  if (options.err.what() == redirect::kind::pipe) {
    pipe_ends ends = pipe_of(row.commands().front());
    err_ = std::move(ends.read);
    all_errors = std::move(ends.write);
  }
  members_.reserve(count);
  unique_fd from_former;
  pid_t group = options.group;
  for (std::size_t i = 0; i < count; ++i) {
    pipe_ends between;
    if (i + 1 < count) between = pipe_of(row.commands()[i]);
    const auto options_in = [&](pid_t its_group) {
      spawn_options mine;
      mine.in = i == 0 ? std::move(options.in) : redirect::descriptor(from_former.get());
      mine.out = i + 1 == count ? lent(options.out) : redirect::descriptor(between.write.get());
      // A file is made or emptied by the first only.
      const bool is_file = options.err.what() == redirect::kind::to_file;
      mine.err = all_errors          ? redirect::descriptor(all_errors.get())
                 : is_file && i != 0 ? redirect::append_to(options.err.path())
                                     : lent(options.err);
      mine.pass = options.pass;
      mine.memory_bytes = options.memory_bytes;
      mine.group = its_group;
      return mine;
    };
    try {
      members_.push_back(spawn(row.commands()[i], options_in(group)));
    } catch (const spawn_error& e) {
      // Where SIGCHLD is ignored, the leader may be gone already, and its group with it: then this one leads the
      // others.
      const bool group_is_gone = i > 0 && group != options.group && ::kill(-group, 0) != 0 && errno == ESRCH;
      if (!group_is_gone || (e.code().value() != EPERM && e.code().value() != ESRCH)) throw;
      members_.push_back(spawn(row.commands()[i], options_in(spawn_options::own_group)));
    }
    if (members_.back().leads_group()) group = members_.back().pid();
    from_former = std::move(between.read);
  }
}

chain& chain::operator=(chain&& other) noexcept {
  // Not member by member: a vector that is moved onto itself is empty, and its children would be ended.
  if (this == &other) return *this;
  std::destroy_at(this);
  return *std::construct_at(this, std::move(other));
}

std::vector<exit_status> chain::wait() { return *wait(wait_limit()); }

std::optional<std::vector<exit_status>> chain::wait(const wait_limit& limit) {
  std::vector<exit_status> statuses(members_.size());
  // The leader last: its number is the group's.
  for (std::size_t i = members_.size(); i-- > 0;) {
    const auto ended = members_[i].wait(limit);
    if (!ended) return std::nullopt;
    statuses[i] = *ended;
  }
  return statuses;
}

bool chain::signal(int number) {
  if (members_.front().leads_group() && members_.front().signal_group(number)) return true;
  // No group of theirs, or its leader is gone, which happens where SIGCHLD is ignored.
  bool any = false;
  for (child& member : members_) any |= member.signal_group(number);
  return any;
}

std::optional<std::vector<exit_status>> chain::terminate(const termination& how) {
  if (auto ended = wait(std::chrono::seconds(0))) return ended;
  for (child& member : members_) member.take_group_along();
  for (const termination::step& step : how.steps()) {
    signal(step.signal);
    signal(SIGCONT);
    if (auto ended = wait(step.wait)) return ended;
  }
  return std::nullopt;
}

}  // namespace penstock::process
