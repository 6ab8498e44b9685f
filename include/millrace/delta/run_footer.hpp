// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/delta/bit_pack.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/run_format.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <cstring>

/// \file
/// The footer of a packed run: checksum of all that follows it (32 bits), 0 where a block has its
/// length (16), 0 (16), rows (64), the last key of the run when it has rows, where each block
/// begins in words of 4 bytes (32 each), words of the footer (32), run_end_magic (32).

namespace millrace::inline v0::delta {

/// Bytes of a footer before the last key.
inline constexpr std::size_t footer_begin_bytes = 16;
/// Bytes of a footer behind its last offset.
inline constexpr std::size_t footer_end_bytes = 8;

/// Blocks of a run: every one but the last has 256 rows.
[[nodiscard]] constexpr std::uint64_t blocks_of(std::uint64_t rows) noexcept {
  return rows / block_rows + (rows % block_rows != 0 ? 1 : 0);
}

/// Bytes of the footer of a run; `rows` at most max_run_rows.
template <change_key K>
[[nodiscard]] constexpr std::uint64_t footer_bytes(std::uint64_t rows) noexcept {
  return footer_begin_bytes + (rows != 0 ? sizeof(K) : 0) + blocks_of(rows) * 4 + footer_end_bytes;
}

/// The index of a packed run: what a footer says, in the bytes of the run.
template <change_key K>
class run_index {
 public:
  run_index() noexcept = default;

  /// Reads and checks the footer at the end of a run.
  /// @param run   the whole run
  /// @param begin bytes of its header
  /// @param rows  what the header says, or unknown_rows
  /// @error errc::corrupt with the offset of what is wrong; the run's length when it is cut
  [[nodiscard]] static result<run_index> make(cuda::std::span<std::byte const> run,
                                              std::uint64_t begin, std::uint64_t rows) noexcept {
    std::uint64_t const size = run.size();
    std::byte const* const from = run.data();
    if (size % word_bytes != 0 || size < begin + footer_bytes<K>(0) ||
        detail::load<std::uint32_t>(from + size - 4) != run_end_magic) {
      return detail::corrupt(size);
    }
    std::uint64_t const bytes =
        std::uint64_t{detail::load<std::uint32_t>(from + size - 8)} * word_bytes;
    if (bytes < footer_bytes<K>(0) || bytes > size - begin) { return detail::corrupt(size - 8); }
    run_index found;
    found.offset_ = size - bytes;
    found.at_ = from + found.offset_;
    if (crc32c(found.at_ + 4, bytes - 4) != detail::load<std::uint32_t>(found.at_) ||
        detail::load<std::uint32_t>(found.at_ + 4) != 0) {
      return detail::corrupt(found.offset_);
    }
    found.rows_ = detail::load<std::uint64_t>(found.at_ + 8);
    if (found.rows_ > max_run_rows || footer_bytes<K>(found.rows_) != bytes ||
        (rows != unknown_rows && rows != found.rows_) || !found.consistent(begin)) {
      return detail::corrupt(found.offset_);
    }
    return found;
  }

  [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::uint64_t blocks() const noexcept { return blocks_of(rows_); }
  /// Where the footer begins, which is where the last block ends.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  /// The last key of a run that has rows.
  [[nodiscard]] K last_key() const noexcept {
    MILLRACE_ASSERT(rows_ != 0);
    return detail::load<K>(at_ + footer_begin_bytes);
  }
  /// Where block b begins in the run; of blocks(), where the last one ends.
  [[nodiscard]] std::uint64_t block_offset(std::uint64_t b) const noexcept {
    MILLRACE_ASSERT(b <= blocks());
    return b == blocks() ? offset_ : word(b) * word_bytes;
  }
  /// The offsets of the blocks of a run with rows, in words, 4 bytes each, of any alignment.
  [[nodiscard]] std::byte const* offsets() const noexcept {
    return at_ + footer_begin_bytes + sizeof(K);
  }

 private:
  [[nodiscard]] std::uint64_t word(std::uint64_t b) const noexcept {
    return detail::load<std::uint32_t>(offsets() + b * 4);
  }
  /// Whether blocks follow each other from `begin` to the footer.
  [[nodiscard]] bool consistent(std::uint64_t begin) const noexcept {
    std::uint64_t const n = blocks();
    bool good = n != 0 ? word(0) * word_bytes == begin : offset_ == begin;
    for (std::uint64_t b = 0; good && b < n; ++b) { good = block_offset(b) < block_offset(b + 1); }
    return good;
  }

  std::byte const* at_ = nullptr;
  std::uint64_t rows_ = 0;
  std::uint64_t offset_ = 0;
};

}  // namespace millrace::inline v0::delta
