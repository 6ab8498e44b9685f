// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/clock.hpp>
#include <millrace/recover/deadline.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

namespace core = millrace::core;
using millrace::recover::deadline;

namespace {
constexpr std::uint64_t most = ~std::uint64_t{0};
}
static_assert(std::is_trivially_copyable_v<deadline>);

TEST_CASE("deadline: expires at its nanosecond, not before") {
  core::manual_clock clock(100);
  auto const d = deadline::after(clock, 50);
  CHECK(d.at_ns() == 150);
  CHECK_FALSE(d.expired(clock));
  CHECK(d.remaining_ns(clock) == 50);
  clock.advance(49);
  CHECK_FALSE(d.expired(clock));
  CHECK(d.remaining_ns(clock) == 1);
  clock.advance(1);
  CHECK(d.expired(clock));
  CHECK(d.remaining_ns(clock) == 0);
  clock.advance(1000);
  CHECK(d.expired(clock));
  CHECK(d.remaining_ns(clock) == 0);
}

TEST_CASE("deadline: never does not expire, whatever the clock says") {
  core::manual_clock clock(most);
  CHECK(deadline().is_never());
  CHECK(deadline::never() == deadline());
  CHECK_FALSE(deadline::never().expired(clock));
  CHECK(deadline::never().remaining_ns(clock) == most);
}

TEST_CASE("deadline: one beyond the clock's range is never") {
  core::manual_clock clock(10);
  CHECK(deadline::after(clock, most).is_never());
  CHECK(deadline::after(clock, most - 10).is_never());
  CHECK(deadline::after(clock, most - 11).at_ns() == most - 1);
}

TEST_CASE("deadline: zero from now has passed already") {
  core::manual_clock clock(10);
  CHECK(deadline::after(clock, 0).expired(clock));
  CHECK(deadline::at(0).expired(core::null_clock{}));
  CHECK_FALSE(deadline::at(1).expired(core::null_clock{}));
}

TEST_CASE("deadline: the earlier of two") {
  CHECK(earlier(deadline::at(3), deadline::at(5)) == deadline::at(3));
  CHECK(earlier(deadline::never(), deadline::at(5)) == deadline::at(5));
}
