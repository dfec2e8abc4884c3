#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <stdexcept>
#include <string>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <penstock/async/loop.hpp>
#include <penstock/base/descriptor_error.hpp>

namespace penstock {

constinit thread_local loop* loop::here_ = nullptr;

namespace {
unique_fd checked(int fd, const char* what) {
  if (fd < 0) throw descriptor_error(std::string("penstock: a loop cannot be made: ") + what);
  return unique_fd(fd);
}
// The data of an event that is no descriptor's: of wake_, and of one that nothing waits for any more.
constexpr int no_descriptor = -1;
}  // namespace

std::int64_t loop::time() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(system::clock::now().time_since_epoch()).count();
}

loop::loop()
    : number_([] {
        if (here_)
          throw std::logic_error(
              "penstock: run() was called by a task, whose loop it would block for ever: co_await the task instead, or "
              "co_await on(pool, function) for a function that has to call run()");
        static std::atomic<std::uint64_t> last = 0;
        return last.fetch_add(1, std::memory_order_relaxed) + 1;  // a count; orders nothing
      }()),
      timers_(time()),
      epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  epoll_event e{};
  e.events = EPOLLIN | EPOLLET;
  e.data.fd = no_descriptor;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &e) != 0) throw descriptor_error("epoll_ctl");
  here_ = this;
}

loop::~loop() { here_ = nullptr; }

void loop::start(timer& t, system::clock::time_point when) noexcept {
  timers_.start(t, std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count());
  timed_ = true;
}

// --- descriptors ---

// epoll knows a descriptor once, so all who wait for it share one registration, for the events of all of them. Each new
// registration and each change makes epoll look at the descriptor and report what is there.
void loop::start(watch& w, int fd, std::uint32_t events) {
  const auto at = static_cast<std::size_t>(fd);
  const bool known = fd >= 0 && at < watches_of_.size() && watches_of_[at] != nullptr;
  epoll_event e{};
  e.events = events | EPOLLET;
  e.data.fd = fd;
  if (known)
    for (const watch* other = watches_of_[at]; other != nullptr; other = other->next_) e.events |= other->events_;
  const int other_way = known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) != 0) {
    // The descriptor was closed without stop(), and its number belongs to another one now.
    if (errno != (known ? ENOENT : EEXIST)) throw descriptor_error("epoll_ctl");
    if (known) watches_of_[at] = nullptr;
    if (::epoll_ctl(epoll_.get(), other_way, fd, &e) != 0) throw descriptor_error("epoll_ctl");
  }
  try {
    if (watches_of_.size() <= at) watches_of_.resize(std::max(at + 1, 2 * watches_of_.size()));
  } catch (...) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    throw;
  }
  w.events_ = events;
  w.next_ = std::exchange(watches_of_[at], &w);
  ++watches_;
}

void loop::stop(watch& w, int fd) noexcept {
  --watches_;
  if (told_next_ == &w) told_next_ = w.next_;
  watch*& first = watches_of_[static_cast<std::size_t>(fd)];
  for (watch** at = &first; *at != nullptr; at = &(*at)->next_)
    if (*at == &w) {
      *at = w.next_;
      if (first) return;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
      // What was already reported must not reach the next one that waits for this number.
      auto* const events = static_cast<epoll_event*>(batch_);
      for (int i = 0; i < batch_left_; ++i)
        if (events[i].data.fd == fd) events[i].data.fd = no_descriptor;
      return;
    }
}

// --- other threads ---

// What no notice can be: the address of something else.
notice* loop::asleep() noexcept {
  static char mark;
  return reinterpret_cast<notice*>(&mark);
}

void loop::post(notice& n) noexcept {
  notice* last = posted_.load(std::memory_order_relaxed);
  do {
    n.next_ = last == asleep() ? nullptr : last;
    // release: pairs with the acquire in deliver(). acquire: whoever wakes sees the loop's descriptor.
  } while (!posted_.compare_exchange_weak(last, &n, std::memory_order_acq_rel, std::memory_order_relaxed));
  if (last == asleep()) {
    const std::uint64_t one = 1;
    while (::write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }
}

void loop::deliver(const bool& go_on) noexcept {
  if (posted_.load(std::memory_order_relaxed) == nullptr) return;
  for (notice* n = posted_.exchange(nullptr, std::memory_order_acquire); n != nullptr;) {
    notice* const next = n->next_;
    n->next_ = being_delivered_;
    being_delivered_ = n;
    n = next;
  }
  while (go_on && being_delivered_) {
    notice* const n = being_delivered_;
    being_delivered_ = n->next_;
    n->delivered();  // may retract others
    settle();
  }
}

void loop::retract(notice& n) noexcept {
  for (notice** at = &being_delivered_; *at != nullptr; at = &(*at)->next_)
    if (*at == &n) {
      *at = n.next_;
      return;
    }
  // Everything is taken and the rest put back: rare, because it takes a call that came just before it was not wanted.
  notice* all = posted_.load(std::memory_order_relaxed);
  if (all == nullptr || all == asleep()) return;
  all = posted_.exchange(nullptr, std::memory_order_acquire);
  notice* in_order = nullptr;
  while (all) {
    notice* const next = all->next_;
    if (all != &n) {
      all->next_ = in_order;
      in_order = all;
    }
    all = next;
  }
  while (in_order) {
    notice* const next = in_order->next_;
    post(*in_order);
    in_order = next;
  }
}

// --- turns ---

bool loop::run_nested(std::coroutine_handle<> first) noexcept {
  if (depth_ + interruptions_ >= deepest || has_had_its_turn()) return false;
  ++depth_;
  resume(first);
  --depth_;
  return true;
}

// A coroutine has suspended, and there is something to cancel. What would be resumed next may belong to it, so it is set
// aside. Nothing is destroyed as long as another coroutine is running below this one: it may be one of those.
void loop::interrupt() noexcept {
  if (next_) interrupted_[interruptions_++] = std::exchange(next_, nullptr);
  if (depth_ > 0) return;
  while (chore* const c = cancellations_.pop_front()) c->perform();
}

void loop::forget_interrupted(std::coroutine_handle<> frame) noexcept {
  for (std::size_t i = 0; i < interruptions_; ++i)
    if (interrupted_[i] == frame) interrupted_[i] = nullptr;
}

void loop::settle_all() noexcept {
  for (;;) {
    if (!cancellations_.empty()) interrupt();
    if (interruptions_ != 0) {
      next_ = std::exchange(interrupted_[--interruptions_], nullptr);
    } else {
      ready_link* const r = first_.pop_front();
      if (!r) return;
      next_ = r->coroutine;
    }
    ++firsts_;
    pump();
  }
}

void loop::run_ready(const bool& go_on) noexcept {
  for (std::size_t i = 0; i < resumptions_per_turn && go_on; ++i) {
    if (!chores_.empty() && !has_had_its_turn()) [[unlikely]] {
      chores_.pop_front()->perform();
      settle();
      continue;
    }
    ready_link* const r = ready_.pop_front();
    if (!r) return;
    resume(r->coroutine);
    if (has_had_its_turn()) return;  // after one that is ready, whatever came before it
  }
}

void loop::run_while(const bool& go_on) noexcept {
  while (go_on) {
    run_ready(go_on);
    const bool idle = ready_.empty() && chores_.empty();
    if (go_on && (idle || watches_)) poll(idle, go_on);
    deliver(go_on);
    if (timed_) timers_.expire(time(), resumptions_per_turn, go_on);
    firsts_ = 0;
  }
}

void loop::poll(bool may_sleep, const bool& go_on) noexcept {
  timespec wait{0, 0};
  bool for_ever = false;
  if (may_sleep) {
    const std::int64_t next = timers_.next();
    if (next == timer_wheel::none) {
      timed_ = false;
      for_ever = true;
    } else {
      const std::int64_t left = std::max<std::int64_t>(0, next - time());
      wait.tv_sec = static_cast<std::time_t>(left / 1'000'000'000);
      wait.tv_nsec = static_cast<long>(left % 1'000'000'000);
      may_sleep = left > 0;
    }
    if (may_sleep) {
      notice* none = nullptr;
      // acq_rel: pairs with post(), which wakes only if it finds this.
      if (!posted_.compare_exchange_strong(none, asleep(), std::memory_order_acq_rel)) return;
    }
  }
  if (may_sleep && sleep_) sleep_->one_more(time());
  std::array<epoll_event, 512> events;
  const int count =
      ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), for_ever ? nullptr : &wait, nullptr);
  if (may_sleep && sleep_) sleep_->one_less(time());
  if (may_sleep) {
    notice* mark = asleep();
    posted_.compare_exchange_strong(mark, nullptr, std::memory_order_acq_rel);
  }
  for (int i = 0; i < count && go_on; ++i) {
    batch_ = events.data() + i + 1;
    batch_left_ = count - i - 1;
    const epoll_event& e = events[static_cast<std::size_t>(i)];
    if (e.data.fd == no_descriptor) continue;
    const auto fd = static_cast<std::size_t>(e.data.fd);
    for (watch* w = fd < watches_of_.size() ? watches_of_[fd] : nullptr; w != nullptr && go_on; w = told_next_) {
      told_next_ = w->next_;
      if ((e.events & (w->events_ | EPOLLERR | EPOLLHUP)) != 0) w->happened(e.events);
    }
    told_next_ = nullptr;
  }
  batch_left_ = 0;
}

}  // namespace penstock
