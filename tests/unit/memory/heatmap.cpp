// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/memory/heatmap.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using classes = memory::default_heap::classes;
using core::region_use;
using memory::heap;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

[[nodiscard]] heap<> small_heap() {
  return core::value_or_throw(heap<>::make({.reserve_bytes = 64 * mib, .caches = 16}));
}

/// Whether the regions lie one behind the other and fill the range.
[[nodiscard]] bool is_whole(core::occupancy_map const& map) {
  std::uint32_t next = 0;
  for (core::occupied_region const& r : map.regions) {
    if (r.first != next || r.units == 0 || r.used > r.blocks) { return false; }
    next += r.units;
  }
  return next == map.units && map.units <= map.reserved_units;
}

}  // namespace

TEST_CASE("heatmap: a map shows each slab's class, owner and blocks, runs, and what is free") {
  heap<> const h = small_heap();
  core::occupancy_map map;
  REQUIRE(memory::take_map(h, map));
  CHECK(map.units == 0);
  CHECK(map.regions.empty());
  CHECK(map.reserved_units == 1024);
  CHECK(map.unit_bytes == 65'536);

  std::vector<void*> blocks;
  for (int i = 0; i < 40; ++i) { blocks.push_back(core::value_or_throw(h.try_allocate(4096))); }
  void* const a = core::value_or_throw(h.try_allocate(200'000));
  void* const b = core::value_or_throw(h.try_allocate(2 * mib));
  void* const c = core::value_or_throw(h.try_allocate(70'000));
  h.deallocate(a, 200'000);
  h.deallocate(b, 2 * mib);
  REQUIRE(memory::take_map(h, map));
  CHECK(is_whole(map));
  std::uint32_t slabs = 0, used = 0;
  for (core::occupied_region const& r : map.regions) {
    if (r.use != region_use::blocks) { continue; }
    CHECK(r.blocks == 16);
    CHECK(r.size_class == classes::index_of(4096));
    CHECK(r.owner == 0);
    ++slabs;
    used += r.used;
  }
  CHECK(slabs == 3);
  core::class_occupancy const& of = map.classes[classes::index_of(4096)];
  CHECK(of.units == 3);
  CHECK(of.live_blocks == 40);
  CHECK(of.live_blocks + of.cached_blocks == used);
  CHECK(of.blocks == 48);
  CHECK(map.regions.back().use == region_use::run);
  CHECK(map.regions.back().units == 2);
  core::fragmentation const scattered = core::fragmentation_of(map);
  CHECK(scattered.taken_units == 5);
  CHECK(scattered.free_units == 4 + 32);
  CHECK(scattered.largest_free_run == 36);
  CHECK(scattered.run_bytes == 131'072);
  CHECK(scattered.live_bytes == h.stats().live_bytes);
  CHECK(scattered.taken_units * map.unit_bytes == h.stats().taken_bytes);
  // of what is free, the large run went back to the system and the small one did not
  auto const is = [&](region_use use, std::uint32_t units) {
    return std::count_if(map.regions.begin(), map.regions.end(),
                         [&](auto const& r) { return r.use == use && r.units == units; });
  };
  CHECK(is(region_use::idle, 4) == 1);
  CHECK(is(region_use::untouched, 32) == 1);
  h.deallocate(c, 70'000);
  for (void* const p : blocks) { h.deallocate(p, 4096); }
}

TEST_CASE("heatmap: maps taken at a steady rate allocate nothing once they have room") {
  heap<> const h = small_heap();
  std::vector<void*> blocks;
  for (int i = 0; i < 5'000; ++i) { blocks.push_back(core::value_or_throw(h.try_allocate(100))); }
  core::occupancy_map map;
  REQUIRE(memory::take_map(h, map));
  auto const* const regions = map.regions.data();
  auto const* const rows = map.classes.data();
  for (void* const p : blocks) { h.deallocate(p, 100); }
  REQUIRE(memory::take_map(h, map));
  CHECK(map.regions.data() == regions);
  CHECK(map.classes.data() == rows);
  CHECK(is_whole(map));
}

TEST_CASE("heatmap: a map taken while others work is whole all the same") {
  heap<> const h = small_heap();
  std::atomic<int> running{3};
  std::vector<std::thread> all;
  for (unsigned t = 0; t < 3; ++t) {
    all.emplace_back([&, t] {
      core::xoshiro_rng random(t);
      struct block {
        void* p;
        std::size_t bytes;
      };
      std::vector<block> live;
      for (int i = 0; i < 10'000; ++i) {
        if (live.size() < 50 || random.next() % 2 == 0) {
          std::size_t const bytes = 1 + random.next() % (i % 100 == 0 ? 300'000 : 5'000);
          if (auto const p = h.try_allocate(bytes)) { live.push_back({*p, bytes}); }
        } else {
          std::swap(live[random.next() % live.size()], live.back());
          h.deallocate(live.back().p, live.back().bytes);
          live.pop_back();
        }
      }
      for (block const& b : live) { h.deallocate(b.p, b.bytes); }
      --running;
    });
  }
  core::occupancy_map map;
  bool whole = true;
  while (running != 0) { whole = memory::take_map(h, map) && is_whole(map) && whole; }
  CHECK(whole);
  for (auto& t : all) { t.join(); }
  h.trim();
  REQUIRE(memory::take_map(h, map));
  CHECK(core::fragmentation_of(map).taken_units == 0);
}

TEST_CASE("heatmap: the JSON of a map and of a series are what their version says") {
  core::occupancy_map map;
  map.time_ns = 7;
  map.unit_bytes = 65'536;
  map.units = 4;
  map.reserved_units = 9;
  map.classes = {{16, 1, 3, 2, 4096}, {32, 0, 0, 0, 0}};
  map.regions = {{0, 1, region_use::blocks, 0, 5, 4096, 12}, {1, 3, region_use::run}};
  CHECK(core::value_or_throw(memory::to_json(map)) ==
        R"({"millrace_heatmap":1,"time_ns":7,"unit_bytes":65536,"units":4,"reserved_units":9,)"
        R"("classes":[[16,1,3,2,4096],[32,0,0,0,0]],"regions":[[0,1,2,0,5,4096,12],[1,3,3]]})");
  core::occupancy_series series;
  series.add(map);
  map.time_ns = 8;
  map.classes[1].live_blocks = 2;
  series.add(map);
  CHECK(core::value_or_throw(memory::to_json(series)) ==
        R"({"millrace_heatmap_series":1,"block_bytes":[16,32],"samples":[)"
        R"([7,262144,196608,[48,0]],[8,262144,196608,[48,64]]]})");
  CHECK(core::value_or_throw(memory::to_json(core::occupancy_map{})) ==
        R"({"millrace_heatmap":1,"time_ns":0,"unit_bytes":0,"units":0,"reserved_units":0,)"
        R"("classes":[],"regions":[]})");
}
