// SPDX-License-Identifier: Apache-2.0
#include "tier.hpp"
#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/accumulate.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

namespace core = millrace::core;
namespace delta = millrace::delta;
using millrace::errc;
using millrace_test::random_run;
using millrace_test::table;

namespace {

/// Accumulates into exactly the room that the result needs, into one row less, and into more.
template <class C, class K, class... Vs>
void check(table<K, Vs...> const& older, table<K, Vs...> const& newer, C const& combine) {
  auto const want = millrace_test::merged<delta::keep::either>(older.ref(), newer.ref(), combine);
  std::size_t const needed = want.ref().size(), had = older.ref().size();
  for (std::size_t capacity : {needed, needed + 7, had + newer.ref().size()}) {
    if (capacity < had) { continue; }
    auto set = *delta::change_set<K, Vs...>::make(capacity);
    delta::copy_rows(older.ref(), set.space());
    set.set_size(had);
    REQUIRE(delta::accumulate(set, newer.ref(), combine).has_value());
    CHECK(millrace_test::same(set.ref(), want.ref()));
  }
  if (needed > had) {
    auto set = *delta::change_set<K, Vs...>::make(needed - 1);
    delta::copy_rows(older.ref(), set.space());
    set.set_size(had);
    auto const done = delta::accumulate(set, newer.ref(), combine);
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error() == core::fail(errc::full).error());
    CHECK(millrace_test::same(set.ref(), older.ref()));
  }
}

}  // namespace

TEST_CASE("accumulate: the rows of merge, whatever the sizes and the share of equal keys") {
  core::splitmix_rng chance(1);
  for (std::size_t n : {0u, 1u, 2u, 40u, 1000u}) {
    for (std::size_t m : {0u, 1u, 5u, 60u, 400u}) {
      for (std::uint64_t gap : {1u, 2u, 30u}) {
        check(random_run<std::uint32_t, float>(n, gap, chance.next(), 1),
              random_run<std::uint32_t, float>(m, gap * 3, chance.next()), delta::add{});
        check(random_run<std::uint64_t, millrace_test::quote>(n, gap, chance.next(), 0, true),
              random_run<std::uint64_t, millrace_test::quote>(m, gap * 3, chance.next(), 0, true),
              delta::last_writer{});
      }
    }
  }
}

TEST_CASE("accumulate: added and dropped rows in any order leave each row in its place") {
  core::splitmix_rng chance(2);
  int const rounds = millrace_test::long_tier() ? 20'000 : 1'500;
  for (int round = 0; round < rounds; ++round) {
    table<std::uint32_t, std::int32_t> older, newer;
    std::uint64_t const add = 1 + chance.next() % 6, drop = 1 + chance.next() % 6;
    for (std::uint32_t key = 0; key < 120; ++key) {
      std::uint64_t const pick = chance.next() % 12;
      if (pick < add) {
        newer.push(key, 100 + static_cast<int>(key));
      } else if (pick < add + drop) {
        older.push(key, 3);
        newer.push(key, -3);
      } else if (pick < add + drop + 2) {
        older.push(key, 3);
        newer.push(key, 1);
      } else {
        older.push(key, static_cast<int>(key) + 1);
      }
    }
    check(older, newer, delta::count{});
  }
}

TEST_CASE("accumulate: phases that only drop and only add follow one another either way") {
  for (bool drops_first : {true, false}) {
    table<std::uint32_t, std::int32_t, double> older, newer;
    for (std::uint32_t key = 0; key < 300; ++key) {
      bool const dropping = (key / 50 % 2 == 0) == drops_first;
      if (dropping || key % 3 == 0) { older.push(key, 1, key * 0.5); }
      if (dropping) { newer.push(key, -1, 0); }
      if (!dropping && key % 3 != 0) { newer.push(key, 1, key * 2.0); }
    }
    check(older, newer, delta::by_column<delta::count, delta::add>{});
  }
}

TEST_CASE("accumulate: what cancels every row leaves none, and what is empty changes nothing") {
  auto older = random_run<std::uint32_t, std::int64_t>(500, 3, 1);
  for (std::size_t i = 0; i < 500; ++i) { older.value(i) = 1 + static_cast<int>(i); }
  auto newer = older;
  for (std::size_t i = 0; i < 500; ++i) { newer.value(i) = -older.value(i); }
  auto set = *delta::change_set<std::uint32_t, std::int64_t>::make(older.ref());
  REQUIRE(
      delta::accumulate(set, delta::change_set_ref<std::uint32_t, std::int64_t>{}, delta::count{}));
  CHECK(millrace_test::same(set.ref(), older.ref()));
  REQUIRE(delta::accumulate(set, newer.ref(), delta::count{}));
  CHECK(set.empty());
}

TEST_CASE("accumulate: a newer run that overlaps the room is refused") {
  auto set = *delta::change_set<std::uint32_t, float>::make(
      random_run<std::uint32_t, float>(100, 3, 1).ref());
  auto const before = *delta::change_set<std::uint32_t, float>::make(set.ref());
  auto const done = delta::accumulate(set, set.ref().slice(0, 10), delta::add{});
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error() == core::fail(errc::bad_argument, 2).error());
  CHECK(set.ref() == before.ref());
}

TEST_CASE("accumulate: keys alone are united") {
  check(random_run<std::uint32_t>(300, 3, 1), random_run<std::uint32_t>(50, 9, 2), delta::add{});
}

TEST_CASE("accumulate: rows out of order give no good result, and no row beyond the room") {
  using rows = delta::change_set_ref<std::uint32_t, std::int32_t>;
  core::splitmix_rng chance(3);
  for (int round = 0; round < 2000; ++round) {
    std::size_t const had = chance.next() % 12, spare = chance.next() % 3;
    table<std::uint32_t, std::int32_t> room(had + spare + 8), newer(chance.next() % 12);
    for (std::size_t i = 0; i < room.size(); ++i) {
      room.key(i) = static_cast<std::uint32_t>(i < had ? chance.next() % 14 : 99);
      room.value(i) = i < had ? 1 : 99;
    }
    for (std::size_t i = 0; i < newer.size(); ++i) {
      newer.key(i) = static_cast<std::uint32_t>(chance.next() % 14);
      newer.value(i) = chance.next() % 3 == 0 ? -1 : 1;
    }
    delta::change_space<std::uint32_t, std::int32_t> const into(room.keys.data(), had + spare,
                                                                &room.value(0));
    auto const size = delta::accumulate(into, had, rows(newer.ref()), delta::count{});
    if (size) { CHECK(*size <= had + spare); }
    for (std::size_t i = had + spare; i < room.size(); ++i) {
      REQUIRE(room.key(i) == 99);
      REQUIRE(room.value(i) == 99);
    }
  }
}
