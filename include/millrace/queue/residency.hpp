// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/platform.hpp>

#include <cstdint>

namespace millrace::inline v0::queue {

/// How long workers stay before they leave, let others have the device for a moment, and are
/// brought back: one such stay is an epoch. Nothing is lost between two of them, and nothing done
/// twice. By itself they stay for ever; with both bounds the first one that is reached counts.
struct residency {
  /// Messages that the workers do in an epoch, at least. Host workers count each message where this
  /// is below 256, else up to 16 at once each, and leave within 16 more each; of a device's workers
  /// the host counts what they have reported.
  std::uint64_t messages = 0;
  /// Time on the policy's clock as the host reads it, whether there are messages or not.
  std::uint64_t nanoseconds = 0;

  [[nodiscard]] MILLRACE_HD constexpr bool bounded() const noexcept {
    return messages != 0 || nanoseconds != 0;
  }
  [[nodiscard]] MILLRACE_HD friend constexpr bool operator==(residency a, residency b) noexcept {
    return a.messages == b.messages && a.nanoseconds == b.nanoseconds;
  }
};

}  // namespace millrace::inline v0::queue
