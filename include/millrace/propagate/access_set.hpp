// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/version_pool.hpp>

#include <cuda/std/span>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// What a transaction has done with one cell.
template <class Track>
struct cell_access {
  Track* cell;
  version* written;  ///< null: only read, or what is written is small
  bool was_read;     ///< in the transaction's epoch
  bool has_small;    ///< what is written is here:
  alignas(small_bytes) std::byte small[small_bytes];

  [[nodiscard]] bool writes() const noexcept { return written != nullptr || has_small; }
  /// What is written, to be read.
  [[nodiscard]] void const* value() const noexcept {
    return has_small ? small : cell->of->value(written);
  }
  /// Where what is written goes; null: no memory.
  template <class R>
  [[nodiscard]] void* room(R& from) noexcept {
    if (cell->of->small != 0) {
      has_small = true;
      return small;
    }
    if (written == nullptr) { written = cell->of->make(from); }
    return written == nullptr ? nullptr : cell->of->value(written);
  }
};

/// The cells that a transaction has read or written, each once, in the order of its first access.
/// The first few are here, and take no memory.
/// @cost find O(1): a scan of up to 16, then a table that is at most half full
template <class Track, memory::host_accessible_resource R>
class access_set {
 public:
  using access = cell_access<Track>;

  explicit access_set(R from) noexcept : all_{from}, places_{from}, missed_{from} {}

  /// The cell's access, which may be its first.
  /// @error errc::out_of_memory (null)
  [[nodiscard]] access* at(Track* cell) noexcept {
    if (access* const known = find(cell); known != nullptr) { return known; }
    if (size_ == few && all_.empty()) {
      if (!all_.reserve(2 * few)) { return nullptr; }
      for (access const& each : few_) { all_.push(each); }
    }
    if (size_ >= few && (!all_.reserve(size_ + 1) || !widen())) { return nullptr; }
    access const first{cell, nullptr, false, false, {}};
    if (size_ >= few) {
      all_.push(first);
    } else {
      few_[size_] = first;
    }
    ++size_;
    if (!places_.empty()) { place(size_ - 1); }
    return begin() + size_ - 1;
  }
  [[nodiscard]] access* find(Track* cell) noexcept {
    if (places_.empty()) {
      for (access& each : *this) {
        if (each.cell == cell) { return &each; }
      }
      return nullptr;
    }
    for (std::uint32_t k = wish(cell); places_[k] != none; k = (k + 1) & mask()) {
      if (access& each = all_[places_[k]]; each.cell == cell) { return &each; }
    }
    return nullptr;
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  void clear() noexcept {
    size_ = 0;
    all_.clear();
    places_.clear();
    missed_.clear();
  }
  /// Notes that a cell is not published in the transaction's epoch.
  /// @error errc::out_of_memory
  /// @cost  a scan of those that are noted
  [[nodiscard]] result<void> miss(node_id const& cell) noexcept {
    bool const known = std::find(missed_.begin(), missed_.end(), cell) != missed_.end();
    return known ? result<void>{} : missed_.try_push(cell);
  }
  [[nodiscard]] cuda::std::span<node_id const> missed() const noexcept {
    return {missed_.data(), missed_.size()};
  }
  [[nodiscard]] access* begin() noexcept { return all_.empty() ? few_ : all_.begin(); }
  [[nodiscard]] access* end() noexcept { return begin() + size_; }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  static constexpr std::uint32_t few = 4;
  static constexpr std::uint32_t scanned = 16;

  [[nodiscard]] std::uint32_t mask() const noexcept { return places_.size() - 1; }
  [[nodiscard]] std::uint32_t wish(Track* cell) const noexcept {
    auto const mixed = reinterpret_cast<std::uintptr_t>(cell) * 0x9E37'79B9'7F4A'7C15u;
    return static_cast<std::uint32_t>(mixed >> 32) & mask();
  }
  void place(std::uint32_t i) noexcept {
    std::uint32_t k = wish(all_[i].cell);
    while (places_[k] != none) { k = (k + 1) & mask(); }
    places_[k] = i;
  }
  /// Room in the table for one more.
  [[nodiscard]] bool widen() noexcept {
    std::uint32_t const size = size_ + 1;
    if (size <= scanned || 2 * size <= places_.size()) { return true; }
    std::uint32_t const wide = places_.empty() ? 4 * scanned : 2 * places_.size();
    if (!places_.reserve(wide)) { return false; }
    places_.clear();
    while (places_.size() < wide) { places_.push(none); }
    for (std::uint32_t i = 0; i < all_.size(); ++i) { place(i); }
    return true;
  }

  access few_[few];
  std::uint32_t size_ = 0;
  column<access, R> all_;            // once there are more than a few
  column<std::uint32_t, R> places_;  // by hash, where they stand in `all_`
  column<node_id, R> missed_;
};

}  // namespace millrace::inline v0::propagate::detail
