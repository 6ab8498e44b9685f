// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/bit_pack.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/raw_run.hpp>
#include <millrace/delta/run_block.hpp>
#include <millrace/delta/run_footer.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/delta/simd/small_blocks.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

/// A packed run in bytes that somebody else owns: its header and index have been checked, each
/// block is when it is decoded. Random access by block, by row (row / 256 is its block) and by key.
/// Trivially copyable.
/// @thread any
template <change_key K, run_value... Vs>
class encoded_run_ref {
 public:
  /// No run.
  encoded_run_ref() noexcept = default;

  /// @param run the whole run and nothing else
  /// @error errc::layout_mismatch for a run of other types, or one that is not packed;
  ///        errc::corrupt with the offset of what is wrong, the run's length when it is cut;
  ///        errc::unsupported_version
  /// @cost O(blocks)
  [[nodiscard]] static result<encoded_run_ref> make(cuda::std::span<std::byte const> run,
                                                    core::isa which = core::best_isa()) noexcept {
    auto const header = read_header(run);
    if (!header) { return cuda::std::unexpected(header.error()); }
    if (!header->template describes<K, Vs...>() || header->kind != run_kind::packed) {
      return core::fail(errc::layout_mismatch);
    }
    auto const index = run_index<K>::make(run, header->size_bytes(), header->rows);
    if (!index) { return cuda::std::unexpected(index.error()); }
    encoded_run_ref made;
    made.run_ = run.data();
    made.index_ = *index;
    made.isa_ = which;
    return made;
  }

  [[nodiscard]] std::uint64_t rows() const noexcept { return index_.rows(); }
  [[nodiscard]] std::uint64_t blocks() const noexcept { return index_.blocks(); }
  [[nodiscard]] run_index<K> const& index() const noexcept { return index_; }
  /// Rows of block b: 256, or fewer in the last one.
  [[nodiscard]] std::uint32_t block_size(std::uint64_t b) const noexcept {
    MILLRACE_ASSERT(b < blocks());
    std::uint64_t const left = rows() - b * block_rows;
    return left < block_rows ? static_cast<std::uint32_t>(left) : block_rows;
  }
  /// The first key of block b, as it says before its checksum has been looked at.
  [[nodiscard]] K first_key(std::uint64_t b) const noexcept {
    MILLRACE_ASSERT(b < blocks());
    std::uint64_t const offset = index_.block_offset(b);
    return index_.block_offset(b + 1) - offset < 8 + sizeof(K) ? K{0}
                                                               : detail::load<K>(run_ + offset + 8);
  }
  /// The last key of a run that has rows.
  [[nodiscard]] K last_key() const noexcept { return index_.last_key(); }

  /// Decodes block b.
  /// @param b   below blocks()
  /// @param out room for block_size(b) rows, not overlapping the run; undefined after an error
  /// @return rows written
  /// @error errc::bad_argument: 1 no such block, 2 too little room; errc::corrupt with the offset
  ///        of the block
  [[nodiscard]] result<std::uint32_t> decode_block(std::uint64_t b,
                                                   change_space<K, Vs...> out) const noexcept {
    if (b >= blocks()) { return core::fail(errc::bad_argument, 1); }
    if (out.capacity() < block_size(b)) { return core::fail(errc::bad_argument, 2); }
    if (!read_block(b, out)) { return detail::corrupt(index_.block_offset(b)); }
    return block_size(b);
  }

  /// Decodes the keys of block b alone.
  /// @param out [block_size(b)]
  /// @return keys written   @error as decode_block
  [[nodiscard]] result<std::uint32_t> decode_keys(std::uint64_t b,
                                                  cuda::std::span<K> out) const noexcept {
    if (b >= blocks()) { return core::fail(errc::bad_argument, 1); }
    if (out.size() < block_size(b)) { return core::fail(errc::bad_argument, 2); }
    if (!read_keys(b, out.data())) { return detail::corrupt(index_.block_offset(b)); }
    return block_size(b);
  }

  /// The row of a key; rows() when it has none.
  /// @error errc::corrupt with the offset of a block that would have it
  /// @cost O(log blocks), and the keys of one block are decoded, or of two when it has none
  [[nodiscard]] result<std::uint64_t> find(K key) const noexcept {
    if (rows() == 0 || key > last_key()) { return rows(); }
    std::uint64_t b = 0, count = blocks();
    while (count > 1) {  // by first keys that have not been checked
      std::uint64_t const half = count / 2;
      bool const right = first_key(b + half) <= key;
      b += right ? half : 0;
      count = right ? count - half : half;
    }
    K keys[block_rows];
    std::uint64_t const offset = index_.block_offset(b);
    if (!read_keys(b, keys)) { return detail::corrupt(offset); }
    std::uint32_t const size = block_size(b);
    std::size_t const at = change_set_ref<K>(keys, size).find(key);
    if (at < size) { return b * block_rows + at; }
    // Nothing else has it when this block begins below it and the next one, checked, above it.
    if (key < keys[0] && b != 0) { return detail::corrupt(offset); }
    if (key > keys[size - 1] && b + 1 < blocks()) {
      block_header next;
      if (!check(place_of(b + 1), next)) { return detail::corrupt(index_.block_offset(b + 1)); }
      if (key >= next.first) { return detail::corrupt(offset); }
    }
    return rows();
  }

  /// Decodes every row.
  /// @param out room for rows(), not overlapping the run; undefined after an error
  /// @return rows written
  /// @error errc::bad_argument (1) for too little room; errc::corrupt with the offset of a block
  [[nodiscard]] result<std::uint64_t> decode(change_space<K, Vs...> out) const noexcept {
    if (out.capacity() < rows()) { return core::fail(errc::bad_argument, 1); }
    std::uint64_t const n = blocks();
    bytes_ahead ahead;
    K last = 0;
    for (std::uint64_t b = decode_small(0, out, last); b < n;) {
      place const at = place_of(b), next = b + 1 < n ? place_of(b + 1) : place{};
      change_space<K, Vs...> const room = out.from(b * block_rows);
      block_header header;
      bool const good = check(at, header, &ahead) && (b == 0 || last < header.first) &&
                        decode_at(at, header, room, ahead, next);
      if (!good) { return detail::corrupt(at.offset); }
      last = room.keys()[at.rows - 1];
      b = decode_small(b + 1, out, last);
    }
    if (n != 0 && last != last_key()) { return detail::corrupt(index_.block_offset(n - 1)); }
    return rows();
  }

  /// Looks at every checksum and at the order of all keys.
  /// @error errc::corrupt with the offset of the first bad block
  /// @cost O(n)
  [[nodiscard]] result<void> verify() const noexcept {
    K keys[block_rows];
    K last = 0;
    for (std::uint64_t b = 0; b < blocks(); ++b) {
      bool const good = read_keys(b, keys) && (b == 0 || last < keys[0]);
      if (!good) { return detail::corrupt(index_.block_offset(b)); }
      last = keys[block_size(b) - 1];
    }
    return {};
  }

 private:
  /// Where a block is in the run, by the index.
  struct place {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint32_t rows = 0;
  };
  [[nodiscard]] place place_of(std::uint64_t b) const noexcept {
    std::uint64_t const offset = index_.block_offset(b);
    return {offset, index_.block_offset(b + 1) - offset, block_size(b)};
  }
  /// The header of a block, which must be what the index says.
  [[nodiscard]] bool check(place const& at, block_header& found,
                           bytes_ahead const* known = nullptr) const noexcept {
    return check_block<K, Vs...>(run_ + at.offset, at.bytes, found, isa_, known) &&
           found.bytes == at.bytes && found.rows == at.rows;
  }
  /// @param ahead what may be found meanwhile out of `next`, a block unless it has no bytes
  [[nodiscard]] bool decode_at(place const& at, block_header const& header,
                               change_space<K, Vs...> out, bytes_ahead& ahead,
                               place const& next) const noexcept {
    ahead = {};
    if (next.bytes > 4) { ahead = {run_ + next.offset + 4, next.bytes - 4, false, 0}; }
    return delta::decode_block(run_ + at.offset, header, out, isa_, &ahead);
  }
  /// Decodes whole blocks from b on as long as there is a shorter way.
  /// @param last key before block b, unless b is 0; then the last one that is decoded
  /// @return the first block that is left
  [[nodiscard]] std::uint64_t decode_small(std::uint64_t b,
                                           [[maybe_unused]] change_space<K, Vs...> out,
                                           [[maybe_unused]] K& last) const noexcept {
#if defined(__x86_64__)
    if constexpr (sizeof...(Vs) == 0) {
      std::uint64_t const n = blocks();
      if (b + 1 < n && core::usable_isa(isa_) == core::isa::avx512) {
        K* const to = out.keys() + b * block_rows;
        K const* const before = b == 0 ? nullptr : to - 1;
        std::uint64_t const done = detail::avx512::decode_small_blocks(
            run_, index_.offsets() + b * 4, n - 1 - b, to, before);
        if (done != 0) { last = to[done * block_rows - 1]; }
        return b + done;
      }
    }
#endif
    return b;
  }
  /// Whether the last key of block b can be that.
  [[nodiscard]] bool ends(std::uint64_t b, K last) const noexcept {
    return b + 1 < blocks() || last == last_key();
  }
  [[nodiscard]] bool read_block(std::uint64_t b, change_space<K, Vs...> out) const noexcept {
    place const at = place_of(b);
    block_header header;
    bytes_ahead nothing;
    return check(at, header) && decode_at(at, header, out, nothing, {}) &&
           ends(b, out.keys()[header.rows - 1]);
  }
  [[nodiscard]] bool read_keys(std::uint64_t b, K* out) const noexcept {
    place const at = place_of(b);
    block_header header;
    return check(at, header) && decode_block_keys<K, Vs...>(run_ + at.offset, header, out, isa_) &&
           ends(b, out[header.rows - 1]);
  }

  std::byte const* run_ = nullptr;
  run_index<K> index_{};
  core::isa isa_ = core::isa::scalar;
};

/// How many rows a whole run has, packed or raw.
/// @error as encoded_run_ref::make
template <change_key K, run_value... Vs>
[[nodiscard]] result<std::uint64_t> encoded_rows(cuda::std::span<std::byte const> run) noexcept {
  auto const header = read_header(run);
  if (!header) { return cuda::std::unexpected(header.error()); }
  if (!header->template describes<K, Vs...>()) { return core::fail(errc::layout_mismatch); }
  if (header->kind == run_kind::packed) {
    auto const found = encoded_run_ref<K, Vs...>::make(run);
    if (!found) { return cuda::std::unexpected(found.error()); }
    return found->rows();
  }
  std::uint64_t const bytes = raw_bytes<K, Vs...>(header->rows);
  if (run.size() != bytes) { return detail::corrupt(run.size() < bytes ? run.size() : bytes); }
  return header->rows;
}

/// Decodes a run, packed or raw, all at once.
/// @param run the whole run and nothing else, of any alignment
/// @param out room for its rows, not overlapping it; undefined after an error
/// @return rows written
/// @error errc::bad_argument (2) for too little room or overlapping it, before anything is written;
///        errc::layout_mismatch for a run of other types; errc::corrupt with the offset of what is
///        wrong, the run's length when it is cut; errc::unsupported_version
/// @cost O(n), no allocation   @thread any; one caller per out
template <change_key K, run_value... Vs>
[[nodiscard]] result<std::uint64_t> decode(cuda::std::span<std::byte const> run,
                                           change_space<K, Vs...> out,
                                           core::isa which = core::best_isa()) noexcept {
  auto const packed = encoded_run_ref<K, Vs...>::make(run, which);
  auto const rows = packed ? result<std::uint64_t>(packed->rows()) : encoded_rows<K, Vs...>(run);
  if (!rows) { return cuda::std::unexpected(rows.error()); }
  if (out.capacity() < *rows || detail::overlaps(out.filled(*rows), run.data(), run.size(),
                                                 std::index_sequence_for<Vs...>{})) {
    return core::fail(errc::bad_argument, 2);
  }
  return packed ? packed->decode(out) : decode_raw(run, out, which);
}

/// Decodes a run, packed or raw, into a change set of its own. Nothing is allocated before the
/// run's length, header and index have been checked.
/// @error as decode; errc::out_of_memory
template <change_key K, run_value... Vs>
[[nodiscard]] result<change_set<K, Vs...>> decode(cuda::std::span<std::byte const> run,
                                                  core::isa which = core::best_isa()) noexcept {
  auto const rows = encoded_rows<K, Vs...>(run);
  if (!rows) { return cuda::std::unexpected(rows.error()); }
  auto made = change_set<K, Vs...>::make(*rows);
  if (!made) { return made; }
  auto const done = decode(run, made->space(), which);
  if (!done) { return cuda::std::unexpected(done.error()); }
  made->set_size(*done);
  return made;
}

}  // namespace millrace::inline v0::delta
