// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/propagate/graph.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace propagate = millrace::propagate;
using millrace::errc;
using propagate::arc;

namespace {

constexpr std::uint64_t far = ~std::uint64_t{0};

/// The least sum of weights of a way.
struct shortest {
  static std::uint64_t join(std::uint64_t a, std::uint64_t b) noexcept { return std::min(a, b); }
  static std::uint64_t along(std::uint32_t weight, std::uint64_t before) noexcept {
    return before == far ? far : before + weight;
  }
};
struct shortest_that_knows : shortest {
  static constexpr bool strict = true;
  static bool rises(std::uint32_t before, std::uint32_t after) noexcept { return after <= before; }
};
/// The narrowest place of the widest way: not strict, for a place may be the narrowest of many
/// ways.
struct widest {
  static std::uint64_t join(std::uint64_t a, std::uint64_t b) noexcept { return std::max(a, b); }
  static std::uint64_t along(std::uint32_t width, std::uint64_t before) noexcept {
    return std::min<std::uint64_t>(width, before);
  }
};
/// Grows where it goes around, up to a bound.
struct bounded {
  static std::uint64_t join(std::uint64_t a, std::uint64_t b) noexcept { return std::max(a, b); }
  static std::uint64_t along(std::uint32_t bound, std::uint64_t before) noexcept {
    return before == 0 ? 0 : std::min<std::uint64_t>(bound, 2 * before);
  }
};
/// Who reaches a member, a bit each.
struct reached_by {
  static std::uint64_t join(std::uint64_t a, std::uint64_t b) noexcept { return a | b; }
  static std::uint64_t along(propagate::unweighted, std::uint64_t before) noexcept {
    return before;
  }
};
/// What flows on changes on the way: gen and kill, as in analyses of programs.
struct block {
  std::uint64_t gen = 0;
  std::uint64_t kill = 0;
};
struct definitions {
  static std::uint64_t join(std::uint64_t a, std::uint64_t b) noexcept { return a | b; }
  static std::uint64_t along(block const& b, std::uint64_t before) noexcept {
    return b.gen | (before & ~b.kill);
  }
};
static_assert(propagate::fixpoint_law<shortest, std::uint64_t, std::uint32_t>);

/// From scratch, until nothing changes.
template <class Law, class W>
[[nodiscard]] std::vector<std::uint64_t> solved(Law law, std::vector<std::uint64_t> x,
                                                std::vector<arc<W>> const& arcs) {
  for (bool changes = true; changes;) {
    changes = false;
    for (auto const& a : arcs) {
      if (a.from == propagate::no_member || a.to == propagate::no_member) { continue; }
      std::uint64_t const next = law.join(x[a.to], law.along(a.weight, x[a.from]));
      changes = changes || next != x[a.to];
      x[a.to] = next;
    }
  }
  return x;
}

/// Edits of arcs and bases at random, alone and in batches, against the above.
template <class W, class Law, class Weigh, class Base>
void play(std::uint64_t seed, Law law, Weigh weigh, Base base_of) {
  core::splitmix_rng chance(seed);
  auto g = propagate::graph::make().value();
  auto const members = static_cast<std::uint32_t>(1 + chance.next() % 70);
  auto const room = static_cast<std::uint32_t>(1 + chance.next() % (3 * members));
  std::vector<std::uint64_t> base;
  for (std::uint32_t i = 0; i < members; ++i) { base.push_back(base_of(i)); }
  std::vector<arc<W>> arcs(room);
  auto const bases = g.input_array(cuda::std::span<std::uint64_t const>(base.data(), members));
  auto const all_arcs = g.input_array(room, arc<W>{});
  auto const x = g.fixpoint(law, bases.value(), all_arcs.value(), 1'000).value();
  std::vector<std::uint64_t> seen(members, 12'345);
  std::vector<std::uint32_t> changed;
  bool const observed = chance.next() % 4 != 0;
  if (observed) {
    REQUIRE(g.observe_each(x, [&](propagate::array_changes<std::uint64_t> const& now) {
      changed.assign(now.indices().begin(), now.indices().end());
      for (std::uint32_t k = 0; k < now.size(); ++k) { seen[now.indices()[k]] = now.value(k); }
    }));
  }
  auto want = solved(law, base, arcs);
  for (int step = 0; step < 120; ++step) {
    auto batch = g.begin().value();
    for (std::uint64_t k = 1 + chance.next() % 3; k-- != 0;) {
      if (chance.next() % 6 == 0) {
        auto const i = static_cast<std::uint32_t>(chance.next() % members);
        base[i] = base_of(static_cast<std::uint32_t>(chance.next() % members));
        REQUIRE(batch.write(bases.value(), i, base[i]));
      } else {
        auto const a = static_cast<std::uint32_t>(chance.next() % room);
        auto const end = [&] { return static_cast<std::uint32_t>(chance.next() % members); };
        switch (chance.next() % 4) {
          case 0: arcs[a] = {}; break;
          case 1: arcs[a].weight = weigh(chance); break;
          default: arcs[a] = {end(), end(), weigh(chance)};
        }
        REQUIRE(batch.write(all_arcs.value(), a, arcs[a]));
      }
    }
    changed.clear();
    REQUIRE(batch.commit());
    auto const before = std::exchange(want, solved(law, base, arcs));
    if (observed) {
      std::vector<std::uint32_t> differs;
      for (std::uint32_t i = 0; i < members; ++i) {
        if (before[i] != want[i]) { differs.push_back(i); }
      }
      REQUIRE(changed == differs);
      REQUIRE(seen == want);
    } else if (chance.next() % 3 == 0) {
      std::vector<std::uint64_t> got(members);
      REQUIRE(g.read(x, cuda::std::span<std::uint64_t>(got.data(), members)));
      REQUIRE(got == want);
    }
  }
}

[[nodiscard]] int programs() { return millrace_test::long_tier() ? 5'000 : 150; }

}  // namespace

TEST_CASE("fixpoint: shortest ways while roads come, go and change") {
  auto const weigh = [](core::splitmix_rng& chance) {
    return static_cast<std::uint32_t>(chance.next() % 20);
  };
  auto const base = [](std::uint32_t i) { return i % 11 == 0 ? std::uint64_t{i} : far; };
  for (int seed = 1; seed <= programs(); ++seed) {
    INFO("seed ", seed);
    play<std::uint32_t>(static_cast<std::uint64_t>(seed), shortest{}, weigh, base);
    play<std::uint32_t>(static_cast<std::uint64_t>(seed), shortest_that_knows{}, weigh, base);
  }
}

TEST_CASE("fixpoint: the widest ways, and values that grow around cycles up to a bound") {
  auto const weigh = [](core::splitmix_rng& chance) {
    return static_cast<std::uint32_t>(chance.next() % 20);
  };
  auto const base = [](std::uint32_t i) { return std::uint64_t{i % 11 == 0 ? 1 + i % 7 : 0}; };
  for (int seed = 1; seed <= programs(); ++seed) {
    INFO("seed ", seed);
    play<std::uint32_t>(static_cast<std::uint64_t>(seed), widest{}, weigh, base);
    play<std::uint32_t>(static_cast<std::uint64_t>(seed), bounded{}, weigh, base);
  }
}

TEST_CASE("fixpoint: the transitive closure while arcs come and go") {
  for (int seed = 1; seed <= programs(); ++seed) {
    INFO("seed ", seed);
    play<propagate::unweighted>(
        static_cast<std::uint64_t>(seed), reached_by{},
        [](core::splitmix_rng&) { return propagate::unweighted{}; },
        [](std::uint32_t i) { return i < 64 ? std::uint64_t{1} << i : 0; });
  }
}

TEST_CASE("fixpoint: definitions that reach a point of a program") {
  for (int seed = 1; seed <= programs(); ++seed) {
    INFO("seed ", seed);
    play<block>(
        static_cast<std::uint64_t>(seed), definitions{},
        [](core::splitmix_rng& chance) {
          return block{chance.next() & chance.next() & chance.next() & chance.next(),
                       chance.next() & chance.next()};
        },
        [](std::uint32_t i) { return std::uint64_t{i % 5 == 0}; });
  }
}

TEST_CASE("fixpoint: only what rises flows, and only who owes something begins again") {
  auto g = propagate::graph::make().value();
  std::uint32_t const n = 1'000;
  std::vector<std::uint64_t> base(n, far);
  base[0] = 0;
  std::vector<arc<std::uint32_t>> arcs(n + 1);
  for (std::uint32_t i = 0; i + 1 < n; ++i) { arcs[i] = {i, i + 1, 10}; }
  auto const bases = g.input_array(cuda::std::span<std::uint64_t const>(base.data(), n)).value();
  auto const roads =
      g.input_array(cuda::std::span<arc<std::uint32_t> const>(arcs.data(), arcs.size())).value();
  auto const x = g.fixpoint(shortest_that_knows{}, bases, roads).value();
  int told = 0;
  REQUIRE(g.observe_each(x, [&](propagate::array_changes<std::uint64_t> const&) { ++told; }));
  CHECK(g.read(x, n - 1).value() == 9'990);
  auto const calls = [&](std::uint32_t a, arc<std::uint32_t> to) {
    auto const before = g.stats().runs;
    REQUIRE(g.write(roads, a, to));
    return g.stats().runs - before;
  };
  CHECK(calls(n, {0, 500, 6'000}) == 1);  // is of no use
  CHECK(calls(n, {}) == 1);
  CHECK(calls(n, {0, 990, 100}) == 10);
  CHECK(g.read(x, n - 1).value() == 190);
  CHECK(calls(n, {}) == 20);  // to find the ten that owe it something, and to raise them again
  CHECK(g.read(x, n - 1).value() == 9'990);
  CHECK(told == 3);
}

TEST_CASE("fixpoint: what never ends is a failure, and one that ends") {
  struct longest {
    static std::int64_t join(std::int64_t a, std::int64_t b) noexcept { return std::max(a, b); }
    static std::int64_t along(std::int64_t weight, std::int64_t before) noexcept {
      return before < 0 ? before : before + weight;
    }
  };
  auto g = propagate::graph::make().value();
  auto const bases = g.input_array(4, std::int64_t{-1}).value();
  auto const arcs = g.input_array(4, arc<std::int64_t>{}).value();
  auto const x = g.fixpoint(longest{}, bases, arcs).value();
  auto const plus = g.computed_each([](std::int64_t v) { return v + 1; }, x).value();
  int told = 0;
  REQUIRE(g.observe_each(plus, [&](propagate::array_changes<std::int64_t> const&) { ++told; }));
  REQUIRE(g.write(bases, 0, 0));
  for (std::uint32_t i = 0; i < 3; ++i) { REQUIRE(g.write(arcs, i, {i, i + 1, 5})); }
  CHECK(g.read(x, 3).value() == 15);
  REQUIRE(g.write(arcs, 3, {3, 1, -10}));  // a cycle that raises nobody
  CHECK(g.read(plus, 3).value() == 16);
  REQUIRE(g.write(arcs, 3, {3, 1, -9}));
  CHECK(g.read(plus, 3).error().code == errc::exhausted);
  REQUIRE(g.write(bases, 0, 7));
  CHECK(g.read(plus, 3).error().code == errc::exhausted);
  REQUIRE(g.write(arcs, 2, {2, 4, 1}));
  CHECK(g.read(x, 3).error() == core::fail(errc::bad_argument, 2).error());
  REQUIRE(g.write(arcs, 1, {9, 0, 1}));
  CHECK(g.read(x, 3).error() == core::fail(errc::bad_argument, 1).error());
  auto batch = g.begin().value();
  REQUIRE(batch.write(arcs, 1, {}));
  REQUIRE(batch.write(arcs, 2, {1, 3, 2}));
  REQUIRE(batch.write(arcs, 3, {}));
  REQUIRE(batch.commit());
  CHECK(g.read(x, 3).value() == 14);
  CHECK(g.read(x, 2).value() == -1);
  CHECK(g.stats().failed == 0);

  for (std::uint32_t i = 0; i < 4; ++i) {
    REQUIRE(g.write(bases, i, i == 3 ? 0 : -1));
    REQUIRE(g.write(arcs, i, i < 3 ? arc<std::int64_t>{i + 1, i, 5} : arc<std::int64_t>{}));
  }
  CHECK(g.read(g.fixpoint(longest{}, bases, arcs, 3).value(), 0).error().code == errc::exhausted);
  // the fourth round sees that the third was the last that changed something
  CHECK(g.read(g.fixpoint(longest{}, bases, arcs, 4).value(), 0).value() == 15);
}

TEST_CASE("fixpoint: wrong handles are refused; without members there are no arcs") {
  auto g = propagate::graph::make().value();
  auto other = propagate::graph::make().value();
  auto const bases = g.input_array(4, far).value();
  auto const arcs = g.input_array(4, arc<std::uint32_t>{}).value();
  auto const foreign = other.input_array(4, far).value();
  CHECK(g.fixpoint(shortest{}, foreign, arcs).error() == core::fail(errc::unknown_id, 1).error());
  auto const elsewhere = other.input_array(4, arc<std::uint32_t>{}).value();
  CHECK(g.fixpoint(shortest{}, bases, elsewhere).error() ==
        core::fail(errc::unknown_id, 2).error());
  auto const none = g.input_array(0, far).value();
  auto const empty = g.fixpoint(shortest{}, none, arcs).value();
  int told = 0;
  REQUIRE(g.observe_each(empty, [&](propagate::array_changes<std::uint64_t> const& now) {
    told += 1 + static_cast<int>(now.size());
  }));
  CHECK(told == 1);
  REQUIRE(g.write(arcs, 0, {0, 0, 1}));
  CHECK(g.read(g.reduced(
                    empty, [](auto a, auto b) { return a + b; }, 1)
                   .value())
            .error() == core::fail(errc::bad_argument, 0).error());
}
