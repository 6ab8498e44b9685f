// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>

#include <concepts>
#include <cstdint>

namespace millrace::inline v0::core {

/// Where a state machine takes its time from: nanoseconds that never go back. Two readings of one
/// clock are comparable, readings of two clocks are not.
template <class C>
concept clock = requires(C& c) {
  { c.now_ns() } noexcept -> std::same_as<std::uint64_t>;
};

/// The machine's monotonic clock, of the side that asks: see core::now_ns.
struct steady_clock {
  [[nodiscard]] static MILLRACE_HD std::uint64_t now_ns() noexcept { return core::now_ns(); }
};
static_assert(clock<steady_clock>);

/// Time that moves only when it is told to. For tests and for replay.
/// @thread one at a time
class manual_clock {
 public:
  manual_clock() noexcept = default;
  MILLRACE_HD explicit constexpr manual_clock(std::uint64_t start_ns) noexcept : now_{start_ns} {}

  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t now_ns() const noexcept { return now_; }
  MILLRACE_HD constexpr void advance(std::uint64_t ns) noexcept { now_ += ns; }

 private:
  std::uint64_t now_ = 0;
};
static_assert(clock<manual_clock>);

/// No time at all: always 0, so that no deadline but one at 0 ever passes.
struct null_clock {
  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t now_ns() noexcept { return 0; }
};
static_assert(clock<null_clock>);

}  // namespace millrace::inline v0::core
