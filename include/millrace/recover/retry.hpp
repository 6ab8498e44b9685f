// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/clock.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/recover/deadline.hpp>

#include <cstdint>

namespace millrace::inline v0::recover {

/// How chance spreads the delays of callers that failed together.
enum class jitter : std::uint8_t {
  none = 0,          ///< base, 2 base, 4 base, ... up to the cap
  full = 1,          ///< uniform in [0, what none would give]
  decorrelated = 2,  ///< uniform in [base, 3 × the delay before], up to the cap
};

/// When to try again. A plain value.
struct retry_policy {
  std::uint64_t base_ns = 1'000'000;     ///< at least 1
  std::uint64_t cap_ns = 1'000'000'000;  ///< base_ns to 2^62: no delay is longer
  std::uint32_t max_attempts = 5;        ///< at least 1, the first attempt included
  jitter spread = jitter::full;
};

/// The delays between the attempts of one operation. It never waits itself: after a failed attempt
/// the caller asks for the next delay, waits as it likes, and tries again. Trivially copyable.
/// @source Brooker, "Exponential backoff and jitter", AWS Architecture Blog 2015
class retry {
 public:
  /// @error errc::bad_argument when the policy breaks a limit stated beside its members: 1 base_ns,
  ///        2 cap_ns, 3 max_attempts, 4 spread
  [[nodiscard]] static MILLRACE_HD constexpr result<retry> make(
      retry_policy policy, deadline until = deadline::never()) noexcept {
    if (policy.base_ns == 0) { return core::fail(errc::bad_argument, 1); }
    if (policy.cap_ns < policy.base_ns || policy.cap_ns > largest_cap_ns) {
      return core::fail(errc::bad_argument, 2);
    }
    if (policy.max_attempts == 0) { return core::fail(errc::bad_argument, 3); }
    if (policy.spread > jitter::decorrelated) { return core::fail(errc::bad_argument, 4); }
    return retry(policy, until);
  }

  /// Nanoseconds to wait before the next attempt. Call it once after every failed attempt.
  /// @error errc::exhausted when max_attempts have failed; errc::deadline_passed when the next
  ///        attempt would begin at or after the deadline. Both are final.
  template <core::clock Clock, core::rng Rng>
  [[nodiscard]] MILLRACE_HD constexpr result<std::uint64_t> next(Clock&& clock,
                                                                 Rng&& rng) noexcept {
    if (late_) { return core::fail(errc::deadline_passed); }
    if (failed_ < policy_.max_attempts) { ++failed_; }
    if (failed_ == policy_.max_attempts) { return core::fail(errc::exhausted); }
    std::uint64_t const delay = draw(rng);
    late_ = delay >= until_.remaining_ns(clock);
    if (late_) { return core::fail(errc::deadline_passed); }
    return delay;
  }

  /// Attempts that have failed so far, as told by the calls of next.
  [[nodiscard]] MILLRACE_HD constexpr std::uint32_t failed_attempts() const noexcept {
    return failed_;
  }

  /// Starts over, after a success.
  MILLRACE_HD constexpr void reset() noexcept { *this = retry(policy_, until_); }

 private:
  static constexpr std::uint64_t largest_cap_ns = std::uint64_t{1} << 62;

  MILLRACE_HD constexpr retry(retry_policy policy, deadline until) noexcept
      : policy_{policy}, until_{until}, step_{policy.base_ns} {}

  template <class Rng>
  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t draw(Rng& rng) noexcept {
    std::uint64_t const cap = policy_.cap_ns;
    if (policy_.spread == jitter::decorrelated) {
      std::uint64_t const top = step_ > cap / 3 ? cap : (3 * step_ < cap ? 3 * step_ : cap);
      step_ = policy_.base_ns + core::below(rng, top - policy_.base_ns + 1);
      return step_;
    }
    std::uint64_t const now = step_;
    step_ = step_ > cap / 2 ? cap : 2 * step_;
    return policy_.spread == jitter::full ? core::below(rng, now + 1) : now;
  }

  retry_policy policy_;
  deadline until_;
  std::uint64_t step_;
  std::uint32_t failed_ = 0;
  bool late_ = false;
};

}  // namespace millrace::inline v0::recover
