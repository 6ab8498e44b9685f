// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/any_resource.hpp>
#include <millrace/memory/budget.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/pmr.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::any_resource;
using millrace::errc;

TEST_CASE("any_resource: by itself the host's, with the host's errors") {
  any_resource from;
  auto const p = from.try_allocate(100, 64);
  REQUIRE(p);
  CHECK(reinterpret_cast<std::uintptr_t>(*p) % 64 == 0);
  from.deallocate(*p, 100, 64);
  CHECK(from.try_allocate(0, 8).error() == core::fail(errc::bad_argument, 1).error());
  CHECK(from.try_allocate(8, 3).error() == core::fail(errc::bad_argument, 2).error());
  CHECK(from == any_resource());
}

TEST_CASE("any_resource: passes on to what it holds, and equals what holds the same") {
  memory::allocation_counts counts, others;
  any_resource a = memory::counting_resource<>(counts);
  any_resource const b = a, c = memory::counting_resource<>(others);
  CHECK(a == b);
  CHECK(a != c);
  CHECK(a != any_resource());
  auto const p = a.try_allocate(10, 8);
  REQUIRE(p);
  CHECK(counts.live_bytes == 10);
  any_resource d;
  d = b;
  d.deallocate(*p, 10, 8);
  CHECK(counts.live == 0);
  d = c;
  d = *&d;
  CHECK(d == c);
}

TEST_CASE("any_resource: keeps the heap whose handle it holds") {
  auto const make = [] {
    return any_resource(
        core::value_or_throw(memory::heap<>::make({.reserve_bytes = 1 << 20, .caches = 2})));
  };
  any_resource from = make();
  auto const p = from.try_allocate(1'000, 16);
  REQUIRE(p);
  from.deallocate(*p, 1'000, 16);
  CHECK(from.try_allocate(2 << 20, 16).error().code == errc::out_of_memory);
}

TEST_CASE("any_resource: buffers and containers take it, and give back to where they took") {
  memory::budget all({.hard_bytes = 10'000});
  any_resource const from = memory::budgeted_resource<>(all);
  {
    auto some = memory::buffer<std::uint64_t, any_resource>::make(100, from);
    REQUIRE(some);
    memory::buffer<std::uint64_t, any_resource> other;  // of no budget
    other = std::move(*some);
    std::vector<int, memory::allocator<int, any_resource>> numbers{
        memory::allocator<int, any_resource>(from)};
    numbers.resize(500);
    CHECK(all.counts().live_bytes == 800 + 2'000);
    CHECK_THROWS_AS(numbers.resize(3'000), std::bad_alloc);
    CHECK(numbers.size() == 500);
  }
  CHECK(all.counts().live_bytes == 0);
}
