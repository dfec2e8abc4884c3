#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <penstock/base/exception_text.hpp>
#include <penstock/pipeline/run_control.hpp>

namespace penstock {

namespace {
// The run that the calling thread works for; null: none, or it is not known (simulated threads share one of the machine).
#ifdef PENSTOCK_SIMULATED
void set_works_for(const run_control*) noexcept {}
const run_control* works_for() noexcept { return nullptr; }
#else
thread_local const run_control* this_threads_run = nullptr;
void set_works_for(const run_control* run) noexcept { this_threads_run = run; }
const run_control* works_for() noexcept { return this_threads_run; }
#endif
}  // namespace

run_control::run_control(run_options options) : options_(std::move(options)) {}

run_control::~run_control() {
  supervisor_.end();  // before its thread is joined, if it was started
  if (phase_ != phase::started) return;
  request_stop();
  join_all();
}

void run_control::start() {
  for (const auto& n : nodes_) n->check();
  std::size_t members = 0, own = 0;
  for (const auto& n : nodes_) (n->has_own_threads() ? own : members) += n->present();
  own_threads_.reserve(own);
  crew_.expect(members);
  const std::int64_t now = now_ns();
  began_ns_ = now;
  for (const auto& n : nodes_)
    for (std::size_t i = 0; i < n->workers().size(); ++i) n->workers()[i].begin(now, i < n->present());
  phase_ = phase::started;
  scaler_.emplace(nodes_, scaler::means{.add_thread = [this] { start_member(false); },
                                        .remove_thread = [this] { crew_.dismiss_one(); },
                                        .join_the_gone = [this] { join_the_gone(); },
                                        .worker_added = [this] { crew_.notice(); },
                                        .worker_removed = [this](node& n) { may_have_ended(n); }});
  try {
    for (std::size_t i = nodes_.size(); i-- > 0;)
      if (nodes_[i]->has_own_threads())
        for (worker& w : nodes_[i]->workers())
          own_threads_.emplace_back([this, i, &w] { own_thread_main(*nodes_[i], w); });
    for (std::size_t i = 0; i < members; ++i) start_member(true);
    if (scaler_->is_needed()) scaler_thread_ = system::thread([this] { scaler_->run(); });
  } catch (...) {
    request_stop();
    end_threads();
    join_all();
    throw;
  }
  open_ = true;
  crew_.notice();
  // Last: they may run at once, and then everything has to be there to be stopped.
  on_stop_.emplace(options_.stop, [this] { request_stop(); });
  on_drain_.emplace(options_.drain, [this] { drain(); });
}

void run_control::start_member(bool expected) {
  member_thread& m = members_.emplace_back();
  m.thread = system::thread([this, &m, expected] {
    if (!expected) crew_.one_more();
    member_main();
    m.gone = true;
  });
}

void run_control::join_the_gone() noexcept {
  for (auto m = members_.begin(); m != members_.end();) {
    if (m->gone.load()) {
      m = members_.erase(m);  // joins it
    } else {
      ++m;
    }
  }
}

void run_control::member_main() noexcept {
  set_works_for(this);
  crew_member me(crew_, true);
  for (bool over = false; !over;) {
    try {
      crew_.serve(me);
      over = true;
    } catch (...) {
      record_failure({}, std::current_exception(), true);
    }
  }
  me.usage.settle(now_ns(), true);
}

void run_control::own_thread_main(node& n, worker& self) noexcept {
  set_works_for(this);
  crew_member me(crew_, false);
  try {
    n.serve(self, me);
  } catch (...) {
    record_failure(place_in(n.name(), 0, {}, 0), std::current_exception(), true);
  }
  me.usage.settle(now_ns(), true);
  may_have_ended(n);
}

void run_control::may_have_ended(node& n) noexcept {
  for (std::size_t i = index_of(n); i < nodes_.size() && nodes_[i]->ends_now(); ++i) {
    const std::int64_t now = now_ns();
    for (worker& w : nodes_[i]->workers()) w.end(now, nodes_[i]->ran_dry());
    if (i + 1 < nodes_.size())
      nodes_[i + 1]->close_input();
    else
      end_threads();
  }
}

void run_control::end_threads() noexcept {
  crew_.end();
  supervisor_.end();
  if (scaler_) scaler_->end();
}

std::size_t run_control::index_of(const node& n) const noexcept {
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].get() == &n) return i;
  return nodes_.size();
}

void run_control::drain() noexcept {
  draining_ = true;
  drain_.request_stop();
  // The source may be at rest, or not be one that takes turns at all: then nobody would notice.
  if (nodes_.front()->workers().empty())
    close_entrance();
  else
    may_have_ended(*nodes_.front());
}

void run_control::close_entrance() noexcept {
  nodes_[1]->close_input();
  may_have_ended(*nodes_[1]);
}

void run_control::request_stop() noexcept {
  stopping_ = true;
  draining_ = true;
  stop_.request_stop();
  drain_.request_stop();
  for (const auto& n : nodes_) n->close_input();
  for (const auto& n : nodes_) may_have_ended(*n);
}

void run_control::record_failure(item_place place, const std::exception_ptr& cause, bool fatal) noexcept {
  try {
    failure f{place, exception_text(cause), nullptr};
    stage_error error(std::move(place), cause);
    f.error = std::make_exception_ptr(error);
    {
      mutex_lock lock(mutex_);
      // A run that is being stopped has its end already: what a function throws because it was asked to stop is listed.
      if (fatal && !first_failure_ && !stopping()) first_failure_.emplace(error);
      if (failures_.size() < options_.keep_failures) failures_.push_back(f);
    }
    if (options_.on_failure) {
      try {
        options_.on_failure(f);
      } catch (...) {
        fatal = true;
        f.place.stage += ", its on_failure function";
        mutex_lock lock(mutex_);
        if (!first_failure_) first_failure_.emplace(std::move(f.place), std::current_exception());
      }
    }
  } catch (...) {
    no_memory();
  }
  if (fatal) request_stop();
}

void run_control::no_memory() noexcept {
  {
    mutex_lock lock(mutex_);
    if (!first_failure_) first_failure_.emplace(no_memory_);
  }
  request_stop();
}

void run_control::hand_back(unfinished_item item) noexcept {
  try {
    mutex_lock lock(mutex_);
    unfinished_.push_back(std::move(item));
  } catch (const std::bad_alloc&) {
    no_memory();
  }
}

void run_control::join_all() noexcept {
  if (scaler_thread_.joinable()) scaler_thread_.join();  // before those that it starts and joins
  own_threads_.clear();                                  // joins them
  members_.clear();
  supervisor_.end();  // a thread outside of the run may have begun to start it a moment ago
  if (supervisor_thread_.joinable()) supervisor_thread_.join();
  on_stop_.reset();
  on_drain_.reset();
  for (const auto& n : nodes_) n->hand_back_rest();
  ended_ns_ = now_ns();
  for (const auto& n : nodes_)
    for (worker& w : n->workers()) w.end(ended_ns_, n->ran_dry());
  phase_ = phase::ended;
}

report run_control::wait() {
  if (works_for() == this)
    throw std::logic_error(
        "penstock: a stage of a pipeline waits for the end of its own pipeline, which would never come");
  if (phase_ != phase::ended) join_all();
  report r = account();
  std::optional<run_error> error;
  {
    mutex_lock lock(mutex_);
    if (first_failure_) error.emplace(*first_failure_, std::make_shared<report>());
    // From here on nothing asks for memory, except to say that the accounts do not balance.
    r.failures = std::move(failures_);
    r.unfinished = std::move(unfinished_);
  }
  std::stable_sort(r.unfinished.begin(), r.unfinished.end(),
                   [](const unfinished_item& a, const unfinished_item& b) { return a.place.number < b.place.number; });
  if (error)
    r.outcome = outcome::failed;
  else if (stopping() && !(source_ended_ && r.returned == 0))
    r.outcome = outcome::cancelled;
  else if (draining() && !source_ended_)
    r.outcome = outcome::drained;
  else
    r.outcome = outcome::completed;
  if (!r.sums_meet()) {
    std::ostringstream text;
    text << "penstock: the accounts of this run do not balance; this is a bug in penstock, please report it\n"
         << r << to_json(r);
    throw std::logic_error(text.str());
  }
  if (!error) return r;
  error->report() = std::move(r);
  throw *std::move(error);
}

report run_control::snapshot() const { return account(); }

report run_control::account() const {
  report r;
  const std::int64_t now = now_ns();
  const std::int64_t ended = ended_ns_.load();
  r.wall = std::chrono::nanoseconds((ended ? ended : now) - began_ns_.load());
  std::vector<const histogram*> latencies;
  r.stages.resize(nodes_.size());
  // The last stage first: a snapshot must not count an item as delivered that it does not count as entered.
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    node* const n = nodes_[i].get();
    stage_report& s = r.stages[i];
    s.name = n->name();
    s.workers = n->present();
    s.least_workers = n->range().least();
    s.most_workers = n->range().most();
    if (scaler_ && !n->range().is_fixed()) s.scaling = scaler_->steps(*n);
    std::vector<const histogram*> services;
    for (const worker& w : n->workers()) {
      s.passed += w.passed.get();
      s.filtered += w.filtered.get();
      s.failed += w.failed.get();
      s.dead_lettered += w.dead_lettered.get();
      s.returned += w.returned.get();
      s.out += w.out.get();
      s.retried += w.retried.get();
      services.push_back(&w.service);
      latencies.push_back(&w.latency);
    }
    n->add_entrance_counts(s);
    n->add_shares(s, now);
    s.service = histogram::quantiles(services);
    r.filtered += s.filtered;
    r.failed += s.failed;
    r.dead_lettered += s.dead_lettered;
    r.returned += s.returned;
    if (n->delivers())
      r.delivered += s.passed;
    else if (s.out > s.passed)
      r.expanded += s.out - s.passed;  // less only in a snapshot, for results on their way out
  }
  r.entered = r.stages.front().in;
  r.latency = histogram::quantiles(latencies);
  return r;
}

}  // namespace penstock
