// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/column.hpp>

#include <cstdint>

namespace millrace::inline v0::propagate::detail {

/// Slots by name and names by slot. Names are numbers of the user's, 0 is none.
/// @cost find, insert and erase O(1): linear probing, at most two thirds full
template <memory::host_accessible_resource R>
class name_table {
 public:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  explicit name_table(R from) noexcept : places_{from}, names_{from} {}

  [[nodiscard]] std::uint32_t find(std::uint64_t name) const noexcept {
    if (places_.empty()) { return none; }
    for (std::uint32_t k = begin_of(name);; k = next(k)) {
      if (places_[k].name == name) { return places_[k].slot; }
      if (places_[k].name == 0) { return none; }
    }
  }
  [[nodiscard]] std::uint64_t name_of(std::uint32_t slot) const noexcept {
    return slot < names_.size() ? names_[slot] : 0;
  }

  /// A name that nobody has, for a slot that has none.
  /// @error errc::out_of_memory; nothing has changed
  [[nodiscard]] result<void> insert(std::uint64_t name, std::uint32_t slot) noexcept {
    if (auto const room = names_.reserve(slot + 1); !room) { return room; }
    if (auto const room = grow(); !room) { return room; }
    while (names_.size() <= slot) { names_.push(0); }
    names_[slot] = name;
    put({name, slot});
    ++used_;
    return {};
  }
  /// The slot has no name any more.
  void erase(std::uint32_t slot) noexcept {
    std::uint64_t const name = name_of(slot);
    if (name == 0) { return; }
    names_[slot] = 0;
    std::uint32_t hole = begin_of(name);
    while (places_[hole].name != name) { hole = next(hole); }
    // what stands behind moves up, unless that would be before where its search begins
    for (std::uint32_t k = next(hole); places_[k].name != 0; k = next(k)) {
      std::uint32_t const wish = begin_of(places_[k].name), mask = places_.size() - 1;
      if (((k - wish) & mask) >= ((k - hole) & mask)) {
        places_[hole] = places_[k];
        hole = k;
      }
    }
    places_[hole] = {};
    --used_;
  }

 private:
  struct place {
    std::uint64_t name = 0;
    std::uint32_t slot = 0;
  };

  [[nodiscard]] std::uint32_t begin_of(std::uint64_t name) const noexcept {
    std::uint64_t const mixed = name * 0x9E37'79B9'7F4A'7C15u;
    return static_cast<std::uint32_t>(mixed >> 32) & (places_.size() - 1);
  }
  [[nodiscard]] std::uint32_t next(std::uint32_t k) const noexcept {
    return (k + 1) & (places_.size() - 1);
  }
  void put(place p) noexcept {
    std::uint32_t k = begin_of(p.name);
    while (places_[k].name != 0) { k = next(k); }
    places_[k] = p;
  }
  [[nodiscard]] result<void> grow() noexcept {
    std::uint32_t const had = places_.size();
    if (3 * (std::uint64_t{used_} + 1) <= 2 * std::uint64_t{had}) { return {}; }
    std::uint32_t const size = had == 0 ? 16 : 2 * had;
    // the old ones are set aside at the end of the new room
    if (auto const room = places_.reserve(size + had); !room) { return room; }
    places_.shrink(0);
    for (std::uint32_t k = 0; k < had; ++k) { places_.data()[size + k] = places_.data()[k]; }
    for (std::uint32_t k = 0; k < size; ++k) { places_.push({}); }
    for (std::uint32_t k = 0; k < had; ++k) {
      if (place const old = places_.data()[size + k]; old.name != 0) { put(old); }
    }
    return {};
  }

  column<place, R> places_;  // a power of two of them
  column<std::uint64_t, R> names_;
  std::uint32_t used_ = 0;
};

}  // namespace millrace::inline v0::propagate::detail
