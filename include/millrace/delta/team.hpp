// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

/// \file
/// Threads that work on one piece together. The body of such work is written once, for all of them:
/// what happens between two barriers is a phase, handed to `each` as a function of a member's rank;
/// what a member keeps from phase to phase is in a `local`. A device's block then runs every phase
/// in all of its threads at once, and one host thread runs it for one member after the other.

namespace millrace::inline v0::delta {

namespace detail {

struct any_phase {
  MILLRACE_HD void operator()(std::uint32_t) const noexcept {}
};

/// What one thread keeps for itself alone.
template <class S>
class own_local {
 public:
  [[nodiscard]] MILLRACE_HD S& operator[](std::uint32_t) noexcept { return mine_; }
  [[nodiscard]] MILLRACE_HD S const& operator[](std::uint32_t) const noexcept { return mine_; }

 private:
  S mine_;
};

/// What one thread keeps for all of a team.
template <class S, std::uint32_t Threads>
class every_local {
 public:
  [[nodiscard]] MILLRACE_HD S& operator[](std::uint32_t rank) noexcept { return all_[rank]; }
  [[nodiscard]] MILLRACE_HD S const& operator[](std::uint32_t rank) const noexcept {
    return all_[rank];
  }

 private:
  S all_[Threads];
};

}  // namespace detail

/// A kind of team: all members call the same functions of it in the same order.
/// - `size`: how many members,
/// - `each(phase)`: every member calls phase(its rank); no barrier before or after,
/// - `sync()`: what any member wrote before, every member sees afterwards,
/// - `local<S>`: an S for each member, by rank; a member touches its own only,
/// - `from_below(values, distance)`: to each member the value of the one `distance` ranks below
///   among its neighbours, the aligned 32; zero where there is none. distance is 1 to 31.
template <class T>
concept team = requires(typename T::template local<std::uint32_t> const values) {
  requires std::same_as<decltype(T::size), std::uint32_t const>;
  { T::each(detail::any_phase{}) } noexcept -> std::same_as<void>;
  { T::sync() } noexcept -> std::same_as<void>;
  { T::from_below(values, 1u) } noexcept -> std::same_as<typename T::template local<std::uint32_t>>;
};

/// A warp of a device.
struct warp_team {
  static constexpr std::uint32_t size = 32;
  template <class S>
  using local = detail::own_local<S>;

  template <class Phase>
  static MILLRACE_HD void each(Phase const& phase) noexcept {
    phase(core::warp_lane());
  }
  static MILLRACE_HD void sync() noexcept { core::sync_warp(); }
  template <std::unsigned_integral T>
  [[nodiscard]] static MILLRACE_HD local<T> from_below(local<T> const& values,
                                                       std::uint32_t distance) noexcept {
    std::uint32_t const lane = core::warp_lane();
    T const got = core::lane_value(~core::lanes{0}, values[lane], (lane - distance) & 31u);
    local<T> mine;
    mine[lane] = lane >= distance ? got : T{0};
    return mine;
  }
};

/// A whole block of a device, one-dimensional, of exactly that many threads.
template <std::uint32_t Threads>
struct block_team {
  static_assert(Threads % 32 == 0 && 0 < Threads && Threads <= 1024,
                "block_team: a block is 1 to 32 whole warps");
  static constexpr std::uint32_t size = Threads;
  template <class S>
  using local = detail::own_local<S>;

  template <class Phase>
  static MILLRACE_HD void each(Phase const& phase) noexcept {
    phase(core::block_lane());
  }
  static MILLRACE_HD void sync() noexcept { core::sync_block(); }
  template <std::unsigned_integral T>
  [[nodiscard]] static MILLRACE_HD local<T> from_below(local<T> const& values,
                                                       std::uint32_t distance) noexcept {
    return warp_team::from_below(values, distance);
  }
};

/// One thread in the place of all members, which take turns phase by phase: how a host runs the
/// body of a device's block. With one member it is a loop like any other.
template <std::uint32_t Threads>
struct stepped_team {
  static constexpr std::uint32_t size = Threads;
  template <class S>
  using local = detail::every_local<S, Threads>;

  template <class Phase>
  static MILLRACE_HD void each(Phase const& phase) noexcept {
    for (std::uint32_t rank = 0; rank < Threads; ++rank) { phase(rank); }
  }
  static MILLRACE_HD void sync() noexcept {}
  template <std::unsigned_integral T>
  [[nodiscard]] static MILLRACE_HD local<T> from_below(local<T> const& values,
                                                       std::uint32_t distance) noexcept {
    local<T> all;
    for (std::uint32_t rank = 0; rank < Threads; ++rank) {
      all[rank] = rank % 32 >= distance ? values[rank - distance] : T{0};
    }
    return all;
  }
};

static_assert(team<warp_team> && team<block_team<256>> && team<stepped_team<1>> &&
              team<stepped_team<256>>);

namespace detail {

/// Pieces of `stride` rows, the last of which may be shorter.
[[nodiscard]] MILLRACE_HD constexpr std::size_t tiles_of(std::size_t rows,
                                                         std::size_t stride) noexcept {
  return rows / stride + (rows % stride != 0 ? 1 : 0);
}

template <class F, std::size_t... Is>
MILLRACE_HD void unrolled(F const& f, std::index_sequence<Is...>) noexcept {
  (f(static_cast<std::uint32_t>(Is)), ...);
}
/// f(0) to f(Count - 1), each written out, so that what they index stays in registers.
template <std::uint32_t Count, class F>
MILLRACE_HD void unrolled(F const& f) noexcept {
  unrolled(f, std::make_index_sequence<Count>{});
}

/// Words of shared memory that `exclusive_sum` needs.
template <class Team>
inline constexpr std::uint32_t sum_words = (Team::size + 31) / 32;

/// Replaces each member's value by the sum of those of lower rank.
/// @param shared [sum_words], untouched by others until the next barrier
/// @return the sum of all, in every member
template <class Team, class Values>
MILLRACE_HD std::uint32_t exclusive_sum(Values& values, std::uint32_t* shared) noexcept {
  Values sums = values;
  for (std::uint32_t distance = 1; distance < 32; distance *= 2) {
    Values const below = Team::from_below(sums, distance);
    Team::each([&](std::uint32_t rank) { sums[rank] += below[rank]; });
  }
  Team::each([&](std::uint32_t rank) {
    if (rank % 32 == 31 || rank == Team::size - 1) { shared[rank / 32] = sums[rank]; }
  });
  Team::sync();
  std::uint32_t total = 0;
  Team::each([&](std::uint32_t rank) {
    std::uint32_t before = 0, all = 0;
    for (std::uint32_t warp = 0; warp < sum_words<Team>; ++warp) {
      before += warp < rank / 32 ? shared[warp] : 0;
      all += shared[warp];
    }
    values[rank] = before + sums[rank] - values[rank];
    total = all;
  });
  return total;
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
