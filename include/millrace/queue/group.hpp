// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/platform.hpp>

#include <concepts>
#include <cstdint>

namespace millrace::inline v0::queue {

/// The threads that do one message together. Members call the same functions in the same order;
/// `rank` is a member's number among `size` of them, never a task's.
///
/// A host thread is a group of one.
struct host_group {
  /// Whether a member may sleep until another thread wakes it.
  static constexpr bool may_park = true;
  /// Whether there is but one member.
  static constexpr bool alone = true;

  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t rank() noexcept { return 0; }
  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t size() noexcept { return 1; }
  /// Every member's earlier writes are visible to every member afterwards.
  static MILLRACE_HD void sync() noexcept {}
  /// The leader's value, in every member; what the leader has acquired, every member has.
  template <std::integral T>
  [[nodiscard]] static MILLRACE_HD T broadcast(T value) noexcept {
    return value;
  }
  /// How many members, counted from the leader without a gap, say true.
  [[nodiscard]] static MILLRACE_HD std::uint32_t leading(bool mine) noexcept {
    return mine ? 1u : 0u;
  }
  /// How many members say true.
  [[nodiscard]] static MILLRACE_HD std::uint32_t count(bool mine) noexcept {
    return mine ? 1u : 0u;
  }
};

}  // namespace millrace::inline v0::queue
