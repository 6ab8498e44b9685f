// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/pool.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using classes = memory::default_heap::classes;
using memory::heap;
using millrace::errc;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

[[nodiscard]] heap<> small_heap(std::size_t budget = 0, std::uint32_t caches = 16) {
  return core::value_or_throw(
      heap<>::make({.reserve_bytes = 64 * mib, .budget_bytes = budget, .caches = caches}));
}

struct block {
  void* p;
  std::size_t bytes;
};

}  // namespace

TEST_CASE("heap_stats: what a thread allocated is counted exactly, by class and together") {
  heap<> const h = small_heap();
  core::xoshiro_rng random(5);
  std::vector<block> live;
  std::vector<std::uint64_t> total(classes::count), blocks(classes::count);
  std::size_t runs = 0, run_bytes = 0, run_waste = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (live.size() < 500 || random.next() % 2 == 0) {
      std::size_t const bytes = 1 + random.next() % (random.next() % 50 == 0 ? 200'000 : 3'000);
      live.push_back({core::value_or_throw(h.try_allocate(bytes)), bytes});
      if (bytes > classes::largest) {
        ++runs;
        run_bytes += h.usable_bytes(live.back().p);
        run_waste += h.usable_bytes(live.back().p) - bytes;
      } else {
        ++total[classes::index_of(bytes)];
        ++blocks[classes::index_of(bytes)];
      }
    } else {
      std::swap(live[random.next() % live.size()], live.back());
      block const b = live.back();
      live.pop_back();
      if (b.bytes > classes::largest) {
        --runs;
        run_bytes -= h.usable_bytes(b.p);
        run_waste -= h.usable_bytes(b.p) - b.bytes;
      } else {
        --blocks[classes::index_of(b.bytes)];
      }
      h.deallocate(b.p, b.bytes);
    }
  }
  std::uint64_t all = 0, small_bytes = 0;
  for (std::uint32_t c = 0; c < classes::count; ++c) {
    auto const of = core::value_or_throw(h.stats_of(c));
    CHECK(of.block_bytes == classes::bytes_of(c));
    CHECK(of.total == total[c]);
    CHECK(of.live == blocks[c]);
    CHECK(of.remote_frees == 0);
    all += total[c];
    small_bytes += blocks[c] * of.block_bytes;
  }
  memory::heap_stats const s = h.stats();
  CHECK(s.live == live.size());
  CHECK(s.runs == runs);
  CHECK(s.run_bytes == run_bytes);
  CHECK(s.live_bytes == small_bytes + run_bytes);
  CHECK(s.total > all);  // large blocks too
  CHECK(s.waste_bytes >= run_waste);
  CHECK(s.unused_bytes() == s.taken_bytes - s.live_bytes);
  CHECK(s.cached_bytes <= s.unused_bytes());
  for (block const& b : live) { h.deallocate(b.p, b.bytes); }
  CHECK(h.stats().live == 0);
  CHECK(h.stats().live_bytes == 0);
  CHECK(h.stats().waste_bytes == 0);
  CHECK(!h.stats_of(classes::count));
}

TEST_CASE("heap_stats: waste is guessed within a quarter from requests of many sizes") {
  heap<> const h = small_heap();
  core::xoshiro_rng random(6);
  std::uint64_t waste = 0;
  for (int i = 0; i < 40'000; ++i) {
    std::size_t const bytes = 1 + random.next() % 1024;
    waste += h.usable_bytes(core::value_or_throw(h.try_allocate(bytes))) - bytes;
  }
  std::uint64_t const guess = h.stats().waste_bytes;
  CHECK(guess > waste - waste / 4);
  CHECK(guess < waste + waste / 4);
}

TEST_CASE(
    "heap_stats: frees of other threads' blocks are counted, and live ones are what is left") {
  heap<> const h = small_heap();
  std::vector<void*> blocks;
  for (int i = 0; i < 1'000; ++i) { blocks.push_back(core::value_or_throw(h.try_allocate(100))); }
  std::thread([&] {
    for (int i = 0; i < 700; ++i) { h.deallocate(blocks[static_cast<std::size_t>(i)], 100); }
    CHECK(core::value_or_throw(h.stats_of(classes::index_of(100))).remote_frees == 700);
  }).join();
  auto const of = core::value_or_throw(h.stats_of(classes::index_of(100)));
  CHECK(of.live == 300);
  CHECK(of.total == 1'000);
  CHECK(of.remote_frees == 700);
  CHECK(h.stats().remote_frees == 700);
}

TEST_CASE("heap_stats: threads that left are counted exactly, and what others freed for them") {
  heap<> const h = small_heap();
  std::vector<std::vector<void*>> blocks(4);
  std::vector<std::thread> all;
  for (auto& mine : blocks) {
    all.emplace_back([&] {
      for (int i = 0; i < 3'000; ++i) {
        mine.push_back(core::value_or_throw(h.try_allocate(64)));
        if (i % 3 == 0) {
          h.deallocate(mine.back(), 64);
          mine.pop_back();
        }
      }
    });
  }
  for (auto& t : all) { t.join(); }
  CHECK(h.stats().total == 12'000);
  CHECK(h.stats().live == 8'000);
  CHECK(h.stats().cached_bytes == 0);
  for (auto& mine : blocks) {
    for (void* const p : mine) { h.deallocate(p, 64); }
  }
  CHECK(h.stats().live == 0);
  CHECK(h.stats().total == 12'000);
}

TEST_CASE("heap_stats: a thread without a cache frees, and is counted") {
  heap<> const h = small_heap(0, 1);
  auto mine = h.open();
  REQUIRE(mine);
  void* const p = core::value_or_throw(mine->try_allocate(64));
  void* const q = core::value_or_throw(mine->try_allocate(64));
  h.deallocate(p, 64);
  mine->cache().publish();
  CHECK(h.stats().live == 1);
  CHECK(h.stats().remote_frees == 1);
  mine->deallocate(q, 64);
  mine->cache().publish();
  CHECK(h.stats().live == 0);
  CHECK(h.stats().total == 2);
}

TEST_CASE("heap_stats: looked at while four threads work, and exact afterwards") {
  heap<> const h = small_heap();
  std::atomic<int> running{4};
  std::atomic<std::uint64_t> made{0};
  std::vector<std::thread> all;
  for (unsigned t = 0; t < 4; ++t) {
    all.emplace_back([&, t] {
      core::xoshiro_rng random(t);
      std::vector<block> live;
      std::uint64_t count = 0;
      for (int i = 0; i < 20'000; ++i) {
        if (live.size() < 100 || random.next() % 2 == 0) {
          std::size_t const bytes = 1 + random.next() % 2'000;
          live.push_back({core::value_or_throw(h.try_allocate(bytes)), bytes});
          ++count;
        } else {
          h.deallocate(live.back().p, live.back().bytes);
          live.pop_back();
        }
      }
      for (block const& b : live) { h.deallocate(b.p, b.bytes); }
      made += count;
      --running;
    });
  }
  std::uint64_t before = 0;
  while (running != 0) {
    memory::heap_stats const s = h.stats();
    CHECK(s.total >= before);  // each cache's count only grows
    CHECK(s.caches <= 4);
    before = s.total;
  }
  for (auto& t : all) { t.join(); }
  CHECK(h.stats().total == made);
  CHECK(h.stats().live == 0);
}

TEST_CASE("heap_stats: a look makes no cache, and a pool's blocks are counted once it says so") {
  heap<> const h = small_heap();
  CHECK(h.stats().live == 0);
  CHECK(h.stats().caches == 0);
  {
    auto pool = core::value_or_throw(memory::pool<std::uint64_t>::make(h));
    for (int i = 0; i < 1'000; ++i) { REQUIRE(pool.create(1u)); }
    auto const of = core::value_or_throw(h.stats_of(0));
    CHECK(of.live <= 1'000);
    CHECK(of.live + memory::default_heap::magazine_blocks >= 1'000);
  }
  CHECK(h.stats().live == 1'000);
}

TEST_CASE("heap_stats: the listener hears of requests that fail, and of none that it makes") {
  struct heard {
    heap<>* of = nullptr;
    int times = 0;
    std::size_t bytes = 0, alignment = 0;
  } log;
  auto const tell = [](std::size_t bytes, std::size_t alignment, void* context) noexcept {
    auto& to = *static_cast<heard*>(context);
    ++to.times;
    to.bytes = bytes;
    to.alignment = alignment;
    CHECK(!to.of->try_allocate(10 * mib));
  };
  heap<> h = core::value_or_throw(heap<>::make(
      {.reserve_bytes = 64 * mib, .budget_bytes = mib, .caches = 4, .on_shortage = {tell, &log}}));
  log.of = &h;
  CHECK(h.try_allocate(mib / 2));
  CHECK(log.times == 0);
  CHECK(!h.try_allocate(mib, 64));
  CHECK(log.times == 1);
  CHECK(log.bytes == mib);
  CHECK(log.alignment == 64);
  CHECK(!h.try_allocate(0));  // bad input is no shortage
  CHECK(!h.try_allocate(8, 3));
  CHECK(log.times == 1);
  auto mine = core::value_or_throw(h.open());
  CHECK(!mine.try_allocate(mib));
  CHECK(log.times == 2);
}

TEST_CASE("heap_stats: each request that finds no room is counted once, however far it looked") {
  heap<> const h = small_heap(mib);
  CHECK(h.stats().refused == 0);
  CHECK(!h.try_allocate(2 * mib));    // more than the budget
  CHECK(!h.try_allocate(100 * mib));  // more than all addresses
  CHECK(!h.try_allocate(0));          // bad input
  CHECK(h.stats().refused == 2);
  std::vector<void*> all;
  while (auto const p = h.try_allocate(1'000)) { all.push_back(*p); }
  CHECK(h.stats().refused == 3);
  for (void* const p : all) { h.deallocate(p, 1'000); }
  void* const whole = core::value_or_throw(h.try_allocate(mib));  // after a look for idle slabs
  CHECK(h.stats().refused == 3);
  h.deallocate(whole, mib);
}
