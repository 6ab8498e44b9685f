// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/delta/simd/small_gaps.hpp>

#include <cstddef>
#include <cstdint>

/// \file
/// Blocks that follow each other and are nothing but 256 keys whose numbers have 1 to 8 bits: one
/// loop with all that a block needs, because what is called for each block took as long as half of
/// its unpacking.

namespace millrace::inline v0::delta {

#if defined(__x86_64__)
MILLRACE_TARGET_AVX512
namespace detail::avx512 {

/// One of them, as its header says before its checksum has been looked at.
template <class K>
struct small_block {
  static constexpr std::uint32_t header = 8 + sizeof(K);
  std::byte const* at;
  std::uint32_t bits;
  bool small;  ///< whether it is one

  small_block(std::byte const* block, std::uint64_t bytes) noexcept : at{block} {
    auto const about = load<std::uint32_t>(block + 4);  // words, rows - 1 and bits
    bits = about >> 24;
    small = bits - 1 < 8 && bytes == header + bits * 32 &&
            (about & 0xFF'FFFF) == (0xFF'0000 | bytes / word_bytes);
  }
  [[nodiscard]] K first() const noexcept { return load<K>(at + 8); }
};

/// Decodes blocks of a run without values as long as they are small.
/// @param run     the run
/// @param offsets of these blocks, in words, 4 bytes each: count + 1 of them, which rise
/// @param count   at least 1
/// @param out     [256 * count]
/// @param before  the key before these blocks, or null
/// @return blocks that are decoded and good. The next one is of another kind or is damaged, which
///         is for others to say.
template <class K>
[[gnu::noinline]] std::uint64_t decode_small_blocks(std::byte const* run, std::byte const* offsets,
                                                    std::uint64_t count, K* out,
                                                    K const* before) noexcept {
  using padded = avx2::crc32c_padded;
  auto const offset = [offsets](std::uint64_t b) {
    return std::uint64_t{load<std::uint32_t>(offsets + b * 4)} * word_bytes;
  };
  std::uint64_t begin = offset(0), end = offset(1);
  if (end - begin < small_block<K>::header) { return 0; }
  small_block<K> block(run + begin, end - begin);
  if (!block.small) { return 0; }
  std::uint32_t crc = ~avx2::crc32c(block.at + 4, end - begin - 4, ~0u);
  bool follows = before == nullptr || block.first() > *before;
  for (std::uint64_t b = 0;; out += block_rows) {
    if (!block.small || !follows || crc != load<std::uint32_t>(block.at)) { return b; }
    K const first = block.first();
    bool const more = b + 1 < count;
    std::uint64_t const next = more ? offset(b + 2) : end;
    unpack_small_gaps(block.at + block.header, block.bits, first, out, [&] {
      if (!more) { return; }
      std::byte const* const data = run + end + 4;
      std::uint64_t const bytes = next - end - 4;
      if (bytes >= padded::fewest_bytes && bytes <= padded::most_bytes) {
        padded checksum(data, bytes);
        for (std::uint32_t i = 0; i < padded::fewest_steps; ++i) { checksum.step(i); }
        crc = checksum.finish(padded::fewest_steps, bytes);
      } else {
        crc = ~avx2::crc32c(data, bytes, ~0u);
      }
    });
    K const last = out[block_rows - 1];
    if (out[0] != first || last <= first) { return b; }
    ++b;
    if (!more || next - end < small_block<K>::header) { return b; }
    block = small_block<K>(run + end, next - end);
    follows = block.first() > last;
    end = next;
  }
}

}  // namespace detail::avx512
MILLRACE_TARGET_END
#endif

}  // namespace millrace::inline v0::delta
