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
  K const* first_keys;           ///< [blocks + 1] and the last key
  std::uint32_t const* offsets;  ///< [blocks] in words of 8 bytes
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
  std::byte const* const keys = run + index.offset() + footer_begin_bytes;
  std::byte const* const offsets =
      keys + (index.blocks() + (index.rows() != 0 ? 1 : 0)) * sizeof(K);
  return {run,
          reinterpret_cast<K const*>(keys),
          reinterpret_cast<std::uint32_t const*>(offsets),
          index.offset(),
          index.blocks(),
          index.rows(),
          out,
          good,
          team_crc32c_table};
}

/// The blocks of warp number `warp`.
/// @param tables those of args, where they are fast to read
template <core::access_policy A, team Team, class K, class... Vs>
MILLRACE_HD void decode_some(decode_args<K, Vs...> const& args, std::uint64_t warp,
                             team_crc32c_tables const& tables,
                             decode_space<Team>& shared) noexcept {
  std::uint64_t const begin = warp * blocks_per_team;
  for (std::uint64_t b = begin; b < begin + blocks_per_team && b < args.blocks; ++b) {
    std::uint64_t const at = std::uint64_t{args.offsets[b]} * 8;
    bool const last = b + 1 == args.blocks;
    std::uint64_t const end = last ? args.end : std::uint64_t{args.offsets[b + 1]} * 8;
    std::uint64_t const left = args.rows - b * block_rows;
    block_place<K> const block{reinterpret_cast<std::uint32_t const*>(args.run + at),
                               end - at,
                               left < block_rows ? static_cast<std::uint32_t>(left) : block_rows,
                               args.first_keys[b],
                               args.first_keys[b + 1],
                               last};
    bool const good = decode_block_of<Team>(block, args.out.from(b * block_rows), tables, shared,
                                            std::index_sequence_for<Vs...>{});
    Team::each([&](std::uint32_t rank) {
      if (good || rank != 0) { return; }
      std::uint64_t seen = A::load(*args.good, core::relaxed, "decode.good");
      while (b < seen && !A::compare_exchange(*args.good, seen, b, core::relaxed, core::relaxed,
                                              "decode.good")) {}
    });
    Team::sync();  // the next block uses what is shared
  }
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
