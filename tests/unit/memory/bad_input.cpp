// SPDX-License-Identifier: Apache-2.0
// What cannot be is refused alike by every resource of the host, and changes none.
#include <millrace/memory.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <new>
#include <thread>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::heap;
using memory::host_resource;
using millrace::errc;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t most = std::numeric_limits<std::size_t>::max();

[[nodiscard]] heap<> small_heap() {
  return core::value_or_throw(heap<>::make({.reserve_bytes = 8 * mib, .caches = 4}));
}
[[nodiscard]] core::error bad(int argument) {
  return core::fail(errc::bad_argument, argument).error();
}

/// @param above  an alignment that is a power of two and more than the resource promises
template <class R>
void refuses_alike(R from, std::size_t above) {
  auto const p = from.try_allocate(100, 64);
  REQUIRE(p);
  auto const refusal = [&](std::size_t bytes, std::size_t alignment) {
    auto const got = from.try_allocate(bytes, alignment);
    REQUIRE(!got);
    return got.error();
  };
  CHECK(refusal(0, 8) == bad(1));
  for (std::size_t const alignment : {std::size_t{0}, std::size_t{3}, std::size_t{48}, above,
                                      above * 2, most, most / 2 + 1, most - 63}) {
    CHECK(refusal(8, alignment) == bad(2));
    CHECK(refusal(100'000, alignment) == bad(2));
  }
  for (std::size_t const bytes :
       {most, most - 15, most / 2 + 1, memory::max_request_bytes, memory::max_request_bytes - 64}) {
    CHECK(refusal(bytes, 16).code == errc::out_of_memory);
    CHECK(refusal(bytes, 64).code == errc::out_of_memory);
  }
  auto const q = from.try_allocate(100, 64);  // it goes on
  REQUIRE(q);
  CHECK(*q != *p);
  from.deallocate(*p, 100, 64);
  from.deallocate(*q, 100, 64);
}

}  // namespace

TEST_CASE("bad input: every resource of the host refuses it alike and goes on") {
  constexpr std::size_t above_page = 2 * heap<>::max_alignment;
  constexpr std::size_t above_host = 2 * host_resource::max_alignment;
  refuses_alike(host_resource(), above_host);
  refuses_alike(memory::any_resource(), above_host);

  auto const h = small_heap();
  refuses_alike(h, above_page);
  refuses_alike(memory::any_resource(h), above_page);
  CHECK(h.stats().refused == 0);  // none of it came to the slabs

  memory::allocation_counts counts;
  refuses_alike(memory::counting_resource<heap<>>(counts, h), above_page);
  CHECK(counts.live == 0);
  CHECK(counts.total == 2);

  memory::budget all;
  refuses_alike(memory::budgeted_resource<heap<>>(all, h), above_page);
  CHECK(all.counts().live_bytes == 0);
  CHECK(all.counts().climbs == 0);
  CHECK(all.level() == memory::pressure::none);

  memory::failure_plan plan;
  refuses_alike(memory::failing_resource<heap<>>(plan, h), above_page);
  CHECK(plan.live_bytes == 0);

  refuses_alike(core::value_or_throw(memory::checked_resource<heap<>>::make(h)), above_page);
  refuses_alike(
      core::value_or_throw(memory::spilling_resource<heap<>, heap<>>::make(h, small_heap())),
      above_page);
}

TEST_CASE("bad input: a thread's own cache refuses what its heap refuses") {
  auto const h = small_heap();
  auto mine = core::value_or_throw(h.open());
  std::size_t const volatile none = 0;  // g++ 12 takes a 0 that it sees for a class of its own
  CHECK(mine.try_allocate(none).error() == bad(1));
  CHECK(mine.try_allocate(8, 3).error() == bad(2));
  CHECK(mine.try_allocate(8, 8192).error() == bad(2));
  CHECK(mine.try_allocate(most).error().code == errc::out_of_memory);
  CHECK(mine.try_allocate(9 * mib).error().code == errc::out_of_memory);
  CHECK(mine.allocate_or_null(none) == nullptr);
  CHECK(mine.allocate_or_null(8, 0) == nullptr);
  CHECK(mine.free(nullptr));
  int elsewhere = 0;
  CHECK(mine.free(&elsewhere).error() == bad(1));
}

TEST_CASE("bad input: a block of another heap is foreign, and stays its owner's") {
  auto const one = small_heap(), other = small_heap();
  auto const small = core::value_or_throw(one.try_allocate(64));
  auto const large = core::value_or_throw(one.try_allocate(200'000));
  CHECK(other.free(small).error() == bad(1));
  CHECK(other.free(large).error() == bad(1));
  CHECK(other.usable_bytes(small) == 0);
  CHECK(one.usable_bytes(nullptr) == 0);
  CHECK(one.free(small));
  CHECK(one.free(large));
  CHECK(one.free(large).error() == bad(1));  // already
  std::thread([&] { CHECK(one.free(large).error() == bad(1)); }).join();
  one.evict();
  CHECK(one.free(small).error() == bad(1));  // nobody has its slab
  CHECK(one.stats().taken_bytes == 0);
}

TEST_CASE("bad input: containers get the standard's exceptions, and stay as they were") {
  auto const h = small_heap();
  memory::pmr_resource<heap<>> resource(h);
  std::size_t volatile too_much = most;  // as only a program that runs knows
  CHECK_THROWS_AS(static_cast<void>(resource.allocate(too_much, 16)), std::bad_alloc);
  CHECK_THROWS_AS(static_cast<void>(resource.allocate(9 * mib, 16)), std::bad_alloc);
  CHECK_THROWS_AS(static_cast<void>(resource.allocate(8, 8192)), std::bad_alloc);
  memory::allocator<std::uint64_t> words(h);
  CHECK_THROWS_AS(static_cast<void>(words.allocate(most / 4)), std::bad_array_new_length);
  CHECK_THROWS_AS(static_cast<void>(words.allocate(most / 16)), std::bad_alloc);
  words.deallocate(words.allocate(0), 0);
  std::pmr::vector<int> numbers({1, 2, 3}, &resource);
  CHECK_THROWS_AS(numbers.resize(4'000'000), std::bad_alloc);
  CHECK(numbers == std::pmr::vector<int>{1, 2, 3});
}

TEST_CASE("bad input: a heap's budget below what is in use refuses until use is below it") {
  auto const h = small_heap();
  auto const a = core::value_or_throw(h.try_allocate(3 * mib));
  h.set_budget_bytes(2 * mib);
  CHECK(h.stats().budget_bytes == 2 * mib);
  CHECK(h.try_allocate(100'000).error().code == errc::out_of_memory);
  CHECK(h.try_allocate(16).error().code == errc::out_of_memory);
  CHECK(h.stats().taken_bytes == 3 * mib);
  CHECK(h.free(a));
  auto const b = h.try_allocate(2 * mib);
  REQUIRE(b);
  CHECK(h.try_allocate(16).error().code == errc::out_of_memory);
  h.set_budget_bytes(0);
  CHECK(h.stats().budget_bytes == 8 * mib);
  CHECK(h.try_allocate(16));
  CHECK(h.free(*b));
  h.set_budget_bytes(most);
  CHECK(h.stats().budget_bytes == 8 * mib);
  h.set_budget_bytes(1);  // below one slab
  h.evict();
  CHECK(h.try_allocate(70'000).error().code == errc::out_of_memory);
}
