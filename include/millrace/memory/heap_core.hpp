// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/cache_crowd.hpp>
#include <millrace/memory/heap_cache.hpp>
#include <millrace/memory/heap_policy.hpp>
#include <millrace/memory/heap_space.hpp>
#include <millrace/memory/reservation.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::memory {

/// How a heap begins.
struct heap_options {
  /// Addresses set aside, which bound what the heap can ever hold; 0 takes 32 GiB, or as much of it
  /// as the system admits. They cost no memory until they are used.
  std::size_t reserve_bytes = 0;
  /// What may be in use at a time, slabs of caches included; 0 leaves it to the reservation.
  std::size_t budget_bytes = 0;
  /// Threads that may have a cache at a time, 65,536 at most.
  std::uint32_t caches = 1024;
  /// Whether the system may back the heap with pages of 2 MiB: fewer misses where much is in use,
  /// and up to 2 MiB resident where little is.
  bool huge_pages = false;
};

/// Where a heap's bytes are. Each number is exact by itself; together they are no one instant.
struct heap_stats {
  std::size_t reserved_bytes = 0;
  std::size_t budget_bytes = 0;
  std::size_t taken_bytes = 0;  ///< of slabs that caches and large blocks have
  std::size_t peak_bytes = 0;   ///< the most that taken_bytes has been
  std::size_t range_bytes = 0;  ///< from the first slab to the last that was ever taken
  std::uint64_t refused = 0;    ///< requests for slabs that were not met
  std::uint32_t caches = 0;     ///< that threads have
  std::uint32_t abandoned = 0;  ///< whose threads have left
};

namespace detail {

/// A heap without its owner: threads that leave hold on to it until they have given their cache up.
template <heap_policy P>
class heap_core {
 public:
  using access = typename P::access;
  using cache = heap_cache<P>;

  [[nodiscard]] result<void> begin(heap_options const& with) noexcept {
    if (with.caches == 0 || with.caches > 1u << 16) { return core::fail(errc::bad_argument, 3); }
    std::size_t reserve = with.reserve_bytes == 0 ? std::size_t{32} << 30 : with.reserve_bytes;
    if (reserve > most_bytes) { return core::fail(errc::bad_argument, 1); }
    auto ok = reserve_all(reserve, with.caches);
    while (!ok && with.reserve_bytes == 0 && reserve > std::size_t{1} << 30) {
      reserve /= 2;
      ok = reserve_all(reserve, with.caches);
    }
    if (!ok) { return ok; }
    if (with.huge_pages) {
      reservation::prefer_huge_pages(space_.slabs, space_.map.count() * P::slab_bytes);
    }
    set_budget(with.budget_bytes);
    return {};
  }
  /// Slabs that are taken already stay.
  /// @param bytes  0 leaves it to the reservation
  void set_budget(std::size_t bytes) noexcept {
    std::size_t const all = space_.map.count();
    std::size_t const most = bytes == 0 ? all : std::min(bytes / P::slab_bytes, all);
    access::store(space_.most_slabs, static_cast<std::uint32_t>(most), core::relaxed, "heap.most");
  }

  [[nodiscard]] heap_space<P>& space() noexcept { return space_; }
  [[nodiscard]] cache_crowd<P> const& caches() const noexcept { return caches_; }

  // --- blocks ---

  /// Whether `small_class` knows the size, and every block of it is aligned so.
  [[nodiscard]] static constexpr bool is_small(std::size_t bytes, std::size_t alignment) noexcept {
    return bytes <= small_bytes && alignment <= 16;
  }
  /// The class of a small size; of no bytes, none.
  [[nodiscard]] static std::uint32_t small_class(std::size_t bytes) noexcept {
    return small_classes[(bytes + 15) / 16];
  }

  /// Null where there is no room.
  [[nodiscard, gnu::noinline]] void* allocate_any(cache& mine, std::size_t bytes,
                                                  std::size_t alignment) noexcept {
    std::uint32_t const size_class = class_for<typename P::classes>(bytes, alignment);
    if (size_class == P::classes::count) { return allocate_run(mine, bytes); }
    if (void* const p = mine.take(size_class)) { return p; }
    give_up_idle(mine);
    return mine.take(size_class);
  }
  [[gnu::noinline]] void deallocate_any(cache& mine, void* p, std::size_t bytes,
                                        std::size_t alignment) noexcept {
    std::uint32_t const size_class = class_for<typename P::classes>(bytes, alignment);
    MILLRACE_ASSERT(space_.contains(p));
    if (size_class < P::classes::count) {
      mine.give(p, size_class);
    } else {
      release_run(space_.record_of(p));
    }
  }
  /// A block of whatever size, which its slab tells.
  /// @param mine  null for a thread without a cache
  /// @error errc::bad_argument 1 when nothing of this heap begins there that could be freed
  [[nodiscard]] result<void> free(cache* mine, void* p) noexcept {
    if (p == nullptr) { return {}; }
    if (!space_.contains(p)) { return core::fail(errc::bad_argument, 1); }
    slab_record<P>& record = space_.record_of(p);
    if (record.use == slab_use::blocks) [[likely]] {
      mine != nullptr ? mine->give(p, record.size_class) : cache::give_without_cache(space_, p);
    } else if (record.use == slab_use::run && p == space_.bytes_of(record)) {
      release_run(record);
    } else {
      return core::fail(errc::bad_argument, 1);
    }
    return {};
  }
  [[nodiscard]] std::size_t usable_bytes(void const* p) const noexcept {
    return space_.contains(p) ? space_.record_of(p).block_bytes : 0;
  }

  /// What nobody uses becomes everybody's: of this thread's cache, and of those that were left.
  void give_up_idle(cache& mine) noexcept {
    mine.empty();
    caches_.reclaim();
  }
  /// Memory of slabs that nobody has goes back to the system.
  /// @return bytes that may have been resident
  std::size_t trim() noexcept {
    std::size_t given = 0;
    std::uint32_t const end = access::load(space_.end_slabs, core::relaxed, "heap.most");
    for (std::uint32_t i = 0; i < end; ++i) {
      if (space_.map.taken(i) || !space_.map.claim_at(i)) { continue; }
      if (std::exchange(space_.records[i].touched, false)) {
        reservation::discard(space_.bytes_of(space_.records[i]), P::slab_bytes);
        given += P::slab_bytes;
      }
      space_.map.release(i, 1);
    }
    return given;
  }

 private:
  static constexpr std::size_t small_bytes = std::min(P::classes::largest, std::size_t{1024});
  static constexpr auto small_classes = [] {
    std::array<std::uint8_t, small_bytes / 16 + 1> table{};
    table[0] = cache::no_class;
    for (std::size_t i = 1; i < table.size(); ++i) {
      table[i] = static_cast<std::uint8_t>(P::classes::index_of(16 * i));
    }
    return table;
  }();

  /// A batch's address has 56 bits, and 2^32 slabs of a map more than any machine's addresses.
  static constexpr std::size_t most_bytes = std::size_t{1} << 46;
  /// Blocks from here on are given back to the system as soon as they are free.
  static constexpr std::size_t purge_bytes = std::size_t{1} << 20;

  [[nodiscard]] result<void> reserve_all(std::size_t reserve, std::uint32_t caches) noexcept {
    std::size_t const count = reserve / P::slab_bytes;
    if (count == 0 || count > ~std::uint32_t{0} / 2) { return core::fail(errc::bad_argument, 1); }
    std::size_t at = count * P::slab_bytes;
    auto const place = [&](std::size_t bytes) noexcept {
      std::size_t const begin = at;
      at += (bytes + core::destructive_bytes - 1) & ~(core::destructive_bytes - 1);
      return begin;
    };
    std::size_t const records = place(count * sizeof(slab_record<P>));
    std::size_t const owners = place(count * sizeof(std::uint16_t));
    std::size_t const posts = place(caches * sizeof(cache_post));
    std::size_t const all = place(caches * sizeof(cache));
    auto const slabs = static_cast<std::uint32_t>(count);
    std::size_t const words = place(8 * std::size_t{slab_map<access>::words_for(slabs)});
    std::size_t const hint = place(sizeof(typename slab_map<access>::hint));
    auto made = reservation::make(at, reservation::huge_page_bytes);
    if (!made) { return cuda::std::unexpected(made.error()); }
    memory_ = std::move(*made);
    std::byte* const base = memory_.data();
    // all of it is zero, which is how every record begins
    space_.slabs = base;
    space_.records = reinterpret_cast<slab_record<P>*>(base + records);
    space_.owners = reinterpret_cast<std::uint16_t*>(base + owners);
    space_.posts = reinterpret_cast<cache_post*>(base + posts);
    caches_ = cache_crowd<P>(space_, reinterpret_cast<cache*>(base + all), caches);
    space_.map = slab_map<access>(reinterpret_cast<std::uint64_t*>(base + words),
                                  reinterpret_cast<std::uint32_t*>(base + hint), slabs);
    space_.map.format(true);
    return {};
  }

  [[nodiscard]] void* allocate_run(cache& mine, std::size_t bytes) noexcept {
    std::size_t const slabs = (bytes - 1) / P::slab_bytes + 1;
    if (slabs > space_.map.count()) { return nullptr; }
    auto const n = static_cast<std::uint32_t>(slabs);
    auto got = space_.claim(n);
    if (!got) {
      give_up_idle(mine);
      got = space_.claim(n);
    }
    if (!got) { return nullptr; }
    slab_record<P>& first = **got;
    for (std::uint32_t i = 0; i < n; ++i) { (&first)[i].touched = true; }
    first.use = slab_use::run;
    first.block_bytes = n * P::slab_bytes;
    return space_.bytes_of(first);
  }
  void release_run(slab_record<P>& first) noexcept {
    if (first.block_bytes >= purge_bytes) {
      reservation::discard(space_.bytes_of(first), first.block_bytes);
      for (std::uint32_t i = 0; i < first.run_slabs; ++i) { (&first)[i].touched = false; }
    }
    space_.release(first);
  }

  reservation memory_;
  heap_space<P> space_;
  cache_crowd<P> caches_;
};

}  // namespace detail

}  // namespace millrace::inline v0::memory
