// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/access.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/slab.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <set>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace {
using direct = core::direct_access<cuda::thread_scope_system>;
using memory::slab;
using slab_ref = memory::slab_ref<direct>;

template <class R>
bool refused(R const& made, int argument) {
  return !made && made.error().code == errc::bad_argument && made.error().native == argument;
}
}  // namespace

static_assert(std::is_trivially_copyable_v<slab_ref>);

TEST_CASE("slab: gives every block once, then says that it is full") {
  for (std::uint32_t const count : {1u, 2u, 63u, 64u, 65u, 127u, 128u, 1000u}) {
    auto made = slab<direct>::make(24, count);
    REQUIRE(made);
    slab_ref const blocks = made->ref();
    CHECK(blocks.block_count() == count);
    CHECK(blocks.block_bytes() == 24);
    std::set<std::uint32_t> seen;
    for (std::uint32_t i = 0; i < count; ++i) {
      auto const index = blocks.allocate(i);
      REQUIRE(index);
      CHECK(*index < count);
      CHECK(seen.insert(*index).second);
      std::memset(blocks.block(*index), static_cast<int>(i), 24);
    }
    CHECK(blocks.live() == count);
    CHECK(blocks.allocate().error().code == errc::full);
    CHECK(blocks.allocate(~0u).error().code == errc::full);
    REQUIRE(blocks.free(count / 2));
    CHECK(blocks.allocate() == count / 2);
    for (std::uint32_t const index : seen) { REQUIRE(blocks.free(index)); }
    CHECK(blocks.live() == 0);
  }
}

TEST_CASE("slab: blocks neither overlap nor leave the memory") {
  auto made = slab<direct>::make(40, 100);
  REQUIRE(made);
  auto const blocks = made->ref();
  for (std::uint32_t i = 0; i < 100; ++i) {
    std::memset(blocks.block(i), static_cast<int>(i), 40);  // under ASan the ends are checked
  }
  for (std::uint32_t i = 0; i < 100; ++i) {
    auto const* bytes = static_cast<unsigned char const*>(blocks.block(i));
    CHECK(bytes[0] == i);
    CHECK(bytes[39] == i);
  }
  CHECK(blocks.live() == 0);
}

TEST_CASE("slab: frees by pointer, and knows a pointer that is not a block's") {
  auto made = slab<direct>::make(64, 10);
  REQUIRE(made);
  auto const blocks = made->ref();
  auto const index = blocks.allocate();
  REQUIRE(index);
  auto* const p = static_cast<char*>(blocks.block(*index));
  CHECK(blocks.index_of(p) == *index);
  int elsewhere = 0;
  CHECK(refused(blocks.deallocate(nullptr), 1));
  CHECK(refused(blocks.deallocate(&elsewhere), 1));
  CHECK(refused(blocks.deallocate(p + 8), 1));
  CHECK(refused(blocks.deallocate(p - 64), 1));
  CHECK(refused(blocks.deallocate(static_cast<char*>(blocks.block(9)) + 64), 1));
  CHECK(blocks.live() == 1);
  CHECK(blocks.deallocate(p));
  CHECK(blocks.live() == 0);
}

TEST_CASE("slab: a second free is told, and takes nothing from the next owner") {
  auto made = slab<direct>::make(8, 70);
  REQUIRE(made);
  auto const blocks = made->ref();
  CHECK(refused(blocks.free(0), 2));
  CHECK(refused(blocks.free(69), 2));
  CHECK(refused(blocks.free(70), 1));
  CHECK(refused(blocks.free(127), 1));
  CHECK(refused(blocks.free(~0u), 1));
  auto const index = blocks.allocate();
  REQUIRE(index);
  CHECK(blocks.free(*index));
  CHECK(refused(blocks.free(*index), 2));
  CHECK(refused(blocks.deallocate(blocks.block(*index)), 2));
  CHECK(blocks.live() == 0);
}

TEST_CASE("slab: bad shapes are results") {
  CHECK(refused(slab<direct>::make(0, 1), 1));
  CHECK(refused(slab<direct>::make(12, 1), 1));
  CHECK(refused(slab<direct>::make(8, 0), 2));
  auto const huge = slab<direct>::make(std::numeric_limits<std::size_t>::max() - 7, 2);
  REQUIRE_FALSE(huge);
  CHECK(huge.error().code == errc::out_of_memory);
  CHECK(slab_ref::required_bytes(8, ~0u));
}

TEST_CASE("slab: formats memory of the caller's, and others attach to it") {
  constexpr std::size_t room = 4096;
  alignas(memory::slab_alignment) static std::byte bytes[room];
  CHECK(slab_ref::attach(bytes).error().code == errc::layout_mismatch);
  CHECK(refused(slab_ref::attach(nullptr), 1));
  CHECK(refused(slab_ref::attach(bytes + 8), 1));
  CHECK(refused(slab_ref::format(nullptr, room, 8, 8), 3));
  CHECK(refused(slab_ref::format(bytes + 8, room - 8, 8, 8), 3));
  auto const needed = slab_ref::required_bytes(32, 100);
  REQUIRE(needed);
  CHECK(*needed <= room);
  CHECK(refused(slab_ref::format(bytes, *needed - 1, 32, 100), 4));
  auto const made = slab_ref::format(bytes, *needed, 32, 100);
  REQUIRE(made);
  REQUIRE(made->allocate());
  auto const other = slab_ref::attach(bytes);
  REQUIRE(other);
  CHECK(other->live() == 1);
  CHECK(other->allocate() == 1u);
  CHECK(made->live() == 2);
  reinterpret_cast<memory::slab_header*>(bytes)->layout ^= 1;
  CHECK(slab_ref::attach(bytes).error().code == errc::layout_mismatch);
}

TEST_CASE("slab: takes its memory from the resource, once, and gives it back") {
  memory::allocation_counts counts;
  using counted = slab<direct, memory::counting_resource<>>;
  {
    auto made = counted::make(64, 1000, memory::counting_resource<>(counts));
    REQUIRE(made);
    auto const moved = std::move(*made);
    for (int i = 0; i < 1000; ++i) { REQUIRE(moved.ref().allocate()); }
    CHECK(counts.total == 1);
  }
  CHECK(counts.live == 0);
}

TEST_CASE("slab: threads that take and give back never share a block") {
  // few blocks and many threads: every word is fought for, and the slab runs full now and then
  constexpr std::uint32_t count = 70;
  auto made = slab<direct>::make(sizeof(std::uint64_t), count);
  REQUIRE(made);
  auto const blocks = made->ref();
  std::vector<int> broken(4, 0);
  auto const work = [&](std::uint64_t me) {
    core::splitmix_rng rng(me);
    std::vector<std::uint32_t> mine;
    for (int i = 0; i < 20'000; ++i) {
      if (mine.size() < 24 && core::below(rng, 2) == 0) {
        auto const index = blocks.allocate(static_cast<std::uint32_t>(me));
        if (!index) { continue; }
        // a plain write: ThreadSanitizer would see two owners, or one too few release
        *static_cast<std::uint64_t*>(blocks.block(*index)) = me;
        mine.push_back(*index);
      } else if (!mine.empty()) {
        auto const which = static_cast<std::size_t>(core::below(rng, mine.size()));
        std::swap(mine[which], mine.back());
        auto const index = mine.back();
        mine.pop_back();
        bool const kept = *static_cast<std::uint64_t*>(blocks.block(index)) == me;
        if (!kept || !blocks.free(index)) { ++broken[me]; }
      }
    }
    for (auto const index : mine) {
      if (!blocks.free(index)) { ++broken[me]; }
    }
  };
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 4; ++i) { threads.emplace_back(work, i); }
  for (auto& t : threads) { t.join(); }
  for (int const n : broken) { CHECK(n == 0); }
  CHECK(blocks.live() == 0);
}

TEST_CASE("slab: one thread gives back what another took") {
  constexpr std::uint32_t count = 64;
  auto made = slab<direct>::make(sizeof(std::uint64_t), count);
  REQUIRE(made);
  auto const blocks = made->ref();
  std::uint64_t mailbox[count] = {};  // block index + 1, or 0
  std::uint32_t freed = 0;
  constexpr std::uint32_t rounds = 20'000;
  std::thread giver([&] {
    for (std::uint32_t i = 0; freed < rounds; i = (i + 1) % count) {
      std::uint64_t const note = direct::load(mailbox[i], core::acquire, "test");
      if (note == 0) { continue; }
      direct::store(mailbox[i], std::uint64_t{0}, core::release, "test");
      if (blocks.free(static_cast<std::uint32_t>(note - 1))) { ++freed; }
    }
  });
  std::uint32_t sent = 0;
  for (std::uint32_t i = 0; sent < rounds; i = (i + 1) % count) {
    if (direct::load(mailbox[i], core::acquire, "test") != 0) { continue; }
    auto const index = blocks.allocate(i);
    if (!index) { continue; }
    *static_cast<std::uint64_t*>(blocks.block(*index)) = sent;
    direct::store(mailbox[i], std::uint64_t{*index} + 1, core::release, "test");
    ++sent;
  }
  giver.join();
  CHECK(freed == rounds);
  CHECK(blocks.live() == 0);
}
