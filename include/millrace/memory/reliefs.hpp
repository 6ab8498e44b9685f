// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/clock.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/budget.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/recover/deadline.hpp>

#include <cstdint>

/// \file
/// The steps of a budget that most programs want, gentlest first: what only the program knows,
/// `evicts`, `trims`, `waits`. After them comes `spilling_resource`, and at last the error.

namespace millrace::inline v0::memory {

/// A step that takes slabs, in which nothing is in use, from the calling thread's cache and from
/// those whose threads have left, so that other size classes and large blocks can have them.
/// @param of  outlives the budget
/// @thread any: each climb empties the climber's cache
template <heap_policy P>
[[nodiscard]] relief evicts(heap<P>& of, char const* name = "evict caches") noexcept {
  return {name,
          [](std::uint64_t, void* h) noexcept {
            return std::uint64_t{static_cast<heap<P>*>(h)->evict()};
          },
          &of};
}

/// A step that gives memory of slabs that nobody has back to the system.
/// @param of  outlives the budget
template <heap_policy P>
[[nodiscard]] relief trims(heap<P>& of, char const* name = "trim") noexcept {
  return {name,
          [](std::uint64_t, void* h) noexcept {
            return std::uint64_t{static_cast<heap<P>*>(h)->trim()};
          },
          &of};
}

/// How `waits` waits: for work that holds memory, which `over()` says to be done. It is bounded:
/// work that does not end, such as a persistent kernel, costs a climb the patience and no more.
/// @tparam Over  `bool() noexcept`; it asks, and never waits itself
template <class Over, core::clock Clock = core::steady_clock>
struct patient_wait {
  Over over;
  std::uint64_t patience_ns = 1'000'000;
  Clock clock = {};

  /// @return `wanted_bytes` when the work ended in time, since nobody knows how much that freed
  [[nodiscard]] std::uint64_t operator()(std::uint64_t wanted_bytes) noexcept {
    auto const until = recover::deadline::after(clock, patience_ns);
    while (!over()) {
      if (until.expired(clock)) { return 0; }
      core::yield_thread();
    }
    return wanted_bytes;
  }
};

/// A step that waits, one that a program has to ask for: it holds the climb up.
/// @param how  outlives the budget
template <class Over, class Clock>
[[nodiscard]] relief waits(patient_wait<Over, Clock>& how, char const* name = "wait") noexcept {
  return {name,
          [](std::uint64_t wanted, void* w) noexcept {
            return (*static_cast<patient_wait<Over, Clock>*>(w))(wanted);
          },
          &how};
}

}  // namespace millrace::inline v0::memory
