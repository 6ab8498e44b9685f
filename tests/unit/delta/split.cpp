// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/split.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

namespace core = millrace::core;
namespace delta = millrace::delta;
using millrace_test::random_run;
using millrace_test::table;

namespace {

/// What a cut promises, looked at row by row.
template <class A, class B>
void check_cut(A const& older, B const& newer, std::size_t diagonal) {
  auto const cut = delta::split(older, newer, diagonal);
  std::size_t const all = older.size() + newer.size();
  REQUIRE(cut.older <= older.size());
  REQUIRE(cut.newer <= newer.size());
  if (diagonal >= all) {
    CHECK(cut == delta::split_point{older.size(), newer.size()});
    return;
  }
  std::size_t const more = cut.rows() - diagonal;
  CHECK(more <= 1);
  if (more == 1) {  // only because of a pair
    REQUIRE(cut.older > 0);
    REQUIRE(cut.newer > 0);
    CHECK(older.key(cut.older - 1) == newer.key(cut.newer - 1));
  }
  if (cut.older > 0 && cut.newer < newer.size()) {
    CHECK(older.key(cut.older - 1) < newer.key(cut.newer));
  }
  if (cut.newer > 0 && cut.older < older.size()) {
    CHECK(newer.key(cut.newer - 1) < older.key(cut.older));
  }
}

template <class K>
void check_every_diagonal(table<K, float> const& older, table<K, double> const& newer) {
  std::size_t const all = older.keys.size() + newer.keys.size();
  for (std::size_t d = 0; d <= all + 2; ++d) { check_cut(older.ref(), newer.ref(), d); }
}

}  // namespace

TEST_CASE("split: no cut parts two equal keys, on any diagonal of any two runs") {
  core::splitmix_rng chance(5);
  for (std::size_t n : {0u, 1u, 2u, 7u, 64u, 150u}) {
    for (std::size_t m : {0u, 1u, 3u, 50u, 200u}) {
      for (std::uint64_t gap : {1u, 2u, 20u}) {
        check_every_diagonal(random_run<std::uint32_t, float>(n, gap, chance.next()),
                             random_run<std::uint32_t, double>(m, gap, chance.next()));
        check_every_diagonal(random_run<std::uint64_t, float>(n, gap, chance.next(), 0, true),
                             random_run<std::uint64_t, double>(m, 2 * gap, chance.next(), 0, true));
      }
    }
  }
}

TEST_CASE("split: sought from any cut near by or far, it is the same") {
  core::splitmix_rng chance(6);
  for (std::size_t m : {0u, 1u, 900u, 3000u}) {
    auto const older = random_run<std::uint32_t>(2000, 3, chance.next());
    auto const newer = random_run<std::uint32_t>(m, 2, chance.next());
    for (std::size_t d = 0; d <= 2000 + m + 1; d += 1 + d % 97) {
      auto const cut = delta::split(older.ref(), newer.ref(), d);
      for (std::size_t guess = 0; guess <= 2001; guess += 1 + guess % 53) {
        REQUIRE(delta::split(older.ref(), newer.ref(), d, guess) == cut);
      }
      for (std::size_t off = 0; off < 200; ++off) {
        REQUIRE(delta::split(older.ref(), newer.ref(), d, cut.older + off) == cut);
        REQUIRE(delta::split(older.ref(), newer.ref(), d, cut.older - off) == cut);  // may wrap
      }
    }
  }
}

TEST_CASE("split: equal, disjoint and interleaving runs are cut where they have to be") {
  table<std::uint32_t> low, high, same;
  for (std::uint32_t i = 0; i < 10; ++i) {
    low.push(i);
    same.push(i);
    high.push(100 + i);
  }
  CHECK(delta::split(low.ref(), high.ref(), 10) == delta::split_point{10, 0});
  CHECK(delta::split(high.ref(), low.ref(), 10) == delta::split_point{0, 10});
  CHECK(delta::split(high.ref(), low.ref(), 13) == delta::split_point{3, 10});
  CHECK(delta::split(low.ref(), same.ref(), 6) == delta::split_point{3, 3});
  CHECK(delta::split(low.ref(), same.ref(), 7) == delta::split_point{4, 4});
  CHECK(delta::split(low.ref(), same.ref(), 0) == delta::split_point{0, 0});
}

TEST_CASE("split: parts merged one by one give the rows of the whole") {
  auto const older = random_run<std::uint32_t, float>(1000, 3, 1);
  auto const newer = random_run<std::uint32_t, float>(800, 4, 2);
  auto const want =
      millrace_test::merged<delta::keep::either>(older.ref(), newer.ref(), delta::add{});
  for (std::size_t parts : {1u, 2u, 3u, 17u, 500u}) {
    table<std::uint32_t, float> got(1800);
    std::size_t rows = 0;
    delta::split_point from{};
    for (std::size_t part = 1; part <= parts; ++part) {
      auto const to = delta::split(older.ref(), newer.ref(), part * 1800 / parts);
      rows += delta::merge_scalar<delta::keep::either>(
          older.ref().slice(from.older, to.older - from.older),
          newer.ref().slice(from.newer, to.newer - from.newer), got.space().from(rows),
          delta::add{});
      from = to;
    }
    CHECK(millrace_test::same(got.ref().slice(0, rows), want.ref()));
  }
}
