// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "access.hpp"

#include <cstdint>

namespace race {

/// Sleeping threads that the explorer sees.
struct parking {
  static void park(std::uint32_t& word, std::uint32_t expected, std::uint64_t) noexcept {
    access::wait(word, expected, "park");
  }
  static void wake(std::uint32_t& word) noexcept { access::wake(word, "unpark"); }
};
/// A planted mistake: nobody is woken.
struct deaf_parking : parking {
  static void wake(std::uint32_t&) noexcept {}
};

}  // namespace race
