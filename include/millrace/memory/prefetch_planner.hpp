// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/access_predictor.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// What a planner is made of; derive and override. Every number is a bound of its memory or of what
/// one access costs, but for the last four.
struct default_prefetch {
  /// Pairs of accesses remembered, a power of two: twice as many as there are accesses until an
  /// order repeats. 32 bytes each.
  static constexpr std::uint32_t contexts = 512;
  static constexpr std::uint32_t ahead = 8;   ///< ranges foretold and not yet accessed
  static constexpr std::uint32_t trail = 64;  ///< ranges accessed and not yet behind
  static constexpr std::uint32_t behind = 8;  ///< ranges said to be behind after one access
  /// Accesses without a word after it turned itself off; twice as many when it did so soon after.
  static constexpr std::uint32_t rest = 32;
  static constexpr std::uint32_t most_rest = 1024;
  /// Of 1024 accesses of late, how many must have been foretold: below the first it turns off, from
  /// the second on again.
  static constexpr std::uint32_t off_below = 512;
  static constexpr std::uint32_t on_from = 768;
};

/// See default_prefetch.
template <class P>
concept prefetch_policy = requires {
  requires P::contexts >= 8 && (P::contexts & (P::contexts - 1)) == 0;
  requires P::ahead >= 1 && P::ahead <= 64;
  requires P::trail >= 2 && P::trail <= 4096;
  requires P::behind >= 1 && P::behind <= 64;
  requires P::rest >= 1 && P::most_rest >= P::rest;
  requires P::off_below < P::on_from&& P::on_from <= 1024;
};
static_assert(prefetch_policy<default_prefetch>);

/// The sizes that a planner works with.
struct prefetch_limits {
  std::uint64_t extent_bytes = 0;  ///< of the memory whose accesses it is told
  std::uint64_t ahead_bytes = 0;   ///< most that may be asked for and not yet accessed
  /// Bytes last accessed that are not behind. The memory that the program holds near is this and
  /// ahead_bytes.
  std::uint64_t keep_bytes = 0;
};

/// What a planner has seen since its begin.
struct prefetch_counts {
  std::uint64_t accesses = 0;
  std::uint64_t hits = 0;    ///< had been asked for
  std::uint64_t kept = 0;    ///< had been accessed and were not yet behind: nothing to foretell
  std::uint64_t misses = 0;  ///< the rest
  std::uint64_t asked = 0;   ///< ranges to prefetch
  std::uint64_t asked_bytes = 0;
  std::uint64_t wasted = 0;  ///< ranges of these that were not accessed in time
  std::uint64_t wasted_bytes = 0;
  std::uint64_t turned_off = 0;
};

/// Says what to prefetch and what may go, from the order of accesses. Tell it each range that is
/// accessed, in order (offsets into one memory: a file, a managed buffer); it answers which ranges
/// to bring near now, soonest first, and which were used and are behind. It asks for one range and,
/// while its predictions hit, for up to Policy::ahead; it turns itself off where too few do, goes
/// on watching, and is on again once it would be right. It does no work itself, and a range that is
/// behind is not known to be dead: its bytes may be evicted, and discarded only if the program
/// knows that nobody reads them again. A range whose prediction alone is above ahead_bytes is not
/// asked for.
/// @thread one at a time   @cost O(Policy::ahead × (ahead + trail)) comparisons; no allocation
template <prefetch_policy Policy = default_prefetch>
class prefetch_planner {
 public:
  /// What follows from one access.
  class plan {
   public:
    /// To prefetch, soonest first.
    [[nodiscard]] MILLRACE_HD constexpr cuda::std::span<byte_range const> ahead() const noexcept {
      return {ahead_, ahead_count_};
    }
    /// May be evicted, least recently accessed first.
    [[nodiscard]] MILLRACE_HD constexpr cuda::std::span<byte_range const> behind() const noexcept {
      return {behind_, behind_count_};
    }

   private:
    friend class prefetch_planner;
    byte_range ahead_[Policy::ahead] = {};
    byte_range behind_[Policy::behind] = {};
    std::size_t ahead_count_ = 0;
    std::size_t behind_count_ = 0;
  };

  /// @error errc::bad_argument for an extent of nothing or of 2^63 bytes and more (1), or when
  ///        nothing may be asked for ahead (2)
  [[nodiscard]] static MILLRACE_HD constexpr result<prefetch_planner> make(
      prefetch_limits limits) noexcept {
    if (limits.extent_bytes == 0 || limits.extent_bytes > max_request_bytes) {
      return core::fail(errc::bad_argument, 1);
    }
    if (limits.ahead_bytes == 0) { return core::fail(errc::bad_argument, 2); }
    return prefetch_planner(limits);
  }

  /// Tells of an access, before or after it happens.
  /// @error errc::bad_argument: the offset is outside the memory (1), no bytes or more than there
  ///        are behind the offset (2); nothing changes
  [[nodiscard]] MILLRACE_HD constexpr result<plan> access(std::uint64_t offset,
                                                          std::uint64_t bytes) noexcept {
    if (offset >= limits_.extent_bytes) { return core::fail(errc::bad_argument, 1); }
    if (bytes == 0 || bytes > limits_.extent_bytes - offset) {
      return core::fail(errc::bad_argument, 2);
    }
    byte_range const r{offset, bytes};
    ++counts_.accesses;
    judge(r);
    predictor_.observe(r, limits_.extent_bytes);
    switch_if_due();
    remember(r);
    plan out;
    byte_range coming[Policy::ahead] = {};
    std::uint32_t const soon = on_ ? look_ahead(out, coming) : 0;
    look_behind(out, coming, soon);
    return out;
  }

  /// Whether it asks for anything at present.
  [[nodiscard]] MILLRACE_HD constexpr bool on() const noexcept { return on_; }
  [[nodiscard]] MILLRACE_HD constexpr prefetch_counts const& counts() const noexcept {
    return counts_;
  }
  [[nodiscard]] MILLRACE_HD constexpr prefetch_limits const& limits() const noexcept {
    return limits_;
  }
  /// Bytes asked for and not yet accessed; never above the limit.
  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t outstanding_bytes() const noexcept {
    return asked_bytes_;
  }

 private:
  struct request {
    byte_range range{};
    std::uint64_t at = 0;  ///< the access after which it was asked for
    bool used = false;
    bool late = false;  ///< not accessed when it should have been: goes when the plan has room
  };

  MILLRACE_HD explicit constexpr prefetch_planner(prefetch_limits limits) noexcept
      : limits_{limits} {}

  /// Whether the access was foretold. Off, a foretelling counts that was not spoken out.
  MILLRACE_HD constexpr void judge(byte_range r) noexcept {
    bool const hit = settle(r);
    if (hit) {
      ++counts_.hits;
      if (on_) { score(true); }
    } else if (kept(r)) {
      ++counts_.kept;
    } else {
      ++counts_.misses;
      byte_range said;
      bool const expected = !on_ &&
                            predictor_.foretell(predictor_.best(limits_.extent_bytes),
                                                predictor_.now(), limits_.extent_bytes, said) &&
                            said.offset == r.offset;
      score(expected);
    }
  }

  /// Takes what was asked for and is used up out of the list; whether most of `r` was in it.
  [[nodiscard]] MILLRACE_HD constexpr bool settle(byte_range r) noexcept {
    std::uint64_t shared = 0;
    std::uint32_t left = 0;
    for (std::uint32_t i = 0; i < asked_count_; ++i) {
      request q = asked_[i];
      if (q.range.overlaps(r)) {
        std::uint64_t const begin = q.range.offset > r.offset ? q.range.offset : r.offset;
        shared += (q.range.end() < r.end() ? q.range.end() : r.end()) - begin;
        q.used = true;
        if (r.end() >= q.range.end()) {
          asked_bytes_ -= q.range.bytes;
          continue;
        }
      }
      if (!q.late && counts_.accesses - q.at > 2 * Policy::ahead + 2) {
        q.late = true;
        if (!q.used) {
          ++counts_.wasted;
          counts_.wasted_bytes += q.range.bytes;
          if (on_) { score(false); }
        }
      }
      asked_[left++] = q;
    }
    asked_count_ = left;
    return shared >= r.bytes - r.bytes / 2;
  }

  MILLRACE_HD constexpr void score(bool good) noexcept {
    if (good) {
      score_ += (1024 - score_ + 15) / 16;
      window_ = window_ > Policy::ahead / 2 ? Policy::ahead : 2 * window_;
    } else {
      score_ -= (score_ + 15) / 16;
      window_ = window_ > 1 ? window_ / 2 : 1;
    }
  }

  MILLRACE_HD constexpr void switch_if_due() noexcept {
    if (on_ && score_ < Policy::off_below) {
      bool const soon = counts_.accesses - on_since_ < 4 * std::uint64_t{Policy::rest};
      std::uint32_t const longer = rest_ > Policy::most_rest / 2 ? Policy::most_rest : 2 * rest_;
      rest_ = soon && counts_.turned_off != 0 ? longer : Policy::rest;
      rested_ = 0;
      on_ = false;
      ++counts_.turned_off;
    } else if (!on_ && ++rested_ >= rest_ && score_ >= Policy::on_from) {
      on_ = true;
      on_since_ = counts_.accesses;
      window_ = 1;
    }
  }

  [[nodiscard]] MILLRACE_HD constexpr bool kept(byte_range r) const noexcept {
    for (std::uint32_t i = 0; i < trail_count_; ++i) {
      if (trail_[i].covers(r)) { return true; }
    }
    return false;
  }
  [[nodiscard]] MILLRACE_HD constexpr byte_range without_asked(byte_range r) const noexcept {
    for (std::uint32_t i = 0; i < asked_count_; ++i) { r = r.without(asked_[i].range); }
    return r;
  }
  [[nodiscard]] MILLRACE_HD constexpr byte_range without_trail(byte_range r,
                                                               std::uint32_t from) const noexcept {
    for (std::uint32_t i = from; i < trail_count_; ++i) { r = r.without(trail_[i]); }
    return r;
  }

  /// Puts an access at the end of the trail, and forgets older ones of the same bytes.
  MILLRACE_HD constexpr void remember(byte_range r) noexcept {
    std::uint32_t left = 0;
    for (std::uint32_t i = 0; i < trail_count_; ++i) {
      if (r.covers(trail_[i])) {
        trail_bytes_ -= trail_[i].bytes;
      } else {
        trail_[left++] = trail_[i];
      }
    }
    trail_count_ = left;
    trail_[trail_count_++] = r;
    trail_bytes_ += r.bytes;
  }

  /// Asks for what comes next, as far as the window and the limit go; gives the whole window, what
  /// is near already with it, in `coming`.
  [[nodiscard]] MILLRACE_HD constexpr std::uint32_t look_ahead(
      plan& out, byte_range (&coming)[Policy::ahead]) noexcept {
    foretold_by const kind = predictor_.best(limits_.extent_bytes);
    auto after = predictor_.now();
    std::uint32_t soon = 0;
    for (byte_range next; soon < window_; after.advance(next)) {
      if (!predictor_.foretell(kind, after, limits_.extent_bytes, next)) { break; }
      coming[soon++] = next;
      byte_range const rest = kept(next) ? byte_range{} : without_asked(next);
      if (rest.bytes == 0) { continue; }
      bool const room = rest.bytes <= limits_.ahead_bytes - asked_bytes_;
      if (!room || asked_count_ == most_asked) { break; }
      asked_[asked_count_++] = {rest, counts_.accesses, false, false};
      asked_bytes_ += rest.bytes;
      ++counts_.asked;
      counts_.asked_bytes += rest.bytes;
      out.ahead_[out.ahead_count_++] = rest;
    }
    return soon;
  }

  /// Shortens the trail to the bytes that are kept; says which went, unless they come again soon,
  /// and after them which were asked for in vain.
  MILLRACE_HD constexpr void look_behind(plan& out, byte_range const (&coming)[Policy::ahead],
                                         std::uint32_t soon) noexcept {
    auto const comes = [&](byte_range r) {
      for (std::uint32_t i = 0; i < soon; ++i) {
        if (coming[i].overlaps(r)) { return true; }
      }
      return false;
    };
    auto const put = [&](byte_range r) {
      if (r.bytes == 0) { return true; }
      if (out.behind_count_ == Policy::behind) { return false; }
      out.behind_[out.behind_count_++] = r;
      return true;
    };
    std::uint32_t gone = 0;
    while (trail_count_ - gone > 1) {
      bool const full = trail_count_ - gone > Policy::trail;
      if (!full && trail_bytes_ <= limits_.keep_bytes) { break; }
      byte_range const oldest = trail_[gone];
      bool const again = comes(oldest);
      bool const said = !on_ || again || put(without_asked(without_trail(oldest, gone + 1)));
      if (!full && (again || !said)) { break; }
      trail_bytes_ -= oldest.bytes;
      ++gone;
    }
    for (std::uint32_t i = gone; i < trail_count_; ++i) { trail_[i - gone] = trail_[i]; }
    trail_count_ -= gone;

    std::uint32_t left = 0;
    for (std::uint32_t i = 0; i < asked_count_; ++i) {
      request const q = asked_[i];
      if (q.late && !comes(q.range) && put(without_trail(q.range, 0))) {
        asked_bytes_ -= q.range.bytes;
      } else {
        asked_[left++] = q;
      }
    }
    asked_count_ = left;
  }

  static constexpr std::uint32_t most_asked = 2 * Policy::ahead;

  prefetch_limits limits_;
  prefetch_counts counts_{};
  access_predictor<Policy::contexts> predictor_{};
  request asked_[most_asked] = {};
  byte_range trail_[Policy::trail + 1] = {};  // one more: before the oldest goes
  std::uint64_t asked_bytes_ = 0;
  std::uint64_t trail_bytes_ = 0;
  std::uint64_t on_since_ = 0;
  std::uint32_t asked_count_ = 0;
  std::uint32_t trail_count_ = 0;
  std::uint32_t window_ = 1;
  std::uint32_t score_ = 1024;
  std::uint32_t rest_ = Policy::rest;
  std::uint32_t rested_ = 0;
  bool on_ = true;
};

}  // namespace millrace::inline v0::memory
