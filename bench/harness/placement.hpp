// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/stats.hpp"
#include "bench/harness/threads.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

namespace millrace::bench {

/// How far apart the two processors of a trial were. A virtual machine's processors are moved about
/// by its host, and a queue between neighbours is another machine than one across a chip.
enum class placement {
  any,      ///< not asked: one thread, or every trial kept
  near,     ///< a cache line there and back in under 100 ns
  between,  ///< neither; dropped
  far,      ///< more than 120 ns
};

inline constexpr double near_below_ns = 100;
inline constexpr double far_above_ns = 120;

/// The word in a row's `placement` field.
[[nodiscard]] constexpr char const* name_of(placement where) noexcept {
  switch (where) {
    case placement::any: return "any";
    case placement::near: return "near";
    case placement::between: return "between";
    case placement::far: return "far";
  }
  return "any";
}

/// The class of one probe.
[[nodiscard]] constexpr placement classify(double round_trip_ns) noexcept {
  if (round_trip_ns < near_below_ns) { return placement::near; }
  return round_trip_ns > far_above_ns ? placement::far : placement::between;
}

/// The class of a trial from the probes before and after it: `between` when they disagree, so that
/// a trial during which the processors moved is dropped.
[[nodiscard]] constexpr placement classify(double before_ns, double after_ns) noexcept {
  return classify(before_ns) == classify(after_ns) ? classify(before_ns) : placement::between;
}

/// One cache line from a pinned thread to another and back, nanoseconds: the median of 32 blocks of
/// 250, so that a preemption in one block does not count. About 1 ms.
/// @thread pins the caller to `cpus.producer`
[[nodiscard]] inline double core_round_trip_ns(cpu_pair cpus) {
  constexpr std::uint32_t blocks = 32;
  constexpr std::uint32_t trips = 250;
  struct alignas(128) word {
    std::atomic<std::uint32_t> value{0};
  };
  word ball;            // even: the caller's turn, odd: the other's
  pin_to(cpus.worker);  // the thread starts where its maker is
  std::thread other([&ball] {
    for (std::uint32_t turn = 0; turn < (blocks + 1) * trips; ++turn) {
      while (ball.value.load(std::memory_order_acquire) != 2 * turn + 1) { relax(); }
      ball.value.store(2 * turn + 2, std::memory_order_release);
    }
  });
  pin_to(cpus.producer);
  std::array<double, blocks> block_ns{};
  std::uint32_t turn = 0;
  for (std::uint32_t block = 0; block <= blocks;
       ++block) {  // block 0 waits for the thread to start
    std::int64_t const start = now_ns();
    for (std::uint32_t i = 0; i < trips; ++i, ++turn) {
      ball.value.store(2 * turn + 1, std::memory_order_release);
      while (ball.value.load(std::memory_order_acquire) != 2 * turn + 2) { relax(); }
    }
    if (block > 0) { block_ns[block - 1] = static_cast<double>(now_ns() - start) / trips; }
  }
  other.join();
  return median(block_ns);
}

}  // namespace millrace::bench
