// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/clock.hpp>
#include <millrace/core/platform.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>

namespace core = millrace::core;

TEST_CASE("steady_clock: never goes back") {
  std::uint64_t last = core::steady_clock::now_ns();
  for (int i = 0; i < 10'000; ++i) {
    std::uint64_t const now = core::steady_clock::now_ns();
    REQUIRE(now >= last);
    last = now;
  }
}

TEST_CASE("manual_clock: moves only when told") {
  core::manual_clock clock(5);
  CHECK(clock.now_ns() == 5);
  CHECK(clock.now_ns() == 5);
  clock.advance(10);
  CHECK(clock.now_ns() == 15);
}

TEST_CASE("null_clock: stands still") { CHECK(core::null_clock::now_ns() == 0); }

TEST_CASE("platform: on the host a thread is a warp, a block and a grid of one") {
  CHECK_FALSE(core::is_device());
  CHECK(core::warp_width() == 1);
  CHECK(core::warp_lane() == 0);
  CHECK(core::block_width() == 1);
  CHECK(core::block_lane() == 0);
  CHECK(core::grid_block() == 0);
  CHECK(core::warp_broadcast(42) == 42);
}

TEST_CASE("platform: relax_for waits at least as long as it is told") {
  for (std::uint32_t const ns : {0u, 10u, 500u, 20'000u}) {
    std::uint64_t const start = core::now_ns();
    core::relax_for(ns);
    std::uint64_t const waited = core::now_ns() - start;
    if (ns > 64) { CHECK(waited >= ns); }
  }
  core::relax();
  core::yield_thread();
  core::prefetch_read(nullptr);
  core::prefetch_write(nullptr);
}

TEST_CASE("platform: a thread does not park on a word that has changed already") {
  std::uint32_t const word = 1;
  std::uint64_t const start = core::now_ns();
  core::park_thread(word, 0, 60'000'000'000u);
  CHECK(core::now_ns() - start < 30'000'000'000u);
}

TEST_CASE("platform: a parked thread comes back at its timeout") {
  std::uint32_t const word = 0;
  std::uint64_t const start = core::now_ns();
  while (core::now_ns() - start < 1'000'000) { core::park_thread(word, 0, 1'000'000); }
  CHECK(core::now_ns() - start >= 1'000'000);
}
