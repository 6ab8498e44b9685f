// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/pending_set.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <set>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;
using set_type = millrace::propagate::pending_set<memory::host_resource>;

TEST_CASE("pending_set: takes the least of what was put in, whatever the order and the spread") {
  core::splitmix_rng chance(3);
  for (std::uint32_t numbers : {1u, 64u, 65u, 4096u, 4097u, 300'000u, 20'000'000u}) {
    set_type pending{{}};
    REQUIRE(pending.reserve(numbers));
    std::set<std::uint32_t> want;
    for (int step = 0; step < 20'000; ++step) {
      auto const i = static_cast<std::uint32_t>(chance.next() % numbers);
      switch (chance.next() % 8) {
        case 0:
        case 1:
        case 2:
          pending.insert(i);
          want.insert(i);
          break;
        case 3: {  // a few side by side
          for (std::uint32_t j = i; j < numbers && j < i + 5; ++j) {
            pending.insert(j);
            want.insert(j);
          }
          break;
        }
        case 4:
          pending.erase(i);
          want.erase(i);
          break;
        default: {
          std::uint32_t const least = want.empty() ? set_type::none : *want.begin();
          REQUIRE(pending.pop() == least);
          want.erase(least);
        }
      }
      REQUIRE(pending.contains(i) == want.contains(i));
    }
    while (!want.empty()) {
      REQUIRE(pending.pop() == *want.begin());
      want.erase(want.begin());
    }
    CHECK(pending.pop() == set_type::none);
    CHECK(pending.pop() == set_type::none);
  }
}

TEST_CASE("pending_set: a walk that begins with nothing held takes the least each time") {
  core::splitmix_rng chance(5);
  for (std::uint32_t numbers : {1u, 64u, 65u, 4097u, 300'000u}) {
    set_type pending{{}};
    REQUIRE(pending.reserve(numbers));
    auto const any = [&](std::uint32_t from) {
      auto const spread = chance.next() % 2 == 0 ? 100u : numbers;
      return static_cast<std::uint32_t>(from + chance.next() % std::min(spread, numbers - from));
    };
    for (int walk = 0; walk < 500; ++walk) {
      std::set<std::uint32_t> want;
      auto held = set_type::nothing();
      for (auto first = chance.next() % 8; first != 0; --first) {
        auto const i = any(0);
        pending.insert_any(held, i);
        want.insert(i);
      }
      std::uint32_t i = pending.pop(held);
      for (int step = 0; i != set_type::none; ++step) {
        REQUIRE(i == *want.begin());
        want.erase(i);
        for (auto more = chance.next() % 3; more != 0 && step < 30 && i + 1 < numbers; --more) {
          auto const next = any(i + 1);
          pending.insert(held, next);
          want.insert(next);
        }
        if (chance.next() % 4 == 0) {  // somebody else uses the set
          pending.give_back(held);
          for (std::uint32_t each : want) { REQUIRE(pending.contains(each)); }
          held = set_type::nothing();
          i = pending.pop(held);
        } else {
          i = pending.pop(held, i);
        }
      }
      REQUIRE(want.empty());
    }
  }
}

TEST_CASE("pending_set: grows with what is in it") {
  set_type pending{{}};
  CHECK(pending.pop() == set_type::none);
  std::set<std::uint32_t> want;
  core::splitmix_rng chance(4);
  for (std::uint32_t numbers = 1; numbers < 1'000'000; numbers += numbers / 3 + 1) {
    REQUIRE(pending.reserve(numbers));
    pending.insert(numbers - 1);
    want.insert(numbers - 1);
    if (chance.next() % 3 == 0) {
      CHECK(pending.pop() == *want.begin());
      want.erase(want.begin());
    }
  }
  for (std::uint32_t each : want) { CHECK(pending.pop() == each); }
}

TEST_CASE("pending_set: where memory is missing, what is in it stays") {
  memory::failure_plan plan;
  millrace::propagate::pending_set<memory::failing_resource<>> pending{
      memory::failing_resource<>(plan)};
  REQUIRE(pending.reserve(100));
  pending.insert(70);
  plan.fail_from = 1;
  auto const grown = pending.reserve(100'000);
  REQUIRE_FALSE(grown);
  CHECK(grown.error().code == errc::out_of_memory);
  CHECK(pending.contains(70));
  CHECK(pending.pop() == 70);
}
