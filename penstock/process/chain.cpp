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
    spawn_options mine;
    mine.in = i == 0 ? std::move(options.in) : redirect::descriptor(std::move(from_former));
    pipe_ends between;
    if (i + 1 == count) {
      mine.out = std::move(options.out);
    } else {
      between = pipe_of(row.commands()[i]);
      mine.out = redirect::descriptor(std::move(between.write));
    }
    switch (options.err.what()) {
      case redirect::kind::pipe:
        mine.err = redirect::descriptor(all_errors.get());
        break;
      case redirect::kind::inherit:
        break;
      case redirect::kind::null:
        mine.err = redirect::null();
        break;
      case redirect::kind::as_out:
        mine.err = redirect::as_out();
        break;
      case redirect::kind::from_file:
      case redirect::kind::to_file:
        // Opened by the first only: the others must not empty it again.
        mine.err = i == 0 ? redirect::to_file(options.err.path()) : redirect::append_to(options.err.path());
        break;
      case redirect::kind::append_to:
        mine.err = redirect::append_to(options.err.path());
        break;
      case redirect::kind::descriptor:
        mine.err = redirect::descriptor(options.err.get());
        break;
    }
    mine.group = group;
    mine.pass = options.pass;
    mine.memory_bytes = options.memory_bytes;
    members_.push_back(spawn(row.commands()[i], std::move(mine)));
    if (group == spawn_options::own_group) group = members_.front().pid();
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
  if (members_.front().leads_group()) return members_.front().signal_group(number);
  bool any = false;
  for (child& member : members_) any |= member.signal(number);
  return any;
}

std::optional<std::vector<exit_status>> chain::terminate(const termination& how) {
  if (auto ended = wait(std::chrono::seconds(0))) return ended;
  members_.front().take_group_along();
  for (const termination::step& step : how.steps()) {
    signal(step.signal);
    signal(SIGCONT);
    if (auto ended = wait(step.wait)) return ended;
  }
  return std::nullopt;
}

}  // namespace penstock::process
