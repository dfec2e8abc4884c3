// lease<T>: an item together with the duty to say how it ended. When the lease ends, the item counts as done.
//
//   while (auto lease = queue.take()) resize(**lease);           // done at the closing brace; failed if resize() threw
//   for (auto& item : queue.items()) resize(item);               // the same
//
// A lease ends once: by done(), by fail(), or by its destructor, which says failed when it runs because of an exception
// and done otherwise. Whoever hands out leases (lease_issuer: a queue here; elsewhere a ledger, or a broker that waits
// for an acknowledgement) learns of it at that moment, so a stage's code is the same on one machine and on many.
//
// THREADS  A lease belongs to one thread at a time and may be moved to another.
// ENDING   REQUIRES: the issuer outlives its leases.
#pragma once

#include <cstdint>
#include <exception>
#include <utility>

namespace penstock {

enum class lease_outcome { done, failed };

// What becomes of an item at the moment it leaves a queue.
enum class after_pop { done, leased };

class lease_issuer {
 public:
  // Called exactly once for each lease, on the thread that ends it. `reason` may be null; it is always null for done.
  virtual void lease_ended(std::uint64_t ticket, lease_outcome outcome, std::exception_ptr reason) noexcept = 0;

 protected:
  ~lease_issuer() = default;
};

template <class T>
class [[nodiscard]] lease {
 public:
  using value_type = T;

  // `ticket`: the issuer's number for this item. A queue counts from 0 in the order in which items leave it.
  lease(T&& item, lease_issuer& issuer, std::uint64_t ticket)
      : item_(std::move(item)), issuer_(&issuer), ticket_(ticket), exceptions_(std::uncaught_exceptions()) {}
  lease(lease&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
      : item_(std::move(other.item_)),
        issuer_(std::exchange(other.issuer_, nullptr)),
        ticket_(other.ticket_),
        exceptions_(other.exceptions_) {}
  lease& operator=(lease&&) = delete;
  ~lease() { end(std::uncaught_exceptions() > exceptions_ ? lease_outcome::failed : lease_outcome::done, nullptr); }

  T& operator*() noexcept { return item_; }
  const T& operator*() const noexcept { return item_; }
  T* operator->() noexcept { return &item_; }
  const T* operator->() const noexcept { return &item_; }
  [[nodiscard]] std::uint64_t ticket() const noexcept { return ticket_; }

  // Ends the lease now; the item stays usable. A second ending is ignored.
  void done() noexcept { end(lease_outcome::done, nullptr); }
  void fail(std::exception_ptr reason = std::current_exception()) noexcept {
    end(lease_outcome::failed, std::move(reason));
  }

 private:
  void end(lease_outcome outcome, std::exception_ptr reason) noexcept {
    if (lease_issuer* issuer = std::exchange(issuer_, nullptr))
      issuer->lease_ended(ticket_, outcome, std::move(reason));
  }

  T item_;
  lease_issuer* issuer_;  // null once ended or moved from
  std::uint64_t ticket_;
  int exceptions_;  // in flight at birth, so that a lease made inside a destructor during unwinding is not taken for
                    // failed
};

}  // namespace penstock
