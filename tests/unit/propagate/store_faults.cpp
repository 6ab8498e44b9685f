// SPDX-License-Identifier: Apache-2.0
#include <millrace/propagate/store.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace propagate = millrace::propagate;
namespace core = millrace::core;
using millrace::errc;
using millrace::error;
using millrace::result;

namespace {

/// Lets something happen at a place of the protocol, once.
struct interrupted : core::direct_access<cuda::thread_scope_system> {
  using direct = core::direct_access<cuda::thread_scope_system>;
  struct interruption {
    std::string_view site;
    void (*happens)();
  };
  static inline interruption next{};

  static void pass(char const* site) noexcept {
    if (next.happens != nullptr && next.site == site) { std::exchange(next, {}).happens(); }
  }
  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    pass(site);
    return direct::load(word, order, site);
  }
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, T desired,
                                             core::memory_order success, core::memory_order failure,
                                             char const* site) noexcept {
    pass(site);
    return direct::compare_exchange(word, expected, desired, success, failure, site);
  }
};
struct interrupted_store : propagate::default_store {
  using access = interrupted;
};

}  // namespace

TEST_CASE("store: who is late to pin an epoch does not bring back what has been let go") {
  using store = propagate::basic_store<interrupted_store>;
  auto g = store::graph::make().value();
  static propagate::input<int> a;
  static store* s;
  a = g.input(0).value();
  auto made = store::make(std::move(g)).value();
  s = &made;
  REQUIRE(made.publish(a));
  auto const first = made.stats().epoch;
  interrupted::next = {"pins.claim", [] {  // of the epoch that was the newest before all this
                         for (int i = 1; i <= 10; ++i) {
                           CHECK(s->transact([&](auto& t) { return t.write(a, i); }));
                         }
                         CHECK(s->collect());
                         interrupted::next = {"pins.second_look", [] { CHECK(s->collect()); }};
                       }};
  auto const late = made.snapshot();
  REQUIRE(late);
  CHECK(late->epoch() == first + 10);
  CHECK(late->read(a).value() == 10);
  CHECK(made.stats().oldest_kept == first + 10);
  CHECK(made.at(first + 5).error().code == errc::released);
}

TEST_CASE("store: a snapshot reads cells that are no more, though another has their place") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto s = propagate::store::make(std::move(g)).value();
  REQUIRE(s.publish(a));
  auto old = s.snapshot().value();
  REQUIRE(s.unpublish(a));
  auto const b = s.edit([&](auto& graph) {
                    CHECK(graph.remove(a.id()));
                    return graph.input(2);
                  }).value();
  REQUIRE(b.id().slot == a.id().slot);
  REQUIRE(s.publish(b));
  CHECK(old.read(a).value() == 1);
  CHECK(old.read(b).error().code == errc::unknown_id);
  CHECK(s.snapshot()->read(b).value() == 2);
  CHECK(s.snapshot()->read(a).error().code == errc::unknown_id);
  REQUIRE(s.collect());
  CHECK(old.read(a).value() == 1);
  // and one more in the same place
  REQUIRE(s.unpublish(b));
  auto const c = s.edit([&](auto& graph) {
                    CHECK(graph.remove(b.id()));
                    return graph.input(3);
                  }).value();
  REQUIRE(s.publish(c));
  CHECK(old.read(a).value() == 1);
  old.release();
  for (int i = 0; i < 3; ++i) {
    REQUIRE(s.collect());
    REQUIRE(s.transact([&](auto& t) { return t.write(c, i); }));
  }
  REQUIRE(s.collect());
  CHECK(s.stats().versions == 1);
  CHECK(s.snapshot()->read(c).value() == 2);
}

TEST_CASE("store: to let a cell go is no conflict for who has found that it is not published") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const b = g.input(1).value();
  auto s = propagate::store::make(std::move(g)).value();
  REQUIRE(s.publish(a));
  REQUIRE(s.publish(b));
  REQUIRE(s.unpublish(a));
  auto t = s.begin().value();
  CHECK(t.read(a).error().code == errc::unknown_id);
  REQUIRE(t.write(b, 2));
  REQUIRE(s.collect());
  CHECK(t.commit());
}

TEST_CASE("store: a cell that comes is a conflict for who has found that it is not published") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const b = g.input(1).value();
  auto s = propagate::store::make(std::move(g)).value();
  REQUIRE(s.publish(b));
  auto never = s.begin().value();
  CHECK(never.read(a).error().code == errc::unknown_id);
  REQUIRE(never.write(b, 2));
  REQUIRE(s.publish(a));
  CHECK(never.commit().error().code == errc::conflict);
  CHECK(never.conflict() == a.id());

  // the same of one that was published, which another publication has taken the place of
  REQUIRE(s.unpublish(a));
  auto again = s.begin().value();
  CHECK(again.write(a, 3).error().code == errc::unknown_id);
  REQUIRE(again.write(b, 3));
  REQUIRE(s.collect());
  REQUIRE(s.publish(a));
  CHECK(again.commit().error().code == errc::conflict);

  // one that has gone again is as it was, and one of another type has nothing to do with it
  REQUIRE(s.unpublish(a));
  REQUIRE(s.collect());
  auto same = s.begin().value();
  CHECK(same.read(a).error().code == errc::unknown_id);
  REQUIRE(same.write(b, 4));
  CHECK(same.commit());
  CHECK(s.snapshot()->read(b).value() == 4);
}

TEST_CASE("store: a cell goes while others look for it") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto s = propagate::store::make(std::move(g)).value();
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    while (!over) {
      auto const now = s.snapshot().value();
      auto const got = now.read(a);
      auto const again = now.read(a);
      if (got ? !again || *got != *again : again || got.error().code != errc::unknown_id) {
        ++wrong;
      }
    }
  });
  for (int round = 0; round < 2000; ++round) {
    REQUIRE(s.publish(a));
    REQUIRE(s.transact([&](auto& t) { return t.write(a, round); }));
    REQUIRE(s.unpublish(a));
    REQUIRE(s.collect());
    REQUIRE(s.edit([](auto&) {}));
    REQUIRE(s.collect());
  }
  over = true;
  reader.join();
  CHECK(wrong == 0);
}

namespace {

/// Is not made while that is wished. Too large to be kept with an access.
struct reluctant {
  static inline bool refuses = false;
  int value = 0;
  int more[2] = {};
  reluctant() {
    if (refuses) { throw std::bad_alloc(); }
  }
  explicit reluctant(int v) noexcept : value{v} {}
  bool operator==(reluctant const&) const = default;
};

}  // namespace

TEST_CASE("store: a value that cannot be made is missing memory") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(reluctant(1)).value();
  auto s = propagate::store::make(std::move(g)).value();
  reluctant::refuses = true;
  CHECK(s.publish(a).error().code == errc::out_of_memory);
  reluctant::refuses = false;
  REQUIRE(s.publish(a));
  auto t = s.begin().value();
  reluctant::refuses = true;
  CHECK(t.write(a, reluctant(2)).error().code == errc::out_of_memory);
  reluctant::refuses = false;
  REQUIRE(t.write(a, reluctant(2)));
  REQUIRE(t.commit());
  CHECK(s.snapshot()->read(a)->value == 2);
}

TEST_CASE("store: a snapshot's value can be looked at where it is") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(3).value();
  auto const b = g.computed(
                      [](int x) -> millrace::result<int> {
                        if (x > 3) { return millrace::core::fail(errc::bad_argument, 7); }
                        return x;
                      },
                      a)
                     .value();
  auto s = propagate::store::make(std::move(g)).value();
  REQUIRE(s.publish(a));
  auto const twice = [](int x) { return 2 * x; };
  auto now = s.snapshot().value();
  CHECK(now.read(a, twice).value() == 6);
  CHECK(now.read(b, twice).error().code == errc::unknown_id);
  REQUIRE(s.publish(b));
  REQUIRE(s.transact([&](auto& t) { return t.write(a, 4); }));
  auto const later = s.snapshot().value();
  CHECK(now.read(a, twice).value() == 6);
  CHECK(later.read(a, twice).value() == 8);
  CHECK(later.read(b, twice).error().native == 7);
  CHECK(later.read(a, [](int) -> int { throw 1; }).error().code == errc::function_failed);
  now.release();
  CHECK(now.read(a, twice).error().code == errc::released);
}

TEST_CASE("store: what is not published in the epoch is not written") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const b = g.input(1).value();
  auto s = propagate::store::make(std::move(g)).value();
  REQUIRE(s.publish(a));
  REQUIRE(s.unpublish(a));
  int tries = 0;
  auto const done = s.transact([&](auto& t) { return ++tries, t.write(a, 5); });
  CHECK(done.error().code == errc::unknown_id);
  CHECK(tries == 1);
  auto t = s.begin().value();
  REQUIRE(s.publish(b));
  CHECK(t.read(b).error().code == errc::unknown_id);
  CHECK(t.write(b, 5).error().code == errc::unknown_id);
}

TEST_CASE("store: a published cell keeps its name, and its publisher") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const b = g.input(2).value();
  REQUIRE(g.set_name(a, 1));
  auto s = propagate::store::make(std::move(g)).value();
  REQUIRE(s.publish(a));
  CHECK(s.edit([&](auto& graph) { return graph.set_name(a, 2); }).error().code == errc::busy);
  CHECK(s.edit([&](auto& graph) { return graph.set_name(a, 1); }));
  CHECK(s.edit([&](auto& graph) { return graph.set_name(b, 2); }));
  CHECK(s.edit([&](auto& graph) { return graph.template find<int>(1); }).value().id() == a.id());
  int refused = 0;
  REQUIRE(s.edit([&](auto& graph) {
    std::vector<propagate::node_id> observers;
    graph.visit([&](propagate::node_view const& n) {
      if (propagate::observes(n.is)) { observers.push_back(n.id); }
    });
    for (auto const& each : observers) {
      auto const gone = graph.remove(each);
      if (!gone && gone.error().code == errc::busy) { ++refused; }
    }
  }));
  CHECK(refused == 1);
  REQUIRE(s.transact([&](auto& t) { return t.write(a, 3); }));
  CHECK(s.snapshot()->read(a).value() == 3);
  REQUIRE(s.unpublish(a));
  CHECK(s.edit([&](auto& graph) { return graph.set_name(a, 3); }));
  CHECK(s.edit([&](auto& graph) { return graph.remove(a.id()); }));
}

TEST_CASE("store: a function that throws ends its transaction") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto s = propagate::store::make(std::move(g), {.most_pins = 1}).value();
  REQUIRE(s.publish(a));
  auto const done = s.transact([&](auto& t) -> result<void> {
    CHECK(t.write(a, 2));
    throw std::runtime_error("no");
  });
  CHECK(done.error().code == errc::function_failed);
  CHECK(s.snapshot()->read(a).value() == 1);
}
