#include <array>
#include <cerrno>
#include <ctime>
#include <system_error>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <penstock/async/loop.hpp>

namespace penstock {

constinit thread_local loop* loop::here_ = nullptr;

namespace {
unique_fd checked(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return unique_fd(fd);
}
}  // namespace

std::int64_t loop::time() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(system::clock::now().time_since_epoch()).count();
}

loop::loop()
    : number_([] {
        static std::atomic<std::uint64_t> last = 0;
        return last.fetch_add(1, std::memory_order_relaxed) + 1;  // a count; orders nothing
      }()),
      timers_(time()),
      epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  assert(!here_ && "penstock: a thread has one loop; inside of a task, co_await instead of run()");
  epoll_event e{};
  e.events = EPOLLIN | EPOLLET;
  e.data.ptr = nullptr;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &e) != 0)
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  here_ = this;
}

loop::~loop() { here_ = nullptr; }

void loop::start(timer& t, system::clock::time_point when) noexcept {
  timers_.start(t, std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count());
  timed_ = true;
}

// --- descriptors ---

void loop::start(watch& w, int fd, std::uint32_t events) {
  epoll_event e{};
  e.events = events;
  e.data.ptr = &w;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &e) != 0)
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  ++watches_;
}

void loop::stop(watch& w, int fd) noexcept {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  --watches_;
  // What was already reported of it must not reach it any more.
  auto* const events = static_cast<epoll_event*>(batch_);
  for (int i = 0; i < batch_left_; ++i)
    if (events[i].data.ptr == &w) events[i].data.ptr = nullptr;
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

void loop::deliver() noexcept {
  if (posted_.load(std::memory_order_relaxed) == nullptr) return;
  for (notice* n = posted_.exchange(nullptr, std::memory_order_acquire); n != nullptr;) {
    notice* const next = n->next_;
    n->next_ = being_delivered_;
    being_delivered_ = n;
    n = next;
  }
  while (notice* const n = being_delivered_) {
    being_delivered_ = n->next_;
    n->delivered();  // may retract others
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
  if (depth_ >= deepest) return false;
  ++depth_;
  resume(first);
  --depth_;
  return true;
}

void loop::run_ready(const bool& go_on) noexcept {
  for (std::size_t i = 0; i < resumptions_per_turn && go_on; ++i) {
    if (!chores_.empty()) [[unlikely]] {
      chores_.pop_front()->perform();
      continue;
    }
    ready_link* const r = ready_.pop_front();
    if (!r) return;
    resume(r->coroutine);
  }
}

void loop::run_while(const bool& go_on) noexcept {
  while (go_on) {
    run_ready(go_on);
    const bool idle = ready_.empty() && chores_.empty();
    if (go_on && (idle || watches_)) poll(idle);
    deliver();
    if (timed_) timers_.expire(time(), resumptions_per_turn);
  }
}

void loop::poll(bool may_sleep) noexcept {
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
  for (int i = 0; i < count; ++i) {
    batch_ = events.data() + i + 1;
    batch_left_ = count - i - 1;
    if (auto* const w = static_cast<watch*>(events[static_cast<std::size_t>(i)].data.ptr))
      w->happened(events[static_cast<std::size_t>(i)].events);
  }
  batch_left_ = 0;
}

}  // namespace penstock
