// Memory that cannot be had: a program that includes this, in one source, can let its allocations fail.
#pragma once

#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock::testing {

// Counts the program's allocations down and lets one fail, or all from then on.
class scarcity {
 public:
  explicit scarcity(int allocations_until, bool lasts = false) {
    lasts_ = lasts;
    left_ = allocations_until;
  }
  ~scarcity() { left_ = none; }
  scarcity(const scarcity&) = delete;
  scarcity& operator=(const scarcity&) = delete;
  [[nodiscard]] static bool came() { return left_ < 0; }
  [[nodiscard]] static bool is_now() { return lasts_ ? left_ == 0 : left_ >= 0 && left_-- == 0; }

 private:
  static constexpr int none = -1;
  static inline std::atomic<int> left_ = none;
  static inline std::atomic<bool> lasts_ = false;
};

// Counts who is alive, so that nothing leaks and nothing is destroyed twice, and who has arrived.
struct parcel {
  explicit parcel(int n) : number(n) { ++alive; }
  parcel(const parcel& other) : number(other.number) { ++alive; }
  parcel(parcel&& other) : number(other.number) { ++alive; }  // may throw, as far as is known: it travels on the heap
  parcel& operator=(const parcel&) = default;
  ~parcel() { --alive; }
  void arrive() const { ++arrived, ++arrivals[static_cast<std::size_t>(number)]; }
  int number;
  friend std::size_t item_bytes(const parcel&) { return 30; }
  friend std::string item_label(const parcel& p) {
    return "a parcel with a number that needs memory: " + std::to_string(p.number);
  }
  static constexpr int most = 400;
  static inline std::atomic<int> alive = 0, arrived = 0;
  static inline std::array<std::atomic<int>, most> arrivals{};
};

inline void expect_accounts(const report& r, int times_each) {
  EXPECT_TRUE(r.sums_meet()) << r;
  EXPECT_EQ(r.delivered, static_cast<std::uint64_t>(parcel::arrived)) << r;
  for (const auto& times : parcel::arrivals) EXPECT_LE(times, times_each) << "it arrived twice";
  if (r.outcome == outcome::failed) return;  // one may be missing in the list: there was no memory for it
  EXPECT_EQ(r.returned, r.unfinished.size()) << r;
  for (const auto& left : r.unfinished) EXPECT_TRUE(left.item.has_value()) << left.place.number;
}

// Runs it again and again, until it asks for no more than it is given, whatever turn it takes. times_each: how often an
// item arrives that gets through.
inline void with_each_allocation_failing_once(int times_each, const std::function<report()>& go) {
  int refused = 0;
  for (int never = 0, refuse = 0; never < 20; ++refuse) {
    SCOPED_TRACE(::testing::Message() << "the allocation after " << refuse);
    parcel::arrived = 0;
    for (auto& times : parcel::arrivals) times = 0;
    bool came = true;
    std::optional<report> r;
    std::string said;
    try {
      const scarcity s(refuse);
      r = go();
      came = scarcity::came();
    } catch (const run_error& e) {
      r = std::move(e.report());
      said = e.what();
    } catch (const std::bad_alloc&) {  // it could not begin, or not say how it ended
    }
    if (r) expect_accounts(*r, times_each);
    if (r && r->outcome == outcome::failed) {
      EXPECT_NE(said.find("bad_alloc"), std::string::npos) << said;
    }
    r.reset();
    ASSERT_EQ(parcel::alive, 0) << "an item leaked, or was destroyed twice";
    ASSERT_FALSE(::testing::Test::HasFailure());
    came ? ++refused : ++never;
  }
  EXPECT_GT(refused, 20) << "nothing was refused, so nothing was tested";
}

inline auto parcels(int count) {
  return [count, made = 0]() mutable -> std::optional<parcel> {
    if (made == count) return std::nullopt;
    return parcel(++made);
  };
}
}  // namespace penstock::testing

// NOLINTBEGIN: a program's own, as the standard allows. Not inline: g++ would see a new that ends in free().
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (penstock::testing::scarcity::is_now()) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return penstock::testing::scarcity::is_now() ? nullptr : std::malloc(size);
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  if (penstock::testing::scarcity::is_now()) throw std::bad_alloc();
  const auto each = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(each, (size + each - 1) / each * each)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
// NOLINTEND
