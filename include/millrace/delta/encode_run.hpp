// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/bit_pack.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/run_block.hpp>
#include <millrace/delta/run_footer.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/span>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::delta {

/// Bytes that encode() may write for so many rows; `rows` at most max_run_rows.
template <change_key K, run_value... Vs>
[[nodiscard]] constexpr std::uint64_t max_encoded_bytes(std::uint64_t rows) noexcept {
  auto const rest = static_cast<std::uint32_t>(rows % block_rows);
  return run_header_of<K, Vs...>(run_kind::packed, rows).size_bytes() +
         rows / block_rows * max_block_bytes<K, Vs...>() +
         (rest != 0 ? max_block_bytes<K, Vs...>(rest) : 0) + footer_bytes<K>(rows);
}

namespace detail {

/// Completes a footer whose last key and offsets are in place.
/// @param out [footer_bytes<K>(rows)]
template <class K>
void seal_footer(std::uint64_t rows, std::byte* out) noexcept {
  std::uint64_t const bytes = footer_bytes<K>(rows);
  std::memset(out, 0, 8);
  store(out + 8, rows);
  store(out + bytes - 8, static_cast<std::uint32_t>(bytes / word_bytes));
  store(out + bytes - 4, run_end_magic);
  store(out, crc32c(out + 4, bytes - 4));
}

template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] bool overlaps(change_set_ref<K, Vs...> rows, void const* p, std::size_t bytes,
                            std::index_sequence<Is...>) noexcept {
  auto const meets = [&](void const* q, std::size_t size) {
    auto const a = reinterpret_cast<std::uintptr_t>(p), b = reinterpret_cast<std::uintptr_t>(q);
    return bytes != 0 && size != 0 && a < b + size && b < a + bytes;
  };
  return meets(rows.keys().data(), rows.size() * sizeof(K)) ||
         (meets(rows.template values<Is>().data(), rows.size() * sizeof(Vs)) || ...);
}

}  // namespace detail

/// Encodes a run of rows, all at once.
/// @param rows keys strictly increasing
/// @param out  [>= max_encoded_bytes<K, Vs...>(rows.size())], not overlapping the rows
/// @return bytes written, a multiple of 4
/// @error errc::bad_argument: 1 more rows than a run may have, or keys that do not strictly
///        increase, which leaves `out` undefined; 2 too short, overlapping the rows, or rows that
///        may take more than max_run_bytes
/// @cost O(n), no allocation   @thread any; one caller per out
template <change_key K, run_value... Vs>
[[nodiscard]] result<std::uint64_t> encode(change_set_ref<K, Vs...> rows,
                                           cuda::std::span<std::byte> out,
                                           core::isa which = core::best_isa()) noexcept {
  std::uint64_t const n = rows.size();
  if (n > max_run_rows) { return core::fail(errc::bad_argument, 1); }
  std::uint64_t const most = max_encoded_bytes<K, Vs...>(n);
  if (most > max_run_bytes || out.size() < most ||
      detail::overlaps(rows, out.data(), most, std::index_sequence_for<Vs...>{})) {
    return core::fail(errc::bad_argument, 2);
  }
  run_header const header = run_header_of<K, Vs...>(run_kind::packed, n);
  write_header(header, out.data());
  std::uint64_t const blocks = blocks_of(n);
  std::byte* at = out.data() + header.size_bytes();
  // The footer's offsets are collected where the footer is when every block is as long as it may
  // be; then they move up to the blocks.
  std::byte* const words = out.data() + most - footer_end_bytes - blocks * 4;
  for (std::uint64_t b = 0; b < blocks; ++b) {
    change_set_ref<K, Vs...> const block = rows.slice(b * block_rows, block_rows);
    bool const above = b == 0 || rows.key(b * block_rows - 1) < block.key(0);
    std::size_t const bytes = above ? encode_block(block, at, which) : 0;
    if (bytes == 0) { return core::fail(errc::bad_argument, 1); }
    detail::store(words + b * 4, static_cast<std::uint32_t>((at - out.data()) / word_bytes));
    at += bytes;
  }
  std::uint64_t const footer = footer_bytes<K>(n);
  std::memmove(at + footer - footer_end_bytes - blocks * 4, words, blocks * 4);
  if (n != 0) { detail::store(at + footer_begin_bytes, rows.key(n - 1)); }
  detail::seal_footer<K>(n, at);
  return static_cast<std::uint64_t>(at - out.data()) + footer;
}

/// Where a run_encoder writes: a file, a socket, a vector. Takes all bytes or reports an error.
template <class S>
concept byte_sink = requires(S s, cuda::std::span<std::byte const> bytes) {
  { s.write(bytes) } noexcept -> std::same_as<result<void>>;
};

/// Encodes a run of rows as they come, in the order of their keys, into a sink. Holds at most one
/// block of rows, and 4 bytes for each block written.
/// @thread one at a time
template <byte_sink Sink, change_key K, run_value... Vs>
class run_encoder {
 public:
  /// Writes the header.
  /// @param rows how many will come, if that is known
  /// @error errc::out_of_memory; errc::bad_argument (2) for more than a run may have; the sink's
  [[nodiscard]] static result<run_encoder> make(Sink sink, std::uint64_t rows = unknown_rows,
                                                core::isa which = core::best_isa()) noexcept {
    if (rows != unknown_rows && rows > max_run_rows) { return core::fail(errc::bad_argument, 2); }
    auto pending = change_set<K, Vs...>::make(block_rows);
    if (!pending) { return cuda::std::unexpected(pending.error()); }
    auto room = memory::buffer<std::byte>::make(max_block_bytes<K, Vs...>());
    if (!room) { return cuda::std::unexpected(room.error()); }
    run_encoder made(std::move(sink), std::move(*pending), std::move(*room), rows, which);
    run_header const header = run_header_of<K, Vs...>(run_kind::packed, rows);
    std::byte bytes[run_header{.columns = sizeof...(Vs)}.size_bytes()];
    write_header(header, bytes);
    if (auto const sent = made.send(bytes); !sent) { return cuda::std::unexpected(sent.error()); }
    return made;
  }

  /// Adds rows behind those that came before.
  /// @error errc::bad_argument (1), and nothing is added: keys do not strictly increase, or are not
  ///        above those before, or there are more rows than make was told or than a run may have;
  ///        errc::out_of_memory, and nothing is added; errc::full, and nothing is added, when the
  ///        run could grow above max_run_bytes; the sink's, or errc::closed after one: what it has
  ///        is a run that was cut
  [[nodiscard]] result<void> append(change_set_ref<K, Vs...> rows) noexcept {
    if (state_ != state::open) { return core::fail(errc::closed); }
    if (rows.empty()) { return {}; }
    std::uint64_t const most = declared_ == unknown_rows ? max_run_rows : declared_;
    if (rows.size() > most - rows_ || !above(rows)) { return core::fail(errc::bad_argument, 1); }
    std::uint64_t const blocks = blocks_of(rows_ + rows.size());
    std::uint64_t const bytes =
        (blocks - written_) * max_block_bytes<K, Vs...>() + footer_bytes<K>(rows_ + rows.size());
    if (bytes > max_run_bytes || offset_ > max_run_bytes - bytes) { return core::fail(errc::full); }
    if (auto const room = reserve(blocks); !room) { return room; }
    last_ = rows.key(rows.size() - 1);
    rows_ += rows.size();
    while (!rows.empty()) {
      if (pending_.empty() && rows.size() >= block_rows) {
        if (auto const sent = send_block(rows.slice(0, block_rows)); !sent) { return sent; }
        rows = rows.slice(block_rows);
        continue;
      }
      std::size_t const held = pending_.size();
      std::size_t const taken = rows.size() < block_rows - held ? rows.size() : block_rows - held;
      copy_rows(rows.slice(0, taken), pending_.space().from(held));
      pending_.set_size(held + taken);
      rows = rows.slice(taken);
      if (pending_.size() < block_rows) { break; }
      if (auto const sent = send_pending(); !sent) { return sent; }
    }
    return {};
  }

  /// Writes what is held, and the footer; nothing can be added afterwards.
  /// @return bytes of the run
  /// @error errc::bad_argument, and it can go on, when fewer rows came than make was told; the
  ///        sink's; errc::closed after one of those, or when it has ended
  [[nodiscard]] result<std::uint64_t> finish() noexcept {
    if (state_ != state::open) { return core::fail(errc::closed); }
    if (declared_ != unknown_rows && declared_ != rows_) { return core::fail(errc::bad_argument); }
    if (!pending_.empty()) {
      if (auto const sent = send_pending(); !sent) { return cuda::std::unexpected(sent.error()); }
    }
    std::uint64_t const bytes = footer_bytes<K>(rows_);
    std::byte begin[footer_begin_bytes + sizeof(K)] = {}, end[footer_end_bytes] = {};
    std::size_t const front = footer_begin_bytes + (rows_ != 0 ? sizeof(K) : 0);
    std::size_t const words = written_ * 4;
    detail::store(begin + 8, rows_);
    detail::store(begin + footer_begin_bytes, last_);
    detail::store(end, static_cast<std::uint32_t>(bytes / word_bytes));
    detail::store(end + 4, run_end_magic);
    std::uint32_t const crc = crc32c(words_.data(), words, crc32c(begin + 4, front - 4));
    detail::store(begin, crc32c(end, sizeof end, crc));
    cuda::std::span<std::byte const> const parts[] = {{begin, front}, {words_.data(), words}, end};
    for (auto const& part : parts) {
      if (part.empty()) { continue; }
      if (auto const sent = send(part); !sent) { return cuda::std::unexpected(sent.error()); }
    }
    state_ = state::finished;
    return offset_;
  }

  /// Rows that were added.
  [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }
  /// Bytes that the sink has taken.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return offset_; }
  [[nodiscard]] Sink& sink() noexcept { return sink_; }

 private:
  enum class state : std::uint8_t { open, broken, finished };

  run_encoder(Sink sink, change_set<K, Vs...> pending, memory::buffer<std::byte> room,
              std::uint64_t rows, core::isa which) noexcept
      : sink_{std::move(sink)},
        pending_{std::move(pending)},
        block_{std::move(room)},
        declared_{rows},
        isa_{which} {}

  [[nodiscard]] bool above(change_set_ref<K, Vs...> rows) const noexcept {
    auto const keys = rows.keys();
    bool good = rows_ == 0 || last_ < keys[0];
    for (std::size_t i = 1; i < keys.size(); ++i) { good = good && keys[i - 1] < keys[i]; }
    return good;
  }
  /// Room for the offsets of so many blocks.
  [[nodiscard]] result<void> reserve(std::uint64_t blocks) noexcept {
    if (blocks * 4 <= words_.size()) { return {}; }
    auto words = memory::buffer<std::byte>::make((blocks < 8 ? 8 : blocks + blocks / 2) * 4);
    if (!words) { return cuda::std::unexpected(words.error()); }
    if (written_ != 0) { std::memcpy(words->data(), words_.data(), written_ * 4); }
    words_ = std::move(*words);
    return {};
  }
  [[nodiscard]] result<void> send_pending() noexcept {
    auto const sent = send_block(pending_.ref());
    pending_.set_size(0);
    return sent;
  }
  [[nodiscard]] result<void> send_block(change_set_ref<K, Vs...> rows) noexcept {
    std::size_t const bytes = encode_block(rows, block_.data(), isa_);
    MILLRACE_ASSERT(bytes != 0);  // append has looked at the keys
    detail::store(words_.data() + written_ * 4, static_cast<std::uint32_t>(offset_ / word_bytes));
    ++written_;
    return send({block_.data(), bytes});
  }
  [[nodiscard]] result<void> send(cuda::std::span<std::byte const> bytes) noexcept {
    auto const sent = sink_.write(bytes);
    if (!sent) {
      state_ = state::broken;
      return sent;
    }
    offset_ += bytes.size();
    return sent;
  }

  Sink sink_;
  change_set<K, Vs...> pending_;
  memory::buffer<std::byte> block_;
  memory::buffer<std::byte> words_{};  // where the blocks written begin
  std::uint64_t declared_;
  std::uint64_t rows_ = 0;
  std::uint64_t written_ = 0;  // blocks
  std::uint64_t offset_ = 0;
  K last_ = 0;
  core::isa isa_;
  state state_ = state::open;
};

}  // namespace millrace::inline v0::delta
