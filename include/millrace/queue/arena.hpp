// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/slot.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::queue {

/// Which bytes of a lane's arena are in use. Messages leave their slots in the order of their
/// numbers, so their bytes come back in the order in which they were given out: a ring knows all
/// that is free from two offsets, needs no classes of sizes, and what was free for small messages
/// is free for large ones. A message lies in one piece: what is left before the arena's end and too
/// small for it is skipped.
/// @thread the lane's producer alone   @cost O(1), no atomic, no memory but this object
class byte_ring {
 public:
  /// Every message begins at a multiple of this, and has lines of its own.
  static constexpr std::uint64_t line = 64;
  static constexpr std::uint64_t nowhere = ~std::uint64_t{0};

  byte_ring() noexcept = default;
  explicit byte_ring(std::uint64_t bytes) noexcept : bytes_(bytes) {}

  /// Bytes that a message of `size` bytes takes: one of none takes a line, so that no two messages
  /// begin at one place.
  [[nodiscard]] static constexpr std::uint64_t span_of(std::uint64_t size) noexcept {
    return size <= line ? line : (size + line - 1) / line * line;
  }

  /// Where a message of `size` bytes would lie, `nowhere` when there is no room for it now. Nothing
  /// is taken yet.
  [[nodiscard]] std::uint64_t place(std::uint64_t size) noexcept {
    if (used_ == 0) { head_ = tail_ = 0; }  // the lines used last are the nearest
    std::uint64_t const span = span_of(size);
    bool const here = span <= bytes_ - head_;
    std::uint64_t const skipped = here ? 0 : bytes_ - head_;
    if (span + skipped > bytes_ - used_) { return nowhere; }
    placed_ = here ? head_ : 0;
    return placed_;
  }

  /// Takes the first `size` bytes of the place found last.
  /// @return its offset
  std::uint64_t take_placed(std::uint64_t size) noexcept {
    std::uint64_t const span = span_of(size);
    if (used_ == 0) {
      tail_ = placed_;
    } else if (placed_ < head_) {
      end_ = head_;
      used_ += bytes_ - end_;
    }
    used_ += span;
    head_ = placed_ + span;
    return placed_;
  }

  /// Takes what a message of `size` bytes at `offset` has: in a ring that is made again from the
  /// messages that are there, oldest first.
  void take_again(std::uint64_t offset, std::uint64_t size) noexcept {
    placed_ = offset;
    take_placed(size);
  }

  /// Gives back what was taken first: everything up to the end of the message of `size` bytes at
  /// `offset`.
  void release(std::uint64_t offset, std::uint64_t size) noexcept {
    std::uint64_t const end = offset + span_of(size);
    if (offset < tail_) {  // round the end
      used_ -= bytes_ - tail_ + end;
      end_ = nowhere;
    } else {
      used_ -= end - tail_;
    }
    tail_ = end;
    if (end == end_) {
      used_ -= bytes_ - end_;
      tail_ = 0;
      end_ = nowhere;
    }
  }

  /// Bytes in use, those skipped at the end among them.
  [[nodiscard]] std::uint64_t used() const noexcept { return used_; }

 private:
  std::uint64_t bytes_ = 0;
  std::uint64_t used_ = 0;
  std::uint64_t head_ = 0;       ///< where the next message is looked for
  std::uint64_t tail_ = 0;       ///< where the message begins that comes back next
  std::uint64_t end_ = nowhere;  ///< what lies behind it is skipped, until the ring has come round
  std::uint64_t placed_ = 0;
};

/// The arena of a lane whose options name none. Up to 16 MiB it is so large that a lane has room
/// for bytes whenever it has a free slot; above, at least four of the largest messages fit.
[[nodiscard]] constexpr std::size_t default_arena_bytes(std::uint32_t capacity,
                                                        std::size_t largest) noexcept {
  std::size_t const span = byte_ring::span_of(largest);
  // one more than there are slots: for what is skipped at the end
  std::size_t const enough = (std::size_t{capacity} + 1) * span;
  return std::min(enough, std::max(std::size_t{16} << 20, 4 * span));
}

namespace detail {

/// What an owner keeps of its lane's arena: nothing, if it has none.
template <bool InSlab>
struct arena_part {};
template <>
struct arena_part<true> {
  byte_ring arena;
  std::uint64_t freed = 0;  ///< bytes of messages before this number were given back
};

}  // namespace detail

}  // namespace millrace::inline v0::queue
