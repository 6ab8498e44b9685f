// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/kernel_heap_policy.hpp>
#include <millrace/memory/slab_map.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// What a kernel heap counts. Each number is its own relaxed atomic.
struct kernel_heap_counts {
  std::uint32_t taken = 0;     ///< slabs that are somebody's
  std::uint32_t usable = 0;    ///< slabs that there are
  std::uint32_t peak = 0;      ///< the most that were taken at a time
  std::uint32_t refused = 0;   ///< allocations that found no room
  std::uint32_t wanted = 0;    ///< slabs that the largest of them wanted
  std::uint32_t idle = 0;      ///< not 0: a slab may have become empty and still be somebody's
  std::uint32_t given = 0;     ///< slabs that went back to all classes so far, modulo 2^32
  std::uint32_t leaving = 0;   ///< threads that give some back now
  std::uint32_t low_at = ~0u;  ///< taken slabs from which on the heap says that it runs low
  std::uint32_t said_low = 0;  ///< whether it has
};

/// What is drawn from where the caller runs.
struct kernel_heap_shard {
  std::uint32_t slab = 0;  ///< and 1; 0: none
  std::uint32_t word = 0;  ///< from which on its blocks may be free; a guess
};

/// Where a kernel heap of so many slabs has its words: offsets into one range, which begins zero.
template <kernel_heap_policy P>
struct kernel_heap_layout {
  static constexpr std::uint32_t classes = P::classes::count;
  /// Of a slab's bitmap, 64 blocks each.
  static constexpr std::uint32_t words = (P::slab_bytes / 16 + 63) / 64;

  std::uint32_t slabs;
  std::size_t counts, hint, map, shards, ready_counts, ready, uses, free;
  std::size_t bytes;

  [[nodiscard]] static MILLRACE_HD constexpr kernel_heap_layout of(std::uint32_t slabs) noexcept {
    std::size_t at = 0;
    auto const place = [&at](std::size_t size) constexpr {
      std::size_t const begin = at;
      at += (size + core::destructive_bytes - 1) & ~(core::destructive_bytes - 1);
      return begin;
    };
    std::size_t const map_words = slab_map<typename P::access>::words_for(slabs);
    kernel_heap_layout l{};
    l.slabs = slabs;
    l.counts = place(sizeof(kernel_heap_counts));
    l.hint = place(sizeof(std::uint32_t));
    l.map = place(8 * map_words);
    l.shards = place(sizeof(kernel_heap_shard) * classes * P::shards);
    l.ready_counts = place(4 * std::size_t{classes});
    l.ready = place(8 * map_words * classes);
    l.uses = place(4 * std::size_t{slabs});
    l.free = place(8 * std::size_t{words} * slabs);
    l.bytes = at;
    return l;
  }
};

}  // namespace millrace::inline v0::memory
