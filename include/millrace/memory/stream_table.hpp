// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>

#include <cuda/std/bit>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// Which number a stream's id has: looked up without a lock, changed by one thread at a time.
/// Nobody looks an id up while it is removed.
template <core::access_policy A, std::uint32_t Most>
class stream_table {
 public:
  /// @return the number, or `none`
  [[nodiscard]] std::uint32_t find(std::uint64_t id) const noexcept {
    std::uint64_t const key = id + 2;
    for (std::uint32_t i = 0, at = first(id); i < slots; ++i, at = (at + 1) % slots) {
      // acquire: the number was written before its key
      std::uint64_t const seen = A::load(slot_[at].key, core::acquire, "streams.find");
      if (seen == key) {
        A::read(&slot_[at].number, sizeof(slot_[at].number), "streams.number");
        return slot_[at].number;
      }
      if (seen == never) { break; }
    }
    return none;
  }

  /// @pre fewer than `Most` ids are in it, and this is none of them
  void add(std::uint64_t id, std::uint32_t number) noexcept {
    std::uint32_t at = first(id);
    while (A::load(slot_[at].key, core::relaxed, "streams.look") > left) { at = (at + 1) % slots; }
    A::write(&slot_[at].number, sizeof(slot_[at].number), "streams.number");
    slot_[at].number = number;
    A::store(slot_[at].key, id + 2, core::release, "streams.add");
  }
  void remove(std::uint64_t id) noexcept {
    for (std::uint32_t i = 0, at = first(id); i < slots; ++i, at = (at + 1) % slots) {
      if (A::load(slot_[at].key, core::relaxed, "streams.look") == id + 2) {
        // those behind it are still looked for, so it does not become empty
        A::store(slot_[at].key, left, core::relaxed, "streams.remove");
        return;
      }
    }
  }

  static constexpr std::uint32_t none = ~std::uint32_t{0};

 private:
  static constexpr std::uint64_t never = 0;  // keys are ids + 2
  static constexpr std::uint64_t left = 1;
  static constexpr std::uint32_t slots = cuda::std::bit_ceil(2 * Most);

  struct slot {
    std::uint64_t key = never;
    std::uint32_t number = 0;
  };
  [[nodiscard]] static std::uint32_t first(std::uint64_t id) noexcept {
    return static_cast<std::uint32_t>((id * 0x9e37'79b9'7f4a'7c15u) >> 32) % slots;
  }

  slot slot_[slots];
};

}  // namespace millrace::inline v0::memory
