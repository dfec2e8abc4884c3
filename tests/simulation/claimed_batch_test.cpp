// A batch with its owner, while the supervisor finds it overdue and other workers claim from it: each item is begun once,
// each result is sent once and in order, each place is freed once.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/pipeline/claimed_batch.hpp>
#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/node.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using simulation::check;
using system::thread;
using testing::alone;
using testing::in_haste;
using testing::try_it;
using counted = std::shared_ptr<int>;  // that the right number of objects is destroyed, a sanitizer or the count tells
using batch = claimed_batch<counted, counted>;
using view = batch_view<counted>;

// Memory for objects that others construct and destroy.
template <std::size_t N>
class memory {
 public:
  counted* at() noexcept { return reinterpret_cast<counted*>(bytes_); }
  counted* filled(const counted& with) {
    for (std::size_t i = 0; i < N; ++i) std::construct_at(at() + i, with);
    return at();
  }

 private:
  alignas(counted) std::byte bytes_[N * sizeof(counted)];
};

// An owner, and a supervisor that finds batches overdue from 100 on.
struct scene {
  std::vector<std::unique_ptr<node>> nodes;
  supervisor watch{nodes};
  crew all{nodes, watch};
  crew_member owner{all, true};
  counted one = std::make_shared<int>(1);
  memory<4> items, results;
  batch b;
  std::size_t begun = 0, shared = 0;  // as look_after() said
  std::vector<std::uint64_t> sent;    // the tickets of results, each as its first ticket plus its place
  int overdue = 0;

  void open(std::size_t count, bool marked = false, std::int64_t due = 100) {
    b.open({.items = items.filled(one), .count = count, .results = results.at(), .ticket = 10, .marked = marked}, due,
           &owner);
    for (std::size_t i = count; i < 4; ++i) std::destroy_at(items.at() + i);
  }
  bool send(const view& v) {
    for (std::size_t i = 0; i < v.count; ++i) check(v.results[i] == one, "it is whole");
    for (std::size_t i = 0; i < v.items; ++i)
      if (!v.present || v.present[i]) sent.push_back(10 + v.first + i);
    return false;
  }
  void look(std::int64_t now) {
    b.look_after(
        now, [&](crew_member& m) { check(&m == &owner && ++overdue > 0); },
        [&](std::size_t first, std::size_t n) { begun = first, shared = n; },
        [&](const view& v, std::size_t, std::uint64_t) { send(v); });
  }
  // The owner's end. Returns whether the batch was overdue.
  bool end() {
    bool was_overdue = false;
    b.finish([&](bool o) { was_overdue = o; }, [&](const view& v) { return send(v); });
    while (b.claim([](counted&& c, std::uint64_t) { c.reset(); })) {
    }
    check(b.close() == was_overdue);
    return was_overdue;
  }
};

TEST(simulated_claimed_batch, is_the_owners_alone_until_it_is_due) {
  alone([] {
    scene s;
    s.look(1'000);
    check(s.overdue == 0, "it is not open");
    s.open(3);
    check(s.b.due() == 100 && s.b.next() == 0 && s.b.item(0) == s.one);
    s.look(99);
    check(s.overdue == 0 && !s.b.is_shared());
    check(!s.b.claim([](counted&&, std::uint64_t) {}), "nothing is shared");
    for (std::size_t i = 0; i < 3; ++i) {
      s.b.add(counted(s.one));
      check(s.b.made() == i + 1 && s.b.next() == (i < 2 ? i + 1 : batch::npos));
    }
    check(!s.end() && s.sent == std::vector<std::uint64_t>{10, 11, 12} && s.one.use_count() == 1);
    s.look(1'000);
    check(s.overdue == 0, "it is not open any more");
  });
}

TEST(simulated_claimed_batch, what_is_not_begun_can_be_claimed_when_it_is_overdue) {
  alone([] {
    scene s;
    s.open(4);
    check(s.b.next() == 0);
    s.b.add(counted(s.one));
    check(s.b.next() == 1);
    s.look(100);
    check(s.overdue == 1 && s.begun == 2 && s.shared == 2 && s.b.due() == 0);
    check(s.sent == std::vector<std::uint64_t>{10}, "what is finished");
    s.look(1'000);
    check(s.overdue == 1, "once");
    std::uint64_t ticket = 0;
    check(s.b.claim([&](counted&& c, std::uint64_t t) {
      check(c == s.one);
      c.reset();
      ticket = t;
    }));
    check(ticket == 12 && s.one.use_count() == 1 + 3 + 1, "three items, one result");
    s.b.add(counted(s.one));
    check(s.b.is_shared());
    s.b.flush([&](const view& v) { s.send(v); });
    check(s.sent == std::vector<std::uint64_t>{10, 11});
    check(s.b.next() == batch::npos, "the last one is for claim() to say");
    check(s.end() && s.sent.size() == 2 && s.one.use_count() == 1);
    s.open(1);
    check(!s.b.is_shared() && s.b.next() == 0, "another batch");
    check(!s.end());
  });
}

TEST(simulated_claimed_batch, a_turn_without_items_can_be_overdue) {
  alone([] {
    scene s;
    s.b.open({}, 100, &s.owner);
    s.look(100);
    check(s.overdue == 1 && s.shared == 0 && s.b.close());
    s.b.open({}, 0, &s.owner);
    s.look(1'000);
    check(s.overdue == 1 && !s.b.close(), "it is never due");
  });
}

TEST(simulated_claimed_batch, items_that_the_function_knows_ahead_are_not_shared) {
  alone([] {
    scene s;
    s.b.open({.items = s.items.filled(s.one), .count = 4, .results = s.results.at(), .known_ahead = true}, 100,
             &s.owner);
    check(s.b.next() == 0);
    s.look(100);
    check(s.overdue == 1 && s.shared == 0 && s.begun == 4);
    for (std::size_t i = 1; i < 4; ++i) check(s.b.next() == i, "they go on as before");
    check(s.b.next() == batch::npos && s.end() && s.one.use_count() == 1);
  });
}

TEST(simulated_claimed_batch, items_without_a_result_are_told_apart) {
  alone([] {
    scene s;
    s.open(4, true);
    (void)s.b.next();
    s.b.skip();
    (void)s.b.next();
    s.b.add(counted(s.one));
    (void)s.b.next();
    s.look(100);
    check(s.sent == std::vector<std::uint64_t>{11});
    s.b.skip();
    s.b.finish([](bool) {},
               [&](const view& v) {
                 check(v.items == 1 && v.count == 0 && v.first == 2 && !v.present[0]);
                 return false;
               });
    check(s.b.close() && s.one.use_count() == 1);
  });
}

TEST(simulated_claimed_batch, results_taken_over_in_their_place_are_not_destroyed) {
  alone([] {
    scene s;
    s.open(2);
    for (int i = 0; i < 2; ++i) {
      (void)s.b.next();
      s.b.add(counted(s.one));
    }
    s.b.finish([](bool) {}, [](const view&) { return true; });
    check(!s.b.close() && s.one.use_count() == 3);
    for (int i = 0; i < 2; ++i) std::destroy_at(s.results.at() + i);
  });
}

TEST(simulated_claimed_batch, each_item_is_begun_once_and_each_result_is_sent_once_in_order) {
  try_it(in_haste(2, 1), 5'000, [] {
    scene s;
    int begun[3] = {};
    std::size_t freed = 0;
    s.open(3);
    {
      const thread supervisor_and_worker([&] {
        s.look(100);
        freed += s.begun;
        while (s.b.claim([&](counted&& c, std::uint64_t ticket) {
          check(c == s.one, "it is whole");
          c.reset();
          ++begun[ticket - 10];
        }))
          ++freed;
      });
      for (std::size_t i = s.b.next(); i != batch::npos; i = s.b.next()) {
        check(s.b.item(i) == s.one);
        ++begun[i];
        s.b.add(counted(s.one));
        if (s.b.is_shared()) s.b.flush([&](const view& v) { s.send(v); });
      }
      bool was_overdue = false;
      s.b.finish([&](bool o) { was_overdue = o; }, [&](const view& v) { return s.send(v); });
      if (!was_overdue) freed += 3;
      while (s.b.claim([&](counted&& c, std::uint64_t ticket) {
        c.reset();
        ++begun[ticket - 10];
      }))
        ++freed;
    }
    (void)s.b.close();
    check(begun[0] == 1 && begun[1] == 1 && begun[2] == 1);
    check(freed == 3, "each place once");
    for (std::size_t i = 0; i < s.sent.size(); ++i) check(s.sent[i] == 10 + i, "in order, none twice");
    check(s.one.use_count() == 1);
  });
}

}  // namespace
}  // namespace penstock
