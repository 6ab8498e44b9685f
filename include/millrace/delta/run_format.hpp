// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/dtype.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/bit_pack.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/key.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

/// \file
/// The names and the header of the one format in which runs are stored and sent:
/// docs/design/delta-format.md is its specification.

namespace millrace::inline v0::delta {

/// The first four bytes of a run, "mrun".
inline constexpr std::uint32_t run_magic = 0x6E75'726D;
/// The last four bytes of a run, "mend".
inline constexpr std::uint32_t run_end_magic = 0x646E'656D;
/// The version that is written, and the only one that is read.
inline constexpr std::uint16_t run_version = 1;
/// Rows that a header does not know, because they were not counted when it was written.
inline constexpr std::uint64_t unknown_rows = ~std::uint64_t{0};
/// Rows of a run at most.
inline constexpr std::uint64_t max_run_rows = std::uint64_t{1} << 40;
/// Every part of a run has a whole number of words of so many bytes, in which lengths are given.
inline constexpr std::uint32_t word_bytes = 4;
/// Bytes of a packed run at most: its offsets are 32 bits and count words.
inline constexpr std::uint64_t max_run_bytes = (std::uint64_t{1} << 32) * word_bytes;
/// Value columns of a run at most.
inline constexpr std::uint32_t max_columns = 32;
/// Bytes of one value at most.
inline constexpr std::uint32_t max_value_size = 512;

/// What a value column of a run may hold. Bytes decide: a struct is stored with its padding. No
/// bool, for which most bytes are no value.
template <class V>
concept run_value =
    change_value<V> && !std::is_same_v<V, bool> && sizeof(V) <= max_value_size && alignof(V) <= 64;

/// How a run keeps its rows.
enum class run_kind : std::uint8_t {
  packed = 0,  ///< blocks of 256 rows, encoded
  raw = 1,     ///< whole columns as they are in memory, at multiples of 64 bytes
};

/// What a value column holds: a dtype, or opaque_type for a struct of `bytes` bytes.
struct column_type {
  std::uint8_t code = 0;
  std::uint16_t bytes = 0;

  [[nodiscard]] friend constexpr bool operator==(column_type, column_type) noexcept = default;
};
/// The code of a column of structs.
inline constexpr std::uint8_t opaque_type = 255;

template <run_value V>
inline constexpr column_type column_type_of = {
    core::is_dtype(core::dtype_of<V>) ? static_cast<std::uint8_t>(core::dtype_of<V>) : opaque_type,
    static_cast<std::uint16_t>(sizeof(V))};

/// What stands at the beginning of a run.
struct run_header {
  run_kind kind = run_kind::packed;
  core::dtype key = core::dtype::u32;
  std::uint64_t rows = unknown_rows;
  std::uint32_t columns = 0;
  column_type column[max_columns] = {};

  /// Bytes of the header in the run.
  [[nodiscard]] constexpr std::uint32_t size_bytes() const noexcept { return 24 + 4 * columns; }
  /// Whether the run is of these types.
  template <change_key K, run_value... Vs>
  [[nodiscard]] constexpr bool describes() const noexcept {
    column_type const all[] = {{}, column_type_of<Vs>...};
    bool same = key == core::dtype_of<K> && columns == sizeof...(Vs);
    for (std::uint32_t i = 0; same && i < columns; ++i) { same = column[i] == all[i + 1]; }
    return same;
  }
};

/// The header of a run of these types.
template <change_key K, run_value... Vs>
[[nodiscard]] constexpr run_header run_header_of(run_kind kind, std::uint64_t rows) noexcept {
  static_assert(sizeof...(Vs) <= max_columns, "a run has at most 32 value columns");
  column_type const all[] = {{}, column_type_of<Vs>...};
  run_header made{kind, core::dtype_of<K>, rows, sizeof...(Vs), {}};
  for (std::uint32_t i = 0; i < sizeof...(Vs); ++i) { made.column[i] = all[i + 1]; }
  return made;
}

namespace detail {

template <class T>
[[nodiscard]] MILLRACE_HD T load(std::byte const* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
template <class T>
void store(std::byte* to, T value) noexcept {
  std::memcpy(to, &value, sizeof(T));
}

[[nodiscard]] MILLRACE_HD constexpr std::size_t whole_words(std::size_t bytes) noexcept {
  return (bytes + word_bytes - 1) / word_bytes * word_bytes;
}
[[nodiscard]] constexpr std::size_t whole_lines(std::size_t bytes) noexcept {
  return (bytes + 63) / 64 * 64;
}

[[nodiscard]] constexpr std::int32_t saturated(std::uint64_t offset) noexcept {
  return offset < INT32_MAX ? static_cast<std::int32_t>(offset) : INT32_MAX;
}
/// That the structure which begins at `offset` is damaged or cut.
[[nodiscard]] constexpr cuda::std::unexpected<error> corrupt(std::uint64_t offset) noexcept {
  return core::fail(errc::corrupt, saturated(offset));
}

[[nodiscard]] inline bool all_zero(std::byte const* from, std::size_t bytes) noexcept {
  bool zero = true;
  for (std::size_t i = 0; i < bytes; ++i) { zero = zero && from[i] == std::byte{0}; }
  return zero;
}

/// Bytes from the beginning of a run that hold the number of columns.
inline constexpr std::uint32_t header_begin_bytes = 20;

/// Bytes of the whole header, of which the first header_begin_bytes are there.
[[nodiscard]] inline result<std::uint32_t> header_size(std::byte const* from) noexcept {
  if (load<std::uint32_t>(from) != run_magic) { return corrupt(0); }
  if (load<std::uint16_t>(from + 4) != run_version) {
    return core::fail(errc::unsupported_version, 4);
  }
  std::uint16_t const columns = load<std::uint16_t>(from + 18);
  if (columns > max_columns) { return corrupt(18); }
  return run_header{.columns = columns}.size_bytes();
}

}  // namespace detail

/// Writes a header.
/// @param out [header.size_bytes()]
inline void write_header(run_header const& header, std::byte* out) noexcept {
  std::size_t const bytes = header.size_bytes();
  std::memset(out, 0, bytes);
  detail::store(out, run_magic);
  detail::store(out + 4, run_version);
  detail::store(out + 6, header.kind);
  detail::store(out + 7, header.key);
  detail::store(out + 8, header.rows);
  detail::store(out + 16, static_cast<std::uint16_t>(block_rows));
  detail::store(out + 18, static_cast<std::uint16_t>(header.columns));
  for (std::uint32_t i = 0; i < header.columns; ++i) {
    detail::store(out + 20 + 4 * i, header.column[i].code);
    detail::store(out + 22 + 4 * i, header.column[i].bytes);
  }
  detail::store(out + bytes - 4, crc32c(out, bytes - 4));
}

/// The header of a run.
/// @param run the run, or what there is of it
/// @error errc::corrupt with the offset of what is wrong, the run's length when it is cut inside
///        the header; errc::unsupported_version
[[nodiscard]] inline result<run_header> read_header(cuda::std::span<std::byte const> run) noexcept {
  std::byte const* const from = run.data();
  if (run.size() < detail::header_begin_bytes) { return detail::corrupt(run.size()); }
  auto const bytes = detail::header_size(from);
  if (!bytes) { return cuda::std::unexpected(bytes.error()); }
  if (run.size() < *bytes) { return detail::corrupt(run.size()); }
  if (crc32c(from, *bytes - 4) != detail::load<std::uint32_t>(from + *bytes - 4)) {
    return detail::corrupt(*bytes - 4);
  }
  run_header found;
  auto const kind = detail::load<std::uint8_t>(from + 6);
  if (kind > static_cast<std::uint8_t>(run_kind::raw)) { return detail::corrupt(6); }
  found.kind = static_cast<run_kind>(kind);
  found.key = static_cast<core::dtype>(detail::load<std::uint8_t>(from + 7));
  if (found.key != core::dtype::u32 && found.key != core::dtype::u64) { return detail::corrupt(7); }
  found.rows = detail::load<std::uint64_t>(from + 8);
  bool const counted = found.rows != unknown_rows;
  if (counted ? found.rows > max_run_rows : found.kind == run_kind::raw) {
    return detail::corrupt(8);
  }
  if (detail::load<std::uint16_t>(from + 16) != block_rows) { return detail::corrupt(16); }
  found.columns = detail::load<std::uint16_t>(from + 18);
  for (std::uint32_t i = 0; i < found.columns; ++i) {
    std::byte const* const at = from + 20 + 4 * i;
    column_type const type = {detail::load<std::uint8_t>(at), detail::load<std::uint16_t>(at + 2)};
    auto const known = static_cast<core::dtype>(type.code);
    bool const sized = type.code == opaque_type
                           ? type.bytes != 0 && type.bytes <= max_value_size
                           : core::is_dtype(known) && type.bytes == core::size_bytes(known);
    if (!sized || at[1] != std::byte{0}) { return detail::corrupt(20 + 4 * i); }
    found.column[i] = type;
  }
  return found;
}

}  // namespace millrace::inline v0::delta
