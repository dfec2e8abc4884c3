#include <algorithm>
#include <cmath>

#include <penstock/pipeline/scaling.hpp>

namespace penstock {

namespace {
constexpr double starved_at_most = .05, blocked_at_most = .5;  // of its time, to be the bottleneck
constexpr double headroom = .92;                               // how full it should be
constexpr double helped = .1;                                  // of what a step would bring if nothing were in the way
constexpr double noise = .03;                                  // rates that differ by less are the same
}  // namespace

scaling::decision scaling::look(const observation& o) noexcept {
  const decision as_it_is{o.workers, scaling_reason::none};
  if (!open_) {
    open_ = true;
    began_ = tenth_ = o;
    since_ = o.at;
    return as_it_is;
  }
  remember(o);
  const std::int64_t wall = o.at - began_.at;
  const std::uint64_t done = o.finished - began_.finished;
  if (wall < 20 * ms) return as_it_is;

  const auto of_its_time = [&](std::int64_t now, std::int64_t before) {
    return static_cast<double>(now - before) /
           static_cast<double>(std::max<std::int64_t>(1, o.present - began_.present));
  };
  const bool is_bottleneck = of_its_time(o.starved, began_.starved) <= starved_at_most &&
                             of_its_time(o.blocked, began_.blocked) <= blocked_at_most;
  if (!is_bottleneck) {
    learn_share(o);
    began_ = o;
    grown_from_ = 0;
    full_in_a_row_ = 0;
    return shrink(o);
  }
  // Long items: what they will bring is not known before they are done. Of the very first, only that they are long.
  const bool can_tell = done >= 2 * o.workers && (done >= 8 || wall >= 250 * ms);
  const bool must_guess = processor_share_ < 0 && done == 0 && o.work_waits && wall >= 250 * ms;
  if (!can_tell && !must_guess) return as_it_is;

  learn_share(o);
  began_ = o;
  const double rate = static_cast<double>(done) / static_cast<double>(wall);
  if (grown_from_ != 0 && can_tell) {
    const double step = static_cast<double>(o.workers) / static_cast<double>(grown_from_) - 1;
    if (rate < rate_before_ * (1 + std::max(noise, helped * step))) {
      const std::size_t back = grown_from_;
      hold_until_ = o.at + hold_;
      hold_ = std::min(2 * hold_, 60'000 * ms);
      has_been_right_ = true;
      return change(o, back, scaling_reason::no_gain);
    }
    grown_from_ = 0;
  }
  return grow(o, rate);
}

scaling::decision scaling::shrink(const observation& o) noexcept {
  const decision as_it_is{o.workers, scaling_reason::none};
  if (o.at - since_ < patience_) return as_it_is;
  const auto needed = std::max(range_.least(), static_cast<std::size_t>(std::ceil(fullest_ / headroom)));
  since_ = o.at;
  fullest_ = 0;
  if (needed >= o.workers || o.workers - needed < std::max<std::size_t>(1, o.workers / 10)) return as_it_is;
  has_been_right_ = true;
  shrank_at_ = o.at;
  return change(o, needed, scaling_reason::idle);
}

scaling::decision scaling::grow(const observation& o, double rate) noexcept {
  const decision as_it_is{o.workers, scaling_reason::none};
  if (o.at < hold_until_) return as_it_is;
  const std::size_t most = std::min(range_.most(), most_that_can_run(o));
  if (o.workers >= most) return as_it_is;
  // Small steps that all were needed: the load is another one now.
  if (++full_in_a_row_ > 6) has_been_right_ = false;
  const std::size_t step = has_been_right_ ? std::max<std::size_t>(1, o.workers / 8) : o.workers;
  if (shrank_at_ != 0 && o.at - shrank_at_ < 4 * patience_) {
    patience_ = std::min(2 * patience_, 60'000 * ms);
    shrank_at_ = 0;
  }
  const std::size_t from = o.workers;
  const bool outside = processor_share_ >= 0 && processor_share_ < .5;
  const decision d = change(o, std::min(most, o.workers + step),
                            outside ? scaling_reason::waits_outside : scaling_reason::processors_free);
  grown_from_ = from;
  rate_before_ = rate;
  return d;
}

// A worker needs a processor for its share of the time, so that many keep all of them at work.
std::size_t scaling::most_that_can_run(const observation& o) const noexcept {
  if (processor_share_ < 0)  // no item has been finished yet: one at a time, as long as processors stand idle
    return o.free_processors > .5 ? o.workers + 1 : o.workers;
  const double share = std::max(processor_share_, .001);
  return std::max<std::size_t>(processors_, static_cast<std::size_t>(static_cast<double>(processors_) / share + .3));
}

void scaling::learn_share(const observation& o) noexcept {
  const auto worked = static_cast<double>((o.at_work - began_.at_work) - (o.crowded - began_.crowded));
  const auto ran = static_cast<double>(o.ran - began_.ran);
  if (o.finished == began_.finished || worked <= 0) return;
  const double share = std::clamp(ran / worked, 0.0, 1.0);
  processor_share_ = processor_share_ < 0 ? share : processor_share_ + (share - processor_share_) / 4;
}

void scaling::remember(const observation& o) noexcept {
  const std::int64_t wall = o.at - tenth_.at;
  if (wall < 100 * ms) return;
  // Not all that did not starve: who has left work behind him when he was done (unmanned) may stay like that for long
  // after another one has done it.
  const std::int64_t needed = (o.at_work + o.blocked) - (tenth_.at_work + tenth_.blocked);
  fullest_ = std::max(fullest_, static_cast<double>(needed) / static_cast<double>(wall));
  tenth_ = o;
}

scaling::decision scaling::change(const observation& o, std::size_t workers, scaling_reason why) noexcept {
  grown_from_ = 0;
  since_ = o.at;
  fullest_ = 0;
  tenth_ = o;
  return {workers, why};
}

}  // namespace penstock
