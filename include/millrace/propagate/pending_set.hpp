// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/column.hpp>

#include <bit>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::propagate {

/// Numbers of which the least is taken next: the nodes that wait for their run, in topological
/// order. A bit a number; above each 64 words another word says which of them may not be zero.
/// @cost insert and pop: one word while neighbours wait too; else at most six, of 64 numbers each
template <memory::host_accessible_resource R>
class pending_set {
 public:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  explicit pending_set(R from) noexcept
      : levels_{words(from), words(from), words(from), words(from), words(from), words(from)} {}

  /// Room for the numbers below `count`.
  /// @error errc::out_of_memory; what was in the set is still
  [[nodiscard]] result<void> reserve(std::uint32_t count) noexcept {
    std::uint32_t needed[most_levels];
    for (std::uint32_t level = 0, below = count; level < most_levels; ++level) {
      needed[level] = below = below / 64 + (below % 64 != 0 ? 1 : 0);
      if (auto const room = levels_[level].reserve(below); !room) { return room; }
    }
    for (std::uint32_t level = 0; level < most_levels; ++level) {
      words& at = levels_[level];
      while (at.size() < needed[level]) { at.push(0); }
      if (level > top_ && levels_[level - 1].size() > 1) {
        // what waits below was not said here as long as one word held it
        top_ = level;
        at[0] = levels_[level - 1][0] != 0 ? 1 : 0;
      }
    }
    return {};
  }

  [[nodiscard]] bool empty() noexcept {
    return least_ == none || (levels_[0][least_] == 0 && !seek());
  }
  [[nodiscard]] bool contains(std::uint32_t i) const noexcept {
    return (levels_[0][i / 64] >> (i % 64) & 1) != 0;
  }
  void insert(std::uint32_t i) noexcept {
    std::uint32_t const word = i / 64;
    std::uint64_t& bits = levels_[0][word];
    std::uint64_t const before = bits;
    bits = before | std::uint64_t{1} << (i % 64);
    if (word < least_) { least_ = word; }
    if (before == 0 && top_ != 0) { announce(word); }
  }
  void erase(std::uint32_t i) noexcept {
    levels_[0][i / 64] &= ~(std::uint64_t{1} << (i % 64));  // seek takes back what is said of it
  }

  /// The numbers of one word, as bits.
  [[nodiscard]] std::uint64_t word(std::uint32_t at) const noexcept { return levels_[0][at]; }
  /// Takes numbers of one word out, of a set that has room for more than one word.
  void take(std::uint32_t at, std::uint64_t bits) noexcept {
    std::uint64_t& all = levels_[0][at];
    all &= ~bits;
    if (all == 0) { withdraw(at); }
  }
  /// insert of the numbers of one word whose bits are set; none of them is before what pop gave
  /// last, and the set has room for more than one word. No branch but one that is seldom taken.
  [[gnu::always_inline]] inline void insert_behind(std::uint32_t at, std::uint64_t bits) noexcept {
    levels_[0][at] |= bits;
    std::uint64_t& above = levels_[1][at / 64];
    std::uint64_t const before = above;
    above = before | std::uint64_t{bits != 0} << (at % 64);
    if (before == 0 && bits != 0) [[unlikely]] { announce(at / 64, 2); }
  }
  /// insert_behind of one number, of words that announce_words is told of before the next pop.
  void insert_untold(std::uint32_t i) noexcept {
    levels_[0][i / 64] |= std::uint64_t{1} << (i % 64);
  }
  /// Words of which each may have numbers: what says so of each by itself takes longer where many
  /// have.
  void announce_words(std::uint32_t first, std::uint32_t last) noexcept {
    for (std::uint32_t at = first / 64; at <= last / 64; ++at) {
      std::uint64_t bits = ~std::uint64_t{0};
      if (at == first / 64) { bits &= bits << (first % 64); }
      if (at == last / 64) { bits &= ~std::uint64_t{0} >> (63 - last % 64); }
      std::uint64_t const before = std::exchange(levels_[1][at], levels_[1][at] | bits);
      if (before == 0) { announce(at, 2); }
    }
  }
  /// insert_behind of several threads at once, with nothing else beside; what they have inserted is
  /// in the set when all are done.
  template <core::access_policy A = core::direct_access<cuda::thread_scope_system>>
  void insert_shared(std::uint32_t at, std::uint64_t bits) noexcept {
    if (bits == 0 || (A::load(levels_[0][at], core::relaxed, "pending.look") & bits) == bits) {
      return;  // who has set them says so above
    }
    A::fetch_or(levels_[0][at], bits, core::relaxed, "pending.insert");
    for (std::uint32_t level = 1; level <= top_; ++level, at /= 64) {
      std::uint64_t& above = levels_[level][at / 64];
      std::uint64_t const bit = std::uint64_t{1} << (at % 64);
      if ((A::load(above, core::relaxed, "pending.look") & bit) != 0) { return; }
      A::fetch_or(above, bit, core::relaxed, "pending.announce");
    }
  }
  /// The first word from `at` on that may have a number, `end` where none before it has.
  [[nodiscard]] std::uint32_t next_word(std::uint32_t at, std::uint32_t end) const noexcept {
    while (at < end) {
      std::uint64_t const beside = levels_[1][at / 64] >> (at % 64);
      if (beside != 0) {
        at += static_cast<std::uint32_t>(std::countr_zero(beside));
        return at < end ? at : end;
      }
      at = (at / 64 + 1) * 64;
    }
    return end;
  }

  /// Takes the least number out; `none` where there is none.
  [[nodiscard]] std::uint32_t pop() noexcept {
    if (least_ == none || (levels_[0][least_] == 0 && !seek())) { return none; }
    std::uint64_t& bits = levels_[0][least_];
    auto const bit = static_cast<std::uint32_t>(std::countr_zero(bits));
    bits &= bits - 1;
    return least_ * 64 + bit;
  }

  /// The word of the number that pop has just given, in a register: for who inserts and takes
  /// neighbours. Until it is put back the set does not have it.
  struct held {
    std::uint32_t word;
    std::uint64_t bits;
  };
  [[nodiscard]] held hold() noexcept { return {least_, std::exchange(levels_[0][least_], 0)}; }
  void put_back(held h) noexcept { levels_[0][h.word] = h.bits; }
  /// No word at all: what a walk over an empty set begins with.
  [[nodiscard]] static constexpr held nothing() noexcept { return {none, 0}; }
  /// The set has the word's numbers again, wherever they came from.
  void give_back(held h) noexcept {
    if (h.bits == 0) { return; }
    std::uint64_t& bits = levels_[0][h.word];
    bool const empty = bits == 0;
    bits |= h.bits;
    if (h.word < least_) { least_ = h.word; }
    if (empty && top_ != 0) { announce(h.word); }
  }
  /// insert, with a word held, or nothing, of a set that has no number before that word.
  [[gnu::always_inline]] inline void insert_any(held& h, std::uint32_t i) noexcept {
    if (i / 64 < h.word) {
      if (h.bits != 0) { give_back(h); }
      h = {i / 64, 0};
    }
    insert(h, i);
  }
  /// The least number, with a word held, or nothing, that is held no longer unless it has it.
  [[nodiscard, gnu::always_inline]] inline std::uint32_t pop(held& h) noexcept {
    if (h.bits != 0) {
      auto const bit = static_cast<std::uint32_t>(std::countr_zero(h.bits));
      h.bits &= h.bits - 1;
      return h.word * 64 + bit;
    }
    if (least_ == none) { return none; }
    std::uint32_t const i = pop();
    if (i != none) { h = hold(); }
    return i;
  }
  /// insert, with a word held; no number before that word.
  [[gnu::always_inline]] inline void insert(held& h, std::uint32_t i) noexcept {
    if (i / 64 == h.word) {
      h.bits |= std::uint64_t{1} << (i % 64);
    } else {
      insert(i);
    }
  }
  /// pop, with a word held that is no longer, unless it has the number.
  /// @param after the number that was given before
  [[nodiscard, gnu::always_inline]] inline std::uint32_t pop(held& h,
                                                             std::uint32_t after) noexcept {
    // Neighbours follow each other. As a branch that is foreseen, so that what is loaded for the
    // next one does not wait for the bits.
    std::uint32_t next = after + 1;
    if (next % 64 != 0 && (h.bits >> (next % 64) & 1) != 0) {
      h.bits &= h.bits - 1;
      asm volatile("" : "+r"(next));
      return next;
    }
    return pop(h);
  }

 private:
  using words = detail::column<std::uint64_t, R>;
  static constexpr std::uint32_t most_levels = 6;

  [[gnu::noinline]] void announce(std::uint32_t word, std::uint32_t level = 1) noexcept {
    for (; level <= top_; ++level) {
      std::uint64_t& above = levels_[level][word / 64];
      std::uint64_t const bit = std::uint64_t{1} << (word % 64);
      if ((above & bit) != 0) { return; }  // and so are those above it
      above |= bit;
      word /= 64;
    }
  }
  void withdraw(std::uint32_t word) noexcept {
    for (std::uint32_t level = 1; level <= top_; ++level) {
      std::uint64_t& above = levels_[level][word / 64];
      above &= ~(std::uint64_t{1} << (word % 64));
      if (above != 0) { return; }
      word /= 64;
    }
  }
  /// From a word of zeros on to the next that is none.
  [[nodiscard, gnu::noinline]] bool seek() noexcept {
    do {
      withdraw(least_);
      if (top_ == 0 || levels_[top_][0] == 0) {
        least_ = none;
        return false;
      }
      // the neighbours first: what waits is seldom far
      std::uint64_t const beside = levels_[1][least_ / 64] >> (least_ % 64);
      if (beside != 0) {
        least_ += static_cast<std::uint32_t>(std::countr_zero(beside));
        continue;
      }
      std::uint32_t word = 0;
      for (std::uint32_t level = top_; level != 0; --level) {
        word = word * 64 + static_cast<std::uint32_t>(std::countr_zero(levels_[level][word]));
      }
      least_ = word;
    } while (levels_[0][least_] == 0);
    return true;
  }

  words levels_[most_levels];
  std::uint32_t top_ = 0;       // the level that is one word
  std::uint32_t least_ = none;  // no word of level 0 before it has a bit
};

}  // namespace millrace::inline v0::propagate
