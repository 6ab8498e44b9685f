// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/platform.hpp>

#include <concepts>
#include <cstdint>

namespace millrace::inline v0::core {

/// How a host thread sleeps on a word and how another wakes it. `park` returns at once when the
/// word no longer holds `expected`, else after a wake, after the time, or for no reason.
template <class S>
concept parking_policy =
    requires(std::uint32_t& word, std::uint32_t expected, std::uint64_t timeout_ns) {
      { S::park(word, expected, timeout_ns) } noexcept -> std::same_as<void>;
      { S::wake(word) } noexcept -> std::same_as<void>;
    };

/// The kernel's futex; it works between processes too.
struct futex_parking {
  static void park(std::uint32_t& word, std::uint32_t expected, std::uint64_t timeout_ns) noexcept {
    park_thread(word, expected, timeout_ns);
  }
  static void wake(std::uint32_t& word) noexcept { wake_threads(word, 1); }
};
static_assert(parking_policy<futex_parking>);

}  // namespace millrace::inline v0::core
