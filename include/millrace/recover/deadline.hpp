// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/clock.hpp>
#include <millrace/core/config.hpp>

#include <cstdint>

namespace millrace::inline v0::recover {

/// A point on a clock after which an attempt is not worth making, or never. Means something only
/// with the clock that it was made from. Trivially copyable.
class deadline {
 public:
  /// Never.
  deadline() noexcept = default;

  [[nodiscard]] static MILLRACE_HD constexpr deadline never() noexcept { return deadline(); }
  /// At `ns` on the clock; the largest value is never.
  [[nodiscard]] static MILLRACE_HD constexpr deadline at(std::uint64_t ns) noexcept {
    return deadline(ns);
  }
  /// `ns` from now, never when that lies beyond the clock's range.
  template <core::clock Clock>
  [[nodiscard]] static MILLRACE_HD constexpr deadline after(Clock&& clock,
                                                            std::uint64_t ns) noexcept {
    std::uint64_t const now = clock.now_ns();
    return deadline(ns < never_ns - now ? now + ns : never_ns);
  }

  [[nodiscard]] MILLRACE_HD constexpr bool is_never() const noexcept { return at_ == never_ns; }
  /// The point itself; the largest value for never.
  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t at_ns() const noexcept { return at_; }

  /// True from the deadline's nanosecond on.
  template <core::clock Clock>
  [[nodiscard]] MILLRACE_HD constexpr bool expired(Clock&& clock) const noexcept {
    return !is_never() && clock.now_ns() >= at_;
  }
  /// Nanoseconds left: 0 when expired, the largest value for never.
  template <core::clock Clock>
  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t remaining_ns(Clock&& clock) const noexcept {
    if (is_never()) { return never_ns; }
    std::uint64_t const now = clock.now_ns();
    return now < at_ ? at_ - now : 0;
  }

  /// The earlier of two.
  [[nodiscard]] friend MILLRACE_HD constexpr deadline earlier(deadline a, deadline b) noexcept {
    return a.at_ < b.at_ ? a : b;
  }
  [[nodiscard]] friend MILLRACE_HD constexpr bool operator==(deadline a, deadline b) noexcept {
    return a.at_ == b.at_;
  }

 private:
  static constexpr std::uint64_t never_ns = ~std::uint64_t{0};
  MILLRACE_HD explicit constexpr deadline(std::uint64_t ns) noexcept : at_{ns} {}

  std::uint64_t at_ = never_ns;
};

}  // namespace millrace::inline v0::recover
