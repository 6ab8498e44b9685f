// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/runs.hpp"
#include <millrace/core/isa.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/validate.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace core = millrace::core;
namespace delta = millrace::delta;
using millrace::errc;
using millrace_test::random_run;
using millrace_test::table;

namespace {

template <class K>
void every_place_is_found(core::isa which) {
  core::splitmix_rng chance(7);
  for (std::size_t size : {0u, 1u, 2u, 3u, 63u, 64u, 65u, 66u, 129u, 300u, 1000u}) {
    for (std::size_t shift : {0u, 1u, 3u}) {
      for (bool to_the_end : {false, true}) {
        auto rows = random_run<K, float>(size, 5, chance.next(), shift, to_the_end);
        CHECK(delta::first_unsorted(rows.ref(), which) == size);
        CHECK(delta::validate(rows.ref(), which).has_value());
        std::size_t const step = size < 200 ? 1 : 37;
        for (std::size_t at = 1; at < size; at += step) {
          K const kept = rows.key(at);
          rows.key(at) = rows.key(at - 1);  // a duplicate
          CHECK(delta::first_unsorted(rows.ref(), which) == at);
          auto const told = delta::validate(rows.ref(), which);
          REQUIRE_FALSE(told.has_value());
          CHECK(told.error() == core::fail(errc::bad_argument, static_cast<int>(at)).error());
          rows.key(at) = 0;  // out of order
          CHECK(delta::first_unsorted(rows.ref(), which) == at);
          rows.key(at) = kept;
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("validate: names the first row that is not above the one before, wherever it is") {
  for (core::isa which : core::all_isas) {
    if (!core::has_isa(which)) {
      MESSAGE("skipped: this machine lacks " << core::describe(which));
      continue;
    }
    CAPTURE(core::describe(which));
    every_place_is_found<std::uint32_t>(which);
    every_place_is_found<std::uint64_t>(which);
  }
}

TEST_CASE("validate: an instruction set that the machine lacks is replaced by one that it has") {
  auto rows = random_run<std::uint64_t, float>(500, 9, 3);
  rows.key(400) = 0;
  for (core::isa which : core::all_isas) { CHECK(delta::first_unsorted(rows.ref(), which) == 400); }
}

TEST_CASE("validate: keys compare unsigned, at both halves of their range") {
  table<std::uint32_t> narrow;
  for (std::uint32_t key : {0u, 1u, 0x7FFF'FFFFu, 0x8000'0000u, 0xFFFF'FFFFu}) { narrow.push(key); }
  CHECK(delta::validate(narrow.ref()).has_value());
  table<std::uint64_t> wide;
  for (std::uint64_t i = 0; i < 200; ++i) { wide.push(0x7FFF'FFFF'FFFF'FF9Cull + i); }
  CHECK(delta::validate(wide.ref()).has_value());
  wide.key(150) = 1;
  CHECK(delta::first_unsorted(wide.ref()) == 150);
}

TEST_CASE("validate: with a policy also names the first row that the policy would drop") {
  auto rows = random_run<std::uint32_t, std::int64_t>(300, 4, 11);
  millrace_test::without_zeros(rows);
  CHECK(delta::validate(rows.ref(), delta::count{}).has_value());
  rows.value(200) = 0;
  CHECK(delta::validate(rows.ref(), delta::add{}).has_value());
  CHECK(delta::validate(rows.ref(), delta::count{}).error().native == 200);
  rows.key(250) = rows.key(249);
  CHECK(delta::validate(rows.ref(), delta::count{}).error().native == 200);
  rows.key(100) = rows.key(99);
  CHECK(delta::validate(rows.ref(), delta::count{}).error().native == 100);
  rows.value(99) = 0;
  CHECK(delta::validate(rows.ref(), delta::count{}).error().native == 99);
  CHECK(delta::first_dropped(rows.ref(), delta::count{}) == 99);
}

TEST_CASE("validate: two columns are dropped together only when both rules say so") {
  table<std::uint32_t, std::int64_t, std::int32_t> rows;
  rows.push(1, 0, 1);
  rows.push(2, 1, 0);
  rows.push(3, 0, 0);
  CHECK(delta::first_dropped(rows.ref(), delta::count{}) == 2);
  using first_alone = delta::by_column<delta::count, delta::add>;
  CHECK(delta::first_dropped(rows.ref(), first_alone{}) == 0);
}
