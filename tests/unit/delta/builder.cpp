// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/builder.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/consolidate.hpp>
#include <millrace/memory/failing_resource.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace core = millrace::core;
namespace delta = millrace::delta;
namespace memory = millrace::memory;
using millrace::errc;
using millrace_test::awkward;
using millrace_test::table;

namespace {

template <class K, class V>
table<K, V> arrivals(std::size_t size, std::uint64_t keys) {
  core::splitmix_rng chance(size);
  table<K, V> rows;
  for (std::size_t i = 0; i < size; ++i) {
    rows.push(static_cast<K>(chance.next() % keys), awkward<V>(chance));
  }
  return rows;
}

}  // namespace

TEST_CASE("builder: makes what consolidate makes of everything that came, however it was folded") {
  for (std::uint64_t keys : {10u, 3000u, 1'000'000u}) {
    for (std::size_t size : {0u, 1u, 65u, 1025u, 20'000u}) {
      auto rows = arrivals<std::uint32_t, float>(size, keys);
      auto builder = *delta::change_set_builder<delta::add, std::uint32_t, float>::make();
      for (auto const& [key, value] : rows.ref()) { REQUIRE(builder.append(key, value)); }
      auto const made = builder.finish();
      REQUIRE(made.has_value());
      CHECK(millrace_test::same(made->ref(), delta::consolidate(rows.ref(), delta::add{})->ref()));
      CHECK(builder.empty());
      if (keys == 10 && size == 20'000) { CHECK(builder.capacity() <= 4096); }
    }
  }
}

TEST_CASE("builder: what folding makes zero on the way is not dropped before the end") {
  auto builder = *delta::change_set_builder<delta::count, std::uint64_t, std::int32_t>::make();
  for (int round = 0; round < 2000; ++round) {
    REQUIRE(builder.append(7, 1));
    REQUIRE(builder.append(8, round % 2 == 0 ? 1 : -1));
    REQUIRE(builder.append(7, -1));
  }
  REQUIRE(builder.append(7, 5));
  auto const made = builder.finish();
  REQUIRE(made.has_value());
  REQUIRE(made->size() == 1);
  CHECK(made->ref()[0] == delta::change<std::uint64_t, std::int32_t>(7, 5));
}

TEST_CASE("builder: rows come in blocks as well, and it is used again after finish") {
  auto builder =
      *delta::change_set_builder<delta::last_writer, std::uint32_t, float>::make({}, {}, 1);
  for (int use = 0; use < 2; ++use) {
    auto rows = arrivals<std::uint32_t, float>(5000, 700);
    REQUIRE(builder.append(rows.ref().slice(0, 100)));
    REQUIRE(builder.append(rows.key(100), rows.value(100)));
    REQUIRE(builder.append(rows.ref().slice(101)));
    REQUIRE(builder.append(rows.ref().slice(5000)));
    auto const made = builder.finish();
    REQUIRE(made.has_value());
    CHECK(made->ref() == delta::consolidate(rows.ref(), delta::last_writer{})->ref());
  }
  REQUIRE(builder.append(1, 1.0f));
  builder.clear();
  CHECK(builder.finish()->empty());
}

TEST_CASE("builder: when memory fails at any point, nothing that came before is lost") {
  auto rows = arrivals<std::uint32_t, double>(3000, 900);
  auto const want = *delta::consolidate(rows.ref(), delta::add{});
  using builder_type = delta::basic_change_set_builder<delta::add, memory::failing_resource<>,
                                                       std::uint32_t, double>;
  for (std::uint64_t at = 1; at < 30; ++at) {
    memory::failure_plan plan;
    plan.fail_at = at;
    {
      auto made = builder_type::make({}, memory::failing_resource<>(plan));
      if (!made) {
        CHECK(at == 1);
        CHECK(made.error().code == errc::out_of_memory);
        continue;
      }
      for (auto const& [key, value] : rows.ref()) {
        auto const taken = made->append(key, value);
        if (!taken) {
          CHECK(taken.error().code == errc::out_of_memory);
          REQUIRE(made->append(key, value));  // only one allocation fails
        }
      }
      auto set = made->finish();
      if (!set) { set = made->finish(); }
      REQUIRE(set.has_value());
      CHECK(millrace_test::same(set->ref(), want.ref()));
    }
    CHECK(plan.live_bytes == 0);
  }
}

TEST_CASE("builder: moves, and what it was moved from takes nothing") {
  auto first = *delta::change_set_builder<delta::add, std::uint32_t, float>::make();
  REQUIRE(first.append(3, 1.0f));
  auto second = std::move(first);
  REQUIRE(second.append(3, 2.0f));
  first = std::move(second);
  auto const made = first.finish();
  REQUIRE(made->size() == 1);
  CHECK(made->ref().value(0) == 3.0f);
}
