// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/column.hpp>

#include <cstdint>

namespace millrace::inline v0::propagate::detail {

/// Which nodes a plan runs, and which of these are shown: somebody outside of the plan looks at
/// them or depends on them, or a chain ends there, so their own edges say who hears of a change,
/// and when it came is written down.
template <memory::host_accessible_resource R>
class plan_set {
 public:
  explicit plan_set(R from) noexcept : members_{from}, shown_{from}, plain_{from} {}

  /// Room for the nodes below `count`; none is in the set.
  [[nodiscard]] result<void> reset(std::uint32_t count) noexcept {
    clear();
    std::uint32_t const words = count / 64 + 1;
    if (auto const room = members_.assign(words, 0); !room) { return room; }
    auto room = shown_.assign(words, 0);
    if (room) { room = plain_.assign(words, 0); }
    if (!room) { clear(); }
    return room;
  }
  void clear() noexcept {
    members_.clear();
    shown_.clear();
    plain_.clear();
    size_ = 0;
  }

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::uint64_t members(std::uint32_t word) const noexcept { return members_[word]; }
  [[nodiscard]] std::uint64_t shown(std::uint32_t word) const noexcept { return shown_[word]; }
  /// Whether a node of these words is shown.
  [[nodiscard]] bool some_shown(std::uint32_t first, std::uint32_t last) const noexcept {
    std::uint64_t any = 0;
    for (std::uint32_t word = first; word <= last; ++word) { any |= shown_[word]; }
    return any != 0;
  }

  void insert(std::uint32_t i) noexcept {
    members_[i / 64] |= bit(i);
    ++size_;
  }
  /// One that is in the set.
  void erase(std::uint32_t i) noexcept {
    members_[i / 64] &= ~bit(i);
    plain_[i / 64] = 0;
    --size_;
  }
  /// Any node.
  void show(std::uint32_t i) noexcept {
    if (i / 64 >= shown_.size()) { return; }
    shown_[i / 64] |= bit(i);
    plain_[i / 64] = 0;
  }
  /// Whether a word's nodes are all in the set, near or of a chain, and none is shown: the other
  /// bits need no look, and take an eighth of the lines.
  [[nodiscard]] bool plain(std::uint32_t word) const noexcept { return plain_[word] != 0; }
  /// After all are inserted and shown: of a word whose nodes are all near, or of a chain.
  void find_plain(std::uint32_t word) noexcept {
    plain_[word] = ~members_[word] == 0 && shown_[word] == 0 ? 1 : 0;
  }

 private:
  [[nodiscard]] static constexpr std::uint64_t bit(std::uint32_t i) noexcept {
    return std::uint64_t{1} << (i % 64);
  }

  column<std::uint64_t, R> members_, shown_;
  column<std::uint8_t, R> plain_;
  std::uint32_t size_ = 0;
};

}  // namespace millrace::inline v0::propagate::detail
