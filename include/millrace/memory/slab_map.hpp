// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>

#include <cuda/std/bit>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::memory {

/// Which slabs of a range are taken: a bit each, lowest free one first, so that what is in use
/// stays together. Any thread claims and releases runs; lock-free; a word's value is the whole
/// state of its 64 slabs, so a compare-exchange that finds an old value again is right (no ABA).
/// Trivially copyable; goes into kernels.
template <core::access_policy Access>
class slab_map {
 public:
  /// The word that callers share beside the bitmap: where a free slab may be found. A guess.
  using hint = std::uint32_t;

  slab_map() noexcept = default;
  /// @param words  words_for(count) of them, which nobody else has yet
  MILLRACE_HD slab_map(std::uint64_t* words, hint* lowest, std::uint32_t count) noexcept
      : words_{words}, lowest_{lowest}, count_{count} {}

  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t words_for(std::uint32_t count) noexcept {
    return count / 64 + (count % 64 != 0 ? 1 : 0);
  }

  /// Writes "all free"; slabs that do not exist are taken for ever. Memory that is zero already
  /// needs its last word only.
  MILLRACE_HD void format(bool zeroed = false) const noexcept {
    std::uint32_t const words = words_for(count_);
    for (std::uint32_t w = zeroed ? words - 1 : 0; w < words; ++w) {
      std::uint32_t const there = count_ - 64 * w;
      Access::store(words_[w], there < 64 ? ~std::uint64_t{0} << there : std::uint64_t{0},
                    core::relaxed, "map.format");
    }
    Access::store(*lowest_, hint{0}, core::relaxed, "map.format");
  }

  /// Takes every slab from `usable` on, in a map that nobody else has yet.
  MILLRACE_HD void format_from(std::uint32_t usable) const noexcept {
    for (std::uint32_t w = usable / 64; w < words_for(count_); ++w) {
      std::uint64_t const from =
          w == usable / 64 ? ~std::uint64_t{0} << (usable % 64) : ~std::uint64_t{0};
      Access::store(words_[w], Access::load(words_[w], core::relaxed, "map.format") | from,
                    core::relaxed, "map.format");
    }
  }

  [[nodiscard]] MILLRACE_HD std::uint32_t count() const noexcept { return count_; }

  /// Takes `n` slabs that lie together; what their last owner did happened before.
  /// @error errc::bad_argument 1 for none; errc::full when no such run is free
  /// @cost one compare-exchange for up to 64 when nobody interferes
  [[nodiscard]] MILLRACE_HD result<std::uint32_t> claim(std::uint32_t n) const noexcept {
    if (n == 0) { return core::fail(errc::bad_argument, 1); }
    if (n > count_) { return core::fail(errc::full); }
    std::uint32_t const words = words_for(count_);
    hint const begin = Access::load(*lowest_, core::relaxed, "map.hint");
    for (std::uint32_t pass = 0; pass < 2; ++pass) {
      std::uint32_t const from = pass == 0 && begin < words ? begin : 0;
      std::uint32_t const to = pass == 0 ? words : begin < words ? begin : 0;
      for (std::uint32_t w = from; w < to; ++w) {
        std::uint32_t found = n <= 64 ? claim_within(w, n) : none;
        if (found == none && n > 1) { found = claim_across(w, n); }
        if (found != none) {
          if (n == 1 && w != begin) { Access::store(*lowest_, w, core::relaxed, "map.hint"); }
          return found;
        }
      }
    }
    return core::fail(errc::full);
  }

  /// Takes one slab of the first 64 that have a free one, by `spread` which: where many claim at a
  /// time, those with different numbers do not want the same.
  /// @error errc::full when none is free
  [[nodiscard]] MILLRACE_HD result<std::uint32_t> claim_one(std::uint32_t spread) const noexcept {
    std::uint32_t const words = words_for(count_);
    hint const begin = Access::load(*lowest_, core::relaxed, "map.hint");
    for (std::uint32_t seen = 0; seen < words; ++seen) {
      std::uint32_t const w = (begin + seen) % words;
      std::uint64_t free = ~Access::load(words_[w], core::relaxed, "map.look");
      while (free != 0) {
        auto const turn = static_cast<int>(spread % 64);
        int const bit = (cuda::std::countr_zero(cuda::std::rotr(free, turn)) + turn) % 64;
        std::uint64_t const mine = std::uint64_t{1} << bit;
        // acquire: what the last owner did with the slab happened before its release
        std::uint64_t const before =
            Access::fetch_or(words_[w], mine, core::acquire, "map.claim_one");
        if ((before & mine) == 0) {
          if (w != begin) { Access::store(*lowest_, w, core::relaxed, "map.hint"); }
          return 64 * w + static_cast<std::uint32_t>(bit);
        }
        free = ~before;
      }
    }
    return core::fail(errc::full);
  }

  /// Takes slab `index` if it is free.
  [[nodiscard]] MILLRACE_HD bool claim_at(std::uint32_t index) const noexcept {
    std::uint64_t const bit = std::uint64_t{1} << (index % 64);
    std::uint64_t& word = words_[index / 64];
    std::uint64_t taken = Access::load(word, core::relaxed, "map.look");
    while ((taken & bit) == 0) {
      if (Access::compare_exchange(word, taken, taken | bit, core::acquire, core::relaxed,
                                   "map.claim")) {
        return true;
      }
    }
    return false;
  }

  /// Gives `n` slabs from `first` back, which the caller owns and is done with.
  MILLRACE_HD void release(std::uint32_t first, std::uint32_t n) const noexcept {
    for (std::uint32_t done = 0; done < n;) {
      std::uint32_t const w = (first + done) / 64, bit = (first + done) % 64;
      std::uint32_t const here = n - done < 64 - bit ? n - done : 64 - bit;
      clear(w, run_of(here) << bit);
      done += here;
    }
    std::uint32_t const w = first / 64;
    if (w < Access::load(*lowest_, core::relaxed, "map.hint")) {
      Access::store(*lowest_, w, core::relaxed, "map.hint");
    }
  }

  [[nodiscard]] MILLRACE_HD bool taken(std::uint32_t index) const noexcept {
    std::uint64_t const word = Access::load(words_[index / 64], core::relaxed, "map.look");
    return ((word >> (index % 64)) & 1) != 0;
  }

  /// Slabs that are taken; exact when nobody claims or releases meanwhile.
  /// @cost O(count / 64)
  [[nodiscard]] MILLRACE_HD std::uint32_t live() const noexcept {
    std::uint32_t const words = words_for(count_);
    std::uint32_t n = 0;
    for (std::uint32_t w = 0; w < words; ++w) {
      n += static_cast<std::uint32_t>(
          cuda::std::popcount(Access::load(words_[w], core::relaxed, "map.look")));
    }
    return n - (64 * words - count_);
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t run_of(std::uint32_t n) noexcept {
    return n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
  }

  [[nodiscard]] MILLRACE_HD std::uint32_t claim_within(std::uint32_t w,
                                                       std::uint32_t n) const noexcept {
    std::uint64_t taken = Access::load(words_[w], core::relaxed, "map.look");
    for (;;) {
      std::uint64_t free = ~taken;  // bit i stays while slabs i to i + n - 1 are free
      for (std::uint32_t have = 1; have < n && free != 0;) {
        std::uint32_t const more = have < n - have ? have : n - have;
        free &= free >> more;
        have += more;
      }
      if (free == 0) { return none; }
      auto const bit = static_cast<std::uint32_t>(cuda::std::countr_zero(free));
      // acquire: what the last owner did with the slabs happened before its release
      if (Access::compare_exchange(words_[w], taken, taken | run_of(n) << bit, core::acquire,
                                   core::relaxed, "map.claim")) {
        return 64 * w + bit;
      }
    }
  }

  /// A run that begins where word `w` is free up to its end, and goes on in the next.
  [[nodiscard]] MILLRACE_HD std::uint32_t claim_across(std::uint32_t w,
                                                       std::uint32_t n) const noexcept {
    std::uint64_t const seen = Access::load(words_[w], core::relaxed, "map.look");
    std::uint32_t const first =
        64 * (w + 1) - static_cast<std::uint32_t>(cuda::std::countl_zero(seen));
    if (first == 64 * (w + 1) || first >= count_ || n > count_ - first) { return none; }
    for (std::uint32_t done = 0; done < n;) {
      std::uint32_t const bit = (first + done) % 64;
      std::uint32_t const here = n - done < 64 - bit ? n - done : 64 - bit;
      std::uint64_t const wanted = run_of(here) << bit;
      std::uint64_t& word = words_[(first + done) / 64];
      std::uint64_t taken = Access::load(word, core::relaxed, "map.look");
      bool mine = false;
      while ((taken & wanted) == 0 && !mine) {
        mine = Access::compare_exchange(word, taken, taken | wanted, core::acquire, core::relaxed,
                                        "map.claim");
      }
      if (!mine) {
        if (done != 0) { release(first, done); }
        return none;
      }
      done += here;
    }
    return first;
  }

  MILLRACE_HD void clear(std::uint32_t w, std::uint64_t bits) const noexcept {
    std::uint64_t taken = Access::load(words_[w], core::relaxed, "map.look");
    // release: this owner's last access is done before the next owner's first
    while (!Access::compare_exchange(words_[w], taken, taken & ~bits, core::release, core::relaxed,
                                     "map.release")) {}
  }

  std::uint64_t* words_ = nullptr;
  hint* lowest_ = nullptr;
  std::uint32_t count_ = 0;
};
static_assert(
    std::is_trivially_copyable_v<slab_map<core::direct_access<cuda::thread_scope_device>>>);

}  // namespace millrace::inline v0::memory
