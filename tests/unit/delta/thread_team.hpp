// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/delta/team.hpp>

#include <barrier>
#include <cstdint>
#include <thread>
#include <vector>

namespace millrace_test {

/// A team of real threads, which shows ThreadSanitizer whether a body has all the barriers that it
/// needs: the stepped team could not tell. One at a time.
template <std::uint32_t Threads>
struct thread_team {
  static_assert(Threads <= 32);
  static constexpr std::uint32_t size = Threads;
  template <class S>
  using local = millrace::delta::detail::own_local<S>;

  template <class Phase>
  static void each(Phase const& phase) noexcept {
    phase(rank);
  }
  static void sync() noexcept { meeting.arrive_and_wait(); }
  template <class T>
  [[nodiscard]] static local<T> from_below(local<T> const& values,
                                           std::uint32_t distance) noexcept {
    exchanged[rank] = values[rank];
    sync();
    local<T> mine;
    mine[rank] = rank >= distance ? static_cast<T>(exchanged[rank - distance]) : T{0};
    sync();
    return mine;
  }

  /// Calls `body` in all members.
  template <class Body>
  static void run(Body const& body) {
    std::vector<std::thread> members;
    for (std::uint32_t i = 0; i < Threads; ++i) {
      members.emplace_back([&body, i] {
        rank = i;
        body();
      });
    }
    for (auto& member : members) { member.join(); }
  }

 private:
  static inline thread_local std::uint32_t rank = 0;
  static inline std::barrier<> meeting{Threads};
  static inline std::uint64_t exchanged[Threads] = {};
};
static_assert(millrace::delta::team<thread_team<4>>);

}  // namespace millrace_test
