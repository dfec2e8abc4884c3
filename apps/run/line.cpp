#include "apps/run/line.hpp"

#include <exception>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <penstock/base/exception_text.hpp>
#include <penstock/pipeline/pipeline.hpp>
#include <penstock/watch/printable.hpp>

namespace penstock::runner {
namespace {

// What the pipeline calls: a stage that hands one job on, one that makes many of it, and the last one.
struct one_function {
  command_stage* stage;
  std::optional<job> operator()(job& j) const { return std::move(stage->work(j).one()); }
};
struct lines_function {
  command_stage* stage;
  each<stage_results> operator()(job& j) const { return each(stage->work(j)); }
};
struct last_function {
  command_stage* stage;
  void operator()(job& j) const { (void)stage->work(j); }
};

}  // namespace

std::vector<command_template> templates_of(const run_plan& plan, const std::vector<std::string>& column_names) {
  command_template::input_columns columns{column_names};
  columns.several = plan.items.format != item_format::lines || plan.items.arguments.size() > 1;
  std::vector<command_template> made;
  for (const stage_plan& stage : plan.stages) {
    try {
      made.emplace_back(stage.words, stage.wording, columns, !stage.worker);
      if (made.size() == 1 && made.back().asks_for(place::what::out))
        throw template_error("{out} is what the stage before has printed, and this is the first");
      if (stage.worker && made.back().uses_items())
        throw template_error("a --worker's command is started once and then written its items: no place but {%} in it");
    } catch (const template_error& e) {
      throw template_error(stage.name + ": " + e.what());
    }
  }
  return made;
}

std::size_t most_in_flight(const run_plan& plan) {
  if (plan.max_in_flight) return plan.max_in_flight;
  std::size_t sum = 0;
  for (const stage_plan& stage : plan.stages) sum += stage.workers.most() + stage.capacity;
  return sum;
}

line::line(run_room& room, item_source& items, const std::vector<std::string>& column_names)
    : room_(room), items_(items) {
  const run_plan& plan = room.plan;
  auto templates = templates_of(plan, column_names);
  // Queues and workers are the bound; where results wait for their turn, or another bound was asked for, it is counted.
  if (plan.max_in_flight || plan.keep_order) room_for_items_.emplace(most_in_flight(plan));

  bool out_is_used = false;
  for (std::size_t i = plan.stages.size(); i-- > 0;) {
    const bool uses_out = templates[i].uses(place::what::out);
    stages_.insert(stages_.begin(),
                   std::make_unique<command_stage>(plan.stages[i], i, std::move(templates[i]),
                                                   out_is_used || plan.stages[i].next == passing::last_line, room));
    out_is_used = uses_out;
  }

  control_ = std::make_unique<run_control>(
      run_options{.stop = room.ends.stopped(), .drain = room.ends.drained(), .keep_failures = 1000});
  auto last = std::make_unique<thread_stage<job, last_function>>(
      stages_.back()->plan().name, last_function{stages_.back().get()}, stages_.back()->options(), nullptr, *control_);
  inlet<job>* next = last.get();
  control_->add_in_front(std::move(last));
  const auto add = [&](command_stage& stage, auto function) {
    auto made = std::make_unique<thread_stage<job, decltype(function)>>(stage.plan().name, function, stage.options(),
                                                                        next, *control_);
    next = made.get();
    control_->add_in_front(std::move(made));
  };
  for (std::size_t i = stages_.size() - 1; i-- > 0;) {
    command_stage& stage = *stages_[i];
    if (stage.plan().next == passing::lines)
      add(stage, lines_function{&stage});
    else
      add(stage, one_function{&stage});
  }
  // Pushed by a thread of our own: who is pulled from may be asked for several at once, and one that waits for input, or for
  // room, would keep those before it waiting.
  auto source = open_source<job>{}.make_node(*next, *control_);
  auto* const entrance = static_cast<open_source_node<job>*>(source.get());
  control_->add_in_front(std::move(source));
  try {
    control_->start();
    feeder_ = std::jthread([this, entrance](const std::stop_token&) { feed(*entrance); });
  } catch (const std::system_error& e) {
    control_->request_stop();
    throw std::runtime_error("a thread for each worker cannot be had (" + std::string(e.what()) + "): fewer --jobs");
  } catch (...) {
    control_->request_stop();
    throw;
  }
}

void line::feed(open_source_node<job>& entrance) noexcept {
  const std::stop_token drained = control_->drain_token();  // of a stop, too, whoever asks for it
  try {
    for (;;) {
      auto from = std::make_shared<origin>();
      // First the room, then the item: what is not read is not lost to whoever reads the rest.
      if (room_for_items_) {
        from->room = room_for_items_->acquire(1, drained);
        if (!from->room) break;
      }
      auto item = items_.next(drained);
      if (!item) break;
      from->item = std::move(item->text);
      from->columns = std::move(item->columns);
      job j;
      j.item = from->item;
      j.number = j.position = std::to_string(++numbers_);
      j.from = std::move(from);
      if (room_.done && room_.plan.resume)
        j.number = std::to_string(room_.done->number_for(stages_.front()->key_of(j), numbers_));
      if (room_.plan.keep_order) j.turn = room_.shown.next_turn();
      const wait_limit limit(drained);
      if (entrance.push(j, &limit) != conqueue_status::success) break;
    }
    if (!drained.stop_requested()) control_->source_ended();
  } catch (...) {
    // Items that were read before are still processed.
    room_.trouble = true;
    try {
      room_.shown.say("penstock: items: " + printable(exception_text(std::current_exception())));
    } catch (...) {
      // No memory for a message: the exit code says so.
    }
  }
  control_->close_entrance();
}

line::~line() = default;

const std::string* line::out_of_step() const noexcept {
  for (const auto& stage : stages_)
    if (!stage->in_step()) return &stage->plan().name;
  return nullptr;
}

report line::wait() {
  report r;
  try {
    r = control_->wait();
  } catch (const run_error& e) {
    r = std::move(e.report());
    error_ = e.what();
  }
  r.unfinished.clear();  // they hold their place in flight
  return r;
}

}  // namespace penstock::runner
