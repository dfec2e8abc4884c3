// The concepts of the standard's proposed concurrent queues (P0260R20), so that code written against them takes our
// queues too.
#pragma once

#include <concepts>
#include <optional>
#include <utility>

#include <penstock/base/expected.hpp>
#include <penstock/queue/status.hpp>

namespace penstock {

// Blocking operations and the end.
template <class Q>
concept basic_concurrent_queue =
    std::move_constructible<typename Q::value_type> && requires(Q& q, const Q& cq, typename Q::value_type&& item) {
      { cq.is_closed() } noexcept -> std::same_as<bool>;
      { q.close() } noexcept -> std::same_as<void>;
      { q.push(std::move(item)) } -> std::same_as<bool>;
      { q.emplace(std::move(item)) } -> std::same_as<bool>;
      { q.pop() } -> std::same_as<std::optional<typename Q::value_type>>;
    };

// And operations that never wait.
template <class Q>
concept concurrent_queue = basic_concurrent_queue<Q> && requires(Q& q, typename Q::value_type&& item) {
  { q.try_push(std::move(item)) } -> std::same_as<conqueue_status>;
  { q.try_emplace(std::move(item)) } -> std::same_as<conqueue_status>;
  { q.try_pop() } -> std::same_as<expected<typename Q::value_type, conqueue_status>>;
};

}  // namespace penstock
