// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/delta/bit_pack.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/run_footer.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/delta/team.hpp>
#include <millrace/delta/team_bits.hpp>
#include <millrace/delta/team_crc32c.hpp>
#include <millrace/delta/team_decode.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

/// \file
/// Packed runs decoded by warps, each some blocks.

namespace millrace::inline v0::delta {

namespace detail {

/// Blocks that a warp decodes one after the other.
inline constexpr std::uint64_t blocks_per_team = 4;

/// A run that warps decode. Its index, which was checked, is read where it is: in the run's footer.
template <change_key K, run_value... Vs>
struct decode_args {
  std::byte const* run;
  std::uint32_t const* offsets;  ///< [blocks] in words
  K last;                        ///< the run's last key
  std::uint64_t end;             ///< where the last block ends
  std::uint64_t blocks;
  std::uint64_t rows;
  change_space<K, Vs...> out;
  std::uint64_t* good;  ///< the first damaged block; `blocks` at first
  team_crc32c_tables tables;
};

/// @param index of the same bytes as those at `run`, wherever they lie
template <change_key K, run_value... Vs>
[[nodiscard]] decode_args<K, Vs...> decode_args_of(run_index<K> const& index, std::byte const* run,
                                                   change_space<K, Vs...> out,
                                                   std::uint64_t* good) noexcept {
  std::byte const* const last = run + index.offset() + footer_begin_bytes;
  std::byte const* const offsets = last + (index.rows() != 0 ? sizeof(K) : 0);
  return {run,
          reinterpret_cast<std::uint32_t const*>(offsets),
          index.rows() != 0 ? index.last_key() : K{0},
          index.offset(),
          index.blocks(),
          index.rows(),
          out,
          good,
          team_crc32c_table};
}

/// Says that a block is damaged.
template <core::access_policy A>
MILLRACE_HD void report_block(std::uint64_t& good, std::uint64_t block) noexcept {
  std::uint64_t seen = A::load(good, core::relaxed, "decode.good");
  while (block < seen &&
         !A::compare_exchange(good, seen, block, core::relaxed, core::relaxed, "decode.good")) {}
}

/// The blocks of warp number `warp`.
/// @param tables those of args, where they are fast to read
template <core::access_policy A, team Team, class K, class... Vs>
MILLRACE_HD void decode_some(decode_args<K, Vs...> const& args, std::uint64_t warp,
                             team_crc32c_tables const& tables,
                             decode_space<Team>& shared) noexcept {
  std::uint64_t const begin = warp * blocks_per_team;
  for (std::uint64_t b = begin; b < begin + blocks_per_team && b < args.blocks; ++b) {
    std::uint64_t const at = std::uint64_t{args.offsets[b]} * word_bytes;
    bool const last = b + 1 == args.blocks;
    std::uint64_t const end = last ? args.end : std::uint64_t{args.offsets[b + 1]} * word_bytes;
    std::uint64_t const left = args.rows - b * block_rows;
    block_place const block{reinterpret_cast<std::uint32_t const*>(args.run + at), end - at,
                            left < block_rows ? static_cast<std::uint32_t>(left) : block_rows};
    K ends = 0;
    bool const good = decode_block_of<Team>(block, args.out.from(b * block_rows), ends, tables,
                                            shared, std::index_sequence_for<Vs...>{});
    Team::each([&](std::uint32_t rank) {
      if (rank != 0) { return; }
      if (!good || (last && ends != args.last)) { return report_block<A>(*args.good, b); }
      // A block that begins too low is the damaged one. The run does not end before its first key.
      if (last) { return; }
      auto const* const next = reinterpret_cast<std::uint32_t const*>(args.run + end);
      if (ends >= static_cast<K>(bits_at(next + 2, 0, 8 * sizeof(K)))) {
        report_block<A>(*args.good, b + 1);
      }
    });
    Team::sync();  // the next block uses what is shared
  }
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
