// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/heap_policy.hpp>
#include <millrace/memory/slab_map.hpp>
#include <millrace/memory/watched.hpp>

#include <cstddef>
#include <cstdint>
#include <new>

namespace millrace::inline v0::memory {

/// What a slab is used for.
enum class slab_use : std::uint32_t {
  none = 0,    ///< nobody has it, or it is a part of a run behind its first slab
  blocks = 1,  ///< of one class
  run = 2,     ///< the first slab of a large block
};

/// The record of one slab, apart from its bytes.
template <heap_policy P>
struct alignas(core::destructive_bytes) slab_record {
  /// Of the bitmap, 64 blocks each.
  static constexpr std::uint32_t words = (P::slab_bytes / 16 + 63) / 64;
  static_assert(words <= 64, "millrace: one word says which of a slab's words have a free block");

  // One line. Written by whoever claims the slab, before anybody has a block of it; by others only
  // read, and watched by those who draw a map.
  watched<slab_use> use = slab_use::none;
  watched<std::uint32_t> size_class = 0;
  watched<std::uint64_t> block_bytes = 0;
  watched<std::uint32_t> run_slabs = 0;
  std::uint32_t inverse = 0;      ///< 2^32 / block_bytes, rounded up: see index_of
  std::uint16_t batch = 0;        ///< blocks of it that go home together
  watched<bool> touched = false;  ///< its pages may be resident; kept from owner to owner

  // The owner's.
  bool listed = false;              ///< in the list of its class
  std::uint32_t start = 0;          ///< the block that is drawn first
  std::uint32_t used = 0;           ///< blocks that are not here
  watched<std::uint32_t> rest = 0;  ///< of a run: bytes behind those that were asked for
  std::uint64_t filled = 0;         ///< words of `free` that are not 0
  slab_record* next = nullptr;      ///< in the list
  slab_record* previous = nullptr;

  // Everybody's.
  alignas(core::destructive_bytes) std::uint64_t remote = 0;  ///< the newest batch, and its count
  std::uint64_t next_mail = 0;                                ///< while in its owner's mailbox

  // The owner's.
  alignas(core::line_bytes) watched<std::uint64_t> free[words] = {};  ///< a bit a block

  /// The block that begins `offset` bytes into the slab; exact below 2^16.
  [[nodiscard]] std::uint32_t index_of(std::uint64_t offset) const noexcept {
    return static_cast<std::uint32_t>(offset * inverse >> 32);
  }
};

/// What others know of a cache.
struct alignas(core::destructive_bytes) cache_post {
  std::uint64_t newest = 0;  ///< mailbox: address of the slab record mailed last
  std::uint32_t state = 0;   ///< cache_state
  std::uint32_t begun = 0;   ///< not 0: the cache is there to be looked at
};
enum class cache_state : std::uint32_t {
  unused = 0,     ///< never had a thread
  taken = 1,      ///< a thread has it
  abandoned = 2,  ///< its thread has left; the slabs are still its own
};

/// Counts of what no cache counts: each is atomic.
template <heap_policy P>
struct homeless_counts {
  std::uint64_t freed[P::classes::count] = {};  ///< by threads without a cache
  std::uint64_t runs = 0;                       ///< large blocks given
  std::uint64_t runs_freed = 0;
  std::uint64_t run_bytes = 0;  ///< of those in use, whole slabs
  std::uint64_t run_rest = 0;   ///< of these, bytes that nobody asked for
  std::uint64_t refused = 0;    ///< requests that found no room
};

/// What the caches of a heap share: slabs, their records, and the numbers of the caches.
template <heap_policy P>
struct heap_space {
  using access = typename P::access;
  static constexpr std::size_t slab_bytes = P::slab_bytes;

  std::byte* slabs = nullptr;  ///< `map.count()` of them, at a multiple of slab_bytes
  slab_record<P>* records = nullptr;
  /// A slab's owner, the cache by number; apart from the records, since every free looks here: a
  /// line says it of 32 slabs. Written as a record's first words are.
  watched<std::uint16_t>* owners = nullptr;
  cache_post* posts = nullptr;  ///< one a cache
  slab_map<access> map;
  std::uint32_t most_slabs = 0;   ///< atomic: that may be taken at a time, the budget
  std::uint32_t taken_slabs = 0;  ///< atomic
  std::uint32_t peak_slabs = 0;   ///< atomic
  std::uint32_t end_slabs = 0;    ///< atomic: no slab from here on was ever taken
  homeless_counts<P> homeless;

  /// Whether `p` lies in a slab of this heap.
  [[nodiscard]] bool contains(void const* p) const noexcept {
    auto const offset = static_cast<std::uint64_t>(static_cast<std::byte const*>(p) - slabs);
    return offset < std::uint64_t{map.count()} * slab_bytes;
  }
  [[nodiscard]] std::uint64_t offset_of(void const* p) const noexcept {
    MILLRACE_ASSERT(contains(p));
    return static_cast<std::uint64_t>(static_cast<std::byte const*>(p) - slabs);
  }
  [[nodiscard]] slab_record<P>& record_of(void const* p) const noexcept {
    return records[offset_of(p) / slab_bytes];
  }
  [[nodiscard]] std::uint32_t index_of(slab_record<P> const& record) const noexcept {
    return static_cast<std::uint32_t>(&record - records);
  }
  [[nodiscard]] std::byte* bytes_of(slab_record<P> const& record) const noexcept {
    return slabs + (&record - records) * static_cast<std::ptrdiff_t>(slab_bytes);
  }

  /// Takes a run of slabs within the budget.
  /// @error errc::out_of_memory 1 when the budget is spent, 2 when no such run is free
  [[nodiscard]] result<slab_record<P>*> claim(std::uint32_t n) noexcept {
    std::uint32_t const most = access::load(most_slabs, core::relaxed, "heap.look");
    std::uint32_t before = access::load(taken_slabs, core::relaxed, "heap.look");
    do {
      if (n > most || before > most - n) { return core::fail(errc::out_of_memory, 1); }
    } while (!access::compare_exchange(taken_slabs, before, before + n, core::relaxed,
                                       core::relaxed, "heap.take"));
    auto const first = map.claim(n);
    if (!first) {
      static_cast<void>(access::fetch_add(taken_slabs, 0u - n, core::relaxed, "heap.take"));
      return core::fail(errc::out_of_memory, 2);
    }
    core::raise<access>(peak_slabs, before + n, "heap.most");
    core::raise<access>(end_slabs, *first + n, "heap.most");
    slab_record<P>& record = records[*first];
    record.run_slabs = n;
    return &record;
  }
  /// Gives a run back; the caller owns it, and no block of it is in use.
  void release(slab_record<P>& record) noexcept {
    std::uint32_t const n = record.run_slabs;
    record.use = slab_use::none;
    map.release(index_of(record), n);
    static_cast<void>(access::fetch_add(taken_slabs, 0u - n, core::relaxed, "heap.take"));
  }
};

}  // namespace millrace::inline v0::memory
