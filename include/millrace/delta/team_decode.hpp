// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_rows.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/run_block.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/delta/team.hpp>
#include <millrace/delta/team_bits.hpp>
#include <millrace/delta/team_crc32c.hpp>
#include <millrace/delta/team_values.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

/// \file
/// One block of a packed run, decoded by the 32 members of a warp: the same rows, and the same
/// blocks refused, as by decode_block. Whole blocks are packed so that each member unpacks eight
/// neighbours alone; sums of gaps and steps are prefix sums over the warp.

namespace millrace::inline v0::delta {

namespace detail {

/// What lies between the eight keys of a member and those before them.
template <class K>
MILLRACE_HD void unpack_gaps(std::uint32_t const* words, std::uint32_t at, std::uint32_t rows,
                             std::uint32_t bits, std::uint32_t rank, K (&gaps)[8]) noexcept {
  std::uint32_t const low = bits < 32 ? bits : 32, high = bits - low;
  if (rows == block_rows) {
    std::uint32_t half[row_lanes];
    unpack_row(words + at / 4, low, rank, half);
    unrolled<8>([&](std::uint32_t i) { gaps[i] = half[i]; });
    if (sizeof(K) == 4 || high == 0) { return; }
    unpack_row(words + (at + packed_bytes(rows, 32)) / 4, high, rank, half);
    unrolled<8>(
        [&](std::uint32_t i) { gaps[i] = static_cast<K>(gaps[i] | std::uint64_t{half[i]} << 32); });
    return;
  }
  unrolled<8>([&](std::uint32_t i) {
    std::uint32_t const row = 8 * rank + i;
    gaps[i] = 0;
    if (row >= rows) { return; }
    std::uint64_t gap = bits_at(words, 8 * at + row * low, low);
    if (high != 0) {
      gap |= bits_at(words, 8 * (at + packed_bytes(rows, 32)) + row * high, high) << 32;
    }
    gaps[i] = static_cast<K>(gap);
  });
}

/// The keys of a block, into out and shared.numbers.
/// @return whether they increase
template <team Team, class K>
[[nodiscard]] MILLRACE_HD bool decode_keys(std::uint32_t const* words, std::uint32_t at,
                                           block_header const& header, K* out,
                                           decode_space<Team>& shared) noexcept {
  struct eight {
    K gap[8];
  };
  typename Team::template local<eight> gaps;
  typename Team::template local<K> before;
  typename Team::template local<std::uint32_t> good;
  Team::each([&](std::uint32_t rank) {
    unpack_gaps(words, at, header.rows, header.key_bits, rank, gaps[rank].gap);
    K sum = 0;
    unrolled<8>([&](std::uint32_t i) {
      std::uint32_t const row = 8 * rank + i;
      sum = static_cast<K>(sum + gaps[rank].gap[i] + (row != 0 ? 1 : 0));
    });
    before[rank] = sum;
  });
  exclusive_scan<Team, K>(before, [](K a, K b) { return static_cast<K>(a + b); });
  Team::each([&](std::uint32_t rank) {
    auto key = static_cast<K>(before[rank] + static_cast<K>(header.first));
    bool increase = true;
    unrolled<8>([&](std::uint32_t i) {
      std::uint32_t const row = 8 * rank + i;
      auto const next = static_cast<K>(key + gaps[rank].gap[i] + (row != 0 ? 1 : 0));
      if (row < header.rows) {
        increase = increase && (row != 0 ? key < next : gaps[rank].gap[i] == 0);
        shared.numbers[place(row)] = next;
      }
      key = next;
    });
    good[rank] = increase ? 1 : 0;
  });
  bool const all = all_good<Team>(good, shared);
  Team::each([&](std::uint32_t rank) {
    for (std::uint32_t row = rank; row < header.rows; row += 32) {
      out[row] = static_cast<K>(shared.numbers[place(row)]);
    }
  });
  return all;
}

/// What is known of a block before it is read: the index says it.
struct block_place {
  std::uint32_t const* words;  ///< the block
  std::uint64_t bytes;
  std::uint32_t rows;
};

/// The header of a block, when it is what the index says and its checksum is right.
/// @return false otherwise, in every member
template <team Team, class K, class... Vs>
[[nodiscard]] MILLRACE_HD bool check_block_of(block_place const& block, block_header& header,
                                              team_crc32c_tables const& tables,
                                              decode_space<Team>& shared) noexcept {
  std::uint32_t const* const words = block.words;
  if (!is_block_length<K, Vs...>(block.bytes)) { return false; }
  header.bytes = std::size_t{words[1] & 0xFFFF} * word_bytes;
  if (header.bytes != block.bytes) { return false; }
  auto const count = static_cast<std::uint32_t>(header.bytes / 4 - 1);
  bool const right = team_crc32c_is<Team>(words[0], words + 1, count, tables, shared.words);
  Team::sync();
  if (!right) { return false; }
  header.rows = 1 + (words[1] >> 16 & 0xFF);
  header.key_bits = words[1] >> 24;
  header.first = bits_at(words + 2, 0, 8 * sizeof(K));
  if (header.rows != block.rows) { return false; }
  std::size_t used = 0;
  auto const column_bytes = [words](std::uint32_t i) { return words[2 + sizeof(K) / 4 + i]; };
  if (!add_parts<K, Vs...>(header, column_bytes, used) || whole_words(used) != header.bytes) {
    return false;
  }
  auto const end = static_cast<std::uint32_t>(used),
             spare = 8 * (static_cast<std::uint32_t>(header.bytes) - end);
  return bits_at(words, 8 * end, spare) == 0;
}

/// Decodes a block.
/// @param last its last key
/// @return whether it is as an encoder writes it, the same in every member; if not, `out` is
///         undefined
template <team Team, class K, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD bool decode_block_of(block_place const& block,
                                               change_space<K, Vs...> const& out, K& last,
                                               team_crc32c_tables const& tables,
                                               decode_space<Team>& shared,
                                               std::index_sequence<Is...>) noexcept {
  block_header header;
  if (!check_block_of<Team, K, Vs...>(block, header, tables, shared)) { return false; }
  std::uint32_t at = block_header_bytes<K, Vs...>;
  bool good = decode_keys<Team>(block.words, at, header, out.keys(), shared);
  last = static_cast<K>(shared.numbers[place(header.rows - 1)]);
  at += packed_bytes(header.rows, header.key_bits);
  [[maybe_unused]] auto const next = [&](std::uint32_t i, auto* to) {
    Team::sync();  // the column before may still be read from what is shared
    if (!good) { return; }
    std::uint32_t const bytes = block.words[2 + sizeof(K) / 4 + i];
    good = decode_column<Team>(block.words, at, bytes, header.rows, to, shared);
    at += bytes;
  };
  (next(Is, out.template values<Is>()), ...);
  return good;
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
