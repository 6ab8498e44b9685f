// SPDX-License-Identifier: Apache-2.0
#include "tier.hpp"
#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge_parallel.hpp>
#include <millrace/memory/failing_resource.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace core = millrace::core;
namespace delta = millrace::delta;
namespace memory = millrace::memory;
using millrace::errc;
using millrace_test::random_run;
using millrace_test::table;

namespace {

/// Calls every task on the caller, the last first: the others find nothing left to do.
struct backwards {
  template <class Task>
  void run(std::uint32_t count, Task&& task) noexcept {
    for (std::uint32_t i = count; i-- > 0;) { task(i); }
  }
};
/// Calls only task(0), as where no thread can be started.
struct alone {
  template <class Task>
  void run(std::uint32_t, Task&& task) noexcept {
    task(0);
  }
};

template <class C, class K, class... Vs>
void check(table<K, Vs...> const& older, table<K, Vs...> const& newer, C const& combine) {
  auto const want = millrace_test::merged<delta::keep::either>(older.ref(), newer.ref(), combine);
  std::size_t const room = older.ref().size() + newer.ref().size();
  auto const equal = [&](auto& got, auto const& rows) {
    REQUIRE(rows.has_value());
    CHECK(millrace_test::same(got.ref().slice(0, *rows), want.ref()));
  };
  for (std::uint32_t threads : {1u, 2u, 3u, 7u}) {
    table<K, Vs...> got(room, 1);
    equal(got, delta::merge_parallel(older.ref(), newer.ref(), got.space(), combine, threads));
  }
  table<K, Vs...> got(room);
  backwards pool;
  equal(got, delta::merge_parallel(older.ref(), newer.ref(), got.space(), combine, 4, pool));
  equal(got, delta::merge_parallel(older.ref(), newer.ref(), got.space(), combine, 4, alone{}));
}

template <class K, class V, class C>
void check_kinds(std::size_t most, C const& combine) {
  core::splitmix_rng chance(most);
  for (std::size_t n : {std::size_t{0}, std::size_t{1}, most / 3, most}) {
    for (std::uint64_t gap : {1u, 3u, 40u}) {
      auto older = random_run<K, V>(n, gap, chance.next(), 3);
      auto newer = random_run<K, V>(most - n / 2, gap, chance.next(), 1, gap == 3);
      if constexpr (delta::may_drop<C, V>) {
        millrace_test::without_zeros(older);
        millrace_test::without_zeros(newer);
      }
      check(older, newer, combine);
    }
  }
}

}  // namespace

TEST_CASE("merge_parallel: gives the rows of merge, with any number of threads") {
  std::size_t const most = millrace_test::long_tier() ? 3'000'000 : 400'000;
  check_kinds<std::uint32_t, float>(most, delta::add{});
  check_kinds<std::uint64_t, double>(most / 2, delta::last_writer{});
  check_kinds<std::uint64_t, std::int32_t>(most / 2, delta::count{});
}

TEST_CASE("merge_parallel: results beyond the caches are written past them, the same rows") {
  auto const older = random_run<std::uint64_t, double>(700'000, 2, 1, 1);
  auto const newer = random_run<std::uint64_t, double>(600'000, 2, 2, 3);
  check(older, newer, delta::add{});
}

TEST_CASE("merge_parallel: what drops every row leaves none") {
  auto older = random_run<std::uint32_t, std::int64_t>(300'000, 2, 1);
  auto newer = random_run<std::uint32_t, std::int64_t>(300'000, 2, 1);
  for (std::size_t i = 0; i < older.size(); ++i) {
    older.value(i) = 5;
    newer.value(i) = -5;
  }
  table<std::uint32_t, std::int64_t> got(600'000);
  auto const rows = delta::merge_parallel(older.ref(), newer.ref(), got.space(), delta::count{}, 2);
  CHECK(rows.value_or(1) == 0);
}

TEST_CASE("merge_parallel: keys alone, and several columns, are merged alike") {
  check(random_run<std::uint32_t>(500'000, 3, 1), random_run<std::uint32_t>(400'000, 3, 2),
        delta::add{});
  using columns = delta::by_column<delta::add, delta::last_writer, delta::maximum>;
  check(random_run<std::uint32_t, float, millrace_test::quote, std::int64_t>(60'000, 3, 1),
        random_run<std::uint32_t, float, millrace_test::quote, std::int64_t>(90'000, 3, 2),
        columns{});
}

TEST_CASE("merge_parallel: unsorted runs give no good result, and no row beyond the room") {
  std::size_t const size = 300'000;
  auto older = random_run<std::uint32_t, float>(size, 3, 1);
  auto newer = random_run<std::uint32_t, float>(size, 3, 2);
  core::splitmix_rng chance(4);
  for (bool older_too : {false, true}) {
    for (std::size_t i = 0; i < size; ++i) {
      newer.key(i) = static_cast<std::uint32_t>(chance.next());
      if (older_too) { older.key(i) = static_cast<std::uint32_t>(chance.next()); }
    }
    table<std::uint32_t, float> got(2 * size);  // ASan sees its end
    for (std::uint32_t threads : {1u, 2u, 4u}) {
      auto const rows =
          delta::merge_parallel(older.ref(), newer.ref(), got.space(), delta::add{}, threads);
      REQUIRE(rows.has_value());
      CHECK(*rows <= 2 * size);
    }
  }
}

TEST_CASE("merge_parallel: bad arguments and missing memory leave the output as it was") {
  auto const older = random_run<std::uint32_t, float>(300'000, 3, 1);
  auto const newer = random_run<std::uint32_t, float>(300'000, 3, 2);
  table<std::uint32_t, float> got(600'000);
  auto const refused = [&](auto const& rows, int argument) {
    return !rows && rows.error() == core::fail(errc::bad_argument, argument).error();
  };
  auto const merge = [&](auto space, std::uint32_t threads) {
    return delta::merge_parallel(older.ref(), newer.ref(), space, delta::add{}, threads);
  };
  CHECK(refused(merge(got.space(), 0), 5));
  CHECK(refused(merge(got.space(), 65), 5));
  CHECK(refused(merge(got.space().from(1), 2), 3));
  auto own = older;
  delta::change_space<std::uint32_t, float> const on_input(got.keys.data(), 600'000,
                                                           std::get<0>(own.columns).data());
  CHECK(refused(delta::merge_parallel(own.ref(), newer.ref(), on_input, delta::add{}, 2), 3));
  memory::failure_plan plan;
  plan.fail_from = 1;
  auto const rows = delta::merge_parallel(older.ref(), newer.ref(), got.space(), delta::add{}, 2,
                                          delta::fresh_threads{}, memory::failing_resource<>(plan));
  REQUIRE_FALSE(rows.has_value());
  CHECK(rows.error().code == errc::out_of_memory);
  CHECK(std::count(got.keys.begin(), got.keys.end(), 0u) == 600'000);
}
