#include <penstock/async/run.hpp>

namespace penstock {

bool root::run(task_promise& p, const std::stop_token& stop) {
  own_.push_back(p);
  ready_link first;
  first.coroutine = p.coroutine();
  {
    const system::stop_callback on_stop(stop, [this] { on().post(*this); });
    if (!system::stop_requested(stop)) {
      on().make_ready(first);
      on().run_while(go_on_);
    }
  }
  on().retract(*this);
  return ended_;
}

}  // namespace penstock
