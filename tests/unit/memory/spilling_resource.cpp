// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/budget.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/spilling_resource.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace {
using near_memory = memory::budgeted_resource<>;
using far_memory = memory::counting_resource<memory::failing_resource<>>;
using spilling = memory::spilling_resource<near_memory, far_memory>;

struct memories {
  memory::budget near;
  memory::allocation_counts far;
  memory::failure_plan plan;

  explicit memories(std::uint64_t bytes) : near({.hard_bytes = bytes}) {}
  [[nodiscard]] spilling both() {
    return core::value_or_throw(
        spilling::make(near_memory(near), far_memory(far, memory::failing_resource<>(plan))));
  }
};
}  // namespace

TEST_CASE("spilling: what the first has no room for comes from the second, and goes back there") {
  memories of(1'000);
  auto from = of.both();
  auto const a = from.try_allocate(800, 16), b = from.try_allocate(300, 16);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(of.near.counts().live_bytes == 800);
  CHECK(of.far.live_bytes == 300);
  CHECK(from.spilled_blocks() == 1);
  CHECK(from.spilled_bytes() == 300);
  auto copy = from;
  CHECK(copy == from);
  copy.deallocate(*a, 800, 16);
  CHECK(of.near.counts().live_bytes == 0);
  auto const c = from.try_allocate(900, 16);  // there is room again
  REQUIRE(c);
  CHECK(of.near.counts().live_bytes == 900);
  from.deallocate(*b, 300, 16);
  from.deallocate(*c, 900, 16);
  CHECK(of.far.live == 0);
  CHECK(of.near.counts().live_bytes == 0);
  CHECK(from.spilled_bytes() == 0);
}

TEST_CASE("spilling: when neither has room it is an error, and bad input never spills") {
  memories of(1'000);
  of.plan.budget_bytes = 500;
  auto from = of.both();
  CHECK(from.try_allocate(2'000, 16).error().code == errc::out_of_memory);
  CHECK(from.try_allocate(0, 16).error() == core::fail(errc::bad_argument, 1).error());
  CHECK(from.try_allocate(8, 3).error() == core::fail(errc::bad_argument, 2).error());
  CHECK(from.spilled_blocks() == 0);
  CHECK(of.far.total == 0);
}

TEST_CASE("spilling: it is the last step before the error, after those of the budget") {
  memories of(1'000);
  int asked = 0;
  REQUIRE(of.near.add_step({"nothing to give",
                            [](std::uint64_t, void* n) noexcept {
                              ++*static_cast<int*>(n);
                              return std::uint64_t{0};
                            },
                            &asked}));
  REQUIRE(of.near.try_take(900));
  auto from = of.both();
  auto const p = from.try_allocate(200, 16);
  REQUIRE(p);
  CHECK(asked == 1);
  CHECK(from.spilled_bytes() == 200);
  from.deallocate(*p, 200, 16);
  of.near.give(900);
}

TEST_CASE("spilling: threads free each other's blocks of both memories") {
  memories of(64'000);
  auto const heap = core::value_or_throw(
      memory::heap<>::make({.reserve_bytes = std::size_t{8} << 20, .caches = 8}));
  using mixed = memory::spilling_resource<memory::budgeted_resource<memory::heap<>>, far_memory>;
  auto const from =
      core::value_or_throw(mixed::make(memory::budgeted_resource<memory::heap<>>(of.near, heap),
                                       far_memory(of.far, memory::failing_resource<>(of.plan))));
  constexpr std::size_t places = 256;
  std::vector<std::atomic<void*>> shelf(places);
  std::atomic<bool> spilled{false}, right{true};
  auto const work = [&](unsigned t) {
    auto mine = from;
    for (unsigned i = 0; i < 20'000; ++i) {
      auto const p = mine.try_allocate(500, 16);
      if (!p) {
        right = false;
        continue;
      }
      std::memset(*p, static_cast<int>(t), 500);
      if (void* const old = shelf[(i * 7 + t) % places].exchange(*p)) {
        mine.deallocate(old, 500, 16);
      }
      if (mine.spilled_blocks() != 0) { spilled = true; }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t) { threads.emplace_back(work, t); }
  for (auto& t : threads) { t.join(); }
  auto last = from;
  for (auto& p : shelf) {
    if (p != nullptr) { last.deallocate(p, 500, 16); }
  }
  CHECK(right);
  CHECK(spilled);
  CHECK(of.far.live == 0);
  CHECK(of.near.counts().live_bytes == 0);
  CHECK(from.spilled_bytes() == 0);
}
