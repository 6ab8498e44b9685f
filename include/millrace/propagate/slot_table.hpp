// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// Pointers by slot, looked up by any thread while one thread puts others in. Grows by blocks that
/// stay where they are, each as long as all before it.
template <core::access_policy A, class T, memory::host_accessible_resource R>
class slot_table {
 public:
  explicit slot_table(R from) noexcept : from_{std::move(from)} {}
  slot_table(slot_table const&) = delete;
  slot_table& operator=(slot_table const&) = delete;
  ~slot_table() {
    for (std::uint32_t b = 0; b < most_blocks; ++b) {
      if (blocks_[b] != 0) {
        from_.deallocate(reinterpret_cast<void*>(blocks_[b]), bytes_of(b), alignof(word));
      }
    }
  }

  /// Null where nothing has been put.
  /// @thread any
  [[nodiscard]] T* find(std::uint32_t slot) const noexcept {
    word const block = A::load(blocks_[block_of(slot)], core::acquire, "slots.block");
    if (block == 0) { return nullptr; }
    return reinterpret_cast<T*>(
        A::load(reinterpret_cast<word*>(block)[place_in_block(slot)], core::acquire, "slots.find"));
  }
  /// Room for a slot.
  /// @error errc::out_of_memory
  [[nodiscard]] result<void> reserve(std::uint32_t slot) noexcept {
    std::uint32_t const b = block_of(slot);
    if (blocks_[b] != 0) { return {}; }
    auto const made = from_.try_allocate(bytes_of(b), alignof(word));
    if (!made) { return core::fail(errc::out_of_memory); }
    std::memset(*made, 0, bytes_of(b));
    A::store(blocks_[b], reinterpret_cast<word>(*made), core::release, "slots.grow");
    return {};
  }
  /// There is room. What is reached through `value` has been written before.
  void put(std::uint32_t slot, T* value) noexcept {
    word* const block = reinterpret_cast<word*>(blocks_[block_of(slot)]);
    A::store(block[place_in_block(slot)], reinterpret_cast<word>(value), core::release,
             "slots.put");
  }

 private:
  using word = std::uintptr_t;
  static constexpr std::uint32_t first_bits = 6;  // 64 slots in the first block
  static constexpr std::uint32_t most_blocks = 32 - first_bits + 1;

  [[nodiscard]] static std::uint32_t block_of(std::uint32_t slot) noexcept {
    return static_cast<std::uint32_t>(std::bit_width(slot >> first_bits));
  }
  [[nodiscard]] static std::uint32_t size_of(std::uint32_t block) noexcept {
    return std::uint32_t{1} << (block == 0 ? first_bits : block - 1 + first_bits);
  }
  [[nodiscard]] static std::uint32_t place_in_block(std::uint32_t slot) noexcept {
    return slot & (size_of(block_of(slot)) - 1);
  }
  [[nodiscard]] static std::size_t bytes_of(std::uint32_t block) noexcept {
    return std::size_t{size_of(block)} * sizeof(word);
  }

  R from_;
  word blocks_[most_blocks] = {};
};

}  // namespace millrace::inline v0::propagate::detail
