#include <penstock/base/exception_text.hpp>

namespace penstock {
namespace {

// The cause nested in `e`, or null.
std::exception_ptr cause_of(const std::exception& e) noexcept {
  const auto* nested = dynamic_cast<const std::nested_exception*>(&e);
  return nested ? nested->nested_ptr() : nullptr;
}

}  // namespace

std::string exception_text(const std::exception_ptr& error) {
  if (!error) return {};
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    std::string text = e.what();
    const std::string cause = exception_text(cause_of(e));
    // Some exceptions quote their cause themselves; once is enough.
    if (!cause.empty() && !text.ends_with(cause)) text += ": " + cause;
    return text;
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

}  // namespace penstock
