// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/reliefs.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace {
constexpr std::size_t mib = std::size_t{1} << 20;
[[nodiscard]] memory::heap<> small_heap(std::size_t budget) {
  return core::value_or_throw(
      memory::heap<>::make({.reserve_bytes = 16 * mib, .budget_bytes = budget, .caches = 4}));
}
/// Leaves a slab of each of several classes in the calling thread's cache.
void warm(memory::heap<> const& h) {
  for (std::size_t bytes = 64; bytes <= 32'768; bytes *= 2) {
    auto const p = h.try_allocate(bytes);
    REQUIRE(p);
    h.deallocate(*p, bytes);
  }
}
}  // namespace

TEST_CASE("reliefs: a heap's idle slabs are evicted, and how many bytes is said") {
  auto h = small_heap(0);
  warm(h);
  auto const taken = h.stats().taken_bytes;
  CHECK(taken >= 10 * 65'536);
  auto const step = memory::evicts(h);
  CHECK(step.give_back(1, step.context) == taken);
  CHECK(h.stats().taken_bytes == 0);
  CHECK(step.give_back(1, step.context) == 0);
  std::thread([&] { warm(h); }).join();
  CHECK(h.stats().taken_bytes == 0);  // who leaves gives back
  auto const kept = h.try_allocate(64);
  REQUIRE(kept);
  CHECK(step.give_back(1, step.context) == 0);  // one block is in use
  h.deallocate(*kept, 64);
  CHECK(step.give_back(1, step.context) == 65'536);
}

TEST_CASE("reliefs: what was evicted is trimmed") {
  auto h = small_heap(0);
  warm(h);
  auto const trim = memory::trims(h);
  CHECK(trim.give_back(1, trim.context) == 0);  // the cache has it all
  CHECK(h.evict() > 0);
  CHECK(trim.give_back(1, trim.context) >= 10 * 65'536);
  CHECK(trim.give_back(1, trim.context) == 0);
}

TEST_CASE("reliefs: they make a budget's ladder, from the gentlest to the wait") {
  core::manual_clock clock;
  struct asks {
    core::manual_clock* clock;
    bool operator()() const noexcept {
      clock->advance(100);
      return false;
    }
  };
  auto h = small_heap(mib);
  memory::patient_wait<asks, core::manual_clock&> wait{{&clock}, 1'000, clock};
  memory::budget all;
  REQUIRE(all.add_step(memory::evicts(h)));
  REQUIRE(all.add_step(memory::trims(h)));
  REQUIRE(all.add_step(memory::waits(wait)));
  memory::budgeted_resource<memory::heap<>> from(all, h);
  warm(h);
  auto const whole = from.try_allocate(mib, 16);
  REQUIRE(whole);
  auto const before = clock.now_ns();
  CHECK(from.try_allocate(16, 16).error().code == errc::out_of_memory);
  CHECK(clock.now_ns() - before >= 1'000);
  CHECK(clock.now_ns() - before <= 1'500);  // bounded
  from.deallocate(*whole, mib, 16);
  CHECK(all.counts().live_bytes == 0);
}

TEST_CASE("reliefs: a wait that ends in time brings what was wanted") {
  core::manual_clock clock;
  int looks = 0;
  auto const third_time = [&]() noexcept { return ++looks == 3; };
  memory::patient_wait<decltype(third_time), core::manual_clock&> wait{third_time, 10, clock};
  auto const step = memory::waits(wait);
  CHECK(step.give_back(500, step.context) == 500);
  CHECK(looks == 3);
}
