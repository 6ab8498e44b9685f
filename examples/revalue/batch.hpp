// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "desk.hpp"
#include "state_memory.hpp"
#include "update.hpp"
#include <millrace/core/error.hpp>
#include <millrace/delta/builder.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/encode_run.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace revalue {

namespace delta = millrace::delta;

/// What the updates of a batch change at one desk: keys say when and what, columns are price, time
/// and kind. A desk's rows in the order of their keys bring it where the updates would have.
///
/// The key's upper 16 bits are the epoch, a stretch of the batch in which every price of the
/// underlying comes before every quote, for a quote is implied at the price that it met; the next
/// 16 are the desk; the lower 32 are the instrument, 0 for the underlying, else 1 + the option's
/// place.
using change_key = std::uint64_t;
using desk_changes = delta::change_set_ref<change_key, double, std::int64_t, std::uint16_t>;
using desk_changes_builder =
    delta::basic_change_set_builder<delta::last_writer, state_memory, change_key, double,
                                    std::int64_t, std::uint16_t>;

[[nodiscard]] constexpr change_key key_of(std::uint32_t epoch, std::uint16_t desk,
                                          std::uint32_t instrument) noexcept {
  return change_key{epoch} << 48 | change_key{desk} << 32 | instrument;
}

/// Bytes before the run: the sequence of its first row among the desk's.
inline constexpr std::size_t batch_prefix = sizeof(std::uint64_t);
/// Bytes of a batch's message to one desk at most.
[[nodiscard]] constexpr std::size_t batch_bytes(std::size_t rows) noexcept {
  return batch_prefix +
         delta::max_encoded_bytes<change_key, double, std::int64_t, std::uint16_t>(rows);
}

/// Writes the message to one desk.
/// @param rows  [1, most_batched], of one desk
/// @param out   [>= batch_bytes(rows.size())]
/// @return the bytes of `out` that are the message   @error what delta::encode says
[[nodiscard]] inline millrace::result<cuda::std::span<std::byte const>> encode_batch(
    std::uint64_t sequence, desk_changes rows, cuda::std::span<std::byte> out) noexcept {
  std::memcpy(out.data(), &sequence, batch_prefix);
  auto const run = delta::encode(rows, out.subspan(batch_prefix));
  if (!run) { return cuda::std::unexpected(run.error()); }
  return cuda::std::span<std::byte const>(out.data(), batch_prefix + *run);
}

namespace detail {

/// Whether every row is an update that `desks` can do, all of them of one desk.
[[nodiscard]] inline bool makes_sense(desk_changes rows, std::span<desk_ref const> desks) noexcept {
  if (rows.empty()) { return false; }
  auto const desk = static_cast<std::uint16_t>(rows.key(0) >> 32);
  if (desk >= desks.size()) { return false; }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto const instrument = static_cast<std::uint32_t>(rows.key(i));
    auto const kind = static_cast<update_kind>(rows.values<2>()[i]);
    bool const quote = kind == update_kind::mid || kind == update_kind::volatility;
    bool const right = instrument == 0 ? kind == update_kind::spot && rows.values<0>()[i] > 0
                                       : quote && instrument <= desks[desk].count;
    if (!right || static_cast<std::uint16_t>(rows.key(i) >> 32) != desk) { return false; }
  }
  return true;
}

}  // namespace detail

/// Decodes a batch's message and does its rows, in order; nothing is applied before all of it has
/// been decoded and looked at.
/// @param one  does one update of a desk
/// @return the desk's risk after the last row, options priced anew by all, and the first outcome
///         that is not `applied`
/// @error errc::corrupt for a message that is not one; what delta::decode says
/// @thread one a desk
[[nodiscard]] inline millrace::result<reply> apply_batch(
    std::span<desk_ref const> desks, reply (*one)(desk_ref const&, update const&) noexcept,
    cuda::std::span<std::byte const> message) noexcept {
  if (message.size() < batch_prefix) {
    return millrace::core::fail(millrace::errc::corrupt, static_cast<int>(message.size()));
  }
  std::uint64_t sequence = 0;
  std::memcpy(&sequence, message.data(), batch_prefix);
  change_key keys[most_batched];
  double prices[most_batched];
  std::int64_t times[most_batched];
  std::uint16_t kinds[most_batched];
  delta::change_space<change_key, double, std::int64_t, std::uint16_t> const room(
      keys, most_batched, prices, times, kinds);
  auto const count = delta::decode(message.subspan(batch_prefix), room);
  if (!count) { return cuda::std::unexpected(count.error()); }
  desk_changes const rows = room.filled(*count);
  if (!detail::makes_sense(rows, desks)) {
    return millrace::core::fail(millrace::errc::corrupt, static_cast<int>(batch_prefix));
  }
  auto const desk = static_cast<std::uint16_t>(keys[0] >> 32);
  reply all;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto const instrument = static_cast<std::uint32_t>(keys[i]);
    reply after =
        one(desks[desk], {prices[i], sequence + i, times[i], instrument == 0 ? 0 : instrument - 1,
                          desk, static_cast<update_kind>(kinds[i])});
    after.recomputed += all.recomputed;
    if (all.outcome != outcome::applied) { after.outcome = all.outcome; }
    all = after;
  }
  return all;
}

}  // namespace revalue
