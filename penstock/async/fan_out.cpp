#include <penstock/async/fan_out.hpp>
#include <penstock/base/exception_text.hpp>

namespace penstock {

namespace {
std::string text_of(std::size_t index, const std::string& label) {
  std::string text = "element " + std::to_string(index);
  if (!label.empty()) text += " (" + label + ')';
  return text + ": " + exception_text(std::current_exception());
}
}  // namespace

element_error::element_error(std::size_t index, std::string label)
    : std::runtime_error(text_of(index, label)), index_(index), label_(std::move(label)) {}

namespace fan_out_parts {

void fail(std::size_t index, std::string label, const std::exception_ptr& cause) {
  try {
    std::rethrow_exception(cause);
  } catch (...) {
    throw element_error(index, std::move(label));
  }
}

sharing::sharing(std::size_t count, std::size_t workers)
    : count_(count), threads_(std::min(count, workers)), stop_(std::make_unique<std::stop_source>()) {
  if (workers == 0) throw std::invalid_argument("penstock: a fan_out needs at least one worker");
}

void sharing::failed(std::size_t index, std::exception_ptr cause, std::string label) noexcept {
  {
    const mutex_lock lock(mutex_);
    if (!failure_) {
      failure_ = std::move(cause);
      failed_ = index;
      label_ = std::move(label);
    }
  }
  stop();
}

void sharing::rethrow() {
  const mutex_lock lock(mutex_);
  if (!failure_) return;
  if (failed_ == no_element) std::rethrow_exception(failure_);
  fail(failed_, label_, failure_);
}

}  // namespace fan_out_parts
}  // namespace penstock
