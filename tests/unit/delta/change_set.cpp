// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/runs.hpp"
#include <millrace/delta/change_set.hpp>
#include <millrace/memory/failing_resource.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace delta = millrace::delta;
namespace memory = millrace::memory;
using millrace::errc;
using millrace_test::random_run;
using set = delta::change_set<std::uint32_t, float, millrace_test::quote>;

static_assert(!std::is_copy_constructible_v<set> && std::is_nothrow_move_constructible_v<set> &&
              std::is_nothrow_move_assignable_v<set>);

TEST_CASE("change_set: columns begin cache lines and do not overlap") {
  for (std::size_t capacity : {1u, 15u, 16u, 17u, 1000u}) {
    auto made = *set::make(capacity);
    auto const space = made.space();
    auto const at = [](auto const* p) { return reinterpret_cast<std::uintptr_t>(p); };
    CHECK(at(space.keys()) % 64 == 0);
    CHECK(at(space.values<0>()) % 64 == 0);
    CHECK(at(space.values<1>()) % 64 == 0);
    CHECK(at(space.values<0>()) >= at(space.keys() + capacity));
    CHECK(at(space.values<1>()) >= at(space.values<0>() + capacity));
    CHECK(at(space.values<1>() + capacity) <= at(space.keys()) + made.size_bytes());
    CHECK(space.capacity() == capacity);
    CHECK(made.empty());
  }
}

TEST_CASE("change_set: copies rows, and moves with what it owns") {
  auto const rows = random_run<std::uint32_t, float, millrace_test::quote>(100, 4, 1, 1);
  auto a = *set::make(rows.ref());
  CHECK(millrace_test::same(a.ref(), rows.ref()));
  CHECK(a.capacity() == 100);
  set b = std::move(a);
  CHECK(a.empty());
  CHECK(a.capacity() == 0);
  CHECK(a.ref().empty());
  CHECK(millrace_test::same(b.ref(), rows.ref()));
  a = *set::make(rows.ref().slice(0, 3));
  b = std::move(a);
  CHECK(b.size() == 3);
  set::ref_type const ref = b;
  CHECK(ref == rows.ref().slice(0, 3));
}

TEST_CASE("change_set: none and no capacity are sets as well") {
  set none;
  CHECK(none.empty());
  CHECK(none.ref().empty());
  auto const made = set::make(0);
  REQUIRE(made.has_value());
  CHECK(made->ref().empty());
  CHECK(set::make(set::ref_type{})->empty());
}

TEST_CASE("change_set: more than there can be is out of memory, not an overflow") {
  for (std::size_t capacity :
       {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() / 20,
        memory::max_request_bytes / 20, memory::max_request_bytes / 20 - 9}) {
    auto const made = set::make(capacity);
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().code == errc::out_of_memory);
  }
}

TEST_CASE("change_set: a failing resource is reported, and gets everything back") {
  using failing = delta::basic_change_set<memory::failing_resource<>, std::uint64_t, double>;
  memory::failure_plan plan;
  plan.budget_bytes = 4096;
  memory::failing_resource<> const from(plan);
  {
    auto const first = failing::make(100, from);
    REQUIRE(first.has_value());
    CHECK(plan.live_bytes == first->size_bytes());
    auto const second = failing::make(200, from);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == errc::out_of_memory);
  }
  CHECK(plan.live_bytes == 0);
  auto const rows = random_run<std::uint64_t, double>(1000, 3, 1);
  CHECK(failing::make(rows.ref(), from).error().code == errc::out_of_memory);
  CHECK(plan.live_bytes == 0);
}
