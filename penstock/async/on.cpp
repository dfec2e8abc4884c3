#include <stdexcept>

#include <penstock/async/on.hpp>

namespace penstock {

thread_pool::thread_pool(std::size_t threads) {
  if (threads == 0) throw std::invalid_argument("penstock: a thread_pool needs at least one thread");
  threads_.reserve(threads);
  try {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { serve(); });
  } catch (...) {
    finish();
    throw;
  }
}

thread_pool::~thread_pool() { finish(); }

void thread_pool::finish() noexcept {
  {
    const mutex_lock lock(mutex_);
    over_ = true;
    work_.notify_all();
  }
  for (system::thread& t : threads_) t.join();
  threads_.clear();
}

void thread_pool::serve() {
  mutex_lock lock(mutex_);
  for (;;) {
    while (line_.empty() && !over_) work_.wait(lock);
    job* const j = line_.pop_front();
    if (!j) return;
    j->phase_ = phase::at_work;
    lock.unlock();
    j->work();
    lock.lock();
    // Posted under the mutex: a thread that destroys the job, or ends the loop, takes the mutex first.
    j->phase_ = phase::done;
    j->loop_->post(*j);
    done_.notify_all();
  }
}

void thread_pool::send_back(loop& to) noexcept {
  for (job* j = line_.front(); j != nullptr;) {
    job* const next = line_.after(*j);
    if (j->loop_ == &to) {
      j->unlink();
      j->phase_ = phase::none;
      to.soon(*j);
    }
    j = next;
  }
}

void thread_pool::job::begin(std::coroutine_handle<> h) {
  coroutine_ = h;
  loop_ = &loop::here();
  stand_in_line();
}

void thread_pool::job::stand_in_line() noexcept {
  const mutex_lock lock(pool_.mutex_);
  phase_ = phase::in_line;
  pool_.line_.push_back(*this);
  pool_.work_.notify_one();
}

void thread_pool::job::end() noexcept {
  mutex_lock lock(pool_.mutex_);
  unlink();
  if (phase_ == phase::at_work) {
    stop_work();
    pool_.send_back(*loop_);
  }
  while (phase_ == phase::at_work) pool_.done_.wait(lock);
  if (phase_ == phase::done && !delivered_) {
    lock.unlock();
    loop_->retract(*this);
  }
}

void thread_pool::job::delivered() noexcept {
  delivered_ = true;
  {
    const mutex_lock lock(pool_.mutex_);  // the thread that told has let go of it
  }
  loop_->resume_now(coroutine_);
}

}  // namespace penstock
