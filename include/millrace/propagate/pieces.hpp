// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/memory/reservation.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/column.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// Memory in pieces that are given back together. They stand side by side in few large blocks, so
/// that these have huge pages.
template <memory::host_accessible_resource R>
class pieces {
 public:
  static constexpr std::size_t line = 64;

  explicit pieces(R from) noexcept : blocks_{from}, from_{std::move(from)} {}
  pieces(pieces const&) = delete;
  pieces& operator=(pieces const&) = delete;
  ~pieces() {
    for (block const& b : blocks_) {
      from_.deallocate(b.data, b.bytes, block_alignment(b.bytes, line));
    }
  }
  /// `count` elements, whose bytes are all 0; null where there is no memory.
  template <class T>
  [[nodiscard]] T* take(std::size_t count) noexcept {
    std::size_t const bytes = (count * sizeof(T) / line + 1) * line;
    std::byte* const piece = carve(bytes, line, 0);
    return piece == nullptr ? nullptr
                            : static_cast<T*>(std::memset(static_cast<void*>(piece), 0, bytes));
  }
  /// Bytes as they come, at a multiple of `alignment`, which is a power of two and at most a line;
  /// null where there is no memory.
  /// @param least bytes of a block that is taken for them
  [[nodiscard]] std::byte* carve(std::size_t bytes, std::size_t alignment,
                                 std::size_t least) noexcept {
    left_ &= ~(alignment - 1);  // blocks end at a multiple of it
    if (bytes > left_ && !grow(std::max(bytes, least))) { return nullptr; }
    std::byte* const piece = blocks_.back().data + blocks_.back().bytes - left_;
    left_ -= bytes;
    return piece;
  }
  [[nodiscard]] bool holds(void const* at) const noexcept {
    auto const address = reinterpret_cast<std::uintptr_t>(at);
    for (block const& b : blocks_) {
      if (address - reinterpret_cast<std::uintptr_t>(b.data) < b.bytes) { return true; }
    }
    return false;
  }
  void swap(pieces& other) noexcept {
    blocks_.swap(other.blocks_);
    std::swap(left_, other.left_);
    std::swap(bytes_, other.bytes_);
  }

 private:
  static constexpr std::size_t most = 2 * memory::reservation::huge_page_bytes;
  struct block {
    std::byte* data;
    std::size_t bytes;
  };
  /// Another block, as large as those before it together, up to two huge pages.
  [[nodiscard]] bool grow(std::size_t needed) noexcept {
    std::size_t bytes = std::max(needed, std::min(bytes_, most));
    if (!blocks_.reserve(blocks_.size() + 1)) { return false; }
    auto const given = take_block(from_, bytes, line);
    if (!given) { return false; }
    blocks_.push({*given, bytes});
    left_ = bytes;
    bytes_ += bytes;
    return true;
  }

  column<block, R> blocks_;
  std::size_t left_ = 0;   // of the last one
  std::size_t bytes_ = 0;  // of all
  R from_;
};

}  // namespace millrace::inline v0::propagate::detail
