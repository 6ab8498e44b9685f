// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/cache_crowd.hpp>
#include <millrace/memory/heap_cache.hpp>
#include <millrace/memory/heap_policy.hpp>
#include <millrace/memory/heap_space.hpp>
#include <millrace/memory/heap_stats.hpp>
#include <millrace/memory/reservation.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::memory {

/// Whom to tell of a request that a heap has no room for. What it does it does on the thread whose
/// request it was: it may free, report (memory/shortage.hpp) and log. It is not told of what it
/// allocates itself.
struct shortage_listener {
  void (*tell)(std::size_t bytes, std::size_t alignment, void* context) noexcept = nullptr;
  void* context = nullptr;
};

/// How a heap begins.
struct heap_options {
  /// Addresses set aside, which bound what the heap can ever hold; 0 takes 32 GiB, or as much of it
  /// as the system admits. They cost no memory until they are used.
  std::size_t reserve_bytes = 0;
  /// What may be in use at a time, slabs of caches included; 0 leaves it to the reservation.
  std::size_t budget_bytes = 0;
  /// Threads that may have a cache at a time, 65,536 at most.
  std::uint32_t caches = 1024;
  /// Bytes from the heap's begin on behind which the system may back it with pages of 2 MiB, where
  /// it has them (`madvise`). They spare whoever uses much a miss for most blocks, and make up to
  /// 2 MiB resident that nobody uses, which whoever uses little would notice. 0: everywhere.
  std::size_t huge_pages_from = std::size_t{2} << 20;
  /// Hears of every request that gets out_of_memory, on its thread, before that thread does.
  shortage_listener on_shortage = {};
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
    std::size_t const bytes = space_.map.count() * P::slab_bytes;
    if (with.huge_pages_from < bytes) {
      constexpr std::size_t page = reservation::huge_page_bytes;
      std::size_t const from = (with.huge_pages_from + page - 1) / page * page;
      if (from < bytes) { reservation::prefer_huge_pages(space_.slabs + from, bytes - from); }
    }
    on_shortage_ = with.on_shortage;
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

  /// Null where there is no room, of which the listener was told.
  [[nodiscard, gnu::noinline]] void* allocate_any(cache& mine, std::size_t bytes,
                                                  std::size_t alignment) noexcept {
    if (void* const p = find_room(mine, bytes, alignment)) [[likely]] { return p; }
    count(space_.homeless.refused, 1);
    if (on_shortage_.tell != nullptr && !std::exchange(telling_, true)) {
      on_shortage_.tell(bytes, alignment, on_shortage_.context);
      telling_ = false;
    }
    return nullptr;
  }
  [[nodiscard]] void* find_room(cache& mine, std::size_t bytes, std::size_t alignment) noexcept {
    std::uint32_t const size_class = class_for<typename P::classes>(bytes, alignment);
    if (size_class == P::classes::count) { return allocate_run(mine, bytes); }
    mine.note_size(size_class, bytes);
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
    return space_.contains(p) ? std::size_t{space_.record_of(p).block_bytes} : 0;
  }

  // --- what there is ---

  /// What all caches together counted of a class.
  [[nodiscard]] class_stats count_of(std::uint32_t size_class) const noexcept {
    class_stats out;
    out.block_bytes = P::classes::bytes_of(size_class);
    std::uint64_t lent = 0, sampled = 0, sampled_bytes = 0;
    for (std::uint32_t i = 0; i < caches_.size(); ++i) {
      if (caches_.state(i) == cache_state::unused) { break; }
      if (!caches_.begun(i)) { continue; }
      auto const of = caches_[i].counted(size_class);
      out.total += of.given;
      out.cached += of.at_hand;
      out.remote_frees += of.sent;
      lent += of.lent;
      sampled += of.sampled;
      sampled_bytes += of.sampled_bytes;
    }
    std::uint64_t const homeless = look(space_.homeless.freed[size_class]);
    out.remote_frees += homeless;
    auto const live = static_cast<std::int64_t>(lent - out.cached - homeless);
    out.live = live > 0 ? static_cast<std::uint64_t>(live) : 0;  // caches are read one by one
    if (sampled != 0) {
      std::uint64_t const asked = std::min<std::uint64_t>(sampled_bytes / sampled, out.block_bytes);
      out.waste_bytes = out.live * (out.block_bytes - asked);
    }
    return out;
  }
  [[nodiscard]] heap_stats stats() const noexcept {
    heap_stats out;
    out.reserved_bytes = space_.map.count() * P::slab_bytes;
    out.budget_bytes = look(space_.most_slabs) * P::slab_bytes;
    out.taken_bytes = look(space_.taken_slabs) * P::slab_bytes;
    out.peak_bytes = look(space_.peak_slabs) * P::slab_bytes;
    out.range_bytes = look(space_.end_slabs) * P::slab_bytes;
    out.refused = look(space_.homeless.refused);
    for (std::uint32_t i = 0; i < caches_.size(); ++i) {
      cache_state const state = caches_.state(i);
      if (state == cache_state::unused) { break; }
      ++(state == cache_state::taken ? out.caches : out.abandoned);
    }
    std::uint64_t const freed = look(space_.homeless.runs_freed);
    out.total = look(space_.homeless.runs);
    out.runs = out.live = out.total - std::min(out.total, freed);
    out.run_bytes = out.live_bytes = look(space_.homeless.run_bytes);
    out.waste_bytes = look(space_.homeless.run_rest);
    for (std::uint32_t c = 0; c < P::classes::count; ++c) {
      class_stats const of = count_of(c);
      out.total += of.total;
      out.live += of.live;
      out.live_bytes += of.live * of.block_bytes;
      out.cached_bytes += of.cached * of.block_bytes;
      out.remote_frees += of.remote_frees;
      out.waste_bytes += of.waste_bytes;
    }
    return out;
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
      if (space_.records[i].touched) {
        space_.records[i].touched = false;
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
    std::size_t const owners = place(count * sizeof(*space_.owners));
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
    space_.owners = reinterpret_cast<watched<std::uint16_t>*>(base + owners);
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
    first.rest = static_cast<std::uint32_t>(n * P::slab_bytes - bytes);
    count(space_.homeless.runs, 1);
    count(space_.homeless.run_bytes, first.block_bytes);
    count(space_.homeless.run_rest, first.rest);
    return space_.bytes_of(first);
  }
  void release_run(slab_record<P>& first) noexcept {
    count(space_.homeless.runs_freed, 1);
    count(space_.homeless.run_bytes, 0 - first.block_bytes);
    count(space_.homeless.run_rest, 0 - std::uint64_t{first.rest});
    if (first.block_bytes >= purge_bytes) {
      reservation::discard(space_.bytes_of(first), first.block_bytes);
      for (std::uint32_t i = 0; i < first.run_slabs; ++i) { (&first)[i].touched = false; }
    }
    space_.release(first);
  }

  using plain = core::direct_access<cuda::thread_scope_system>;

  static void count(std::uint64_t& word, std::uint64_t n) noexcept {
    static_cast<void>(plain::fetch_add(word, n, core::relaxed, "heap.count"));
  }
  template <class T>
  [[nodiscard]] static std::size_t look(T const& word) noexcept {
    return plain::load(word, core::relaxed, "heap.stats");
  }

  /// Whether this thread is within a listener.
  static inline thread_local constinit bool telling_ = false;

  reservation memory_;
  heap_space<P> space_;
  cache_crowd<P> caches_;
  shortage_listener on_shortage_;
};

}  // namespace detail

}  // namespace millrace::inline v0::memory
