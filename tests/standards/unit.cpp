// Compiled once per language version, as UNIT.
#include "unit.hpp"

#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>
#include <version>

#include <penstock/async/channel.hpp>
#include <penstock/async/group.hpp>
#include <penstock/async/queue_ends.hpp>
#include <penstock/async/task.hpp>
#include <penstock/penstock.hpp>
#include <penstock/process/child.hpp>
#include <penstock/process/command.hpp>
#include <penstock/process/exit_status.hpp>

#if __cplusplus > 202002L && defined(__cpp_lib_expected)
#include <expected>
#endif

namespace standards {
namespace {

template <class T>
type_seen seen(const char* what) {
  return {what, typeid(T).name(), sizeof(T), alignof(T)};
}

std::vector<type_seen> types() {
  using namespace penstock;
  using strings = bounded_queue<std::string>;
  using either = expected<std::string, conqueue_status>;
  return {
      seen<wait_limit>("wait_limit"),
      seen<mutex>("mutex"),
      seen<condition>("condition"),
      seen<budget>("budget"),
      seen<budget::reservation>("budget::reservation"),
      seen<unique_fd>("unique_fd"),
      seen<either>("expected"),
      seen<unexpected<conqueue_status>>("unexpected"),
      seen<strings>("bounded_queue"),
      seen<bounded_queue<int>>("bounded_queue of numbers"),
      seen<lease<std::string>>("lease"),
      seen<join_result>("join_result"),
      seen<queue_statistics>("queue_statistics"),
      seen<decltype(std::declval<strings&>().pop())>("pop()"),
      seen<decltype(std::declval<strings&>().try_pop())>("try_pop()"),
      seen<decltype(std::declval<strings&>().pop(wait_limit()))>("pop(limit)"),
      seen<decltype(std::declval<strings&>().try_take())>("try_take()"),
      seen<decltype(std::declval<strings&>().join(wait_limit()))>("join(limit)"),
      seen<decltype(async_pop(std::declval<strings&>()))>("async_pop(queue)"),
      seen<decltype(async_pop(std::declval<strings&>(), wait_limit()))>("async_pop(queue, limit)"),
      seen<channel<std::string>>("channel"),
      seen<decltype(std::declval<channel<std::string>&>().try_pop())>("channel::try_pop()"),
      seen<stage_options>("stage_options"),
      seen<run_options>("run_options"),
      seen<retry_policy>("retry_policy"),
      seen<report>("report"),
      seen<stage_report>("stage_report"),
      seen<run_error>("run_error"),
      seen<task<int>>("task"),
      seen<group>("group"),
      // C++23 makes strings from ranges, but not silently.
      seen<std::bool_constant<has_label<std::vector<char>>>>("has_label"),
      seen<std::bool_constant<has_bytes<std::optional<std::string>>>>("has_bytes"),
      seen<process::command>("process::command"),
      seen<process::child>("process::child"),
      seen<process::exit_status>("process::exit_status"),
  };
}

std::string through(penstock::bounded_queue<std::string>& queue, const std::string& text) {
  std::string out;
  queue.push(text);
  if (auto item = queue.try_pop()) out = *item;
  auto none = queue.try_pop();
  out += none ? " and another one" : " then " + std::string(to_string(none.error()));
#if defined(__cpp_lib_expected)
  queue.push("converted");
  std::expected<std::string, penstock::conqueue_status> item = queue.try_pop();
  if (!item || *item != "converted") out += ", not converted";
  item = queue.try_pop();
  if (item || item.error() != penstock::conqueue_status::empty) out += ", no status converted";
#endif
  return out;
}

std::string pipeline() {
  std::mutex gate;
  std::string out;
  const std::vector<int> numbers{1, 2, 3};
  const auto report =
      penstock::from(numbers) |
      penstock::stage("odd", [](int n) { return n % 2 ? std::optional(std::to_string(n)) : std::nullopt; }) |
      penstock::sink("collect",
                     [&](const std::string& s) {
                       const std::scoped_lock lock(gate);
                       out += s;
                     }) |
      penstock::run();
  return out + (report.delivered == 2 && report.filtered == 1 ? ", all accounted for" : ", something is missing");
}

}  // namespace

unit UNIT() { return {COMPILED_AS, types, through, pipeline}; }

}  // namespace standards
