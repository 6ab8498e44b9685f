// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>

#include <concepts>
#include <cstdint>
#include <sys/random.h>

namespace millrace::inline v0::core {

/// Where a state machine takes its chance from: 64 uniform bits a call. None is for secrets.
template <class G>
concept rng = requires(G& g) {
  { g.next() } noexcept -> std::same_as<std::uint64_t>;
};

/// A seed from the system's entropy; from the clock where the system has none to give.
/// @cost a system call; host only
[[nodiscard]] inline std::uint64_t system_seed() noexcept {
  std::uint64_t seed = 0;
  if (::getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != static_cast<ssize_t>(sizeof(seed))) {
    seed = now_ns() * 0x9e37'79b9'7f4a'7c15u;
  }
  return seed;
}

/// SplitMix64: one word of state, passes through every value once in 2^64 calls.
/// @source Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014
class splitmix_rng {
 public:
  MILLRACE_HD explicit constexpr splitmix_rng(std::uint64_t seed) noexcept : state_{seed} {}

  MILLRACE_HD constexpr std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e37'79b9'7f4a'7c15u);
    z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9u;
    z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebu;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};
static_assert(rng<splitmix_rng>);

/// xoshiro256**: four words of state, seeded through SplitMix64 so that any seed will do.
/// @source Blackman, Vigna, "Scrambled linear pseudorandom number generators", TOMS 2021
class xoshiro_rng {
 public:
  MILLRACE_HD explicit constexpr xoshiro_rng(std::uint64_t seed) noexcept {
    splitmix_rng mix(seed);
    for (auto& word : state_) { word = mix.next(); }
  }
  /// A generator that no other run repeats.
  [[nodiscard]] static xoshiro_rng seeded() noexcept { return xoshiro_rng(system_seed()); }

  MILLRACE_HD constexpr std::uint64_t next() noexcept {
    std::uint64_t const value = rotate(state_[1] * 5, 7) * 9;
    std::uint64_t const shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate(state_[3], 45);
    return value;
  }

 private:
  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t rotate(std::uint64_t v, int n) noexcept {
    return (v << n) | (v >> (64 - n));
  }
  std::uint64_t state_[4] = {};
};
static_assert(rng<xoshiro_rng>);

/// Counts up by `step` from `start`: every draw of a test is known. Not random.
class counting_rng {
 public:
  MILLRACE_HD explicit constexpr counting_rng(std::uint64_t start = 0,
                                              std::uint64_t step = 1) noexcept
      : next_{start}, step_{step} {}

  MILLRACE_HD constexpr std::uint64_t next() noexcept {
    std::uint64_t const value = next_;
    next_ += step_;
    return value;
  }

 private:
  std::uint64_t next_;
  std::uint64_t step_;
};
static_assert(rng<counting_rng>);

/// No chance at all: always 0.
struct null_rng {
  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t next() noexcept { return 0; }
};
static_assert(rng<null_rng>);

/// A number in [0, bound), each equally likely up to 2^-64 · bound; 0 when bound is 0.
/// Takes one draw: the high word of draw · bound.
template <rng G>
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t below(G& g, std::uint64_t bound) noexcept {
  std::uint64_t const draw = g.next();
  std::uint64_t const draw_low = draw & 0xffff'ffffu, draw_high = draw >> 32;
  std::uint64_t const bound_low = bound & 0xffff'ffffu, bound_high = bound >> 32;
  std::uint64_t const low_high = draw_low * bound_high;
  std::uint64_t const high_low = draw_high * bound_low;
  std::uint64_t const carry =
      ((draw_low * bound_low) >> 32) + (low_high & 0xffff'ffffu) + (high_low & 0xffff'ffffu);
  return draw_high * bound_high + (low_high >> 32) + (high_low >> 32) + (carry >> 32);
}

}  // namespace millrace::inline v0::core
