// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::delta {

/// What a run holds, in 64 bits: the same for the same rows in the same order, on host and device,
/// in this version and later ones. Two hashes of neighbouring slices give that of both.
///
/// A row is its key and its values, byte by byte without gaps, little-endian, filled up with zeros
/// to words of 64 bits. Its hash h begins as 0x9E3779B97F4A7C15; for each word w, it becomes the
/// upper half xor the lower half of the 128-bit product of (h xor w) and 0xA0761D6478BD642F. The
/// lowest 61 bits of it are the digit of the row, and `sum` is the number with these digits to the
/// base 0x1A2F5C8D3B7E9461, first row first, modulo the prime 2^61 - 1. No secret: whoever picks
/// the rows can make two runs of one hash.
/// @source Karp, Rabin, "Efficient randomized pattern-matching algorithms", 1987; the product of
///         halves: Makarov, mum-hash, 2016, and Wang, wyhash, 2019 (whose first constant it is)
struct run_hash {
  std::uint64_t sum = 0;   ///< below 2^61 - 1
  std::uint64_t rows = 0;  ///< hashed

  /// Both in one number, for tables: mixed as the words of a row are.
  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t value() const noexcept;

  [[nodiscard]] friend MILLRACE_HD constexpr bool operator==(run_hash a, run_hash b) noexcept {
    return a.sum == b.sum && a.rows == b.rows;
  }
};

namespace detail {

inline constexpr std::uint64_t hash_prime = (std::uint64_t{1} << 61) - 1;
inline constexpr std::uint64_t hash_base = 0x1A2F'5C8D'3B7E'9461u;
inline constexpr std::uint64_t hash_start = 0x9E37'79B9'7F4A'7C15u;
inline constexpr std::uint64_t hash_factor = 0xA076'1D64'78BD'642Fu;

__extension__ using hash_wide = unsigned __int128;

[[nodiscard]] MILLRACE_HD constexpr std::uint64_t mixed(std::uint64_t hash,
                                                        std::uint64_t word) noexcept {
  hash_wide const product = static_cast<hash_wide>(hash ^ word) * hash_factor;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}
/// A number of less than 125 bits modulo the prime, below 2^62 + 8.
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t folded(hash_wide x) noexcept {
  std::uint64_t const low = static_cast<std::uint64_t>(x) & hash_prime;
  auto const high = static_cast<std::uint64_t>(x >> 61);  // below 2^64
  return low + (high & hash_prime) + (high >> 61);
}
/// The one number below the prime.
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t reduced(std::uint64_t x) noexcept {
  std::uint64_t const once = (x & hash_prime) + (x >> 61);
  return once >= hash_prime ? once - hash_prime : once;
}
/// a * b + c modulo the prime, for numbers of up to 62 bits.
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t multiply_add(std::uint64_t a, std::uint64_t b,
                                                               std::uint64_t c) noexcept {
  return reduced(folded(static_cast<hash_wide>(a) * b + c));
}

/// The base to the power of `rows`.
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t hash_power(std::uint64_t rows) noexcept {
  std::uint64_t power = 1, square = hash_base;
  for (; rows != 0; rows >>= 1) {
    if ((rows & 1) != 0) { power = multiply_add(power, square, 0); }
    square = multiply_add(square, square, 0);
  }
  return power;
}

/// Puts the bytes of a value behind the `Offset` that `words` holds.
template <std::size_t Offset, class V>
MILLRACE_HD void pack(std::uint64_t* words, V const& value) noexcept {
  constexpr std::size_t shift = Offset % 8 * 8;
  for (std::size_t at = 0; at < sizeof(V); at += 8) {
    std::uint64_t piece = 0;
    std::memcpy(&piece, reinterpret_cast<unsigned char const*>(&value) + at,
                sizeof(V) - at < 8 ? sizeof(V) - at : 8);
    std::size_t const word = (Offset + at) / 8;
    words[word] |= piece << shift;
    if constexpr (shift != 0) {
      if (sizeof(V) - at > 8 - Offset % 8) { words[word + 1] |= piece >> (64 - shift); }
    }
  }
}

/// The digit of a row, below 2^61.
template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD std::uint64_t row_digit(change_set_ref<K, Vs...> const& rows,
                                                  std::size_t i,
                                                  std::index_sequence<Is...>) noexcept {
  constexpr std::size_t sizes[] = {sizeof(K), sizeof(Vs)...};
  constexpr auto offset = [](std::size_t column) {
    std::size_t before = 0;
    for (std::size_t c = 0; c < column; ++c) { before += sizes[c]; }
    return before;
  };
  constexpr std::size_t words = (offset(1 + sizeof...(Vs)) + 7) / 8;
  std::uint64_t row[words] = {};
  pack<0>(row, rows.keys().data()[i]);
  (pack<offset(Is + 1)>(row, rows.template values<Is>().data()[i]), ...);
  std::uint64_t hash = hash_start;
  for (std::size_t w = 0; w < words; ++w) { hash = mixed(hash, row[w]); }
  return hash & hash_prime;
}

}  // namespace detail

MILLRACE_HD constexpr std::uint64_t run_hash::value() const noexcept {
  return detail::mixed(detail::mixed(detail::hash_start, sum), rows);
}

/// The hash of the rows of `first` with those of `second` behind them.
/// @cost O(log second.rows)
[[nodiscard]] MILLRACE_HD constexpr run_hash joined(run_hash first, run_hash second) noexcept {
  return {
      detail::reduced(detail::multiply_add(first.sum, detail::hash_power(second.rows), second.sum)),
      first.rows + second.rows};
}

/// The hash of a run's rows.
/// @cost O(n), some gigabytes a second on one core  @thread any, host or device
template <change_key K, change_value... Vs>
[[nodiscard]] MILLRACE_HD run_hash hash(change_set_ref<K, Vs...> rows) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  constexpr std::uint64_t powers[] = {detail::hash_power(1), detail::hash_power(2),
                                      detail::hash_power(3), detail::hash_power(4)};
  using wide = detail::hash_wide;
  std::uint64_t sum = 0;
  std::size_t i = 0;
  for (; i + 4 <= rows.size(); i += 4) {  // four digits to a reduction
    wide all = static_cast<wide>(sum) * powers[3] + detail::row_digit(rows, i + 3, columns);
    for (std::size_t k = 0; k < 3; ++k) {
      all += static_cast<wide>(detail::row_digit(rows, i + k, columns)) * powers[2 - k];
    }
    sum = detail::folded(all);
    sum = (sum & detail::hash_prime) + (sum >> 61);
  }
  for (; i < rows.size(); ++i) {
    sum = detail::multiply_add(sum, powers[0], detail::row_digit(rows, i, columns));
  }
  return {detail::reduced(sum), rows.size()};
}

namespace detail {

template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] bool same_columns(change_set_ref<K, Vs...> const& a,
                                change_set_ref<K, Vs...> const& b,
                                std::index_sequence<Is...>) noexcept {
  return std::memcmp(a.keys().data(), b.keys().data(), a.size() * sizeof(K)) == 0 &&
         ((std::memcmp(static_cast<void const*>(a.template values<Is>().data()),
                       b.template values<Is>().data(), a.size() * sizeof(Vs)) == 0) &&
          ...);
}

}  // namespace detail

/// What operator== says, column by column at the speed of memory.
/// @cost O(n), host only
template <change_key K, change_value... Vs>
[[nodiscard]] bool same_rows(change_set_ref<K, Vs...> a, change_set_ref<K, Vs...> b) noexcept {
  if (a.size() != b.size()) { return false; }
  return a.empty() || detail::same_columns(a, b, std::index_sequence_for<Vs...>{});
}

}  // namespace millrace::inline v0::delta
