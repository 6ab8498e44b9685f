// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_rows.hpp>
#include <millrace/delta/bit_stream.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/run_block.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/delta/team.hpp>
#include <millrace/delta/team_crc32c.hpp>
#include <millrace/delta/value_layout.hpp>

#include <cuda/std/bit>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

/// \file
/// One block of a packed run, decoded by the 32 members of a warp: the same rows, and the same
/// blocks refused, as by decode_block. Whole blocks are packed so that each member unpacks eight
/// neighbours alone; sums of gaps and steps are prefix sums over the warp.

namespace millrace::inline v0::delta {

namespace detail {

/// What a warp shares while it decodes a block.
template <team Team>
struct decode_space {
  static_assert(Team::size == 32);
  std::uint64_t numbers[block_rows + 32];  ///< by place(): keys, then numbers of a column
  std::uint32_t words[32];
  std::uint32_t good;
  alignas(value_layout) unsigned char layout[sizeof(value_layout)];
};

/// Where number i is, so that neither eight neighbours a member nor one in turn meet in a bank.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t place(std::uint32_t i) noexcept {
  return i + i / 8;
}

/// `width` bits, at most 64, from bit `first` on; touches the words that hold them only.
[[nodiscard]] MILLRACE_HD inline std::uint64_t bits_at(std::uint32_t const* words,
                                                       std::uint32_t first,
                                                       std::uint32_t width) noexcept {
  if (width == 0) { return 0; }
  std::uint32_t const word = first / 32, shift = first % 32;
  std::uint64_t bits = words[word];
  if (shift + width > 32) { bits |= std::uint64_t{words[word + 1]} << 32; }
  bits >>= shift;
  if (shift + width > 64) { bits |= std::uint64_t{words[word + 2]} << (64 - shift); }
  return bits & low_mask64(width);
}
[[nodiscard]] MILLRACE_HD inline std::byte byte_at(std::uint32_t const* words,
                                                   std::uint32_t i) noexcept {
  return static_cast<std::byte>(words[i / 4] >> (8 * (i % 4)));
}
/// The value whose bytes begin at byte `i`.
template <class V>
[[nodiscard]] MILLRACE_HD V value_at(std::uint32_t const* words, std::uint32_t i) noexcept {
  V value;
  if constexpr (sizeof(V) == 4 || sizeof(V) == 8) {
    auto const bits = static_cast<value_word<V>>(bits_at(words, 8 * i, 8 * sizeof(V)));
    std::memcpy(static_cast<void*>(&value), &bits, sizeof(V));
  } else {
    unsigned char bytes[sizeof(V)];
    for (std::uint32_t b = 0; b < sizeof(V); ++b) {
      bytes[b] = static_cast<unsigned char>(byte_at(words, i + b));
    }
    std::memcpy(static_cast<void*>(&value), bytes, sizeof(V));
  }
  return value;
}

/// Whether all members say yes.
template <team Team, class Yes>
[[nodiscard]] MILLRACE_HD bool all_good(Yes const& yes, decode_space<Team>& shared) noexcept {
  Team::each([&](std::uint32_t rank) { shared.words[rank] = yes[rank]; });
  Team::sync();
  Team::each([&](std::uint32_t rank) {
    if (rank != 0) { return; }
    std::uint32_t all = 1;
    for (std::uint32_t i = 0; i < 32; ++i) { all &= shared.words[i]; }
    shared.good = all;
  });
  Team::sync();
  return shared.good != 0;
}

/// Replaces each member's value by what `op` makes of those of lower rank; 0 is neutral.
template <team Team, class T, class Op>
MILLRACE_HD void exclusive_scan(typename Team::template local<T>& values, Op const& op) noexcept {
  auto sums = values;
  for (std::uint32_t distance = 1; distance < 32; distance *= 2) {
    auto const below = Team::from_below(sums, distance);
    Team::each([&](std::uint32_t rank) { sums[rank] = op(sums[rank], below[rank]); });
  }
  values = Team::from_below(sums, 1);
}

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

/// Which stored number each row has: how many of the rows 1 to `row` store.
class stored_before {
 public:
  /// @param words the block; the column begins at byte `at`
  MILLRACE_HD stored_before(std::uint32_t const* words, std::uint32_t at,
                            value_layout const& layout) noexcept
      : words_{words}, layout_{layout}, at_{at + layout.repeats_at} {}

  /// Of the rows row - row % 32 + 32, so that each is asked for once, upwards.
  [[nodiscard]] MILLRACE_HD std::uint32_t of(std::uint32_t row) noexcept {
    if (layout_.repeats == value_repeats::none) { return row; }
    if (layout_.repeats == value_repeats::bitmap) {
      std::uint32_t const begin = row / 32 * 32, left = (layout_.rows - begin + 7) / 8 * 8;
      auto const map =
          static_cast<std::uint32_t>(bits_at(words_, 8 * at_ + begin, left < 32 ? left : 32));
      std::uint32_t const up_to = map & (~std::uint32_t{0} >> (31 - row % 32));
      std::uint32_t const count = passed_ + popcount(up_to);
      passed_ += popcount(map);
      return count;
    }
    std::uint32_t first = 0, count = layout_.changes;
    while (count != 0) {
      std::uint32_t const half = count / 2;
      bool const behind = static_cast<std::uint32_t>(byte_at(words_, at_ + first + half)) <= row;
      first += behind ? half + 1 : 0;
      count = behind ? count - half - 1 : half;
    }
    return first;
  }

 private:
  [[nodiscard]] static MILLRACE_HD std::uint32_t popcount(std::uint32_t bits) noexcept {
    return static_cast<std::uint32_t>(cuda::std::popcount(bits));
  }

  std::uint32_t const* words_;
  value_layout const& layout_;
  std::uint32_t at_;
  std::uint32_t passed_ = 0;
};

/// The numbers of a column as they are stored, with their patches, into shared.numbers.
template <team Team>
MILLRACE_HD void fetch_numbers(std::uint32_t const* words, std::uint32_t at,
                               value_layout const& layout, decode_space<Team>& shared) noexcept {
  Team::each([&](std::uint32_t rank) {
    for (std::uint32_t i = rank; i < layout.stored; i += 32) {
      shared.numbers[place(i)] =
          bits_at(words, 8 * (at + layout.stream_at) + i * layout.width, layout.width);
    }
  });
  Team::sync();
  if (layout.patches == 0) { return; }
  Team::each([&](std::uint32_t rank) {
    std::uint32_t const positions = at + layout.patches_at, bytes = layout.patch_bytes;
    for (std::uint32_t i = rank; i < layout.patches; i += 32) {
      auto const to = static_cast<std::uint32_t>(byte_at(words, positions + i));
      std::uint64_t const high =
          bits_at(words, 8 * (positions + layout.patches + i * bytes), 8 * bytes);
      shared.numbers[place(to)] |= high << layout.width;
    }
  });
  Team::sync();
}

/// Replaces each stored number by the sum, or difference, of those up to it.
template <team Team>
MILLRACE_HD void sum_numbers(value_layout const& layout, bool narrow,
                             decode_space<Team>& shared) noexcept {
  bool const flip = layout.step == value_step::flip;
  auto const op = [flip](std::uint64_t a, std::uint64_t b) { return flip ? a ^ b : a + b; };
  auto const term = [&](std::uint32_t i) {
    std::uint64_t const stored = i < layout.stored ? shared.numbers[place(i)] : 0;
    if (layout.step != value_step::delta) { return stored; }
    // of 32 bits, the upper half is cut off in the end
    return narrow ? std::uint64_t{from_zigzag(static_cast<std::uint32_t>(stored))}
                  : from_zigzag(stored);
  };
  typename Team::template local<std::uint64_t> sums;
  Team::each([&](std::uint32_t rank) {
    std::uint64_t sum = 0;
    unrolled<8>([&](std::uint32_t i) { sum = op(sum, term(8 * rank + i)); });
    sums[rank] = sum;
  });
  exclusive_scan<Team, std::uint64_t>(sums, op);
  Team::each([&](std::uint32_t rank) {
    std::uint64_t sum = sums[rank];
    unrolled<8>([&](std::uint32_t i) {
      sum = op(sum, term(8 * rank + i));
      shared.numbers[place(8 * rank + i)] = sum;
    });
  });
  Team::sync();
}

/// A column of numbers. @return whether they are ones that an encoder writes
template <team Team, class V>
[[nodiscard]] MILLRACE_HD bool decode_numbers_of(std::uint32_t const* words, std::uint32_t at,
                                                 value_layout const& layout, V* out,
                                                 decode_space<Team>& shared) noexcept {
  bool const narrow = sizeof(V) == 4 || !layout.wide;
  bool const decimal =
      layout.scheme != value_scheme::integer && layout.scheme != value_scheme::pattern;
  bool const sums = layout.step != value_step::none;
  fetch_numbers<Team>(words, at, layout, shared);
  if (sums) { sum_numbers<Team>(layout, narrow, shared); }
  // of narrow numbers of 8 bytes the base is no part of the sum
  std::uint64_t const start = sizeof(V) == 8 && narrow ? 0 : layout.base;
  typename Team::template local<std::uint32_t> good;
  Team::each([&](std::uint32_t rank) {
    double const power = power_of_ten(layout.exponent);
    stored_before index(words, at, layout);
    bool whole = true;
    for (std::uint32_t row = rank; row < layout.rows; row += 32) {
      std::uint32_t const before = index.of(row);
      std::uint64_t const stored = shared.numbers[place(before)];
      std::uint64_t number = 0;
      switch (layout.step) {
        case value_step::flip: number = start ^ stored; break;
        case value_step::ramp: number = start + (before + 1) * layout.slope + stored; break;
        default: number = start + stored; break;
      }
      if (narrow) {
        number = static_cast<std::uint64_t>(
            std::int64_t{static_cast<std::int32_t>(static_cast<std::uint32_t>(number))});
      }
      if (sizeof(V) == 8 && narrow) { number += layout.base; }
      if (decimal) {
        auto const signed_number = static_cast<std::int64_t>(number);
        whole = whole && signed_number >= -end_decimal && signed_number < end_decimal;
      }
      out[row] = value_of_number<V>(layout, power, number);
    }
    good[rank] = whole ? 1 : 0;
  });
  bool const all = all_good<Team>(good, shared);
  Team::each([&](std::uint32_t rank) {
    std::uint32_t const positions = at + layout.exceptions_at;
    for (std::uint32_t i = rank; i < layout.exceptions; i += 32) {
      out[static_cast<std::uint32_t>(byte_at(words, positions + i))] = value_at<V>(
          words, positions + layout.exceptions + i * static_cast<std::uint32_t>(sizeof(V)));
    }
  });
  return all;
}

/// A column whose bytes stand in planes, each for all rows.
template <team Team, class V>
MILLRACE_HD void decode_planes_of(std::uint32_t const* words, std::uint32_t at,
                                  value_layout const& layout, V* out) noexcept {
  constexpr std::uint32_t size = sizeof(V);
  Team::each([&](std::uint32_t rank) {
    auto const constant = [&](std::uint32_t b) {
      return (static_cast<std::uint32_t>(byte_at(words, at + 1 + b / 8)) >> (b % 8) & 1) != 0;
    };
    std::uint32_t same = at + 1 + (size + 7) / 8, plane = same;
    for (std::uint32_t b = 0; b < size; ++b) { plane += constant(b) ? 1 : 0; }
    auto* const bytes = reinterpret_cast<std::byte*>(out);
    for (std::uint32_t b = 0; b < size; ++b) {
      bool const alike = constant(b);
      for (std::uint32_t row = rank; row < layout.rows; row += 32) {
        bytes[row * size + b] = byte_at(words, alike ? same : plane + row);
      }
      alike ? ++same : plane += layout.rows;
    }
  });
}

/// A column of a block, which has `bytes` bytes from byte `at` on.
/// @return whether it is as it should be; if not, `out` may have been written
template <team Team, class V>
[[nodiscard]] MILLRACE_HD bool decode_column(std::uint32_t const* words, std::uint32_t at,
                                             std::uint32_t bytes, std::uint32_t rows, V* out,
                                             decode_space<Team>& shared) noexcept {
  auto* const kept = reinterpret_cast<value_layout*>(shared.layout);
  Team::each([&](std::uint32_t rank) {
    if (rank != 0) { return; }
    auto const found = parse_values<V>(reinterpret_cast<std::byte const*>(words) + at, bytes, rows);
    shared.good = found.has_value() ? 1 : 0;
    if (found) { *kept = *found; }
  });
  Team::sync();
  if (shared.good == 0) { return false; }
  value_layout const& layout = *kept;
  switch (layout.scheme) {
    case value_scheme::raw:
    case value_scheme::constant:
      Team::each([&](std::uint32_t rank) {
        std::uint32_t const step = layout.scheme == value_scheme::raw ? sizeof(V) : 0;
        for (std::uint32_t row = rank; row < rows; row += 32) {
          out[row] = value_at<V>(words, at + 1 + row * step);
        }
      });
      return true;
    case value_scheme::planes: decode_planes_of<Team>(words, at, layout, out); return true;
    default: break;
  }
  if constexpr (float_value<V> || integer_value<V>) {
    return decode_numbers_of<Team>(words, at, layout, out, shared);
  } else {
    return false;
  }
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
