// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "survey.hpp"
#include "tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/memory/kernel_heap.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace kernel_heap_test {

struct host_policy : memory::default_kernel_heap {
  using access = core::direct_access<cuda::thread_scope_system>;
};
/// Slabs of 4 KiB: many of them, which come and go.
struct small_slabs : host_policy {
  using classes = memory::four_an_octave<1024>;
  static constexpr std::size_t slab_bytes = 4096;
  static constexpr std::uint32_t shards = 2;
};
/// Threads that wait for others as long as a scheduler may keep these away.
struct patient_slabs : small_slabs {
  struct slab_wait {
    [[nodiscard]] static MILLRACE_HD bool again(std::uint32_t attempt) noexcept {
      core::yield_thread();
      return attempt < 1'000'000;
    }
  };
};
using heap = memory::kernel_heap<host_policy>;
using small_heap = memory::kernel_heap<small_slabs>;

template <class Heap = heap>
[[nodiscard]] Heap make(memory::kernel_heap_options with) {
  auto made = Heap::make(with);
  REQUIRE(made);
  return std::move(*made);
}
template <class Heap>
[[nodiscard]] memory::kernel_heap_stats stats_of(Heap const& of) {
  auto const s = of.stats();
  REQUIRE(s);
  return *s;
}
[[nodiscard]] bool is_aligned(void const* p, std::size_t to) {
  return reinterpret_cast<std::uintptr_t>(p) % to == 0;
}

/// Calls `body(i)` for i below `count` from a few threads.
template <class Body>
void for_each_of(std::uint32_t count, Body const& body, std::uint32_t threads = 4) {
  std::vector<std::thread> all;
  for (std::uint32_t t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      for (std::uint32_t i = t; i < count; i += threads) { body(i); }
    });
  }
  for (auto& thread : all) { thread.join(); }
}

/// A round of the survey: all allocate, then all look and free.
template <class Heap>
void survey_round(Heap& of, std::uint32_t count, survey::sizes size) {
  std::vector<void*> blocks(count);
  std::vector<std::uint8_t> wrong(count);
  auto const ref = of.ref();
  for_each_of(count, survey::allocate<typename Heap::ref_type>{ref, size, blocks.data()});
  CHECK(std::count(blocks.begin(), blocks.end(), nullptr) == 0);
  auto const now = stats_of(of);
  CHECK(now.live_blocks == count);
  for_each_of(count, survey::check_and_free<typename Heap::ref_type>{
                         ref, size, blocks.data(), count, count / 3, wrong.data()});
  CHECK(std::count(wrong.begin(), wrong.end(), 0) == count);
  CHECK(stats_of(of).live_blocks == 0);
}

}  // namespace kernel_heap_test

using namespace kernel_heap_test;

TEST_CASE("kernel_heap: gives blocks of any size, aligned, apart, and takes them back") {
  auto all = make({.bytes = 32u << 20});
  auto const h = all.ref();
  std::vector<std::pair<std::byte*, std::size_t>> blocks;
  for (std::size_t bytes = 1; bytes < (1u << 20); bytes += bytes / 3 + 1) {
    for (std::size_t const alignment : {std::size_t{1}, std::size_t{16}, std::size_t{256}}) {
      auto* const p = static_cast<std::byte*>(h.malloc(bytes, alignment));
      REQUIRE(p != nullptr);
      CHECK(is_aligned(p, std::max<std::size_t>(alignment, 16)));
      CHECK(h.usable_bytes(p) >= bytes);
      blocks.emplace_back(p, h.usable_bytes(p));
    }
  }
  auto sorted = blocks;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    CHECK(sorted[i - 1].first + sorted[i - 1].second <= sorted[i].first);
  }
  CHECK(stats_of(all).live_blocks == blocks.size());
  for (auto const& b : blocks) { CHECK(h.free(b.first)); }
  CHECK(stats_of(all).live_blocks == 0);
  CHECK(stats_of(all).live_bytes == 0);
  REQUIRE(all.maintain());
  CHECK(stats_of(all).taken_bytes == 0);
}

TEST_CASE("kernel_heap: bad input is told, and changes nothing") {
  auto all = make({.bytes = 4u << 20});
  auto const h = all.ref();
  CHECK(h.malloc(0) == nullptr);
  CHECK(h.malloc(16, 3) == nullptr);
  CHECK(h.malloc(16, 8192) == nullptr);
  CHECK(h.malloc(PTRDIFF_MAX) == nullptr);
  CHECK(h.try_allocate(0).error() == millrace::error{errc::bad_argument, {}, 1});
  CHECK(h.try_allocate(16, 24).error() == millrace::error{errc::bad_argument, {}, 2});
  CHECK(h.try_allocate(std::size_t{1} << 40).error().code == errc::out_of_memory);
  CHECK(h.free(nullptr));
  auto* const p = static_cast<std::byte*>(h.malloc(100));
  auto* const large = static_cast<std::byte*>(h.malloc(700'000));
  int local = 0;
  for (void* const wrong :
       {static_cast<void*>(&local), static_cast<void*>(p + 16), static_cast<void*>(p + 1),
        static_cast<void*>(large + 16), static_cast<void*>(large + host_policy::slab_bytes)}) {
    auto const said = h.free(wrong);
    REQUIRE_FALSE(said);
    CHECK(said.error() == millrace::error{errc::bad_argument, {}, 1});
    CHECK(h.usable_bytes(wrong) == 0);
    CHECK(h.realloc(wrong, 32) == nullptr);
  }
  void* const beside = h.malloc(100);
  CHECK(h.free(p));
  CHECK(h.free(p).error() == millrace::error{errc::bad_argument, {}, 2});
  CHECK(h.free(beside));
  CHECK(h.free(large));
  CHECK(h.free(large).error().code == errc::bad_argument);
  CHECK(stats_of(all).live_blocks == 0);
}

TEST_CASE("kernel_heap: options that make no heap are refused") {
  CHECK(heap::make({.bytes = 0}).error() == millrace::error{errc::bad_argument, {}, 1});
  CHECK(heap::make({.bytes = 1000}).error() == millrace::error{errc::bad_argument, {}, 1});
  CHECK(heap::make({.bytes = 4u << 20, .most_bytes = 1u << 20}).error() ==
        millrace::error{errc::bad_argument, {}, 2});
  CHECK(heap::make({.bytes = 4u << 20, .low_mark = 1001}).error() ==
        millrace::error{errc::bad_argument, {}, 3});
  CHECK(heap::make({.bytes = 4u << 20, .step_bytes = 1000}).error() ==
        millrace::error{errc::bad_argument, {}, 5});
  auto ground = memory::host_ground::make(4096, heap::ground_alignment);
  REQUIRE(ground);
  CHECK(heap::make(std::move(*ground), {.bytes = 4u << 20}).error() ==
        millrace::error{errc::bad_argument, {}, 4});
}

TEST_CASE("kernel_heap: realloc keeps what was written, and the block where it fits") {
  auto all = make({.bytes = 8u << 20});
  auto const h = all.ref();
  auto* p = static_cast<std::uint32_t*>(h.realloc(nullptr, 400));
  REQUIRE(p != nullptr);
  survey::write(p, 400, 7);
  CHECK(h.realloc(p, 300) == p);
  for (std::size_t const bytes : {std::size_t{4000}, std::size_t{600'000}, std::size_t{400}}) {
    p = static_cast<std::uint32_t*>(h.realloc(p, bytes));
    REQUIRE(p != nullptr);
    CHECK(h.usable_bytes(p) >= bytes);
    CHECK(survey::holds(p, 400, 7));
  }
  CHECK(h.realloc(p, std::size_t{1} << 40) == nullptr);
  CHECK(survey::holds(p, 400, 7));
  CHECK(h.realloc(p, 0) == nullptr);
  CHECK(h.realloc(p, 390) == nullptr);  // free already
  CHECK(stats_of(all).live_blocks == 0);
}

TEST_CASE("kernel_heap: every class fills the heap, one after the other") {
  auto all = make({.bytes = 8u << 20});
  auto const h = all.ref();
  for (std::size_t bytes = 16; bytes <= 32u << 10; bytes *= 2) {
    std::vector<void*> blocks;
    for (void* p = h.malloc(bytes); p != nullptr; p = h.malloc(bytes)) { blocks.push_back(p); }
    CHECK(blocks.size() * bytes == 8u << 20);  // all of it is of use
    for (void* const p : blocks) { CHECK(h.free(p)); }
  }
  CHECK(stats_of(all).refused > 0);
  CHECK(stats_of(all).peak_bytes == 8u << 20);
}

TEST_CASE("kernel_heap: says that it is low, and grows when its owner maintains it") {
  auto all = make({.bytes = 1u << 20, .most_bytes = 3u << 20, .low_mark = 500});
  auto const h = all.ref();
  CHECK_FALSE(all.low());
  std::vector<void*> blocks;
  while (!all.low()) { blocks.push_back(h.malloc(1024)); }
  CHECK(blocks.size() <= (1u << 20) / 1024 / 2);
  auto grown = all.maintain();
  REQUIRE(grown);
  CHECK(*grown == 1u << 20);  // twice as much; still above no mark
  CHECK_FALSE(all.low());
  for (void* p = h.malloc(1024); p != nullptr; p = h.malloc(1024)) { blocks.push_back(p); }
  CHECK(blocks.size() == (2u << 20) / 1024);
  CHECK(all.low());
  CHECK(*all.maintain() == 1u << 20);
  CHECK(h.malloc(1024) != nullptr);
  for (void* p = h.malloc(1024); p != nullptr; p = h.malloc(1024)) {}
  CHECK(*all.maintain() == 0);  // as large as it may be
  CHECK(h.malloc(1024) == nullptr);
}

TEST_CASE("kernel_heap: a maintenance that finds room again grows nothing") {
  auto all = make({.bytes = 1u << 20, .most_bytes = 4u << 20});
  auto const h = all.ref();
  void* const p = h.malloc(1u << 20);
  REQUIRE(p != nullptr);
  CHECK(all.low());
  CHECK(h.free(p));
  CHECK(*all.maintain() == 0);
  CHECK_FALSE(all.low());
}

TEST_CASE("kernel_heap: grows for a large block that found no room") {
  auto all = make({.bytes = 1u << 20, .most_bytes = 64u << 20});
  auto const h = all.ref();
  CHECK(h.malloc(9u << 20) == nullptr);
  CHECK(all.low());
  CHECK(*all.maintain() == 9u << 20);
  CHECK(h.malloc(9u << 20) != nullptr);
  CHECK(h.malloc(std::size_t{1} << 40) == nullptr);  // more than it may ever have
  CHECK(*all.maintain() > 0);
  CHECK(*all.maintain() == 0);
}

TEST_CASE("kernel_heap: nobody is refused while there is room, whoever comes and goes") {
  auto all = make<memory::kernel_heap<patient_slabs>>({.bytes = 8 * small_slabs::slab_bytes});
  auto const h = all.ref();
  std::array<std::uint32_t, 4> refused{};
  for_each_of(
      4,
      [&](std::uint32_t me) {
        core::xoshiro_rng random(me + 1);
        for (int i = 0; i < 5'000; ++i) {
          void* const p = h.malloc(16 + random.next() % 1000);
          refused[me] += p == nullptr ? 1 : 0;
          static_cast<void>(h.free(p));
        }
      },
      4);
  CHECK(std::accumulate(refused.begin(), refused.end(), 0u) == 0);
}

TEST_CASE("kernel_heap: trim gives the end of the heap back, and growth takes it again") {
  auto all = make({.bytes = 4u << 20});
  auto const h = all.ref();
  void* const p = h.malloc(64);
  CHECK(*all.trim() >= 2u << 20);
  CHECK(h.malloc(4u << 20) == nullptr);
  CHECK(h.free(p));
  CHECK(*all.maintain() > 0);
  REQUIRE(all.trim());
  CHECK(stats_of(all).bytes == host_policy::slab_bytes);
  CHECK(*all.trim() == 0);
}

TEST_CASE("kernel_heap: random programs keep blocks apart and whole") {
  auto all = make<small_heap>({.bytes = 2u << 20});
  auto const h = all.ref();
  core::xoshiro_rng random(5);
  std::map<std::byte*, std::pair<std::uint32_t, std::uint32_t>> live;  // bytes, mark
  std::uint32_t const turns = millrace_test::long_tier() ? 1'000'000 : 40'000;
  std::uint32_t refused = 0;
  for (std::uint32_t i = 0; i < turns; ++i) {
    std::uint64_t const what = random.next();
    if (what % 2 == 0 || live.empty()) {
      auto const bytes = static_cast<std::uint32_t>(what % 64 == 2 ? 1 + (what >> 8) % 20'000
                                                                   : 1 + (what >> 8) % 1500);
      std::size_t const alignment = std::size_t{1} << ((what >> 40) % 9);
      auto* const p = static_cast<std::byte*>(h.malloc(bytes, alignment));
      if (p == nullptr) {
        ++refused;
        continue;
      }
      REQUIRE(is_aligned(p, alignment));
      auto const after = live.lower_bound(p);
      if (after != live.end()) { REQUIRE(p + h.usable_bytes(p) <= after->first); }
      if (after != live.begin()) {
        auto const before = std::prev(after);
        REQUIRE(before->first + before->second.first <= p);
      }
      survey::write(p, bytes, i);
      live[p] = {bytes, i};
    } else {
      auto at = live.lower_bound(reinterpret_cast<std::byte*>(
          reinterpret_cast<std::uintptr_t>(live.begin()->first) + (what >> 8) % (2u << 20)));
      if (at == live.end()) { at = live.begin(); }
      REQUIRE(survey::holds(at->first, at->second.first, at->second.second));
      REQUIRE(h.free(at->first));
      live.erase(at);
    }
    if (i % 5000 == 0) { REQUIRE(stats_of(all).live_blocks == live.size()); }
  }
  CHECK(stats_of(all).live_blocks == live.size());
  for (auto const& [p, b] : live) {
    CHECK(survey::holds(p, b.first, b.second));
    CHECK(h.free(p));
  }
  REQUIRE(all.maintain());
  CHECK(stats_of(all).taken_bytes == 0);
}

TEST_CASE("kernel_heap: the survey's uniform and mixed cases, from several threads") {
  auto all = make({.bytes = 64u << 20});
  std::uint32_t const count = millrace_test::long_tier() ? 100'000 : 4'000;
  for (std::uint32_t const bytes : {4u, 16u, 60u, 256u, 1024u, 8192u}) {
    survey_round(all, bytes > 256 ? count / 8 : count, {bytes, bytes});
  }
  survey_round(all, count / 4, {4, 8192});
  auto few = make<small_heap>({.bytes = 4u << 20});
  survey_round(few, 2'000, {4, 1024});
  survey_round(few, 600, {500, 6000});
}

TEST_CASE("kernel_heap: the survey's out-of-memory case leaves no room unused, and recovers") {
  auto all = make({.bytes = 16u << 20});
  for (std::uint32_t const bytes : {64u, 1024u, 8192u}) {
    std::uint32_t const count = (16u << 20) / bytes + 100;
    std::vector<void*> blocks(count);
    std::vector<std::uint8_t> wrong(count);
    survey::sizes const size{bytes, bytes};
    for_each_of(count, survey::allocate<heap::ref_type>{all.ref(), size, blocks.data()});
    CHECK(std::count(blocks.begin(), blocks.end(), nullptr) == 100);
    for_each_of(count, survey::check_and_free<heap::ref_type>{all.ref(), size, blocks.data(), count,
                                                              1, wrong.data()});
    CHECK(std::count(wrong.begin(), wrong.end(), 0) == count);
  }
}

TEST_CASE("kernel_heap: threads of different classes share a heap that is nearly full") {
  auto all = make<small_heap>({.bytes = 64u << 10});
  auto const h = all.ref();
  std::array<std::uint32_t, 4> wrong{};
  for_each_of(
      4,
      [&](std::uint32_t me) {
        core::xoshiro_rng random(me + 1);
        std::array<std::pair<void*, std::uint32_t>, 12> mine{};
        std::uint32_t const turns = millrace_test::long_tier() ? 2'000'000 : 20'000;
        for (std::uint32_t i = 0; i < turns; ++i) {
          auto& [p, bytes] = mine[random.next() % mine.size()];
          if (p != nullptr) {
            if (!survey::holds(p, bytes, me)) { ++wrong[me]; }
            if (!h.free(p)) { ++wrong[me]; }
            p = nullptr;
          } else {
            bytes = static_cast<std::uint32_t>(16 + random.next() % 1500);
            p = h.malloc(bytes);
            if (p != nullptr) { survey::write(p, bytes, me); }
          }
        }
        for (auto& [p, bytes] : mine) {
          if (!h.free(p)) { ++wrong[me]; }
        }
      },
      4);
  CHECK(std::accumulate(wrong.begin(), wrong.end(), 0u) == 0);
  CHECK(stats_of(all).live_blocks == 0);
  REQUIRE(all.maintain());
  CHECK(stats_of(all).taken_bytes == 0);
}
