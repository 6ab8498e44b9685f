// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/stats.hpp"
#include "bench/harness/threads.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace millrace::bench {

/// A function of two words whose time is that of its arithmetic, each step of which needs the one
/// before. Whatever changes in its arguments changes its value.
struct mixing {
  std::uint32_t rounds = 1;

  [[nodiscard]] std::uint64_t operator()(std::uint64_t a, std::uint64_t b) const noexcept {
    std::uint64_t x = a ^ std::rotl(b, 17);
    for (std::uint32_t i = 0; i < rounds; ++i) { x = (x ^ (x >> 31)) * 0x9e37'79b9'7f4a'7c15u; }
    return x;
  }
};

/// A mixing function that takes about so many nanoseconds on this machine, as it was when first
/// asked.
[[nodiscard]] inline mixing mixing_of(double ns) {
  static double const ns_a_round = [] {
    constexpr std::uint32_t many = 20'000;
    std::vector<double> times;
    std::uint64_t volatile kept = 1;
    for (int i = 0; i < 21; ++i) {
      std::int64_t const start = now_ns();
      kept = mixing{many}(kept, 1);
      times.push_back(static_cast<double>(now_ns() - start) / many);
    }
    return median(times);
  }();
  return {std::max(1U, static_cast<std::uint32_t>(ns / ns_a_round + 0.5))};
}

}  // namespace millrace::bench
