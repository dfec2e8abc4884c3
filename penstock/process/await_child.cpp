#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/epoll.h>

#include <penstock/async/limited_wait.hpp>
#include <penstock/async/loop.hpp>
#include <penstock/process/await_child.hpp>
#include <penstock/process/descriptors.hpp>

namespace penstock::process {
namespace {

static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT);
const wait_limit not_at_all(system::clock::time_point{});  // long ago

// Until one of a few descriptors is ready, or the limit.
class [[nodiscard]] any_ready final : private limited_wait {
 public:
  any_ready(const std::vector<pollfd>& descriptors, const wait_limit& limit)
      : limited_wait(limit), count_(descriptors.size()), watched_(std::make_unique<one[]>(count_)) {
    for (std::size_t i = 0; i < count_; ++i) {
      watched_[i].all = this;
      watched_[i].what = descriptors[i];
    }
  }
  ~any_ready() { end(); }

  bool await_ready() const { return limit_reached(); }
  void await_suspend(std::coroutine_handle<> h) {
    where_ = &loop::here();
    for (std::size_t i = 0; i < count_; ++i) watched_[i].begin(*where_);
    begin(h);
  }
  void await_resume() noexcept {
    finish();
    end();
  }

 private:
  struct one final : watch {
    any_ready* all = nullptr;
    pollfd what{};
    bool begun = false;

    void begin(loop& where) {
      where.start(*this, what.fd, static_cast<std::uint32_t>(what.events));
      begun = true;
    }
    void end(loop& where) noexcept {
      if (std::exchange(begun, false)) where.stop(*this, what.fd);
    }
    void happened(std::uint32_t) noexcept override { all->go_on(); }
  };
  void given_up() noexcept override { go_on(); }
  void end() noexcept {
    if (where_)
      for (std::size_t i = 0; i < count_; ++i) watched_[i].end(*where_);
  }

  const std::size_t count_;
  const std::unique_ptr<one[]> watched_;
  loop* where_ = nullptr;
};

}  // namespace

task<std::optional<exit_status>> async_wait(child& c, wait_limit limit) {
  for (;;) {
    // The end first, then the limit: a limit ends waiting only.
    std::optional<exit_status> ended = c.poll();
    if (ended || limit.reached()) co_return ended;
    const std::vector<pollfd> its_end(1, pollfd{c.descriptor(), POLLIN, 0});
    any_ready wait(its_end, limit);
    co_await wait;
  }
}

task<exit_status> async_wait(child& c) {
  const std::optional<exit_status> ended = co_await async_wait(c, wait_limit{});
  co_return *ended;
}

task<bool> async_advance(communication& talk, wait_limit limit) {
  for (;;) {
    if (talk.advance(not_at_all)) co_return true;
    if (limit.reached()) co_return false;
    const communication::wait next = talk.waits_for();
    if (next.descriptors.empty()) continue;
    any_ready wait(next.descriptors, wait_limit(limit.stop(), std::min(limit.deadline(), next.until)));
    co_await wait;
  }
}

task<bool> async_terminate(communication& talk, termination how) {
  talk.begin_termination();
  for (const termination::step& step : how.steps()) {
    talk.signal(step.signal);
    const bool over = co_await async_advance(talk, step.wait);
    if (over) co_return true;
  }
  co_return talk.advance(not_at_all);
}

task<completed> async_communicate(child& c) { return async_communicate(c, communication_options{}); }
task<completed> async_communicate(child& c, communication_options options) {
  communication talk(c, std::move(options));
  (void)co_await async_advance(talk);
  co_return talk.result();
}

}  // namespace penstock::process
