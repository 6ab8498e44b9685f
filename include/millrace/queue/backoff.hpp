// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/platform.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// How a worker waits after a poll that found nothing. `reset(taken)` runs after a poll that took
/// messages and says how many came in one run; `blocks` says whether `pause` may ask for sleep.
template <class B>
concept backoff_policy = requires(B b, std::uint32_t taken) {
  requires std::is_trivially_copyable_v<B>;
  requires std::default_initializable<B>;
  { b.pause() } noexcept -> std::same_as<void>;
  { b.reset(taken) } noexcept -> std::same_as<void>;
  { B::blocks } -> std::convertible_to<bool>;
};

namespace detail {

/// When messages keep coming faster than a cache line crosses, polling takes the line away from the
/// producer that is writing it, once for every message. Looking away for a while instead lets a run
/// of messages gather: twice as long as long as that brings more of them, until a run is worth
/// the crossing. A caller who waits for each answer never looks like that. A device's pause is
/// nothing (core::relax), so there it does not look away.
class lull {
 public:
  MILLRACE_HD void reset(std::uint32_t taken) noexcept {
    if (core::is_device()) { return; }
    bool const lulled = streak_ == needed_ && polls_ >= away_;
    if (taken > 1) {
      needed_ = few;
      streak_ += streak_ < few ? 1u : few - streak_;
    } else if (polls_ <= 1) {
      streak_ += streak_ < needed_ ? 1u : 0u;
    } else {
      // somebody who waits for each answer: believe the next streak less
      if (lulled && needed_ < many) { needed_ *= 2; }
      streak_ = 0;
      away_ = shortest;
    }
    if (lulled) { weigh(taken); }
    polls_ = 0;
  }
  MILLRACE_HD void pause() noexcept {
    if (core::is_device()) { return; }
    std::uint32_t const turns = polls_ == 0 && streak_ == needed_ ? away_ : 1u;
    polls_ += turns;
    for (std::uint32_t i = 0; i < turns; ++i) { core::relax(); }
  }

 private:
  static constexpr std::uint32_t few = 4;         ///< quick arrivals in a row that make a stream
  static constexpr std::uint32_t many = 4096;     ///< the same after streaks that were none
  static constexpr std::uint32_t shortest = 12;   ///< pauses: some 200 ns
  static constexpr std::uint32_t longest = 384;   ///< some 6 us
  static constexpr std::uint32_t window = 8;      ///< lulls that are weighed together
  static constexpr std::uint32_t slow = 16;       ///< pauses for a message: it need not be faster
  static constexpr std::uint32_t worth_it = 256;  ///< messages
  static constexpr std::uint32_t held = 16;       ///< windows, before it tries a longer lull again

  /// Makes the lull longer or shorter after what the last ones brought.
  MILLRACE_HD void weigh(std::uint32_t taken) noexcept {
    gathered_ += taken;
    if (++lulls_ < window) { return; }
    std::uint32_t const each = gathered_ / window;
    // the lane was full before the longer lull was over
    bool const in_vain = before_ != 0 && 3 * gathered_ < 4 * before_;
    before_ = 0;
    if (in_vain) { hold_ = held; }
    if (in_vain || each >= worth_it || slow * each < away_) {
      away_ = away_ > 2 * shortest ? away_ / 2 : shortest;
    } else if (hold_ != 0) {
      --hold_;
    } else if (away_ < longest) {
      away_ *= 2;
      before_ = gathered_;
    }
    gathered_ = lulls_ = 0;
  }

  std::uint32_t polls_ = 0;
  std::uint32_t streak_ = 0;
  std::uint32_t needed_ = few;
  std::uint32_t away_ = shortest;
  std::uint32_t lulls_ = 0;
  std::uint32_t gathered_ = 0;  ///< messages behind them
  std::uint32_t before_ = 0;    ///< the same before the lull was made longer, else 0
  std::uint32_t hold_ = 0;
};

}  // namespace detail

/// Polls without a break: least latency, one whole core.
class spin_backoff {
 public:
  static constexpr bool blocks = false;
  MILLRACE_HD void pause() noexcept { lull_.pause(); }
  MILLRACE_HD void reset(std::uint32_t taken) noexcept { lull_.reset(taken); }

 private:
  detail::lull lull_;
};

/// Doubles the pause from MinNs up to MaxNs nanoseconds; `__nanosleep` on a device.
template <std::uint32_t MinNs = 32, std::uint32_t MaxNs = 4096>
class exponential_backoff {
  static_assert(0 < MinNs && MinNs <= MaxNs, "exponential_backoff: need 0 < MinNs <= MaxNs");

 public:
  static constexpr bool blocks = false;
  MILLRACE_HD void pause() noexcept {
    core::relax_for(ns_);
    ns_ = ns_ > MaxNs / 2 ? MaxNs : 2 * ns_;
  }
  MILLRACE_HD void reset(std::uint32_t) noexcept { ns_ = MinNs; }

 private:
  std::uint32_t ns_ = MinNs;
};

/// Polls `Spins` times, then gives the processor away between polls: for more threads than cores.
template <std::uint32_t Spins = 64>
class yield_backoff {
 public:
  static constexpr bool blocks = false;
  MILLRACE_HD void pause() noexcept {
    if (polls_ < Spins) {
      ++polls_;
      lull_.pause();
    } else {
      core::yield_thread();
    }
  }
  MILLRACE_HD void reset(std::uint32_t taken) noexcept {
    polls_ = 0;
    lull_.reset(taken);
  }

 private:
  detail::lull lull_;
  std::uint32_t polls_ = 0;
};

/// Pauses, then yields, then asks to sleep until a producer publishes. A publication under this
/// policy is a sequentially consistent store, dearer by some ten nanoseconds. On a device, where
/// nothing can wake a thread, it goes on yielding.
template <std::uint32_t Spins = 256, std::uint32_t Yields = 64>
class blocking_backoff {
 public:
  static constexpr bool blocks = true;
  MILLRACE_HD void pause() noexcept {
    if (polls_ < Spins) {
      lull_.pause();
    } else {
      core::yield_thread();
    }
    polls_ += wants_sleep() ? 0 : 1;
  }
  MILLRACE_HD void reset(std::uint32_t taken) noexcept {
    polls_ = 0;
    lull_.reset(taken);
  }
  /// True once pausing and yielding were of no use.
  [[nodiscard]] MILLRACE_HD bool wants_sleep() const noexcept { return polls_ >= Spins + Yields; }

 private:
  detail::lull lull_;
  std::uint32_t polls_ = 0;
};

static_assert(backoff_policy<spin_backoff>);
static_assert(backoff_policy<exponential_backoff<>>);
static_assert(backoff_policy<yield_backoff<>>);
static_assert(backoff_policy<blocking_backoff<>>);

}  // namespace millrace::inline v0::queue
