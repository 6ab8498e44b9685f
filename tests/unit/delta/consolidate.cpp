// SPDX-License-Identifier: Apache-2.0
#include "tier.hpp"
#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/consolidate.hpp>
#include <millrace/delta/validate.hpp>
#include <millrace/memory/failing_resource.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace delta = millrace::delta;
namespace memory = millrace::memory;
using millrace::errc;
using millrace_test::awkward;
using millrace_test::table;

namespace {

/// Folds in a map, row by row, then drops.
template <class C, class K, class... Vs>
table<K, Vs...> reference(table<K, Vs...>& rows, C const& combine) {
  std::map<K, std::tuple<Vs...>> folded;
  table<K, Vs...> out;
  [&]<std::size_t... Is>(std::index_sequence<Is...>) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      auto const [at, is_new] = folded.try_emplace(rows.key(i), rows.template value<Is>(i)...);
      if (!is_new) {
        ((std::get<Is>(at->second) = delta::detail::policy_of<Is>(combine)(
              std::get<Is>(at->second), rows.template value<Is>(i))),
         ...);
      }
    }
    for (auto const& [key, values] : folded) {
      if (!delta::drops_row(combine, std::get<Is>(values)...)) {
        out.push(key, std::get<Is>(values)...);
      }
    }
  }(std::index_sequence_for<Vs...>{});
  return out;
}

template <class C, class K, class... Vs>
void check(table<K, Vs...> rows, C const& combine) {
  auto const want = reference(rows, combine);
  table<K, Vs...> got(rows.size(), 1);
  auto const size = delta::consolidate(rows.ref(), got.space(), combine);
  REQUIRE(size.has_value());
  CHECK(millrace_test::same(got.ref().slice(0, *size), want.ref()));
  CHECK(delta::validate(got.ref().slice(0, *size), combine).has_value());
  auto const made = delta::consolidate(rows.ref(), combine);
  REQUIRE(made.has_value());
  CHECK(millrace_test::same(made->ref(), want.ref()));
}

/// Rows with keys that `key_of(chance, i)` names, and awkward values.
template <class K, class... Vs, class Key>
table<K, Vs...> rows_of(std::size_t size, Key const& key_of) {
  core::splitmix_rng chance(size + 99);
  table<K, Vs...> rows(size, 2);
  for (std::size_t i = 0; i < size; ++i) { rows.key(i) = static_cast<K>(key_of(chance, i)); }
  millrace_test::fill_columns(rows, chance, std::index_sequence_for<Vs...>{});
  return rows;
}

template <class K, class... Vs, class C>
void check_shapes(std::size_t size, C const& combine) {
  using rng = core::splitmix_rng;
  auto const make = [&](auto const& key) { check(rows_of<K, Vs...>(size, key), combine); };
  make([](rng& chance, std::size_t) { return chance.next(); });
  make([size](rng& chance, std::size_t) { return chance.next() % (size / 2 + 1); });
  make([](rng& chance, std::size_t) { return chance.next() % 5; });
  make([](rng&, std::size_t) { return ~std::uint64_t{0}; });
  make([](rng&, std::size_t i) { return i; });
  make([](rng&, std::size_t i) { return i / 3; });
  make([size](rng&, std::size_t i) { return size - i; });
  for (std::size_t runs : {2u, 3u, 7u, 16u, 17u}) {  // sorted stretches, with equal keys
    make([=](rng&, std::size_t i) { return i % (size / runs + 1) / 2; });
  }
}

}  // namespace

TEST_CASE("consolidate: folds equal keys from the left in the order in which they came") {
  for (std::size_t size : {0u, 1u, 2u, 20u, 100u, 3000u}) {
    check_shapes<std::uint32_t, float>(size, delta::add{});
    check_shapes<std::uint64_t, double>(size, delta::add{});
    check_shapes<std::uint32_t, std::int64_t>(size, delta::count{});
    check_shapes<std::uint64_t, millrace_test::quote>(size, delta::last_writer{});
    check_shapes<std::uint32_t, float, std::int32_t>(
        size, delta::by_column<delta::last_writer, delta::count>{});
    check_shapes<std::uint32_t>(size, delta::add{});
  }
}

TEST_CASE("consolidate: more rows than a cache holds are dealt to piles and folded there") {
  std::size_t const size = millrace_test::long_tier() ? 2'000'000 : 110'000;
  check_shapes<std::uint32_t, float>(size, delta::add{});
  check_shapes<std::uint64_t, double, std::int32_t>(size,
                                                    delta::by_column<delta::add, delta::maximum>{});
}

TEST_CASE("consolidate: the order of a floating sum is that of arrival, not of size or of runs") {
  // three stretches: tiny ones, their opposite, and what is left
  float const big = 1e8f, tiny = 1.0f;
  table<std::uint32_t, float> rows;
  for (std::uint32_t stretch = 0; stretch < 3; ++stretch) {
    for (std::uint32_t key = 0; key < 100; ++key) {
      rows.push(key, stretch == 0 ? big : stretch == 1 ? tiny : -big);
    }
  }
  auto const made = delta::consolidate(rows.ref(), delta::add{});
  REQUIRE(made.has_value());
  REQUIRE(made->size() == 100);
  for (auto const& [key, sum] : made->ref()) { REQUIRE(sum == (big + tiny) - big); }
}

TEST_CASE("consolidate: a value that passes through zero is dropped only where it ends there") {
  table<std::uint32_t, std::int32_t> rows;
  rows.push(5, 1);
  rows.push(5, -1);
  rows.push(5, 4);
  rows.push(2, 3);
  rows.push(2, -3);
  rows.push(9, 0);
  auto const made = delta::consolidate(rows.ref(), delta::count{});
  REQUIRE(made.has_value());
  REQUIRE(made->size() == 1);
  CHECK(made->ref().key(0) == 5);
  CHECK(made->ref().value(0) == 4);
}

TEST_CASE("consolidate: bad output and missing memory leave the output as it was") {
  auto const key = [](core::splitmix_rng& chance, std::size_t) { return chance.next(); };
  auto const rows = rows_of<std::uint32_t, float>(1000, key);
  table<std::uint32_t, float> got(1000);
  auto const refused = [](auto const& size) {
    return !size && size.error() == core::fail(errc::bad_argument, 2).error();
  };
  CHECK(refused(delta::consolidate(rows.ref(), got.space().from(1), delta::add{})));
  auto own = rows;
  CHECK(refused(delta::consolidate(own.ref(), own.space(), delta::add{})));
  for (std::uint64_t at : {1u, 2u}) {
    memory::failure_plan plan;
    plan.fail_from = at;
    memory::failing_resource<> from(plan);
    auto const made = delta::consolidate(rows.ref(), delta::add{}, from);
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().code == errc::out_of_memory);
    CHECK(plan.live_bytes == 0);
  }
  auto const runs = rows_of<std::uint32_t, float>(
      1000, [](core::splitmix_rng&, std::size_t i) { return i % 300; });
  memory::failure_plan plan;
  plan.fail_from = 1;
  CHECK_FALSE(
      delta::consolidate(runs.ref(), got.space(), delta::add{}, memory::failing_resource<>(plan))
          .has_value());
  CHECK(std::count(got.keys.begin(), got.keys.end(), 0u) == 1000);
}

TEST_CASE("consolidate: what is sorted takes no scratch") {
  auto const rows = millrace_test::random_run<std::uint32_t, float>(500, 3, 1);
  table<std::uint32_t, float> got(500);
  memory::failure_plan plan;
  plan.fail_from = 1;
  memory::failing_resource<> const none(plan);
  CHECK(delta::consolidate(rows.ref(), got.space(), delta::add{}, none).value_or(0) == 500);
  auto const twice =
      rows_of<std::uint32_t, float>(500, [](core::splitmix_rng&, std::size_t i) { return i / 2; });
  CHECK(delta::consolidate(twice.ref(), got.space(), delta::add{}, none).value_or(0) == 250);
}
