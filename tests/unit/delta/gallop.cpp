// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/gallop.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace core = millrace::core;
namespace delta = millrace::delta;
using delta::keep;
using millrace_test::random_run;
using millrace_test::table;

namespace {

template <keep Keep, class C, class K, class... Vs, class Newer>
void check_one(table<K, Vs...> const& older, Newer const& newer, C const& combine) {
  auto const want = millrace_test::merged<Keep>(older.ref(), newer.ref(), combine);
  std::size_t const all = older.ref().size() + newer.ref().size();
  std::size_t const room = Keep == keep::both ? std::min(older.ref().size(), newer.ref().size())
                           : Keep == keep::older_only ? older.ref().size()
                                                      : all;
  table<K, Vs...> got(room, 1);
  std::size_t const rows =
      delta::detail::merge_gallop<Keep>(older.ref(), newer.ref(), got.space(), combine);
  REQUIRE(rows <= room);
  CHECK(millrace_test::same(got.ref().slice(0, rows), want.ref()));
}

template <class C, class K, class... Vs>
void check_all(table<K, Vs...> const& a, table<K, Vs...> const& b, C const& combine) {
  check_one<keep::either>(a, b, combine);
  check_one<keep::both>(a, b, combine);
  check_one<keep::older_only>(a, b, combine);
  check_one<keep::all>(a, b, combine);
}

}  // namespace

TEST_CASE("gallop: finds what std::lower_bound and std::upper_bound find, from any place") {
  core::splitmix_rng chance(1);
  for (std::size_t size : {0u, 1u, 2u, 3u, 8u, 9u, 100u}) {
    std::vector<std::uint32_t> keys;
    for (std::size_t i = 0; i < size; ++i) {
      keys.push_back(static_cast<std::uint32_t>(chance.next() % 50));
    }
    std::sort(keys.begin(), keys.end());
    for (std::size_t from = 0; from <= size; ++from) {
      for (std::uint32_t key = 0; key <= 51; ++key) {
        auto const at = static_cast<std::ptrdiff_t>(from);
        auto const up = std::lower_bound(keys.begin() + at, keys.end(), key) - keys.begin();
        CHECK(delta::detail::gallop_up(keys.data(), from, size, key) ==
              static_cast<std::size_t>(up));
        auto const down = std::upper_bound(keys.begin(), keys.begin() + at, key) - keys.begin();
        CHECK(delta::detail::gallop_down(keys.data(), std::size_t{0}, from, key) ==
              static_cast<std::size_t>(down));
        auto const above = std::upper_bound(keys.begin() + at, keys.end(), key) - keys.begin();
        CHECK(delta::detail::gallop_down(keys.data(), from, size, key) ==
              static_cast<std::size_t>(above));
      }
    }
  }
}

TEST_CASE("gallop: every operation gives the reference's rows, whichever run is the short one") {
  core::splitmix_rng chance(3);
  for (std::size_t shorter : {0u, 1u, 2u, 17u, 100u}) {
    for (std::size_t longer : {0u, 1u, 100u, 3000u}) {
      for (std::uint64_t gap : {1u, 3u, 200u}) {
        for (bool to_the_end : {false, true}) {
          auto a = random_run<std::uint32_t, float>(shorter, gap * 11, chance.next(), 3);
          auto b = random_run<std::uint32_t, float>(longer, gap, chance.next(), 0, to_the_end);
          check_all(a, b, delta::add{});
          check_all(b, a, delta::add{});
          auto c = random_run<std::uint64_t, std::int64_t>(shorter, gap * 11, chance.next(), 0,
                                                           to_the_end);
          auto d = random_run<std::uint64_t, std::int64_t>(longer, gap, chance.next(), 1);
          millrace_test::without_zeros(c);
          millrace_test::without_zeros(d);
          check_all(c, d, delta::count{});
          check_all(d, c, delta::count{});
        }
      }
    }
  }
}

TEST_CASE("gallop: combined rows that cancel are dropped from either side") {
  table<std::uint32_t, std::int32_t> large, small;
  for (std::uint32_t i = 0; i < 500; ++i) { large.push(i, 7); }
  for (std::uint32_t i = 0; i < 500; i += 50) { small.push(i, i % 100 == 0 ? -7 : 1); }
  check_all(large, small, delta::count{});
  check_all(small, large, delta::count{});
}

TEST_CASE("gallop: a difference does not look at the other run's columns") {
  auto const older = random_run<std::uint32_t, float>(1000, 2, 1);
  check_one<keep::older_only>(older, random_run<std::uint32_t>(30, 90, 2), delta::last_writer{});
  check_one<keep::older_only>(random_run<std::uint32_t, float>(30, 90, 2),
                              random_run<std::uint32_t, millrace_test::quote, double>(1000, 2, 1),
                              delta::last_writer{});
}

TEST_CASE("gallop: equal keys within the runs stay side by side, the older run's first") {
  core::splitmix_rng chance(8);
  for (int round = 0; round < 50; ++round) {
    table<std::uint32_t, float> a, b;
    float number = 0;
    auto const fill = [&](auto& rows, std::size_t size, std::uint32_t keys) {
      std::vector<std::uint32_t> drawn;
      for (std::size_t i = 0; i < size; ++i) {
        drawn.push_back(static_cast<std::uint32_t>(chance.next() % keys));
      }
      std::sort(drawn.begin(), drawn.end());
      for (auto key : drawn) { rows.push(key, number += 1); }
    };
    fill(a, 300, 40);
    fill(b, 20, 45);
    check_one<keep::all>(a, b, delta::last_writer{});
    check_one<keep::all>(b, a, delta::last_writer{});
  }
}
