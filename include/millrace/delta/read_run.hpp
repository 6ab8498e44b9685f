// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/run_block.hpp>
#include <millrace/delta/run_footer.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/memory/buffer.hpp>

#include <cuda/std/span>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::delta {

/// Where a run_decoder reads: a file, a socket, bytes. Gives as many bytes as it is asked for,
/// fewer only when no more come, or reports an error.
template <class S>
concept byte_source = requires(S s, cuda::std::span<std::byte> room) {
  { s.read(room) } noexcept -> std::same_as<result<std::size_t>>;
};

/// A source of bytes that lie in memory.
class span_source {
 public:
  span_source() noexcept = default;
  explicit span_source(cuda::std::span<std::byte const> bytes) noexcept : rest_{bytes} {}

  [[nodiscard]] result<std::size_t> read(cuda::std::span<std::byte> room) noexcept {
    std::size_t const taken = room.size() < rest_.size() ? room.size() : rest_.size();
    if (taken != 0) { std::memcpy(room.data(), rest_.data(), taken); }
    rest_ = rest_.subspan(taken);
    return taken;
  }
  /// What has not been read.
  [[nodiscard]] cuda::std::span<std::byte const> rest() const noexcept { return rest_; }

 private:
  cuda::std::span<std::byte const> rest_{};
};
static_assert(byte_source<span_source>);

/// Decodes a packed run block by block as its bytes come, and takes none that follow it. A run that
/// was cut gives all of its whole blocks, then an error. Holds the bytes of one block.
/// @thread one at a time
template <byte_source Source, change_key K, run_value... Vs>
class run_decoder {
 public:
  /// Reads the header.
  /// @error errc::layout_mismatch for a run of other types, or one that is not packed;
  ///        errc::corrupt with the offset of what is wrong, or of where the source ended;
  ///        errc::unsupported_version; errc::out_of_memory; the source's
  [[nodiscard]] static result<run_decoder> make(Source source,
                                                core::isa which = core::best_isa()) noexcept {
    std::byte bytes[run_header{.columns = max_columns}.size_bytes()];
    auto const begun = source.read({bytes, detail::header_begin_bytes});
    if (!begun) { return cuda::std::unexpected(begun.error()); }
    if (*begun < detail::header_begin_bytes) { return detail::corrupt(*begun); }
    auto const size = detail::header_size(bytes);
    if (!size) { return cuda::std::unexpected(size.error()); }
    std::size_t const rest = *size - detail::header_begin_bytes;
    auto const read = source.read({bytes + detail::header_begin_bytes, rest});
    if (!read) { return cuda::std::unexpected(read.error()); }
    auto const header = read_header({bytes, detail::header_begin_bytes + *read});
    if (!header) { return cuda::std::unexpected(header.error()); }
    if (!header->template describes<K, Vs...>() || header->kind != run_kind::packed) {
      return core::fail(errc::layout_mismatch);
    }
    auto room = memory::buffer<std::byte>::make(room_bytes);
    if (!room) { return cuda::std::unexpected(room.error()); }
    return run_decoder(std::move(source), std::move(*room), *size, header->rows, which);
  }

  /// Decodes the next block.
  /// @param out room for 256 rows; undefined after an error
  /// @return rows written; 0 when the run has ended and its footer agrees with what came before it
  /// @error errc::bad_argument (1) for too little room, and it can be asked again; errc::corrupt
  ///        with the offset of the block or footer that is damaged or cut; the source's; afterwards
  ///        always the same
  [[nodiscard]] result<std::uint32_t> next(change_space<K, Vs...> out) noexcept {
    if (out.capacity() < block_rows) { return core::fail(errc::bad_argument, 1); }
    if (ended_) { return std::uint32_t{0}; }
    if (failed_ != error{}) { return cuda::std::unexpected(failed_); }
    auto const got = step(out);
    if (!got) { failed_ = got.error(); }
    return got;
  }

  /// Rows decoded so far.
  [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }
  /// What the header says of how many there are, or unknown_rows.
  [[nodiscard]] std::uint64_t declared_rows() const noexcept { return declared_; }
  /// Bytes of the run that have been decoded: where its next block or footer begins, or where it
  /// has ended.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  [[nodiscard]] Source& source() noexcept { return source_; }

 private:
  static constexpr std::size_t room_bytes =
      max_block_bytes<K, Vs...>() < 4096 ? 4096 : max_block_bytes<K, Vs...>();

  run_decoder(Source source, memory::buffer<std::byte> room, std::uint64_t offset,
              std::uint64_t declared, core::isa which) noexcept
      : source_{std::move(source)},
        room_{std::move(room)},
        offset_{offset},
        declared_{declared},
        isa_{which} {}

  [[nodiscard]] result<std::uint32_t> step(change_space<K, Vs...> out) noexcept {
    std::byte* const at = room_.data();
    if (auto const read = fill(at, 8); !read) { return cuda::std::unexpected(read.error()); }
    std::size_t const bytes = std::size_t{detail::load<std::uint16_t>(at + 4)} * word_bytes;
    if (bytes == 0) { return footer(); }
    // every block but the last is whole
    if (rows_ % block_rows != 0 || !is_block_length<K, Vs...>(bytes) ||
        offset_ > max_run_bytes - bytes) {
      return detail::corrupt(offset_);
    }
    if (auto const read = fill(at + 8, bytes - 8); !read) {
      return cuda::std::unexpected(read.error());
    }
    block_header header;
    if (!check_block<K, Vs...>(at, bytes, header, isa_)) { return detail::corrupt(offset_); }
    bool const above = rows_ == 0 || last_ < header.first;
    if (!above || header.rows > most() - rows_ || !delta::decode_block(at, header, out, isa_)) {
      return detail::corrupt(offset_);
    }
    std::byte word[4];
    detail::store(word, static_cast<std::uint32_t>(offset_ / word_bytes));
    words_crc_ = crc32c(word, sizeof word, words_crc_, isa_);
    last_ = out.keys()[header.rows - 1];
    rows_ += header.rows;
    offset_ += bytes;
    return header.rows;
  }

  /// Reads the footer, whose first 8 bytes are there, piece by piece: its offsets must have the
  /// same checksum as where the blocks were.
  [[nodiscard]] result<std::uint32_t> footer() noexcept {
    std::byte* const at = room_.data();
    auto const sum = detail::load<std::uint32_t>(at);
    if (auto const read = fill(at + 8, 8); !read) { return cuda::std::unexpected(read.error()); }
    bool const counted = declared_ == unknown_rows || declared_ == rows_;
    if (detail::load<std::uint32_t>(at + 4) != 0 || detail::load<std::uint64_t>(at + 8) != rows_ ||
        !counted) {
      return detail::corrupt(offset_);
    }
    std::uint64_t const blocks = blocks_of(rows_), bytes = footer_bytes<K>(rows_);
    std::uint64_t const last = rows_ != 0 ? sizeof(K) : 0;
    std::uint32_t crc = crc32c(at + 4, footer_begin_bytes - 4, 0, isa_), part = 0;
    if (auto const read = pass(last, crc, part); !read) {
      return cuda::std::unexpected(read.error());
    }
    bool good = last == 0 || detail::load<K>(at) == last_;
    if (auto const read = pass(blocks * 4, crc, part); !read) {
      return cuda::std::unexpected(read.error());
    }
    good = good && part == words_crc_;
    if (auto const read = pass(footer_end_bytes, crc, part); !read) {
      return cuda::std::unexpected(read.error());
    }
    good = good && crc == sum && detail::load<std::uint32_t>(at) == bytes / word_bytes &&
           detail::load<std::uint32_t>(at + 4) == run_end_magic;
    if (!good) { return detail::corrupt(offset_); }
    offset_ += bytes;
    ended_ = true;
    return std::uint32_t{0};
  }

  [[nodiscard]] std::uint64_t most() const noexcept {
    return declared_ == unknown_rows ? max_run_rows : declared_;
  }
  /// Reads exactly so many bytes.
  [[nodiscard]] result<void> fill(std::byte* to, std::size_t bytes) noexcept {
    auto const read = source_.read({to, bytes});
    if (!read) { return cuda::std::unexpected(read.error()); }
    if (*read != bytes) { return detail::corrupt(offset_); }
    return {};
  }
  /// Reads so many bytes, the last of which stay at the beginning of the room; `crc` goes on over
  /// them, `part` begins with them.
  [[nodiscard]] result<void> pass(std::uint64_t bytes, std::uint32_t& crc,
                                  std::uint32_t& part) noexcept {
    part = 0;
    for (std::uint64_t taken = 0; bytes != 0; bytes -= taken) {
      taken = bytes < room_.size() ? bytes : room_.size();
      if (auto const read = fill(room_.data(), taken); !read) { return read; }
      crc = crc32c(room_.data(), taken, crc, isa_);
      part = crc32c(room_.data(), taken, part, isa_);
    }
    return {};
  }

  Source source_;
  memory::buffer<std::byte> room_;
  std::uint64_t offset_;
  std::uint64_t declared_;
  std::uint64_t rows_ = 0;
  std::uint32_t words_crc_ = 0;  // of where blocks began
  K last_ = 0;
  core::isa isa_;
  bool ended_ = false;
  error failed_{};
};

}  // namespace millrace::inline v0::delta
