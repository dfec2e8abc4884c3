#include <utility>

#include <penstock/base/exception_text.hpp>
#include <penstock/pipeline/errors.hpp>
#include <penstock/pipeline/report.hpp>

namespace penstock {
namespace {

// what() is a C string, so a zero byte in a label would hide all that follows it, the reason too: it is shown as \0.
std::string shown(const std::string& text) {
  std::string out;
  for (const char c : text) c ? out += c : out += "\\0";
  return out;
}

std::string text_of(const item_place& place, const std::exception_ptr& cause) {
  std::string text = place.stage.empty() ? "a stage" : "stage \"" + shown(place.stage) + '"';
  if (place.number) text += ", item " + std::to_string(place.number);
  if (!place.label.empty()) text += " (" + shown(place.label) + ')';
  if (place.attempt > 1) text += ", attempt " + std::to_string(place.attempt);
  return text + ": " + exception_text(cause);
}

// std::nested_exception takes its cause from the handler that is running, so there must be one.
std::nested_exception nested(const std::exception_ptr& cause) {
  try {
    std::rethrow_exception(cause);
  } catch (...) {
    return {};
  }
}

}  // namespace

item_place place_in(const std::string& stage, std::uint64_t number, const std::string& label,
                    unsigned attempt) noexcept {
  try {
    return {stage, number, label, attempt};
  } catch (...) {
    return {{}, number, {}, attempt};
  }
}

stage_error::stage_error(item_place place, const std::exception_ptr& cause)
    : std::runtime_error(text_of(place, cause)), std::nested_exception(nested(cause)), place_(std::move(place)) {}

run_error::run_error(const stage_error& first, std::shared_ptr<penstock::report> report)
    : stage_error(first), report_(std::move(report)) {}

}  // namespace penstock
