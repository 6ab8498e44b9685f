// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/bit_rows.hpp>
#include <millrace/delta/simd/pack_lanes.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::delta {

/// Packs numbers of 32 bits.
/// @param in    [count] each below 2^bits
/// @param count 1 to 256
/// @param bits  0 to 32
/// @param out   [packed_bytes(count, bits)]
/// @cost one pass, no allocation   @thread any
inline void pack(std::uint32_t const* in, std::uint32_t count, std::uint32_t bits, std::byte* out,
                 [[maybe_unused]] core::isa which = core::best_isa()) noexcept {
  MILLRACE_ASSERT(count <= block_rows && bits <= 32 && bits_needed(in, count) <= bits);
  if (bits == 0) { return; }
  if (count != block_rows) { return detail::pack_short(in, count, bits, out); }
#if defined(__x86_64__)
  switch (core::usable_isa(which)) {
    case core::isa::avx512:
      return detail::avx512::pack_whole<detail::avx512::pack_lanes>(in, bits, out);
    case core::isa::avx2: return detail::avx2::pack_whole<detail::avx2::pack_lanes>(in, bits, out);
    case core::isa::scalar: break;
  }
#endif
  detail::pack_whole(in, bits, out);
}

/// Packs numbers of 64 bits; `bits` up to 64.
inline void pack(std::uint64_t const* in, std::uint32_t count, std::uint32_t bits, std::byte* out,
                 core::isa which = core::best_isa()) noexcept {
  std::uint32_t half[block_rows];
  if (count == 0) { return; }  // never; GCC warns of what would then be read
  for (std::uint32_t i = 0; i < count; ++i) { half[i] = static_cast<std::uint32_t>(in[i]); }
  std::uint32_t const low = bits < 32 ? bits : 32;
  pack(half, count, low, out, which);
  if (bits <= 32) { return; }
  for (std::uint32_t i = 0; i < count; ++i) { half[i] = static_cast<std::uint32_t>(in[i] >> 32); }
  pack(half, count, bits - 32, out + packed_bytes(count, 32), which);
}

/// Unpacks numbers of 32 bits and adds `base` to each, modulo 2^32: a frame of reference.
/// @param in    [packed_bytes(count, bits)], of any alignment
/// @param count 1 to 256
/// @param bits  0 to 32
/// @param out   [count], not overlapping `in`
/// @cost one pass, no allocation   @thread any
inline void unpack(std::byte const* in, std::uint32_t count, std::uint32_t bits, std::uint32_t base,
                   std::uint32_t* out, core::isa = core::best_isa()) noexcept {
  MILLRACE_ASSERT(count <= block_rows && bits <= 32);
  if (count != block_rows) {
    for (std::uint32_t i = 0; i < count; ++i) { out[i] = base + unpack_one(in, bits, i); }
    return;
  }
  for (std::uint32_t row = 0; row < block_rows / row_lanes; ++row, out += row_lanes) {
    std::uint32_t values[row_lanes];
    unpack_row(unaligned_words{in}, bits, row, values);
    for (std::uint32_t lane = 0; lane < row_lanes; ++lane) { out[lane] = base + values[lane]; }
  }
}

/// Unpacks numbers of 64 bits and adds `base` to each, modulo 2^64; `bits` up to 64.
inline void unpack(std::byte const* in, std::uint32_t count, std::uint32_t bits, std::uint64_t base,
                   std::uint64_t* out, core::isa which = core::best_isa()) noexcept {
  MILLRACE_ASSERT(count <= block_rows && bits <= 64);
  std::uint32_t half[block_rows];
  unpack(in, count, bits < 32 ? bits : 32, std::uint32_t{0}, half, which);
  for (std::uint32_t i = 0; i < count; ++i) { out[i] = base + half[i]; }
  if (bits <= 32) { return; }
  unpack(in + packed_bytes(count, 32), count, bits - 32, std::uint32_t{0}, half, which);
  for (std::uint32_t i = 0; i < count; ++i) { out[i] += static_cast<std::uint64_t>(half[i]) << 32; }
}

}  // namespace millrace::inline v0::delta
