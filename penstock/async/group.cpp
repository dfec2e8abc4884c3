#include <penstock/async/group.hpp>
#include <penstock/base/exception_text.hpp>

namespace penstock {

namespace {
std::string text_of(std::uint64_t number, const std::string& label) {
  std::string text = "task " + std::to_string(number);
  if (!label.empty()) text += " (" + label + ')';
  return text + ": " + exception_text(std::current_exception());
}
}  // namespace

task_error::task_error(std::uint64_t number, std::string label)
    : std::runtime_error(text_of(number, label)), number_(number), label_(std::move(label)) {}

group::group(group_options options)
    : task_owner(loop::here()), in_flight_(options.in_flight), stop_(std::move(options.stop)) {
  if (in_flight_ == 0) throw std::invalid_argument("penstock: a group needs an in_flight of at least 1");
  if (stop_.stop_possible()) on_stop_.emplace(stop_, call{this});
}

group::~group() {
  cancelled_ = true;
  if (on_stop_) {
    on_stop_.reset();
    if (system::stop_requested(stop_)) on().retract(*this);
  }
  destroy_all();
}

void group::add(std::string label, task<> t) {
  labels_.emplace(added_ + 1, std::move(label));
  add(std::move(t));
}

void group::add(task<> t) {
  ++added_;
  if (cancelled_) {
    labels_.erase(added_);
    return;
  }
  task_promise& p = t.release();
  p.be_owned(*this, added_);
  line_.push_back(p);
  ++in_line_;
  start_some();
}

void group::start_some() noexcept {
  while (running_ < in_flight_ && !cancelled_) {
    // This group's own task may be among those that are to be destroyed.
    if (in_line_ && on().is_cancelling()) return on().soon(*this);
    task_promise* const p = line_.pop_front();
    if (!p) return;
    running_tasks_.push_back(*p);
    --in_line_;
    ++running_;
    if (on().run_nested(p->coroutine())) continue;
    p->unlink();
    line_.push_front(*p);
    ++in_line_;
    --running_;
    return on().soon(*this);
  }
}

void group::ended(task_promise& p) noexcept {
  --running_;
  if (p.error() && !failure_ && !cancelled_) {
    failure_ = p.error();
    failed_number_ = p.number();
    cancel();
  } else if (!labels_.empty()) {
    labels_.erase(p.number());
  }
  some_have_ended_ = true;
  p.unlink();
  task_promise::destroy(p);
  if (in_line_ && !cancelled_) start_some();
  tell_waiters();
}

void group::tell_waiters() noexcept {
  while (!for_room_.empty() && has_room()) {
    room_wait* const one = for_room_.pop_front();
    one->told_ = true;
    ++promised_room_;
    on().make_ready(*one);
  }
  if (under_way() != 0) return;
  while (ready_link* const one = for_end_.pop_front()) {
    if (some_have_ended_)
      on().make_first(*one);
    else
      on().make_ready(*one);
  }
}

// The next one is told when this one has had its chance to add a task.
void group::room_answered() noexcept {
  --promised_room_;
  if (!for_room_.empty()) on().soon(*this);
}

// Not at once: a task that is to be destroyed may be the one that calls it.
void group::cancel() noexcept {
  if (!std::exchange(cancelled_, true)) on().cancel_first(*this);
}

void group::perform() noexcept {
  if (cancelled_) {
    destroy_all();
    while (ready_link* const one = for_room_.pop_front()) on().make_ready(*one);
  } else {
    start_some();
  }
  tell_waiters();
}

void group::destroy_all() noexcept {
  while (task_promise* const p = running_tasks_.pop_front()) task_promise::destroy(*p);
  while (task_promise* const p = line_.pop_front()) task_promise::destroy(*p);
  running_ = in_line_ = 0;
}

void group::throw_failure() const {
  const auto label = labels_.find(failed_number_);
  try {
    std::rethrow_exception(failure_);
  } catch (...) {
    throw task_error(failed_number_, label == labels_.end() ? std::string() : label->second);
  }
}

}  // namespace penstock
