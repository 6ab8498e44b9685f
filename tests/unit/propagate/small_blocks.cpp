// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/small_blocks.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
namespace detail = millrace::propagate::detail;
using millrace::errc;

namespace {

constexpr std::size_t most = 256;
using blocks = detail::small_blocks<memory::failing_resource<>, most>;

struct block {
  std::byte* at;
  std::size_t bytes;
  std::size_t alignment;
  std::byte mark;

  [[nodiscard]] bool is_whole() const {
    return std::all_of(at, at + bytes, [this](std::byte b) { return b == mark; });
  }
};
[[nodiscard]] std::size_t lines(block const& of) {
  auto const first = reinterpret_cast<std::uintptr_t>(of.at) / 64;
  return (reinterpret_cast<std::uintptr_t>(of.at) + of.bytes - 1) / 64 - first + 1;
}

}  // namespace

TEST_CASE("small_blocks: blocks of all sizes come and go, and stay apart") {
  memory::failure_plan plan;
  {
    blocks from{memory::failing_resource<>(plan)};
    std::vector<block> held;
    core::splitmix_rng chance(1);
    for (int step = 0; step < 20'000; ++step) {
      if (held.size() < 300 || chance.next() % 2 == 0) {
        std::size_t const alignment = std::size_t{1} << chance.next() % 8;  // up to two lines
        std::size_t const bytes = 1 + chance.next() % (most + 100);
        auto const given = from.try_allocate(bytes, alignment);
        REQUIRE(given);
        block const made{static_cast<std::byte*>(*given), bytes, alignment,
                         static_cast<std::byte>(chance.next() % 256)};
        REQUIRE(reinterpret_cast<std::uintptr_t>(made.at) % alignment == 0);
        if (bytes <= most && !detail::blocks_are_watched) {
          REQUIRE(lines(made) == (bytes + 63) / 64);  // as few as it can be
        }
        std::memset(made.at, static_cast<int>(made.mark), bytes);
        held.push_back(made);
      } else {
        block& gone = held[chance.next() % held.size()];
        REQUIRE(gone.is_whole());
        from.deallocate(gone.at, gone.bytes, gone.alignment);
        gone = held.back();
        held.pop_back();
      }
    }
    for (block const& each : held) {
      REQUIRE(each.is_whole());
      from.deallocate(each.at, each.bytes, each.alignment);
    }
    if (!detail::blocks_are_watched) { CHECK(plan.seen < 20'000); }
  }
  CHECK(plan.live_bytes == 0);
}

TEST_CASE("small_blocks: one that is given back is the next of its size") {
  if (detail::blocks_are_watched) {
    MESSAGE("not looked at: under AddressSanitizer each block is the resource's own");
    return;
  }
  memory::failure_plan plan;
  blocks from{memory::failing_resource<>(plan)};
  void* const a = from.try_allocate(40, 8).value();
  void* const b = from.try_allocate(64, 64).value();
  from.deallocate(a, 40, 8);
  from.deallocate(b, 64, 64);
  CHECK(from.try_allocate(30, 8).value() != b);
  CHECK(from.try_allocate(33, 64).value() == b);
  CHECK(from.try_allocate(64, 8).value() == a);
}

TEST_CASE("small_blocks: missing memory is an error, and what there was is still") {
  memory::failure_plan plan;
  {
    blocks from{memory::failing_resource<>(plan)};
    std::vector<block> held;
    std::uint64_t refused = 0;
    for (std::size_t k = 0; k < 3'000; ++k) {
      std::size_t const bytes = 1 + k * 7 % 300;
      plan.fail_from = plan.seen + 1;  // whatever needs the resource fails once
      auto given = from.try_allocate(bytes, 8);
      plan.fail_from = 0;
      if (!given) {
        REQUIRE(given.error().code == errc::out_of_memory);
        ++refused;
        given = from.try_allocate(bytes, 8);
      }
      REQUIRE(given);
      held.push_back({static_cast<std::byte*>(*given), bytes, 8, static_cast<std::byte>(k % 256)});
      std::memset(*given, static_cast<int>(held.back().mark), bytes);
    }
    CHECK(refused > 10);
    for (block const& each : held) {
      REQUIRE(each.is_whole());
      from.deallocate(each.at, each.bytes, each.alignment);
    }
  }
  CHECK(plan.live_bytes == 0);
}
