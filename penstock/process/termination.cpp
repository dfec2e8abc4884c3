#include <charconv>
#include <optional>
#include <stdexcept>
#include <string>

#include <penstock/process/exit_status.hpp>
#include <penstock/process/termination.hpp>

namespace penstock::process {
namespace {

std::optional<std::chrono::nanoseconds> time_of(std::string_view word) {
  double number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || !(number >= 0) || number > 1e6) return std::nullopt;
  const std::string_view unit = word.substr(static_cast<std::size_t>(end - word.data()));
  const double seconds = unit == "ms"  ? number / 1000
                         : unit == "s" ? number
                         : unit == "m" ? number * 60
                         : unit == "h" ? number * 3600
                                       : -1;
  if (seconds < 0) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

}  // namespace

termination::termination(std::string_view text) {
  // Whether a wait is written after a signal is noted apart from its value: every value can be written.
  bool wait_is_written = false;
  for (std::string_view rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    rest = comma == rest.npos ? std::string_view{} : rest.substr(comma + 1);
    // Numbers without a unit are signals, so the time is tried first and needs one.
    if (const auto wait = time_of(word)) {
      if (steps_.empty())
        throw std::invalid_argument("penstock: a termination begins with a signal: " + std::string(text));
      if (wait_is_written)
        throw std::invalid_argument("penstock: two times in a row in a termination: " + std::string(text));
      steps_.back().wait = *wait;
      wait_is_written = true;
    } else if (const int signal = signal_number(std::string(word))) {
      steps_.push_back({signal, std::chrono::nanoseconds(0)});
      wait_is_written = false;
    } else {
      throw std::invalid_argument("penstock: neither a signal nor a time in a termination: \"" + std::string(word) +
                                  '"');
    }
  }
  if (steps_.empty()) throw std::invalid_argument("penstock: a termination without a signal");
  if (!wait_is_written) steps_.back().wait = last_wait;
}

}  // namespace penstock::process
