// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/bit_pack.hpp>
#include <millrace/delta/bit_rows.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/simd/pack_lanes.hpp>
#include <millrace/delta/simd/small_gaps.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

/// \file
/// The keys of a block: what lies between each and the one before, packed. Number i of the packed
/// block is key[i] - key[i - 1] - 1, and number 0 is 0; the first key is kept beside them. So keys
/// without gaps take no bits, and two equal keys cannot be written down.

namespace millrace::inline v0::delta {

namespace detail {

#if defined(__x86_64__)
/// Packs the keys of a whole block whose numbers have at most 32 bits; else says how many they
/// have, or that they do not increase.
template <class K>
[[nodiscard]] std::uint32_t pack_key_rows(K const* keys, std::byte* out, core::isa which) noexcept {
  std::uint32_t gaps[block_rows];
  std::uint32_t const bits = which == core::isa::avx512
                                 ? detail::avx512::key_gaps<detail::avx512::pack_lanes>(keys, gaps)
                                 : detail::avx2::key_gaps<detail::avx2::pack_lanes>(keys, gaps);
  if (bits <= 32) { pack(gaps, block_rows, bits, out, which); }
  return bits;
}
#endif

}  // namespace detail

/// Packs the keys of a block.
/// @param keys  [count]
/// @param count 1 to 256
/// @param out   [count * sizeof(K)], of which packed_bytes(count, bits) are written
/// @return bits of each packed number, or not_increasing
template <change_key K>
[[nodiscard]] std::uint32_t pack_keys(K const* keys, std::uint32_t count, std::byte* out,
                                      core::isa which = core::best_isa()) noexcept {
#if defined(__x86_64__)
  which = core::usable_isa(which);
  if (count == block_rows && which != core::isa::scalar) {
    std::uint32_t const bits = detail::pack_key_rows(keys, out, which);
    if (bits <= 32 || bits == not_increasing) { return bits; }
  }
#endif
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

/// Bytes whose checksum may be found beside the unpacking of keys, at little cost.
struct bytes_ahead {
  std::byte const* data = nullptr;  ///< with 40 readable bytes before it
  std::size_t bytes = 0;
  bool done = false;      ///< whether `crc` is theirs
  std::uint32_t crc = 0;  ///< CRC32C
};

namespace detail {

#if defined(__x86_64__)
MILLRACE_TARGET_AVX512
namespace avx512 {

/// Keys of 1 to 8 bits.
template <class K>
[[gnu::noinline]] void unpack_small_keys(std::byte const* in, std::uint32_t bits, K first,
                                         K* out) noexcept {
  unpack_small_gaps(in, bits, first, out, [] {});
}
/// The same, and beside it the CRC32C of bytes, as crc32c_padded takes them.
template <class K>
[[gnu::noinline]] std::uint32_t unpack_small_keys(std::byte const* in, std::uint32_t bits, K first,
                                                  K* out, std::byte const* data,
                                                  std::size_t bytes) noexcept {
  std::uint32_t crc = 0;
  unpack_small_gaps(in, bits, first, out, [&] {
    avx2::crc32c_padded checksum(data, bytes);
    for (std::uint32_t i = 0; i < checksum.fewest_steps; ++i) { checksum.step(i); }
    crc = checksum.finish(checksum.fewest_steps, bytes);
  });
  return crc;
}

}  // namespace avx512
MILLRACE_TARGET_END

/// unpack_key_rows by the widest registers, and perhaps a checksum beside.
template <class K>
inline void unpack_key_rows(std::byte const* in, std::uint32_t bits, K first, K* out,
                            bytes_ahead* ahead, core::isa which) noexcept {
  if (which != core::isa::avx512) {
    avx2::unpack_key_rows<avx2::pack_lanes>(in, bits, first, out);
  } else if (bits == 0 || bits > 8) {
    avx512::unpack_key_rows<avx512::pack_lanes>(in, bits, first, out);
  } else if (ahead != nullptr && ahead->bytes >= avx2::crc32c_padded::fewest_bytes &&
             ahead->bytes <= avx2::crc32c_padded::most_bytes) {
    ahead->crc = avx512::unpack_small_keys(in, bits, first, out, ahead->data, ahead->bytes);
    ahead->done = true;
  } else {
    avx512::unpack_small_keys(in, bits, first, out);
  }
}
#endif

}  // namespace detail

/// Unpacks the keys of a block.
/// @param in    [packed_bytes(count, bits)]
/// @param count 1 to 256
/// @param bits  at most K's
/// @param first the first key
/// @param out   [count], whose content is undefined when the answer is false
/// @param ahead bytes whose checksum may be found meanwhile, or null
/// @return false when the numbers are not those of increasing keys: they go beyond the largest key,
///         or the first is not 0
template <change_key K>
[[nodiscard]] bool unpack_keys(std::byte const* in, std::uint32_t count, std::uint32_t bits,
                               K first, K* out, core::isa which = core::best_isa(),
                               [[maybe_unused]] bytes_ahead* ahead = nullptr) noexcept {
#if defined(__x86_64__)
  which = core::usable_isa(which);
  if (count == block_rows && bits <= 24 && which != core::isa::scalar) {
    detail::unpack_key_rows(in, bits, first, out, ahead, which);
    return out[0] == first && out[block_rows - 1] > first;  // less than 2^32 lie between the two
  }
#endif
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
