// pipeline_round: one pipeline of random shape and options on random items, ended in a random way. What becomes of each
// item at each stage is a function of its number, so what must come out is known beforehand: exactly if the run ends by
// itself or is drained, and as "nothing else, and nothing twice" if it is stopped or fails.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <penstock/penstock.hpp>

#include "tests/soak/round.hpp"

namespace penstock::soak {

// An item: its number at the source, and after each expansion where in it.
struct token {
  std::uint64_t number;
};
inline constexpr std::uint64_t most_children = 3;

enum class fate { passes, fails, fails_once };

struct pipeline_plan {
  static constexpr std::size_t most_stages = 5;
  std::uint64_t seed, items;
  std::size_t stages;  // the sink included
  std::array<stage_options, most_stages> options;
  enum class ending { by_itself, drained, stopped, failed } end;
  std::uint64_t moment;  // of the ending, in delivered items
  bool open;             // pushed by threads of ours
  bool in_order;         // every stage keeps the order

  [[nodiscard]] std::uint64_t roll(std::size_t stage, std::uint64_t number) const {
    std::uint64_t x = seed ^ (number * 0x9e3779b97f4a7c15u) ^ (stage * 0xc2b2ae3d27d4eb4fu);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  [[nodiscard]] fate fate_of(std::size_t stage, std::uint64_t number) const {
    const auto r = roll(stage, number) % 100;
    if (end == ending::failed && stage == stages - 1 && number != 0 && r < 3) return fate::fails;
    if (options[stage].on_error == on_error::stop && !options[stage].dead_letter) return fate::passes;
    return r < 3 ? fate::fails : r < 8 ? fate::fails_once : fate::passes;
  }
  [[nodiscard]] bool gets_through(std::size_t stage, std::uint64_t number) const {
    const fate f = fate_of(stage, number);
    return f == fate::passes || (f == fate::fails_once && options[stage].retry.attempts > 1);
  }
  [[nodiscard]] bool is_kept(std::size_t stage, std::uint64_t number) const {
    return roll(stage, number) / 128 % 4 != 0;
  }
  [[nodiscard]] std::uint64_t children(std::size_t stage, std::uint64_t number) const {
    return roll(stage, number) / 128 % (most_children + 1);
  }
};

// What a stage does besides its results: it takes some time, and fails some items.
class stage_work {
 public:
  stage_work(const pipeline_plan& plan, std::size_t stage)
      : plan_(&plan), stage_(stage), failed_once_(std::make_shared<std::vector<std::atomic<bool>>>(4096)) {}
  void operator()(std::uint64_t number) const {
    const auto r = plan_->roll(stage_, number);
    if (r % 32 == 1) std::this_thread::yield();
    if (r % 8 == 2)
      for (std::atomic<std::uint64_t> spin = r / 256 % 2000; spin > 0; --spin) {
      }
    switch (plan_->fate_of(stage_, number)) {
      case fate::passes:
        return;
      case fate::fails:
        throw std::runtime_error("fails");
      case fate::fails_once:
        // Numbers that share a place have both failed once or neither: then it passes at once, and that is right, too.
        if (plan_->options[stage_].retry.attempts > 1) {
          if (!(*failed_once_)[number % failed_once_->size()].exchange(true)) throw std::runtime_error("fails once");
          return;
        }
        throw std::runtime_error("fails without another attempt");
    }
  }
  [[nodiscard]] const pipeline_plan& plan() const { return *plan_; }
  [[nodiscard]] std::size_t stage() const { return stage_; }

 private:
  const pipeline_plan* plan_;
  std::size_t stage_;
  std::shared_ptr<std::vector<std::atomic<bool>>> failed_once_;
};

// The three kinds of stages: as functions, and as what must become of a list of items.
struct passing {
  stage_work work;
  token operator()(const token& t) const {
    work(t.number);
    return t;
  }
  static void apply(const pipeline_plan&, std::size_t, std::uint64_t number, std::vector<std::uint64_t>& out) {
    out.push_back(number);
  }
};
struct filtering {
  stage_work work;
  std::optional<token> operator()(token t) const {
    work(t.number);
    if (work.plan().is_kept(work.stage(), t.number)) return t;
    return std::nullopt;
  }
  static void apply(const pipeline_plan& plan, std::size_t stage, std::uint64_t number,
                    std::vector<std::uint64_t>& out) {
    if (plan.is_kept(stage, number)) out.push_back(number);
  }
};
struct expanding {
  stage_work work;
  each<std::vector<token>> operator()(const token& t) const {
    work(t.number);
    std::vector<token> out;
    for (std::uint64_t k = 0; k < work.plan().children(work.stage(), t.number); ++k)
      out.push_back({t.number * most_children + k});
    return each<std::vector<token>>(std::move(out));
  }
  static void apply(const pipeline_plan& plan, std::size_t stage, std::uint64_t number,
                    std::vector<std::uint64_t>& out) {
    for (std::uint64_t k = 0; k < plan.children(stage, number); ++k) out.push_back(number * most_children + k);
  }
};

class pipeline_round {
 public:
  explicit pipeline_round(round& r) : round_(r) {}

  void run() {
    switch (round_.up_to(4)) {
      case 0:
        return run_with<>("sink");
      case 1:
        return run_with<passing>("pass, sink");
      case 2:
        return run_with<passing, filtering>("pass, filter, sink");
      case 3:
        return run_with<expanding, passing, filtering>("expand, pass, filter, sink");
      default:
        return run_with<filtering, passing, expanding, passing>("filter, pass, expand, pass, sink");
    }
  }

 private:
  void make_plan(std::size_t stages) {
    plan_.seed = round_.random();
    plan_.items = 1 + round_.up_to(round_.one_in(4) ? 3000 : 300);
    plan_.stages = stages;
    plan_.end = static_cast<pipeline_plan::ending>(round_.up_to(3));
    plan_.moment = round_.up_to(plan_.items);
    plan_.open = round_.one_in(2);
    plan_.in_order = round_.one_in(2);
    for (std::size_t s = 0; s < stages; ++s) {
      stage_options& o = plan_.options[s];
      const bool is_sink = s == stages - 1;
      o = {};
      const auto workers = 1 + round_.up_to(3);
      o.workers = round_.up_to(3) == 0 ? worker_count(workers, workers + 3) : worker_count(workers);
      o.capacity = 1 + round_.up_to(round_.one_in(3) ? 200 : 7);
      o.ordered = !is_sink && (plan_.in_order || round_.one_in(4));
      if (is_sink && plan_.in_order) o.workers = 1;
      o.on_error = round_.one_in(2) ? on_error::skip : on_error::stop;
      o.retry.attempts = round_.one_in(2) ? 3 : 1;
      o.retry.backoff = std::chrono::nanoseconds(round_.up_to(1000));
      if (round_.one_in(3)) o.dead_letter = [this](unfinished_item&&) { ++dead_; };
      if (is_sink && plan_.end == pipeline_plan::ending::failed) {
        o.on_error = on_error::stop;
        o.dead_letter = nullptr;
        o.retry.attempts = 1;
      }
    }
  }
  std::string text(const char* shape) const {
    std::ostringstream out;
    out << "pipeline " << (plan_.open ? "(open) " : "") << shape << ", " << plan_.items << " items, ending "
        << static_cast<int>(plan_.end) << " at " << plan_.moment << (plan_.in_order ? ", in order" : "") << ", plan "
        << plan_.seed << ';';
    for (std::size_t s = 0; s < plan_.stages; ++s) {
      const stage_options& o = plan_.options[s];
      out << ' ' << o.workers.least() << '-' << o.workers.most() << '/' << o.capacity << (o.ordered ? " ordered" : "")
          << (o.on_error == on_error::skip ? " skip" : " stop") << (o.retry.attempts > 1 ? " retry" : "")
          << (o.dead_letter ? " dead letters" : "") << ';';
    }
    return out.str();
  }

  // What must be delivered of one item of the source.
  template <class... Stages>
  void expect_from(std::uint64_t number) {
    std::vector<std::uint64_t> now{number};
    std::size_t stage = 0;
    [[maybe_unused]] const auto go = [&]<class S>() {
      std::vector<std::uint64_t> next;
      for (const std::uint64_t n : now)
        if (plan_.gets_through(stage, n)) S::apply(plan_, stage, n, next);
      now = std::move(next);
      ++stage;
    };
    (go.template operator()<Stages>(), ...);
    for (const std::uint64_t n : now)
      if (plan_.gets_through(stage, n)) ++expected_.at(n);
  }

  template <class... Stages>
  void run_with(const char* shape) {
    make_plan(sizeof...(Stages) + 1);
    // An expansion multiplies the numbers; no shape has more than one.
    expected_ = std::vector<unsigned char>(plan_.items * most_children + most_children);
    delivered_ = std::vector<std::atomic<unsigned char>>(expected_.size());
    const auto deliver = [this, work = stage_work(plan_, sizeof...(Stages))](const token& t) {
      work(t.number);
      ++delivered_.at(t.number);
      out_of_order_ += plan_.in_order && t.number < last_;
      if (plan_.in_order) last_ = t.number;
      ++count_;
    };
    std::optional<report> done;
    try {
      if (plan_.open) {
        auto line = assemble<Stages...>(from<token>(), deliver, std::index_sequence_for<Stages...>());
        const auto board = announce(shape, line);
        feed(line);
        done = line.wait();
      } else {
        auto numbers = [this, next = std::uint64_t{0}]() mutable -> std::optional<token> {
          if (next == plan_.items) return std::nullopt;
          return token{next++};
        };
        auto line = assemble<Stages...>(from(numbers), deliver, std::index_sequence_for<Stages...>());
        const auto board = announce(shape, line);
        end_at_the_moment(line);
        done = line.wait();
      }
    } catch (const run_error& e) {
      expect(plan_.end == pipeline_plan::ending::failed, "the run failed, but no item was to stop it");
      expect(e.report().outcome == outcome::failed, "a failed run that does not say so");
      judge<Stages...>(e.report(), false);
      return;
    }
    judge<Stages...>(*done, done->outcome == outcome::completed || done->outcome == outcome::drained);
  }
  template <class... Stages, class Source, class Deliver, std::size_t... Index>
  auto assemble(Source source, Deliver deliver, std::index_sequence<Index...>) {
    return (std::move(source) | ... |
            stage("stage " + std::to_string(Index), Stages{stage_work(plan_, Index)}, plan_.options[Index])) |
           sink("sink", std::move(deliver), plan_.options[sizeof...(Stages)]) | start();
  }

  template <class Line>
  std::unique_ptr<wipes_at_the_end> announce(const char* shape, Line& line) {
    round_.board.write(text(shape), [this, &line] {
      std::ostringstream out;
      out << count_ << " delivered" << std::endl << line.snapshot();
      return out.str();
    });
    return std::make_unique<wipes_at_the_end>(round_.board);
  }
  template <class Line>
  void end_at_the_moment(Line& line) {
    if (plan_.end != pipeline_plan::ending::drained && plan_.end != pipeline_plan::ending::stopped) return;
    // Not every item is delivered, so the moment may never come: then a number of looks ends the waiting.
    for (std::uint64_t looks = 0; count_ < plan_.moment && looks < 200; ++looks) std::this_thread::yield();
    if (plan_.end == pipeline_plan::ending::drained)
      line.drain();
    else
      line.request_stop();
  }
  // Two producers, and the ending beside them.
  template <class Line>
  void feed(Line& line) {
    std::vector<std::jthread> threads;
    std::atomic<std::uint64_t> next = 0;
    const std::size_t producers = plan_.in_order ? 1 : 2;
    accepted_.assign(plan_.items, 0);
    for (std::size_t p = 0; p < producers; ++p)
      threads.emplace_back([&, d = dice(static_cast<unsigned>(plan_.seed + p))]() mutable {
        for (std::uint64_t n = next++; n < plan_.items; n = next++) {
          token t{n};
          conqueue_status status = conqueue_status::full;
          while (status == conqueue_status::full) {
            switch (below(d, 3)) {
              case 0:
                status = line.push(std::move(t)) ? conqueue_status::success : conqueue_status::closed;
                break;
              case 1:
                status = line.try_push(std::move(t));
                break;
              default:
                status = line.push(std::move(t), std::chrono::microseconds(below(d, 50)));
                break;
            }
          }
          if (status == conqueue_status::closed) return;
          accepted_[n] = 1;
        }
      });
    end_at_the_moment(line);
    threads.clear();
    line.close();
  }

  template <class... Stages>
  void judge(const report& r, bool to_the_end) {
    round_.items += r.entered;
    const auto complain = [&](const std::string& what) {
      std::ostringstream text;
      text << what << '\n' << r;
      throw failed_round(text.str());
    };
    if (!r.sums_meet()) complain("the sums do not meet");
    if (r.returned != r.unfinished.size()) complain("returned items that are not handed back");
    if (r.delivered != count_) complain("the report and the sink disagree");
    if (r.dead_lettered != dead_) complain("the report and the dead letters disagree");
    if (out_of_order_ != 0) complain("out of order");
    if (to_the_end && r.returned != 0) complain("items were returned by a run that went to its end");
    std::uint64_t entered = 0;
    for (std::uint64_t n = 0; n < plan_.items; ++n) {
      const bool went_in = plan_.open ? accepted_[n] != 0 : n < r.entered;
      entered += went_in;
      if (went_in) expect_from<Stages...>(n);
    }
    if (entered != r.entered)
      complain("what was taken in and what the report says entered: " + std::to_string(entered));
    if (plan_.end == pipeline_plan::ending::by_itself && entered != plan_.items) complain("not everything entered");
    for (std::size_t n = 0; n < expected_.size(); ++n)
      if (to_the_end ? delivered_[n] != expected_[n] : delivered_[n] > expected_[n])
        complain("item " + std::to_string(n) + " was delivered " + std::to_string(delivered_[n]) + " times");
  }

  round& round_;
  pipeline_plan plan_{};
  std::vector<unsigned char> accepted_, expected_;
  std::vector<std::atomic<unsigned char>> delivered_;
  std::atomic<std::uint64_t> count_ = 0, dead_ = 0, out_of_order_ = 0;
  std::uint64_t last_ = 0;  // of the only worker of an ordered sink
};

}  // namespace penstock::soak
