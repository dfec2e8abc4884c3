// A batch in its owner's hands, while somebody comes to take over what has not been begun, or to send on what is done: each
// item is worked at once, each result is sent once, each place is freed once.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/pipeline/hand.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using simulation::check;
using system::thread;
using testing::alone;
using testing::in_haste;
using testing::try_it;
using counted = std::shared_ptr<int>;  // that the right number of objects is destroyed, a sanitizer or the count tells

// Room for objects that somebody else constructs and destroys.
template <std::size_t N>
class room {
 public:
  counted* at() noexcept { return reinterpret_cast<counted*>(bytes_); }
  counted* filled(const counted& with) {
    for (std::size_t i = 0; i < N; ++i) std::construct_at(at() + i, with);
    return at();
  }

 private:
  alignas(counted) std::byte bytes_[N * sizeof(counted)];
};

constexpr std::int64_t stuck = 100;
constexpr auto take_all = [](counted* first, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) first[i].reset();
  return true;
};
constexpr auto take_none = [](counted*, std::size_t) { return false; };
constexpr auto leave_them = [](const portion<counted>&) { return false; };
constexpr auto nothing_there = [](counted*, std::size_t) {
  simulation::fail("there was nothing to take");
  return false;
};
constexpr auto none_to_send = [](const portion<counted>&) {
  simulation::fail("there was nothing to send");
  return false;
};

// For an owner who has nothing to send when somebody has come.
std::size_t next_of(hand<counted>& h) {
  return h.next([] {});
}

TEST(simulated_hand, what_was_not_begun_can_be_taken_over) {
  alone([] {
    const counted one = std::make_shared<int>(1);
    hand<counted> h;
    room<4> r;
    check(h.relieve(stuck, 1'000, nothing_there).freed == 0, "it is not open");
    h.open(r.filled(one), 4, 1'000);
    check(one.use_count() == 5);
    check(next_of(h) == 0 && h.item(0) == one);
    check(h.relieve(stuck, 1'099, nothing_there).freed == 0, "not yet");
    std::size_t taken = 0;
    const auto loot = h.relieve(stuck, 1'100, [&](counted* first, std::size_t n) {
      taken = n;
      return take_all(first, n);
    });
    check(taken == 3 && loot.first == 1 && loot.freed == 1,
          "the place of the one that is begun; the others' go with them");
    check(h.relieve(stuck, 1'200, nothing_there).freed == 0, "once");
    check(next_of(h) == hand<counted>::npos);
    check(h.close() == 0, "no place is left");
    check(one.use_count() == 1);
    check(h.relieve(stuck, 9'999, nothing_there).freed == 0);
  });
}

TEST(simulated_hand, places_of_what_was_begun_are_freed_also_if_nothing_is_taken) {
  alone([] {
    const counted one = std::make_shared<int>(1);
    hand<counted> h;
    room<4> r;
    for (int round = 0; round < 2; ++round) {
      h.open(r.filled(one), 4, 0);
      check(next_of(h) == 0 && next_of(h) == 1);
      check(h.relieve(stuck, 100, take_none).freed == 2);
      check(h.relieve(stuck, 100, take_none).freed == 0);
      check(next_of(h) == 2);
      check(h.relieve(stuck, 100, take_none).freed == 1);
      check(next_of(h) == 3 && next_of(h) == hand<counted>::npos);
      check(h.relieve(stuck, 100, nothing_there).freed == 1);
      check(h.close() == 0);
      h.open(r.filled(one), 4, 0);
      check(h.close() == 4 && one.use_count() == 1);
    }
  });
}

TEST(simulated_hand, each_item_is_worked_at_once_whoever_comes) {
  try_it(in_haste(2, 1), 5'000, [] {
    const counted one = std::make_shared<int>(1);
    hand<counted> h;
    room<3> r;
    int worked[3] = {};
    std::size_t freed = 0, stolen = 0;
    h.open(r.filled(one), 3, 0);
    {
      const thread thief([&] {
        for (int i = 0; i < 2; ++i) {
          std::size_t count = 0;
          const auto loot = h.relieve(stuck, 100, [&](counted* first, std::size_t n) {
            count = n;
            return take_all(first, n);
          });
          for (std::size_t k = 0; k < count; ++k) ++worked[loot.first + k];
          freed += loot.freed;
          stolen += count;
        }
      });
      for (std::size_t i = next_of(h); i != hand<counted>::npos; i = next_of(h)) {
        check(h.item(i) == one);
        ++worked[i];
      }
    }
    check(worked[0] == 1 && worked[1] == 1 && worked[2] == 1);
    check(freed + stolen + h.close() == 3, "each place once");
    check(one.use_count() == 1);
  });
}

TEST(simulated_tray, each_result_is_sent_once_and_in_order) {
  try_it(in_haste(2, 1), 5'000, [] {
    const counted one = std::make_shared<int>(1);
    tray<counted> t;
    room<3> r;
    std::vector<const counted*> sent;
    const auto send = [&](const portion<counted>& p) {
      check(p.count == p.items && p.present == nullptr && p.first == sent.size());
      for (std::size_t i = 0; i < p.count; ++i) {
        check(p.results[i] == one, "it is whole");
        sent.push_back(p.results + i);
      }
      return true;
    };
    t.open(r.at(), 0);
    {
      const thread sender([&] {
        t.take_if_older_than(stuck, 99, none_to_send);
        t.take_if_older_than(stuck, 100, leave_them);
        t.take_if_older_than(stuck, 100, send);
        t.take_if_older_than(stuck, 100, send);
      });
      for (std::size_t i = 0; i < 3; ++i) {
        t.add(counted(one));
        check(t.size() == i + 1);
      }
      t.close([&](const portion<counted>& p) { return !send(p); });
    }
    check(sent == std::vector<const counted*>{r.at(), r.at() + 1, r.at() + 2});
    check(one.use_count() == 1);
    t.take_if_older_than(stuck, 100, none_to_send);
  });
}

TEST(simulated_tray, what_was_taken_over_in_its_place_is_not_destroyed) {
  alone([] {
    const counted one = std::make_shared<int>(1);
    tray<counted> t;
    room<3> r;
    t.open(r.at(), 0);
    for (int i = 0; i < 2; ++i) t.add(counted(one));
    t.take_if_older_than(stuck, 100, [](const portion<counted>&) { return true; });
    t.add(counted(one));
    t.close([](const portion<counted>& p) { return p.count == 1; });
    check(one.use_count() == 2, "the last one");
    std::destroy_at(r.at() + 2);
    t.open(r.at(), 50);
    t.add(counted(one));
    t.take_if_older_than(stuck, 149, none_to_send);
    check(!t.is_late());
    t.take_if_older_than(stuck, 150, leave_them);
    check(t.is_late());
    t.close([](const portion<counted>& p) { return p.count != 1; });
    t.open(r.at(), 200);
    check(!t.is_late(), "another batch");
    t.take_if_older_than(stuck, 300, none_to_send);
    t.close(none_to_send);
  });
}

TEST(simulated_tray, items_without_a_result_are_told_apart) {
  alone([] {
    const counted one = std::make_shared<int>(1);
    tray<counted, true> t;
    room<3> r;
    t.open(r.at(), 0);
    t.skip();
    t.add(counted(one));
    t.take_if_older_than(stuck, 100, [&](const portion<counted>& p) {
      check(p.items == 2 && p.count == 1 && p.first == 0 && !p.present[0] && p.present[1] && p.results == r.at());
      return true;
    });
    t.skip();
    t.add(counted(one));
    t.skip();
    t.close([&](const portion<counted>& p) {
      check(p.items == 3 && p.count == 1 && p.first == 2 && p.results == r.at() + 1);
      check(!p.present[0] && p.present[1] && !p.present[2]);
      return false;
    });
    check(one.use_count() == 1);
  });
}

}  // namespace
}  // namespace penstock
