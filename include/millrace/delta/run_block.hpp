// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/bit_pack.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/key_codec.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/delta/value_codec.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

/// \file
/// One block of a packed run: at most 256 rows. Its words: checksum of all that follows it in the
/// block, length in words of 4 bytes (16 bits), rows - 1 (8), bits of a packed key (8), first key,
/// bytes of each value column (32 each), packed keys, values, zero bytes up to a whole word.

namespace millrace::inline v0::delta {

/// Bytes of a block before its packed keys.
template <change_key K, run_value... Vs>
inline constexpr std::size_t block_header_bytes = 8 + sizeof(K) + 4 * sizeof...(Vs);

/// Bytes of a block of `rows` rows at most.
template <change_key K, run_value... Vs>
[[nodiscard]] MILLRACE_HD constexpr std::size_t max_block_bytes(
    std::uint32_t rows = block_rows) noexcept {
  return detail::whole_words(block_header_bytes<K, Vs...> + rows * sizeof(K) +
                             (std::size_t{0} + ... + max_value_bytes<Vs>(rows)));
}

/// Whether a block of these types can have so many bytes. Asked before any of them is read.
template <change_key K, run_value... Vs>
[[nodiscard]] MILLRACE_HD constexpr bool is_block_length(std::size_t bytes) noexcept {
  constexpr std::size_t least = block_header_bytes<K, Vs...>, most = max_block_bytes<K, Vs...>();
  return bytes >= least && bytes <= most;
}

/// Writes a block.
/// @param rows [1 to 256]
/// @param out  [max_block_bytes(rows.size())]
/// @return bytes written, a multiple of 4; 0 when the keys do not increase
template <change_key K, run_value... Vs>
[[nodiscard]] std::size_t encode_block(change_set_ref<K, Vs...> rows, std::byte* out,
                                       core::isa which = core::best_isa()) noexcept;

/// What stands at the beginning of a block whose checksum is right.
struct block_header {
  std::size_t bytes = 0;  ///< of the whole block
  std::uint32_t rows = 0;
  std::uint32_t key_bits = 0;
  std::uint64_t first = 0;  ///< key
};

namespace detail {

/// Bytes of a column's values, as a block's header says.
template <class K>
struct column_bytes {
  std::byte const* block;

  [[nodiscard]] MILLRACE_HD std::uint32_t operator()(std::size_t column) const noexcept {
    return load<std::uint32_t>(block + 8 + sizeof(K) + 4 * column);
  }
};

/// Adds up the parts of a block.
/// @param column_bytes what the header says of column i
/// @param used  bytes of the header, the packed keys and the values, when the answer is true
/// @return false when one of them is longer than it can be
template <change_key K, run_value... Vs, class ColumnBytes>
[[nodiscard]] MILLRACE_HD bool add_parts(block_header const& header,
                                         [[maybe_unused]] ColumnBytes const& column_bytes,
                                         std::size_t& used) noexcept {
  if (header.key_bits > 8 * sizeof(K)) { return false; }
  used = block_header_bytes<K, Vs...> + packed_bytes(header.rows, header.key_bits);
  bool fit = true;
  [[maybe_unused]] std::uint32_t i = 0;
  [[maybe_unused]] auto const add = [&](std::size_t most) {
    std::uint32_t const bytes = column_bytes(i++);
    fit = fit && bytes <= most;
    used += bytes;
  };
  (add(max_value_bytes<Vs>(header.rows)), ...);
  return fit;
}

}  // namespace detail

// What follows answers with a bool: a result that is built inline goes through memory, in whose
// wide load a block would spend half of its time.

/// Looks at the checksum of a block, then at its header. What else is in it is as it was written,
/// but for a writer's mistake or malice.
/// @param at    the block, and what follows it, `room` bytes in all
/// @param found filled when the answer is true
/// @param known what the decoding of another block may have found out of this one, or null
/// @return false when the block is damaged or cut
template <change_key K, run_value... Vs>
[[nodiscard]] bool check_block(std::byte const* at, std::size_t room, block_header& found,
                               core::isa which = core::best_isa(),
                               bytes_ahead const* known = nullptr) noexcept {
  if (room < block_header_bytes<K, Vs...>) { return false; }
  std::size_t const bytes = std::size_t{detail::load<std::uint16_t>(at + 4)} * word_bytes;
  if (!is_block_length<K, Vs...>(bytes) || bytes > room) { return false; }
  bool const done =
      known != nullptr && known->done && known->data == at + 4 && known->bytes == bytes - 4;
  std::uint32_t const crc = done ? known->crc : crc32c(at + 4, bytes - 4, 0, which);
  if (crc != detail::load<std::uint32_t>(at)) { return false; }
  found.bytes = bytes;
  found.rows = 1u + detail::load<std::uint8_t>(at + 6);
  found.key_bits = detail::load<std::uint8_t>(at + 7);
  found.first = detail::load<K>(at + 8);
  std::size_t used = 0;
  detail::column_bytes<K> const column_bytes{at};
  return detail::add_parts<K, Vs...>(found, column_bytes, used) &&
         detail::whole_words(used) == bytes && detail::all_zero(at + used, bytes - used);
}

/// The keys of a block that was checked.
/// @param out   [header.rows], undefined when the answer is false
/// @param ahead bytes whose checksum may be found meanwhile, or null
/// @return false when they do not increase
template <change_key K, run_value... Vs>
[[nodiscard]] bool decode_block_keys(std::byte const* at, block_header const& header, K* out,
                                     core::isa which = core::best_isa(),
                                     bytes_ahead* ahead = nullptr) noexcept {
  return unpack_keys(at + block_header_bytes<K, Vs...>, header.rows, header.key_bits,
                     static_cast<K>(header.first), out, which, ahead);
}

namespace detail {

template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] std::size_t encode_values_of(change_set_ref<K, Vs...> rows, std::byte* block,
                                           std::size_t used, [[maybe_unused]] core::isa which,
                                           std::index_sequence<Is...>) noexcept {
  [[maybe_unused]] auto const count = static_cast<std::uint32_t>(rows.size());
  [[maybe_unused]] auto const column = [&](std::size_t i, std::size_t bytes) {
    store(block + 8 + sizeof(K) + 4 * i, static_cast<std::uint32_t>(bytes));
    used += bytes;
  };
  (column(Is, encode_values<Vs>(rows.template values<Is>().data(), count, block + used, which)),
   ...);
  return used;
}

template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] bool decode_values_of(std::byte const* block, block_header const& header,
                                    [[maybe_unused]] change_space<K, Vs...> out,
                                    [[maybe_unused]] core::isa which,
                                    std::index_sequence<Is...>) noexcept {
  [[maybe_unused]] std::size_t at =
      block_header_bytes<K, Vs...> + packed_bytes(header.rows, header.key_bits);
  bool good = true;
  [[maybe_unused]] auto const next = [&](std::size_t i, auto* to) {
    if (!good) { return; }
    using V = std::remove_reference_t<decltype(*to)>;
    auto const bytes = std::size_t{load<std::uint32_t>(block + 8 + sizeof(K) + 4 * i)};
    good = decode_values<V>(block + at, bytes, to, header.rows, which).has_value();
    at += bytes;
  };
  (next(Is, out.template values<Is>()), ...);
  return good;
}

}  // namespace detail

template <change_key K, run_value... Vs>
[[nodiscard]] std::size_t encode_block(change_set_ref<K, Vs...> rows, std::byte* out,
                                       core::isa which) noexcept {
  static_assert(max_block_bytes<K, Vs...>() / word_bytes <= UINT16_MAX,
                "encode_block: the values of a row have too many bytes");
  auto const count = static_cast<std::uint32_t>(rows.size());
  constexpr std::size_t begin = block_header_bytes<K, Vs...>;
  std::uint32_t const bits = pack_keys(rows.keys().data(), count, out + begin, which);
  if (bits == not_increasing) { return 0; }
  std::size_t const used = detail::encode_values_of(rows, out, begin + packed_bytes(count, bits),
                                                    which, std::index_sequence_for<Vs...>{});
  std::size_t const bytes = detail::whole_words(used);
  std::memset(out + used, 0, bytes - used);
  detail::store(out + 4, static_cast<std::uint16_t>(bytes / word_bytes));
  detail::store(out + 6, static_cast<std::uint8_t>(count - 1));
  detail::store(out + 7, static_cast<std::uint8_t>(bits));
  detail::store(out + 8, rows.key(0));
  detail::store(out, crc32c(out + 4, bytes - 4, 0, which));
  return bytes;
}

/// The rows of a block that was checked.
/// @param out   [header.rows], undefined when the answer is false
/// @param ahead bytes whose checksum may be found meanwhile, or null
/// @return false when a column is not as it should be
template <change_key K, run_value... Vs>
[[nodiscard]] bool decode_block(std::byte const* at, block_header const& header,
                                change_space<K, Vs...> out, core::isa which = core::best_isa(),
                                bytes_ahead* ahead = nullptr) noexcept {
  MILLRACE_ASSERT(out.capacity() >= header.rows);
  return decode_block_keys<K, Vs...>(at, header, out.keys(), which, ahead) &&
         detail::decode_values_of(at, header, out, which, std::index_sequence_for<Vs...>{});
}

}  // namespace millrace::inline v0::delta
