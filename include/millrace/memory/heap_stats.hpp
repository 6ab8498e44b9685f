// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// What a heap counted of the blocks of one class. See heap_stats for how exact it is.
struct class_stats {
  std::size_t block_bytes = 0;
  std::uint64_t total = 0;         ///< allocations so far
  std::uint64_t live = 0;          ///< blocks that programs have
  std::uint64_t cached = 0;        ///< blocks that threads keep ready
  std::uint64_t remote_frees = 0;  ///< of these blocks, by others than their slab's owner
  std::uint64_t waste_bytes = 0;   ///< of live blocks, what nobody asked for: guessed from those
                                   ///< requests of a known size that found no block ready
};

/// Where a heap's bytes are. Each number is of some moment during the call.
///
/// What slabs and large blocks say is exact. What blocks of a class say (live, total, cached and
/// what follows from them) is exact of the calling thread, and of threads that have left the heap;
/// of another that is at work, and of a local_heap or a pool, it is as of the last time that it had
/// no block of the class ready, or too many: at most a magazine of blocks behind.
struct heap_stats {
  std::size_t reserved_bytes = 0;
  std::size_t budget_bytes = 0;
  std::size_t taken_bytes = 0;  ///< of slabs that caches and large blocks have
  std::size_t peak_bytes = 0;   ///< the most that taken_bytes has been
  std::size_t range_bytes = 0;  ///< from the first slab to the last that was ever taken
  std::uint64_t refused = 0;    ///< requests that found no room
  std::uint32_t caches = 0;     ///< that threads have
  std::uint32_t abandoned = 0;  ///< whose threads have left

  std::uint64_t total = 0;         ///< allocations so far
  std::uint64_t live = 0;          ///< blocks that programs have, large ones included
  std::size_t live_bytes = 0;      ///< of these blocks, each whole
  std::size_t cached_bytes = 0;    ///< of blocks that threads keep ready
  std::uint64_t remote_frees = 0;  ///< blocks freed by others than their slab's owner
  std::size_t waste_bytes = 0;     ///< within live blocks: of large ones exact, of others guessed
  std::uint64_t runs = 0;          ///< large blocks in use
  std::size_t run_bytes = 0;       ///< of these, whole slabs

  /// Bytes taken and in no block that a program has.
  [[nodiscard]] std::size_t unused_bytes() const noexcept {
    return taken_bytes < live_bytes ? 0 : taken_bytes - live_bytes;
  }
};

}  // namespace millrace::inline v0::memory
