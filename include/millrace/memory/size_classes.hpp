// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cuda/std/bit>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// Which block sizes a heap has. `index_of(bytes)` is the smallest class that holds `bytes`, 1 to
/// `largest`; `bytes_of(index)` its block size, a multiple of 16. Powers of two up to `largest` are
/// classes, so that every alignment up to it has one.
template <class C>
concept size_class_policy = requires(std::size_t bytes, std::uint32_t index) {
  { C::index_of(bytes) } noexcept -> std::same_as<std::uint32_t>;
  { C::bytes_of(index) } noexcept -> std::same_as<std::size_t>;
  requires C::largest % 16 == 0;
  requires C::bytes_of(C::count - 1) == C::largest;
  requires C::index_of(C::largest) == C::count - 1;
  requires C::index_of(1) == 0;
};

/// Multiples of 16 bytes to 64, then four classes an octave: at most a fifth of a block above 64
/// bytes is waste.
template <std::size_t Largest = std::size_t{32} << 10>
  requires(Largest >= 64 && cuda::std::has_single_bit(Largest))
struct four_an_octave {
  static constexpr std::size_t largest = Largest;

  /// @pre 1 <= bytes <= largest
  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t index_of(std::size_t bytes) noexcept {
    std::size_t const below = bytes - 1;
    auto const octave = static_cast<std::uint32_t>(cuda::std::bit_width(below | 64)) - 7;
    return 4 * octave + static_cast<std::uint32_t>(below >> (octave + 4));
  }
  [[nodiscard]] static MILLRACE_HD constexpr std::size_t bytes_of(std::uint32_t index) noexcept {
    if (index < 4) { return 16 * (std::size_t{index} + 1); }
    std::uint32_t const octave = (index - 4) / 4;
    return (std::size_t{16} << octave) * (5 + (index - 4) % 4);
  }
  static constexpr std::uint32_t count = index_of(Largest) + 1;
};
static_assert(size_class_policy<four_an_octave<>>);

/// The class for `bytes` at a multiple of `alignment`, a power of two; `C::count` when only whole
/// slabs do.
template <size_class_policy C>
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t class_for(std::size_t bytes,
                                                            std::size_t alignment) noexcept {
  if (alignment > 16) { bytes = (bytes + alignment - 1) & ~(alignment - 1); }
  if (bytes > C::largest) { return C::count; }
  std::uint32_t index = C::index_of(bytes);
  while (alignment > 16 && C::bytes_of(index) % alignment != 0) { ++index; }
  return index;
}

}  // namespace millrace::inline v0::memory
