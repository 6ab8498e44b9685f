// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge_scalar.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace core = millrace::core;
namespace delta = millrace::delta;
using delta::same_bits;
using millrace_test::awkward;
using millrace_test::merged;
using millrace_test::random_run;
using millrace_test::same;
using millrace_test::table;

namespace combine_test {  // named: what is only asked about would else be unused

/// A user's own: keeps the value that is further from zero, and drops what is within one of it.
struct loudest {
  static constexpr bool commutative = false;
  [[nodiscard]] MILLRACE_HD std::int32_t operator()(std::int32_t older,
                                                    std::int32_t newer) const noexcept {
    return (older < 0 ? -std::int64_t{older} : older) > (newer < 0 ? -std::int64_t{newer} : newer)
               ? older
               : newer;
  }
  [[nodiscard]] MILLRACE_HD bool drops(std::int32_t value) const noexcept {
    return value >= -limit && value <= limit;
  }
  std::int32_t limit = 1;
};
/// Lacks the flag.
struct without_commutative {
  [[nodiscard]] int operator()(int, int newer) const noexcept { return newer; }
};
/// May throw.
struct throwing {
  static constexpr bool commutative = false;
  [[nodiscard]] int operator()(int, int newer) const { return newer; }
};

}  // namespace combine_test
using combine_test::loudest;
using combine_test::throwing;
using combine_test::without_commutative;

namespace {

template <class V, class C>
void values_are_associative(C const& combine) {
  core::splitmix_rng chance(3);
  for (int i = 0; i < 5000; ++i) {
    V const a = awkward<V>(chance), b = awkward<V>(chance), c = awkward<V>(chance);
    CHECK(same_bits(combine(a, combine(b, c)), combine(combine(a, b), c)));
    if (C::commutative) { CHECK(same_bits(combine(a, b), combine(b, a))); }
  }
}

/// merge(A, merge(B, C)) = merge(merge(A, B), C), bit for bit.
template <class K, class... Vs, class C>
void runs_are_associative(C const& combine) {
  core::splitmix_rng chance(5);
  for (std::size_t size : {0u, 1u, 30u, 200u}) {
    for (std::uint64_t gap : {1u, 3u, 50u}) {
      std::uint64_t const s = chance.next();
      auto a = random_run<K, Vs...>(size, gap, s);
      auto b = random_run<K, Vs...>(size + 3, gap, s + 1);
      auto c = random_run<K, Vs...>(size / 2, 2 * gap, s + 2);
      if constexpr (delta::may_drop<C, Vs...>) {
        for (auto* rows : {&a, &b, &c}) { millrace_test::without_zeros(*rows); }
      }
      constexpr auto either = delta::keep::either;
      auto const late = merged<either>(b.ref(), c.ref(), combine);
      auto const early = merged<either>(a.ref(), b.ref(), combine);
      CHECK(same(merged<either>(a.ref(), late.ref(), combine).ref(),
                 merged<either>(early.ref(), c.ref(), combine).ref()));
    }
  }
}

}  // namespace

TEST_CASE("combine: the exact policies are associative in every bit, value by value") {
  values_are_associative<std::int32_t>(delta::add{});
  values_are_associative<std::uint64_t>(delta::add{});
  values_are_associative<std::int64_t>(delta::count{});
  values_are_associative<float>(delta::minimum{});
  values_are_associative<double>(delta::maximum{});
  values_are_associative<std::int16_t>(delta::minimum{});
  values_are_associative<double>(delta::exclusive_or{});
  values_are_associative<std::uint32_t>(delta::exclusive_or{});
  values_are_associative<float>(delta::last_writer{});
  values_are_associative<millrace_test::quote>(delta::last_writer{});
}

TEST_CASE("combine: merges under the exact policies are associative in every bit, drops included") {
  runs_are_associative<std::uint32_t, std::int32_t>(delta::add{});
  runs_are_associative<std::uint64_t, std::int64_t>(delta::count{});
  runs_are_associative<std::uint32_t, float>(delta::minimum{});
  runs_are_associative<std::uint64_t, double>(delta::maximum{});
  runs_are_associative<std::uint32_t, double>(delta::exclusive_or{});
  runs_are_associative<std::uint64_t, millrace_test::quote>(delta::last_writer{});
  runs_are_associative<std::uint32_t, std::int32_t, std::int64_t>(delta::count{});
  runs_are_associative<std::uint32_t, std::int32_t, double>(
      delta::by_column<delta::add, delta::maximum>{});
  runs_are_associative<std::uint32_t>(delta::add{});
}

TEST_CASE("combine: a rule that drops columns which it does not judge is not associative") {
  using policy = delta::by_column<delta::count, delta::last_writer>;
  table<std::uint32_t, std::int32_t, char> a, b, c;
  a.push(1, 1, 'a');
  b.push(1, -1, 'b');
  c.push(1, 1, 'c');
  constexpr auto either = delta::keep::either;
  auto const late = merged<either>(b.ref(), c.ref(), policy{});
  auto const early = merged<either>(a.ref(), b.ref(), policy{});
  CHECK(merged<either>(a.ref(), late.ref(), policy{}).ref().value<1>(0) == 'a');
  CHECK(merged<either>(early.ref(), c.ref(), policy{}).ref().value<1>(0) == 'c');
}

TEST_CASE("combine: a floating sum is older plus newer rounded once, and its NaN the one NaN") {
  core::splitmix_rng chance(1);
  std::uint64_t nans = 0;
  for (int i = 0; i < 20'000; ++i) {
    double const a = awkward<double>(chance), b = awkward<double>(chance);
    double const sum = delta::add{}(a, b);
    volatile double const plain = a + b;  // in memory: no wider register, no contraction
    if (std::isnan(plain)) {
      ++nans;
      std::uint64_t bits;
      std::memcpy(&bits, &sum, 8);
      CHECK(bits == 0xFFF8'0000'0000'0000u);
    } else {
      CHECK(same_bits(sum, double{plain}));
    }
    CHECK(same_bits(sum, delta::add{}(b, a)));
  }
  CHECK(nans > 100);
  // the order of three is part of the result
  float const big = 1e8f;
  CHECK(delta::add{}(delta::add{}(1.0f, big), -big) != delta::add{}(1.0f, delta::add{}(big, -big)));
}

TEST_CASE("combine: integers wrap at both ends, of every width") {
  CHECK(delta::add{}(std::int8_t{127}, std::int8_t{1}) == -128);
  CHECK(delta::add{}(std::int16_t{-32768}, std::int16_t{-1}) == 32767);
  CHECK(delta::add{}(std::numeric_limits<std::int32_t>::max(), 1) ==
        std::numeric_limits<std::int32_t>::min());
  CHECK(delta::add{}(std::numeric_limits<std::int64_t>::min(), std::int64_t{-1}) ==
        std::numeric_limits<std::int64_t>::max());
  CHECK(delta::add{}.difference(std::int8_t{-128}, std::int8_t{127}) == -1);
}

TEST_CASE("combine: the least and the greatest follow the total order of floating numbers") {
  float const nan = std::numeric_limits<float>::quiet_NaN();
  float const infinity = std::numeric_limits<float>::infinity();
  float const rising[] = {-nan,
                          -infinity,
                          -1.0f,
                          -std::numeric_limits<float>::denorm_min(),
                          -0.0f,
                          0.0f,
                          std::numeric_limits<float>::denorm_min(),
                          1.0f,
                          infinity,
                          nan};
  for (std::size_t i = 0; i < 10; ++i) {
    for (std::size_t j = 0; j < 10; ++j) {
      float const low = rising[i < j ? i : j], high = rising[i < j ? j : i];
      CHECK(same_bits(delta::minimum{}(rising[i], rising[j]), low));
      CHECK(same_bits(delta::maximum{}(rising[i], rising[j]), high));
    }
  }
}

TEST_CASE("combine: a difference makes the later value of the earlier one, bit for bit") {
  core::splitmix_rng chance(2);
  auto const makes = [](auto const& combine, auto before, auto after) {
    return same_bits(combine(before, combine.difference(before, after)), after);
  };
  for (int i = 0; i < 2000; ++i) {
    CHECK(makes(delta::add{}, awkward<std::int32_t>(chance), awkward<std::int32_t>(chance)));
    CHECK(makes(delta::count{}, awkward<std::uint64_t>(chance), awkward<std::uint64_t>(chance)));
    CHECK(makes(delta::exclusive_or{}, awkward<float>(chance), awkward<float>(chance)));
    CHECK(makes(delta::last_writer{}, awkward<double>(chance), awkward<double>(chance)));
  }
}

TEST_CASE("combine: a row is dropped when every column that has a rule says so") {
  CHECK(delta::drops_row(delta::count{}, 0));
  CHECK_FALSE(delta::drops_row(delta::count{}, -1));
  CHECK_FALSE(delta::drops_row(delta::count{}, 0, 1));
  CHECK(delta::drops_row(delta::count{}, 0, std::int64_t{0}));
  CHECK_FALSE(delta::drops_row(delta::add{}, 0));
  using mixed = delta::by_column<delta::add, delta::count, delta::last_writer>;
  CHECK(delta::drops_row(mixed{}, 5.0f, 0, 7));
  CHECK_FALSE(delta::drops_row(mixed{}, 0.0f, 2, 0));
  static_assert(delta::may_drop<mixed, float, int, int> && !delta::may_drop<delta::add, float>);
}

TEST_CASE("combine: only combined rows are asked whether they are dropped") {
  table<std::uint32_t, std::int32_t> older, newer;
  older.push(1, 0);
  older.push(2, 4);
  newer.push(2, -4);
  newer.push(3, 0);
  auto const got = merged<delta::keep::either>(older.ref(), newer.ref(), delta::count{});
  REQUIRE(got.ref().size() == 2);
  CHECK(got.ref().key(0) == 1);
  CHECK(got.ref().key(1) == 3);
}

TEST_CASE("combine: a user's policy keeps its own state, and its rule") {
  table<std::uint32_t, std::int32_t> older, newer;
  for (std::uint32_t key = 0; key < 4; ++key) {
    older.push(key, static_cast<std::int32_t>(key) * 3);
    newer.push(key, -4);
  }
  auto const quiet = merged<delta::keep::either>(older.ref(), newer.ref(), loudest{4});
  REQUIRE(quiet.ref().size() == 2);
  CHECK(quiet.ref().value(0) == 6);
  CHECK(quiet.ref().value(1) == 9);
  auto const all = merged<delta::keep::either>(older.ref(), newer.ref(), loudest{0});
  CHECK(all.ref().size() == 4);
  CHECK(all.ref().value(0) == -4);
}

TEST_CASE("combine: what lacks the flag, may throw or does not take the column is no policy") {
  CHECK_FALSE(delta::combine_policy<without_commutative, int>);
  CHECK_FALSE(delta::combine_policy<throwing, int>);
  CHECK_FALSE(delta::combine_policy<delta::add, bool>);
  CHECK_FALSE(delta::combine_policy<delta::add, millrace_test::quote>);
  CHECK_FALSE(delta::combine_policy<delta::count, float>);
  CHECK_FALSE(delta::combine_policy<delta::by_column<delta::add>, int, int>);
  CHECK(delta::combine_policy<delta::last_writer, millrace_test::quote>);
  CHECK(delta::combine_policy<loudest, std::int32_t>);
}
