// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <sched.h>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace millrace::bench {

/// Nanoseconds of a clock that never goes back.
[[nodiscard]] inline std::int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// The processors that this process may use, lowest first, as it found them when first asked
/// (pinning a thread later does not shorten the list).
[[nodiscard]] inline std::vector<int> const& allowed_cpus() {
  static std::vector<int> const cpus = [] {
    std::vector<int> found;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
      for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &set)) { found.push_back(cpu); }
      }
    }
    return found;
  }();
  return cpus;
}

/// The two processors of a two-thread trial.
struct cpu_pair {
  int producer = 0;
  int worker = 1;
};

/// The first two allowed processors; both the same where there is only one.
[[nodiscard]] inline cpu_pair trial_cpus() {
  auto const& cpus = allowed_cpus();
  if (cpus.empty()) { return {0, 0}; }
  return {cpus.front(), cpus.size() > 1 ? cpus[1] : cpus.front()};
}

/// Keeps the calling thread, and the threads that it starts from now on, on one processor.
inline void pin_to(int cpu) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  (void)sched_setaffinity(0, sizeof set, &set);
}

/// Lets the calling thread, and those that it starts, run on every allowed processor again.
inline void unpin() {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : allowed_cpus()) { CPU_SET(static_cast<std::size_t>(cpu), &set); }
  (void)sched_setaffinity(0, sizeof set, &set);
}

/// Tells the processor that this is a waiting loop.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// The waiting loop of trials whose threads have a processor each. Both waits also model millrace's
/// backoff policy, so that workers on either side of a comparison can wait alike.
struct spin_wait {
  static constexpr bool blocks = false;
  void pause() noexcept { relax(); }
  void reset(std::uint32_t) noexcept {}
};

/// The waiting loop of trials with more threads than processors.
struct yield_wait {
  static constexpr bool blocks = false;
  void pause() noexcept { std::this_thread::yield(); }
  void reset(std::uint32_t) noexcept {}
};

}  // namespace millrace::bench
