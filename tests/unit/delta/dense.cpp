// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/runs.hpp"
#include <millrace/core/isa.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/dense.hpp>
#include <millrace/delta/validate.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace core = millrace::core;
namespace delta = millrace::delta;
using delta::dense_ref;
using millrace::errc;
using millrace_test::awkward;
using millrace_test::random_run;
using millrace_test::table;

namespace {

template <class V>
bool same(std::vector<V> const& a, std::vector<V> const& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(V)) == 0);
}
template <class V>
cuda::std::span<V> all(std::vector<V>& v) {
  return {v.data(), v.size()};
}
template <class V>
std::vector<V> random_column(std::size_t size, core::splitmix_rng& chance) {
  std::vector<V> made(size);
  for (V& v : made) { v = awkward<V>(chance); }
  return made;
}

/// diff of two columns of which about one value in `one_in` differs: applied to the one it gives
/// the other, and it has no row too many; with exactly the room that it needs, and one row less.
template <class K, class V, class C>
void check_diff(std::size_t size, std::uint64_t one_in, C const& combine, core::isa which) {
  core::splitmix_rng chance(size * 31 + one_in);
  auto before = random_column<V>(size, chance);
  auto after = before;
  for (V& v : after) {
    if (chance.next() % one_in == 0) { v = awkward<V>(chance); }
  }
  std::size_t needed = 0;
  for (std::size_t i = 0; i < size; ++i) {
    needed += std::memcmp(&before[i], &after[i], sizeof(V)) != 0 ? 1 : 0;
  }
  for (std::size_t room : {needed, size + 1}) {
    table<K, V> got(room, 1);
    auto const rows = delta::diff(all(before), all(after), got.space(), combine, which);
    REQUIRE(rows.has_value());
    CHECK(*rows == needed);
    auto const changes = got.ref().slice(0, *rows);
    CHECK(delta::validate(changes, combine).has_value());
    auto made = before;
    REQUIRE(delta::apply(changes, all(made), combine).has_value());
    CHECK(same(made, after));
  }
  dense_ref<V> const old(all(before)), now(all(after));
  CHECK(delta::count_differences(old, now, which) == needed);
  if (needed > 0) {
    table<K, V> got(needed - 1);
    auto const rows = delta::diff(all(before), all(after), got.space(), combine, which);
    REQUIRE_FALSE(rows.has_value());
    CHECK(rows.error() == core::fail(errc::full, static_cast<int>(needed)).error());
  }
}

}  // namespace

TEST_CASE(
    "dense: a difference applied to the one column gives the other, with every instruction "
    "set") {
  for (core::isa which : core::all_isas) {
    if (!core::has_isa(which)) {
      MESSAGE("skipped: this machine lacks " << core::describe(which));
      continue;
    }
    for (std::size_t size : {0u, 1u, 63u, 64u, 65u, 127u, 1000u}) {
      for (std::uint64_t one_in : {1u, 2u, 10u, 300u}) {
        check_diff<std::uint32_t, float>(size, one_in, delta::last_writer{}, which);
        check_diff<std::uint64_t, double>(size, one_in, delta::exclusive_or{}, which);
        check_diff<std::uint32_t, double>(size, one_in, delta::last_writer{}, which);
        check_diff<std::uint64_t, std::int32_t>(size, one_in, delta::add{}, which);
        check_diff<std::uint32_t, std::uint64_t>(size, one_in, delta::count{}, which);
        check_diff<std::uint32_t, std::int16_t>(size, one_in, delta::add{}, which);
        check_diff<std::uint64_t, millrace_test::quote>(size, one_in, delta::last_writer{}, which);
      }
    }
  }
}

TEST_CASE("dense: of several columns, one that differs makes a row of all") {
  core::splitmix_rng chance(9);
  auto a = random_column<float>(500, chance), b = a;
  auto x = random_column<std::int64_t>(500, chance), y = x;
  b[77] = 3.5f;
  y[77] += 1;
  y[400] -= 2;
  y[499] = ~y[499];
  using policy = delta::by_column<delta::last_writer, delta::add>;
  using tables = dense_ref<float const, std::int64_t const>;
  auto const before = *tables::make(all(a), all(x)), after = *tables::make(all(b), all(y));
  table<std::uint32_t, float, std::int64_t> got(100);
  for (core::isa which : core::all_isas) {
    auto const rows = delta::diff(before, after, got.space(), policy{}, which);
    REQUIRE(rows.has_value());
    REQUIRE(*rows == 3);
    auto const changes = got.ref().slice(0, 3);
    CHECK(changes.key(0) == 77);
    CHECK(changes.key(1) == 400);
    CHECK(changes.value<1>(1) == -2);
    auto made = a;
    auto made_too = x;
    auto const to = *dense_ref<float, std::int64_t>::make(all(made), all(made_too));
    REQUIRE(delta::apply(changes, to, policy{}).has_value());
    CHECK(same(made, b));
    CHECK(same(made_too, y));
  }
}

TEST_CASE("dense: the bits decide what differs: -0 is not +0, and a NaN is itself") {
  double const nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> before{0.0, nan, 1.0}, after{-0.0, nan, 1.0};
  table<std::uint32_t, double> got(3);
  CHECK(delta::diff(all(before), all(after), got.space(), delta::last_writer{}).value_or(9) == 1);
  CHECK(got.key(0) == 0);
}

TEST_CASE(
    "dense: applying combines what is there with the row, older first, alone and in stretches") {
  for (std::size_t gap : {1u, 2u, 40u}) {
    auto const rows = random_run<std::uint32_t, float>(700, gap, gap, 1);
    std::size_t const size = rows.ref().key(699) + std::size_t{1};
    core::splitmix_rng chance(gap);
    auto const start = random_column<float>(size, chance);
    auto const check = [&](auto const& combine) {
      auto got = start, want = start;
      for (auto const& [key, value] : rows.ref()) { want[key] = combine(want[key], value); }
      REQUIRE(delta::apply(rows.ref(), all(got), combine).has_value());
      CHECK(same(got, want));
    };
    check(delta::add{});
    check(delta::minimum{});
    check(delta::last_writer{});
  }
}

TEST_CASE("dense: a key beyond the end names its row, and nothing is written") {
  auto rows = random_run<std::uint64_t, float>(300, 3, 1);
  std::vector<float> column(rows.key(200), 1.0f);
  auto const untouched = column;
  auto done = delta::apply(rows.ref(), all(column), delta::add{});
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error() == core::fail(errc::bad_argument, 200).error());
  rows.key(299) = ~std::uint64_t{0};
  CHECK(delta::apply(rows.ref(), all(column), delta::add{}).error().native == 200);
  CHECK(same(column, untouched));
  std::vector<float> none;
  CHECK(delta::apply(rows.ref(), all(none), delta::add{}).error().native == 0);
  CHECK(delta::apply(rows.ref().slice(0, 0), all(none), delta::add{}).has_value());
}

TEST_CASE("dense: shared bytes and unlike lengths are refused") {
  std::vector<float> a(100), b(100), c(99);
  std::vector<std::uint32_t> keys(100);
  auto const number = [](auto const& done) { return done ? 0 : done.error().native; };
  auto const room = [&](float* values) {
    return delta::change_space<std::uint32_t, float>(keys.data(), 100, values);
  };
  std::vector<float> own(100);
  CHECK(number(delta::diff(all(a), all(c), room(own.data()), delta::last_writer{})) == 2);
  CHECK(number(delta::diff(all(a), all(b), room(a.data()), delta::last_writer{})) == 3);
  CHECK(number(delta::diff(all(a), all(b), room(b.data()), delta::last_writer{})) == 3);
  delta::change_set_ref<std::uint32_t, float> const rows(keys.data(), 1, a.data() + 50);
  CHECK(number(delta::apply(rows, all(a), delta::last_writer{})) == -1);
  CHECK(number(dense_ref<float, float>::make(all(a), all(c))) == 2);
}
