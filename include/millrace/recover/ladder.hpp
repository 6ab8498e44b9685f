// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>

#include <cstdint>

namespace millrace::inline v0::recover {

/// What to try when something runs short: rungs from the gentlest to the last, climbed one way. It
/// does nothing itself: the caller performs the rung that `next` names and says whether that
/// helped. One that helped is tried again, up to `tries` times in all, before the next: so a climb
/// ends after rungs × tries attempts at most. Trivially copyable.
class ladder {
 public:
  /// @error errc::bad_argument 2 for no try
  [[nodiscard]] static MILLRACE_HD constexpr result<ladder> make(std::uint32_t rungs,
                                                                 std::uint32_t tries = 1) noexcept {
    if (tries == 0) { return core::fail(errc::bad_argument, 2); }
    return ladder(rungs, tries);
  }

  /// The rung to try now.
  /// @error errc::exhausted when all were; final until `reset`
  [[nodiscard]] MILLRACE_HD constexpr result<std::uint32_t> next() const noexcept {
    if (rung_ == rungs_) { return core::fail(errc::exhausted); }
    return rung_;
  }
  /// Tells whether the rung that `next` named brought anything.
  MILLRACE_HD constexpr void tell(bool helped) noexcept {
    if (rung_ == rungs_) { return; }
    if (helped && ++tried_ < tries_) { return; }
    ++rung_;
    tried_ = 0;
  }
  /// Starts over.
  MILLRACE_HD constexpr void reset() noexcept { rung_ = tried_ = 0; }

 private:
  MILLRACE_HD constexpr ladder(std::uint32_t rungs, std::uint32_t tries) noexcept
      : rungs_{rungs}, tries_{tries} {}

  std::uint32_t rungs_;
  std::uint32_t tries_;
  std::uint32_t rung_ = 0;
  std::uint32_t tried_ = 0;
};

}  // namespace millrace::inline v0::recover
