// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/bit_pack.hpp>
#include <millrace/delta/key.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

/// \file
/// The keys of a block: what lies between each and the one before, packed. Number i of the packed
/// block is key[i] - key[i - 1] - 1, and number 0 is 0; the first key is kept beside them. So keys
/// without gaps take no bits, and two equal keys cannot be written down.

namespace millrace::inline v0::delta {

/// What pack_keys says of keys that do not increase.
inline constexpr std::uint32_t not_increasing = 255;

/// Packs the keys of a block.
/// @param keys  [count]
/// @param count 1 to 256
/// @param out   [count * sizeof(K)], of which packed_bytes(count, bits) are written
/// @return bits of each packed number, or not_increasing
template <change_key K>
[[nodiscard]] std::uint32_t pack_keys(K const* keys, std::uint32_t count, std::byte* out,
                                      core::isa which = core::best_isa()) noexcept {
  K gaps[block_rows];
  K all = 0;
  bool increasing = true;
  gaps[0] = 0;
  for (std::uint32_t i = 1; i < count; ++i) {
    gaps[i] = static_cast<K>(keys[i] - keys[i - 1] - 1);
    all |= gaps[i];
    increasing = increasing && keys[i - 1] < keys[i];
  }
  if (!increasing) { return not_increasing; }
  auto const bits = static_cast<std::uint32_t>(std::bit_width(all));
  pack(gaps, count, bits, out, which);
  return bits;
}

/// Unpacks the keys of a block.
/// @param in    [packed_bytes(count, bits)]
/// @param count 1 to 256
/// @param bits  at most K's
/// @param first the first key
/// @param out   [count], whose content is undefined when the answer is false
/// @return false when the numbers are not those of increasing keys: they go beyond the largest key,
///         or the first is not 0
template <change_key K>
[[nodiscard]] bool unpack_keys(std::byte const* in, std::uint32_t count, std::uint32_t bits,
                               K first, K* out, core::isa which = core::best_isa()) noexcept {
  unpack(in, count, bits, K{0}, out, which);
  bool increasing = out[0] == 0;
  out[0] = first;
  for (std::uint32_t i = 1; i < count; ++i) {
    out[i] = static_cast<K>(out[i] + out[i - 1] + 1);
    increasing = increasing && out[i - 1] < out[i];  // a gap is at most 2^bits: a wrap falls back
  }
  return increasing;
}

}  // namespace millrace::inline v0::delta
