// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/kernel_heap_policy.hpp>
#include <millrace/memory/kernel_slabs.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/bit>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::memory {

/// A heap as kernels have it: any thread allocates, any other frees. Trivially copyable, goes into
/// kernels by value; kernel_heap owns the memory. Host threads use it in the same way where the
/// memory is theirs. Threads of a warp that want blocks of one class claim them together.
/// @thread any, on one side: host and kernels at a time only where the device's atomics on the
///         memory are native
template <kernel_heap_policy P>
class kernel_heap_ref {
 public:
  using classes = typename P::classes;
  using slabs = kernel_slabs<P>;
  static constexpr std::size_t max_alignment = classes::largest < 4096 ? classes::largest : 4096;

  kernel_heap_ref() noexcept = default;
  MILLRACE_HD explicit kernel_heap_ref(slabs of) noexcept : slabs_{of} {}

  /// At least `bytes` at a multiple of `alignment`, a power of two up to max_alignment; whole slabs
  /// above classes::largest. Null when there is no room, for no bytes, for a bad alignment.
  /// @cost for a warp that wants one class: three accesses of memory and one atomic operation
  [[nodiscard]] MILLRACE_HD void* malloc(std::size_t bytes,
                                         std::size_t alignment = 16) const noexcept {
    if (!check_request(bytes, alignment, max_alignment)) { return nullptr; }
    std::uint32_t const size_class = class_for<classes>(bytes, alignment);
    if (size_class == classes::count) { return slabs_.take_run(bytes); }
    return take(size_class, core::lanes_with(core::lanes_here(), size_class));
  }
  /// As malloc.
  /// @error as check_request; errc::out_of_memory
  [[nodiscard]] MILLRACE_HD result<void*> try_allocate(std::size_t bytes,
                                                       std::size_t alignment = 16) const noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    void* const p = malloc(bytes, alignment);
    if (p == nullptr) { return core::fail(errc::out_of_memory); }
    return p;
  }

  /// Gives a block back, whoever allocated it; null is nothing to free.
  /// @error errc::bad_argument: 1 no block begins there (foreign, interior, in a slab that nobody
  ///        has), 2 it is free already. A block that was freed and taken again cannot be told from
  ///        one still held: see checked_kernel_heap_ref.
  MILLRACE_HD result<void> free(void* p) const noexcept {
    if (p == nullptr) { return {}; }
    auto const at = slabs_.find(p);
    if (!at) { return cuda::std::unexpected<error>(at.error()); }
    if (at->use >= slabs::run) { return slabs_.give_run(at->slab, at->use); }
    std::uint64_t const word = std::uint64_t{at->slab} * slabs::layout::words + at->block / 64;
    std::uint64_t const mine = std::uint64_t{1} << (at->block % 64);
    // All that are here go on together, whatever words they have: their updates overlap.
    core::lanes const here = core::lanes_here();
    core::lanes const alike = core::lanes_with(here, word);
    std::uint64_t const bits =
        alike == here ? core::lanes_or(here, mine) : core::lanes_or(here, alike, mine);
    std::uint32_t const leader = slabs::lowest(alike);
    core::sync_lanes(here);  // what the others did with their blocks comes before the free
    std::uint64_t before = 0;
    if (core::warp_lane() == leader) {
      before = slabs_.put_back(at->slab, at->block / 64, bits, slabs::class_of(at->use));
    }
    before = core::lane_value(here, before, leader);
    bool twice = (before & mine) != 0;
    if (core::lanes_where(here, slabs::count(bits) != slabs::count(alike)) != 0) {
      // two lanes free one block
      core::lanes const same = core::lanes_with(here, 64 * word + at->block % 64);
      twice = twice || slabs::lowest(same) != core::warp_lane();
    }
    return twice ? result<void>(core::fail(errc::bad_argument, 2)) : result<void>();
  }

  /// A block of `bytes` that begins with what `p`'s held, which is freed; `p` itself where its
  /// block fits and is not twice as large. Null, and `p` as it was, when there is no room or `p` is
  /// no block. Of null an allocation, to no bytes a free.
  [[nodiscard]] MILLRACE_HD void* realloc(void* p, std::size_t bytes) const noexcept {
    if (p == nullptr) { return malloc(bytes); }
    if (bytes == 0) {
      static_cast<void>(free(p));
      return nullptr;
    }
    if (!is_live(p)) { return nullptr; }
    std::size_t const have = usable_bytes(p);
    if (bytes <= have && (bytes > have / 2 || have == classes::bytes_of(0))) { return p; }
    void* const to = malloc(bytes);
    if (to == nullptr) { return nullptr; }
    copy(to, p, have < bytes ? have : bytes);
    static_cast<void>(free(p));
    return to;
  }

  /// Bytes of the block that begins at `p`; 0 when none does.
  [[nodiscard]] MILLRACE_HD std::size_t usable_bytes(void const* p) const noexcept {
    auto const at = slabs_.find(p);
    if (!at) { return 0; }
    return at->use >= slabs::run ? (at->use - slabs::run) * P::slab_bytes
                                 : classes::bytes_of(slabs::class_of(at->use));
  }

  /// Whether a block in use begins at `p`, as far as can be told: see free.
  [[nodiscard]] MILLRACE_HD bool is_live(void const* p) const noexcept {
    auto const at = slabs_.find(p);
    if (!at || at->use >= slabs::run) { return at.has_value(); }
    return (slabs_.free_blocks(at->slab, at->block / 64) >> (at->block % 64) & 1) == 0;
  }
  /// Whether the heap has said that it runs low.
  [[nodiscard]] MILLRACE_HD bool low() const noexcept { return slabs_.low(); }
  /// What lies under it, for the owner and for those who look.
  [[nodiscard]] MILLRACE_HD slabs const& under() const noexcept { return slabs_; }

 private:
  static constexpr std::uint32_t nowhere = slabs::nowhere;

  /// Lanes that want a block each, of one class. All of them call what takes a group.
  struct group {
    core::lanes all;
    std::uint32_t size_class;
    std::uint32_t spread;  ///< where to begin to look, for those who look elsewhere first
    std::uint32_t lane, leader, size, rank;
    std::uint32_t left;  ///< lanes that have none yet
    std::uint32_t turn;  ///< of those before the caller
    void* mine = nullptr;

    MILLRACE_HD group(core::lanes those, std::uint32_t c, std::uint32_t place) noexcept
        : all{those},
          size_class{c},
          spread{place * 0x9e37'79b1u >> 12},
          lane{core::warp_lane()},
          leader{slabs::lowest(those)},
          size{slabs::count(those)},
          rank{slabs::count(those & ((core::lanes{1} << lane) - 1))},
          left{size},
          turn{rank} {}
    [[nodiscard]] MILLRACE_HD bool leads() const noexcept { return lane == leader; }
    /// The leader's.
    [[nodiscard]] MILLRACE_HD std::uint32_t told(std::uint32_t value) const noexcept {
      return core::lane_value(all, value, leader);
    }
    [[nodiscard]] MILLRACE_HD bool told_yes(bool is) const noexcept {
      return told(is ? 1 : 0) != 0;
    }
  };

  [[nodiscard]] MILLRACE_HD void* take(std::uint32_t c, core::lanes alike) const noexcept {
    // one place for all, who then do the same
    std::uint32_t const place = core::lane_value(alike, P::place(), slabs::lowest(alike));
    auto& shard = slabs_.shard(c, place);
    for (std::uint32_t attempt = 0, waits = 0;;) {
      group g(alike, c, place);
      std::uint32_t const since = slabs_.given();
      std::uint32_t const at = g.told(slabs::drawn(shard));
      if (at != 0 && at != slabs::fetching) { take_drawn(at - 1, shard, place, g); }
      if (g.left == g.size) {  // nobody got one: another slab, unless somebody fetches it
        bool const alone = at == slabs::fetching;
        if (alone && g.told_yes(g.leads() && P::slab_wait::again(waits++))) { continue; }
        bool const mine = !alone && g.leads() && slabs_.begin_fetch(shard, at);
        if (!alone && !g.told_yes(mine)) { continue; }
        std::uint32_t const slab = fetch(g);
        if (mine) { slabs_.end_fetch(shard, slab, c); }
        if (slab != nowhere && g.left == g.size) { take_from(slab, g.spread, g); }
        if (slab == nowhere && !g.told_yes(g.leads() && may_find(since, waits, attempt))) {
          if (g.leads()) { slabs_.refuse(g.left, 1); }
          return nullptr;
        }
      }
      alike = core::lanes_where(g.all, g.mine == nullptr);
      if (g.mine != nullptr) { return g.mine; }
    }
  }
  /// Whether to look again after a look in vain.
  [[nodiscard]] MILLRACE_HD bool may_find(std::uint32_t since, std::uint32_t& waits,
                                          std::uint32_t& attempt) const noexcept {
    return (slabs_.changes(since) && P::slab_wait::again(waits++)) ||
           P::out_of_memory::again(attempt++);
  }

  /// Claims blocks of the shard's slab, from where some were free last. Warps of a multiprocessor
  /// begin a few words apart.
  MILLRACE_HD void take_drawn(std::uint32_t slab, kernel_heap_shard& shard, std::uint32_t place,
                              group& g) const noexcept {
    std::uint32_t const words = slabs::words_of(g.size_class);
    std::uint32_t const word = g.told(slabs::word(shard)) % words;
    std::uint32_t const apart = place % 8 % words;
    std::uint32_t const last = take_from(slab, word + apart, g);
    if (g.leads() && (last + words - word) % words > apart) {
      slabs::set_word(shard, (last + words - apart) % words);
    }
  }

  /// Claims blocks of a slab for those that have none, from word `start` on.
  /// @return the last word that had some; the first when none had
  MILLRACE_HD std::uint32_t take_from(std::uint32_t slab, std::uint32_t start,
                                      group& g) const noexcept {
    std::uint32_t const words = slabs::words_of(g.size_class);
    std::uint32_t last = start % words;
    bool sure = false;  // that the slab is of the class, since a block of it is the group's
    for (std::uint32_t first = 0; first < words && g.left != 0; first += g.size) {
      bool const there = first + g.rank < words;
      std::uint32_t const mine = (start + first + g.rank) % words;
      std::uint64_t const seen = there ? slabs_.free_blocks(slab, mine) : 0;
      core::lanes some = core::lanes_where(g.all, seen != 0);
      for (; some != 0 && g.left != 0; some &= some - 1) {
        std::uint32_t const from = slabs::lowest(some);
        std::uint32_t const w = core::lane_value(g.all, mine, from);
        std::uint64_t const bits = core::lane_value(g.all, seen, from);
        std::uint64_t got = 0;
        if (g.leads()) {
          // those that begin at one word begin at different halves of it
          got = slabs_.claim(slab, g.size_class, w, bits, g.left, g.spread & 32, sure);
        }
        core::sync_lanes(g.all);  // what the leader acquired, all have
        got = core::lane_value(g.all, got, g.leader);
        // gone to another class: nothing more to be found there
        if (got == 0 && !sure && !g.told_yes(slabs_.is_of(slab, g.size_class))) { break; }
        sure = sure || got != 0;
        last = got != 0 ? w : last;
        hand_out(slab, w, got, g);
      }
    }
    if (g.left != 0 && g.leads()) { slabs_.unset_ready(slab, g.size_class); }
    return last;
  }
  /// Gives each that has none one of the blocks, while there are.
  MILLRACE_HD void hand_out(std::uint32_t slab, std::uint32_t w, std::uint64_t got,
                            group& g) const noexcept {
    std::uint32_t const n = slabs::count(got);
    if (g.mine == nullptr && g.turn < n) {
      for (std::uint32_t skip = g.turn; skip != 0; --skip) { got &= got - 1; }
      g.mine =
          slabs_.bytes_of(slab) + (64 * w + slabs::lowest(got)) * classes::bytes_of(g.size_class);
    } else if (g.mine == nullptr) {
      g.turn -= n;
    }
    g.left -= n;
  }

  /// A slab that has free blocks, perhaps; of a new one the group has its blocks already.
  [[nodiscard]] MILLRACE_HD std::uint32_t fetch(group& g) const noexcept {
    std::uint32_t slab = find_ready(g);
    if (slab == nowhere) { slab = make(g); }
    if (slab != nowhere) { return slab; }
    bool const more = g.leads() && slabs_.idle() && slabs_.reclaim() != 0;
    return g.told_yes(more) ? make(g) : nowhere;
  }

  [[nodiscard]] MILLRACE_HD std::uint32_t find_ready(group const& g) const noexcept {
    if (g.told(slabs_.ready_count(g.size_class)) == 0) { return nowhere; }
    std::uint32_t const words = slabs_.ready_words();
    for (std::uint32_t first = 0; first < words; first += g.size) {
      bool const there = first + g.rank < words;
      std::uint32_t const w = (g.spread + first + g.rank) % words;
      std::uint64_t const seen = there ? slabs_.ready(g.size_class, w) : 0;
      core::lanes const some = core::lanes_where(g.all, seen != 0);
      if (some == 0) { continue; }
      int const turn = static_cast<int>(g.spread % 64);
      auto const bit = slabs::lowest(cuda::std::rotr(seen, turn)) + g.spread;
      return core::lane_value(g.all, 64 * w + bit % 64, slabs::lowest(some));
    }
    return nowhere;
  }

  [[nodiscard]] MILLRACE_HD std::uint32_t make(group& g) const noexcept {
    std::uint32_t const c = g.size_class;
    std::uint32_t const slab = g.told(g.leads() ? slabs_.begin(c, g.spread) : nowhere);
    if (slab == nowhere) { return nowhere; }
    std::uint32_t const words = slabs::words_of(c);
    std::uint32_t const start = g.spread % words;
    std::uint64_t const taken = slabs::some_of(slabs::whole(c, start), g.left);
    core::sync_lanes(g.all);  // the class comes before any block
    for (std::uint32_t w = g.rank; w < words; w += g.size) {
      slabs_.fill(slab, c, w, w == start ? taken : 0, w == g.rank);
    }
    core::sync_lanes(g.all);
    hand_out(slab, start, taken, g);
    if (g.leads()) { slabs_.set_ready(slab, c); }
    return slab;
  }

  static MILLRACE_HD void copy(void* to, void const* from, std::size_t bytes) noexcept {
    struct [[gnu::may_alias]] alignas(16) piece {
      std::uint64_t words[2];
    };
    auto* const out = static_cast<piece*>(to);
    auto const* const in = static_cast<piece const*>(from);
    for (std::size_t i = 0; i < (bytes + 15) / 16; ++i) { out[i] = in[i]; }
  }

  slabs slabs_;
};
static_assert(std::is_trivially_copyable_v<kernel_heap_ref<default_kernel_heap>>);

}  // namespace millrace::inline v0::memory
