// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/encode_run.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/run_format.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

/// \file
/// Runs whose columns stand in them as in memory: read without a copy, where they lie.

namespace millrace::inline v0::delta {

namespace detail {

/// Where the columns of a raw run are: keys first, each at a multiple of 64 bytes.
template <class K, class... Vs>
struct raw_layout {
  std::uint64_t at[1 + sizeof...(Vs)] = {};
  std::uint64_t end = 0;  ///< where the checksum is

  explicit constexpr raw_layout(std::uint64_t rows) noexcept {
    constexpr std::uint64_t size[] = {sizeof(K), sizeof(Vs)...};
    end = run_header_of<K, Vs...>(run_kind::raw, rows).size_bytes();
    for (std::size_t i = 0; i < 1 + sizeof...(Vs); ++i) {
      at[i] = whole_lines(end);
      end = at[i] + rows * size[i];
    }
    end = whole_words(end);
  }
};

template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] change_set_ref<K, Vs...> raw_columns(std::byte const* run,
                                                   raw_layout<K, Vs...> const& where,
                                                   std::uint64_t rows,
                                                   std::index_sequence<Is...>) noexcept {
  return change_set_ref<K, Vs...>(reinterpret_cast<K const*>(run + where.at[0]), rows,
                                  reinterpret_cast<Vs const*>(run + where.at[1 + Is])...);
}

template <class K, class... Vs, std::size_t... Is>
void write_columns(change_set_ref<K, Vs...> rows, raw_layout<K, Vs...> const& where, std::byte* out,
                   std::index_sequence<Is...>) noexcept {
  if (rows.empty()) { return; }
  std::memcpy(out + where.at[0], rows.keys().data(), rows.size() * sizeof(K));
  (static_cast<void>(std::memcpy(out + where.at[1 + Is], rows.template values<Is>().data(),
                                 rows.size() * sizeof(Vs))),
   ...);
}

template <class K, class... Vs, std::size_t... Is>
void read_columns(std::byte const* run, raw_layout<K, Vs...> const& where, std::uint64_t rows,
                  change_space<K, Vs...> out, std::index_sequence<Is...>) noexcept {
  if (rows == 0) { return; }
  std::memcpy(out.keys(), run + where.at[0], rows * sizeof(K));
  (static_cast<void>(std::memcpy(static_cast<void*>(out.template values<Is>()),
                                 run + where.at[1 + Is], rows * sizeof(Vs))),
   ...);
}

/// The first row whose key is not above the one before; the number of rows when there is none.
template <class K>
[[nodiscard]] std::uint64_t first_not_above(K const* keys, std::uint64_t rows) noexcept {
  constexpr std::uint64_t step = 1024;
  for (std::uint64_t begin = 1; begin < rows; begin += step) {
    std::uint64_t const end = begin + step < rows ? begin + step : rows;
    std::uint32_t wrong = 0;
    for (std::uint64_t i = begin; i < end; ++i) { wrong |= keys[i] <= keys[i - 1] ? 1u : 0u; }
    if (wrong == 0) { continue; }
    for (std::uint64_t i = begin; i < end; ++i) {
      if (keys[i] <= keys[i - 1]) { return i; }
    }
  }
  return rows;
}

}  // namespace detail

/// Bytes of a raw run; `rows` at most max_run_rows.
template <change_key K, run_value... Vs>
[[nodiscard]] constexpr std::uint64_t raw_bytes(std::uint64_t rows) noexcept {
  return detail::raw_layout<K, Vs...>(rows).end + 8;
}

/// Writes a raw run.
/// @param rows keys strictly increasing
/// @param out  [>= raw_bytes<K, Vs...>(rows.size())], not overlapping the rows
/// @return bytes written, a multiple of 4
/// @error errc::bad_argument, and nothing is written: 1 keys that do not strictly increase, or more
///        rows than a run may have, 2 too short or overlapping the rows
/// @cost O(n), no allocation   @thread any; one caller per out
template <change_key K, run_value... Vs>
[[nodiscard]] result<std::uint64_t> encode_raw(change_set_ref<K, Vs...> rows,
                                               cuda::std::span<std::byte> out,
                                               core::isa which = core::best_isa()) noexcept {
  std::uint64_t const n = rows.size();
  if (n > max_run_rows || detail::first_not_above(rows.keys().data(), n) != n) {
    return core::fail(errc::bad_argument, 1);
  }
  std::uint64_t const bytes = raw_bytes<K, Vs...>(n);
  if (out.size() < bytes ||
      detail::overlaps(rows, out.data(), bytes, std::index_sequence_for<Vs...>{})) {
    return core::fail(errc::bad_argument, 2);
  }
  detail::raw_layout<K, Vs...> const where(n);
  constexpr std::size_t width[] = {sizeof(K), sizeof(Vs)...};
  run_header const header = run_header_of<K, Vs...>(run_kind::raw, n);
  write_header(header, out.data());
  std::uint64_t filled = header.size_bytes();
  for (std::size_t i = 0; i < 1 + sizeof...(Vs); ++i) {  // what lies between columns is zero
    std::memset(out.data() + filled, 0, where.at[i] - filled);
    filled = where.at[i] + n * width[i];
  }
  std::memset(out.data() + filled, 0, where.end - filled);
  detail::write_columns(rows, where, out.data(), std::index_sequence_for<Vs...>{});
  std::size_t const begin = header.size_bytes();
  detail::store(out.data() + where.end, crc32c(out.data() + begin, where.end - begin, 0, which));
  detail::store(out.data() + where.end + 4, run_end_magic);
  return bytes;
}

namespace detail {

/// Looks at all of a raw run but the order of its keys.
template <class K, class... Vs>
[[nodiscard]] result<void> check_raw(cuda::std::span<std::byte const> run, run_header const& header,
                                     core::isa which) noexcept {
  raw_layout<K, Vs...> const where(header.rows);
  if (run.size() != where.end + 8) {
    return corrupt(run.size() < where.end + 8 ? run.size() : where.end + 8);
  }
  std::size_t const begin = header.size_bytes();
  if (crc32c(run.data() + begin, where.end - begin, 0, which) !=
          load<std::uint32_t>(run.data() + where.end) ||
      load<std::uint32_t>(run.data() + where.end + 4) != run_end_magic) {
    return corrupt(where.end);
  }
  return {};
}

}  // namespace detail

/// The rows of a raw run where they lie, without a copy. The bytes stay the caller's, and must not
/// change while the rows are in use.
/// @param run the whole run and nothing else, at an address aligned for K and every V
/// @error errc::bad_argument (1) for an address that is not so aligned; errc::layout_mismatch for a
///        run of other types, or one that is not raw; errc::corrupt with the offset of what is
///        wrong; errc::unsupported_version
/// @cost O(n): the checksum and the keys' order are looked at   @thread any
template <change_key K, run_value... Vs>
[[nodiscard]] result<change_set_ref<K, Vs...>> view_raw(
    cuda::std::span<std::byte const> run, core::isa which = core::best_isa()) noexcept {
  auto const header = read_header(run);
  if (!header) { return cuda::std::unexpected(header.error()); }
  if (!header->template describes<K, Vs...>() || header->kind != run_kind::raw) {
    return core::fail(errc::layout_mismatch);
  }
  std::size_t alignment = alignof(K);
  ((alignment = alignof(Vs) > alignment ? alignof(Vs) : alignment), ...);
  if (reinterpret_cast<std::uintptr_t>(run.data()) % alignment != 0) {
    return core::fail(errc::bad_argument, 1);
  }
  if (auto const good = detail::check_raw<K, Vs...>(run, *header, which); !good) {
    return cuda::std::unexpected(good.error());
  }
  detail::raw_layout<K, Vs...> const where(header->rows);
  auto const rows =
      detail::raw_columns(run.data(), where, header->rows, std::index_sequence_for<Vs...>{});
  std::uint64_t const wrong = detail::first_not_above(rows.keys().data(), header->rows);
  if (wrong != header->rows) { return detail::corrupt(where.at[0] + wrong * sizeof(K)); }
  return rows;
}

/// Copies the rows of a raw run, which may lie at any address.
/// @param out room for its rows, not overlapping it; undefined after an error
/// @return rows written
/// @error as view_raw, but errc::bad_argument (2) for too little room
template <change_key K, run_value... Vs>
[[nodiscard]] result<std::uint64_t> decode_raw(cuda::std::span<std::byte const> run,
                                               change_space<K, Vs...> out,
                                               core::isa which = core::best_isa()) noexcept {
  auto const header = read_header(run);
  if (!header) { return cuda::std::unexpected(header.error()); }
  if (!header->template describes<K, Vs...>() || header->kind != run_kind::raw) {
    return core::fail(errc::layout_mismatch);
  }
  if (auto const good = detail::check_raw<K, Vs...>(run, *header, which); !good) {
    return cuda::std::unexpected(good.error());
  }
  std::uint64_t const rows = header->rows;
  if (out.capacity() < rows) { return core::fail(errc::bad_argument, 2); }
  detail::raw_layout<K, Vs...> const where(rows);
  detail::read_columns(run.data(), where, rows, out, std::index_sequence_for<Vs...>{});
  std::uint64_t const wrong = detail::first_not_above(out.keys(), rows);
  if (wrong != rows) { return detail::corrupt(where.at[0] + wrong * sizeof(K)); }
  return rows;
}

}  // namespace millrace::inline v0::delta
