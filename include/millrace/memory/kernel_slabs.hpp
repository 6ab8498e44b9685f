// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/kernel_heap_layout.hpp>
#include <millrace/memory/kernel_heap_policy.hpp>
#include <millrace/memory/slab_map.hpp>

#include <cuda/std/bit>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::memory {

/// The slabs of a kernel heap, and what its callers share: which are taken, for which class, and
/// which blocks of each are free. Every call is one thread's; kernel_heap_ref has what a warp does
/// together.
///
/// A slab has a bitmap of its free blocks, which claims clear bits of and frees set them again, so
/// that no claim can be deceived by a word that changed and changed back. A slab that is empty
/// leaves its class by a claim of all its words. A claim that was meant for its last class may
/// still come: so every claim looks at the slab's class after it has a block, which holds the slab
/// where it is, and gives the block back when it is another's.
/// @thread any
template <kernel_heap_policy P>
class kernel_slabs {
 public:
  using access = typename P::access;
  using classes = typename P::classes;
  using layout = kernel_heap_layout<P>;

  kernel_slabs() noexcept = default;
  /// @param words  layout::of(count).bytes of them, at a multiple of core::destructive_bytes
  /// @param slabs  at a multiple of P::slab_bytes
  /// @param low  set to 1 when counts().low_at or more are taken, or an allocation found no room;
  /// the
  ///             host may look at it, in page-locked memory while kernels run
  MILLRACE_HD kernel_slabs(std::byte* words, std::byte* slabs, std::uint32_t count,
                           std::uint32_t* low) noexcept
      : slabs_{slabs}, low_{low} {
    layout const at = layout::of(count);
    counts_ = reinterpret_cast<kernel_heap_counts*>(words + at.counts);
    shards_ = reinterpret_cast<kernel_heap_shard*>(words + at.shards);
    ready_counts_ = reinterpret_cast<std::uint32_t*>(words + at.ready_counts);
    ready_ = reinterpret_cast<std::uint64_t*>(words + at.ready);
    uses_ = reinterpret_cast<std::uint32_t*>(words + at.uses);
    free_ = reinterpret_cast<std::uint64_t*>(words + at.free);
    map_ = slab_map<access>(reinterpret_cast<std::uint64_t*>(words + at.map),
                            reinterpret_cast<std::uint32_t*>(words + at.hint), count);
  }

  // --- what a word says ---

  /// A slab's use: none, a class and whether a shard draws from it, or a run and its length.
  static constexpr std::uint32_t none = 0;
  static constexpr std::uint32_t held = 1u << 30;
  static constexpr std::uint32_t run = 1u << 31;
  /// In place of a slab: somebody fetches one.
  static constexpr std::uint32_t fetching = ~0u;
  static constexpr std::uint32_t nowhere = ~0u;

  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t class_of(std::uint32_t use) noexcept {
    return (use & ~held) - 1;
  }
  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t blocks_of(std::uint32_t c) noexcept {
    return static_cast<std::uint32_t>(P::slab_bytes) /
           static_cast<std::uint32_t>(classes::bytes_of(c));
  }
  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t words_of(std::uint32_t c) noexcept {
    return (blocks_of(c) + 63) / 64;
  }
  /// Word `w` of a slab whose blocks are all free.
  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t whole(std::uint32_t c,
                                                                 std::uint32_t w) noexcept {
    std::uint32_t const there = blocks_of(c) - 64 * w;
    return there < 64 ? ~std::uint64_t{0} >> (64 - there) : ~std::uint64_t{0};
  }
  [[nodiscard]] static MILLRACE_HD std::uint32_t count(std::uint64_t bits) noexcept {
    return static_cast<std::uint32_t>(cuda::std::popcount(bits));
  }
  [[nodiscard]] static MILLRACE_HD std::uint32_t lowest(std::uint64_t bits) noexcept {
    return static_cast<std::uint32_t>(cuda::std::countr_zero(bits));
  }
  /// The `n` lowest bits that are set, or all.
  [[nodiscard]] static MILLRACE_HD std::uint64_t some_of(std::uint64_t bits,
                                                         std::uint32_t n) noexcept {
    std::uint64_t rest = bits;
    for (; n != 0 && rest != 0; --n) { rest &= rest - 1; }
    return bits & ~rest;
  }
  [[nodiscard]] MILLRACE_HD std::uint64_t& word_of(std::uint32_t slab,
                                                   std::uint32_t w) const noexcept {
    return free_[std::size_t{slab} * layout::words + w];
  }
  [[nodiscard]] MILLRACE_HD std::uint32_t use_of(std::uint32_t slab) const noexcept {
    return access::load(uses_[slab], core::relaxed, "kernel.use");
  }
  [[nodiscard]] MILLRACE_HD bool is_of(std::uint32_t slab, std::uint32_t c) const noexcept {
    return (use_of(slab) & ~held) == c + 1;
  }
  [[nodiscard]] MILLRACE_HD std::byte* bytes_of(std::uint32_t slab) const noexcept {
    return slabs_ + std::size_t{slab} * P::slab_bytes;
  }

  [[nodiscard]] MILLRACE_HD slab_map<access> const& map() const noexcept { return map_; }

  [[nodiscard]] MILLRACE_HD std::uint32_t slab_count() const noexcept { return map_.count(); }

  struct position {
    std::uint32_t slab = 0;
    std::uint32_t use = none;
    std::uint32_t block = 0;
  };
  /// Whether `p` lies in the heap's range.
  [[nodiscard]] MILLRACE_HD bool holds(void const* p) const noexcept {
    return offset_of(p) < std::uint64_t{map_.count()} * P::slab_bytes;
  }
  /// Whether the slab that `p` lies in has no owner.
  /// @pre holds(p)
  [[nodiscard]] MILLRACE_HD bool is_nobodys(void const* p) const noexcept {
    return !map_.taken(static_cast<std::uint32_t>(offset_of(p) / P::slab_bytes));
  }
  [[nodiscard]] MILLRACE_HD result<position> find(void const* p) const noexcept {
    if (!holds(p)) { return core::fail(errc::bad_argument, 1); }
    std::uint64_t const offset = offset_of(p);
    position at;
    at.slab = static_cast<std::uint32_t>(offset / P::slab_bytes);
    at.use = use_of(at.slab);
    auto const within = static_cast<std::uint32_t>(offset % P::slab_bytes);
    if (at.use == none || (at.use >= run && within != 0)) {
      return core::fail(errc::bad_argument, 1);
    }
    if (at.use < run) {
      auto const size = static_cast<std::uint32_t>(classes::bytes_of(class_of(at.use)));
      at.block = within / size;
      if (within % size != 0 || at.block >= blocks_of(class_of(at.use))) {
        return core::fail(errc::bad_argument, 1);
      }
    }
    return at;
  }

  /// What a slab is used for, at a glance.
  struct slab_state {
    std::uint32_t size_class = classes::count;  ///< classes::count: not of blocks
    std::uint32_t blocks = 0;                   ///< that it has
    std::uint32_t live = 0;                     ///< of them, in use
    std::uint32_t run_slabs = 0;                ///< not 0: begins a large block of so many slabs
  };
  /// @cost O(words of the slab's class)
  [[nodiscard]] MILLRACE_HD slab_state state_of(std::uint32_t slab) const noexcept {
    slab_state s;
    std::uint32_t const use = use_of(slab);
    if (use >= run) {
      s.run_slabs = use - run;
    } else if (use != none) {
      s.size_class = class_of(use);
      s.blocks = blocks_of(s.size_class);
      s.live = s.blocks;
      for (std::uint32_t w = 0; w < words_of(s.size_class); ++w) {
        s.live -= count(free_blocks(slab, w));
      }
    }
    return s;
  }
  [[nodiscard]] MILLRACE_HD kernel_heap_counts counts() const noexcept {
    auto const look = [](std::uint32_t const& word) {
      return access::load(word, core::relaxed, "kernel.look");
    };
    return {look(counts_->taken),   look(counts_->usable),  look(counts_->peak),
            look(counts_->refused), look(counts_->wanted),  look(counts_->idle),
            look(counts_->given),   look(counts_->leaving), look(counts_->low_at),
            look(counts_->said_low)};
  }
  /// Whether the heap has said that it runs low.
  [[nodiscard]] MILLRACE_HD bool low() const noexcept {
    return signal::load(*low_, core::relaxed, "heap.low") != 0;
  }

  // --- blocks ---

  /// Of 64 blocks of a slab, those that are free.
  [[nodiscard]] MILLRACE_HD std::uint64_t free_blocks(std::uint32_t slab,
                                                      std::uint32_t w) const noexcept {
    return access::load(word_of(slab, w), core::relaxed, "kernel.look");
  }
  /// Claims up to `n` free blocks of a word, of which `seen` were free.
  /// @param from  the bit at which to begin
  /// @param sure  that the slab is of the class, since a block of it is the caller's
  [[nodiscard]] MILLRACE_HD std::uint64_t claim(std::uint32_t slab, std::uint32_t c,
                                                std::uint32_t w, std::uint64_t seen,
                                                std::uint32_t n, std::uint32_t from,
                                                bool sure) const noexcept {
    std::uint64_t mine = 0;
    auto const turn = static_cast<int>(from);
    for (std::uint64_t free = seen; free != 0 && n != 0;) {
      std::uint64_t const wanted = cuda::std::rotl(some_of(cuda::std::rotr(free, turn), n), turn);
      // acquire: what the last owners did with the blocks, and the slab's class
      std::uint64_t const before =
          access::fetch_and(word_of(slab, w), ~wanted, core::acquire, "kernel.claim");
      std::uint64_t const got = before & wanted;
      if (got != 0 && !sure && !is_of(slab, c)) {
        restore(slab, w, got);
        return 0;
      }
      sure = sure || got != 0;
      mine |= got;
      n -= count(got);
      free = before & ~wanted;  // others were faster: what they left
    }
    return mine;
  }

  /// Blocks of a slab are free again. The caller owns them, so the slab is of this class.
  /// @return the word before
  MILLRACE_HD std::uint64_t put_back(std::uint32_t slab, std::uint32_t w, std::uint64_t bits,
                                     std::uint32_t c) const noexcept {
    // release: what the owners did with the blocks
    std::uint64_t const before =
        access::fetch_or(word_of(slab, w), bits, core::release, "kernel.free");
    if (before == 0) { set_ready(slab, c); }
    if ((before | bits) == whole(c, w)) {
      bool const gone = is_empty(slab, c, w + 1) && use_of(slab) == c + 1 && retire(slab, c);
      // release: whoever reclaims sees the block free, or the mark after its own
      if (!gone) { access::fetch_or(counts_->idle, 1u, core::release, "kernel.idle"); }
    }
    return before;
  }
  /// The same for blocks that were claimed by mistake, of whatever class the slab is.
  MILLRACE_HD void restore(std::uint32_t slab, std::uint32_t w, std::uint64_t bits) const noexcept {
    std::uint32_t const use = use_of(slab);  // stays while the bits are the caller's
    std::uint64_t const before =
        access::fetch_or(word_of(slab, w), bits, core::release, "kernel.restore");
    if (before == 0 && use != none && use < run) { set_ready(slab, class_of(use)); }
    access::fetch_or(counts_->idle, 1u, core::release, "kernel.idle");
  }

  // --- slabs ---

  /// A slab that nobody has becomes one of the class, with no block to be claimed before `fill`.
  /// @return nowhere when there is none
  [[nodiscard]] MILLRACE_HD std::uint32_t begin(std::uint32_t c,
                                                std::uint32_t spread) const noexcept {
    auto const look = [](std::uint32_t const& n) {
      return access::load(n, core::relaxed, "kernel.look");
    };
    if (look(counts_->taken) >= look(counts_->usable)) { return nowhere; }  // a long search in vain
    auto const slab = map_.claim_one(spread);
    if (!slab) { return nowhere; }
    took(1);
    access::store(uses_[*slab], c + 1, core::relaxed, "kernel.use");
    return *slab;
  }
  /// Word `w` of a slab that begins: all but `taken` may be claimed from here on.
  /// @param first  of the words that the caller fills
  MILLRACE_HD void fill(std::uint32_t slab, std::uint32_t c, std::uint32_t w, std::uint64_t taken,
                        [[maybe_unused]] bool first) const noexcept {
    // release: the class, for whoever claims a block of the word
    if constexpr (requires { access::store_released(counts_->idle, 0u, first, ""); }) {
      access::store_released(word_of(slab, w), whole(c, w) & ~taken, first, "kernel.fill");
    } else {
      access::store(word_of(slab, w), whole(c, w) & ~taken, core::release, "kernel.fill");
    }
  }
  /// Takes an empty slab out of its class, if that is what it is.
  [[gnu::noinline]] MILLRACE_HD bool retire(std::uint32_t slab, std::uint32_t c) const noexcept {
    access::fetch_add(counts_->leaving, 1u, core::relaxed, "kernel.leaving");
    bool const mine = claim_all(slab, c);
    if (mine) {
      access::store(uses_[slab], none, core::relaxed, "kernel.use");
      unset_ready(slab, c);
      gave(1);
      map_.release(slab, 1);
      access::fetch_add(counts_->given, 1u, core::relaxed, "kernel.given");
    }
    access::fetch_add(counts_->leaving, ~0u, core::relaxed, "kernel.leaving");
    return mine;
  }
  /// @param from  the word at which to begin
  [[nodiscard]] MILLRACE_HD bool is_empty(std::uint32_t slab, std::uint32_t c,
                                          std::uint32_t from = 0) const noexcept {
    std::uint32_t const words = words_of(c);
    for (std::uint32_t i = 0; i < words; ++i) {
      std::uint32_t const w = (from + i) % words;
      if (free_blocks(slab, w) != whole(c, w)) { return false; }
    }
    return true;
  }

  // --- shards: the slab that is drawn from where the caller runs ---

  [[nodiscard]] MILLRACE_HD kernel_heap_shard& shard(std::uint32_t c,
                                                     std::uint32_t place) const noexcept {
    return shards_[c * P::shards + (place >> 6) % P::shards];
  }
  /// Its slab and 1; 0: none; `fetching`.
  [[nodiscard]] static MILLRACE_HD std::uint32_t drawn(kernel_heap_shard const& shard) noexcept {
    return access::load(shard.slab, core::relaxed, "kernel.current");
  }
  [[nodiscard]] static MILLRACE_HD std::uint32_t word(kernel_heap_shard const& shard) noexcept {
    return access::load(shard.word, core::relaxed, "kernel.word");
  }
  static MILLRACE_HD void set_word(kernel_heap_shard& shard, std::uint32_t w) noexcept {
    access::store(shard.word, w, core::relaxed, "kernel.word");
  }
  /// Whether the caller is to fetch the next slab, after `at`.
  [[nodiscard]] MILLRACE_HD bool begin_fetch(kernel_heap_shard& shard,
                                             std::uint32_t at) const noexcept {
    if (!access::compare_exchange(shard.slab, at, fetching, core::relaxed, core::relaxed,
                                  "kernel.fetch")) {
      return false;
    }
    if (at != 0) { access::fetch_and(uses_[at - 1], ~held, core::relaxed, "kernel.use"); }
    return true;
  }
  MILLRACE_HD void end_fetch(kernel_heap_shard& shard, std::uint32_t slab,
                             std::uint32_t c) const noexcept {
    if (slab != nowhere) {
      std::uint32_t use = c + 1;  // it may have gone to another class meanwhile
      static_cast<void>(access::compare_exchange(uses_[slab], use, use | held, core::relaxed,
                                                 core::relaxed, "kernel.use"));
    }
    // a claim there reads the newest word, so nothing has to come with the number
    access::store(shard.slab, slab == nowhere ? 0u : slab + 1, core::relaxed, "kernel.publish");
  }

  // --- which slabs have free blocks ---

  /// Slabs that the class has, with free blocks as far as is known.
  [[nodiscard]] MILLRACE_HD std::uint32_t ready_count(std::uint32_t c) const noexcept {
    return access::load(ready_counts_[c], core::relaxed, "kernel.look");
  }
  /// 64 of the slabs, a bit each.
  [[nodiscard]] MILLRACE_HD std::uint64_t ready(std::uint32_t c, std::uint32_t w) const noexcept {
    return access::load(ready_[c * ready_words() + w], core::relaxed, "kernel.look");
  }
  /// Where to find slabs of a class with free blocks. Whoever frees the first block of a word that
  /// had none says so here, and whoever finds no block takes that back and looks again: both are
  /// read-modify-writes of one word, so one of them sees the other.
  MILLRACE_HD void set_ready(std::uint32_t slab, std::uint32_t c) const noexcept {
    std::uint64_t const bit = std::uint64_t{1} << (slab % 64);
    std::uint64_t const before =
        access::fetch_or(ready_[c * ready_words() + slab / 64], bit, core::release, "kernel.ready");
    if ((before & bit) == 0) {
      access::fetch_add(ready_counts_[c], 1u, core::relaxed, "kernel.ready_count");
    }
  }
  [[gnu::noinline]] MILLRACE_HD void unset_ready(std::uint32_t slab,
                                                 std::uint32_t c) const noexcept {
    std::uint64_t const bit = std::uint64_t{1} << (slab % 64);
    std::uint64_t& word = ready_[c * ready_words() + slab / 64];
    if ((access::load(word, core::relaxed, "kernel.look") & bit) == 0) { return; }
    std::uint64_t const before = access::fetch_and(word, ~bit, core::acquire, "kernel.unready");
    if ((before & bit) == 0) { return; }
    access::fetch_add(ready_counts_[c], ~0u, core::relaxed, "kernel.ready_count");
    if (!is_of(slab, c)) { return; }
    for (std::uint32_t w = 0; w < words_of(c); ++w) {
      if (free_blocks(slab, w) != 0) { return set_ready(slab, c); }
    }
  }
  [[nodiscard]] MILLRACE_HD std::uint32_t ready_words() const noexcept {
    return slab_map<access>::words_for(map_.count());
  }

  // --- the owner's, while nobody else is here ---

  /// Of slabs whose words are zero, the first `usable` may be taken.
  MILLRACE_HD void format(std::uint32_t usable) const noexcept {
    map_.format(true);
    access::store(counts_->low_at, ~0u, core::relaxed, "kernel.low_at");
    map_.format_from(usable);
    access::store(counts_->usable, usable, core::relaxed, "kernel.usable");
  }
  /// The last of the usable slabs that are nobody's, down to `least` of all, are the owner's again.
  /// @return how many
  [[nodiscard]] MILLRACE_HD std::uint32_t take_last(std::uint32_t least) const noexcept {
    std::uint32_t const usable = counts().usable;
    std::uint32_t n = 0;
    while (usable - n > least && map_.claim_at(usable - n - 1)) { ++n; }
    access::store(counts_->usable, usable - n, core::relaxed, "kernel.usable");
    return n;
  }
  /// `n` slabs more are usable.
  MILLRACE_HD void add(std::uint32_t n) const noexcept {
    std::uint32_t const usable = counts().usable;
    access::store(counts_->usable, usable + n, core::relaxed, "kernel.usable");
    map_.release(usable, n);
  }
  /// Whether there is room for a run of `n` slabs.
  [[nodiscard]] MILLRACE_HD bool fits(std::uint32_t n) const noexcept {
    auto const first = map_.claim(n);
    if (first) { map_.release(*first, n); }
    return first.has_value();
  }
  /// Forgets that it was low, and says so again when `taken` slabs are.
  MILLRACE_HD void set_low(std::uint32_t taken) const noexcept {
    access::store(counts_->low_at, taken, core::relaxed, "kernel.low_at");
    access::store(counts_->wanted, 0u, core::relaxed, "kernel.wanted");
    access::store(counts_->said_low, 0u, core::relaxed, "kernel.said_low");
    signal::store(*low_, 0u, core::relaxed, "heap.low");
  }

  // --- running short ---

  /// Whether a search that found nothing may find something now: since `given` was read, slabs have
  /// come back or are on the way.
  [[nodiscard]] MILLRACE_HD bool changes(std::uint32_t since) const noexcept {
    return access::load(counts_->leaving, core::relaxed, "kernel.leaving") != 0 || given() != since;
  }
  [[nodiscard]] MILLRACE_HD std::uint32_t given() const noexcept {
    return access::load(counts_->given, core::relaxed, "kernel.given");
  }

  /// Whether a reclaim may bring anything.
  [[nodiscard]] MILLRACE_HD bool idle() const noexcept {
    return access::load(counts_->idle, core::relaxed, "kernel.idle") != 0;
  }
  /// Gives slabs back of which no block is in use. @cost O(slabs)   @return how many
  [[gnu::noinline]] MILLRACE_HD std::uint32_t reclaim() const noexcept {
    access::fetch_add(counts_->leaving, 1u, core::relaxed, "kernel.leaving");
    std::uint32_t given = 0;
    // acquire: the free blocks of whoever set the mark
    access::fetch_and(counts_->idle, 0u, core::acquire, "kernel.reclaim");
    for (std::uint32_t slab = 0; slab < map_.count(); ++slab) {
      std::uint32_t const use = use_of(slab);
      if (use == none || use >= run || !is_empty(slab, class_of(use))) { continue; }
      if (retire(slab, class_of(use))) { ++given; }
    }
    access::fetch_add(counts_->leaving, ~0u, core::relaxed, "kernel.leaving");
    return given;
  }

  // --- large blocks ---

  [[nodiscard, gnu::noinline]] MILLRACE_HD void* take_run(std::size_t bytes) const noexcept {
    std::size_t const slabs = (bytes - 1) / P::slab_bytes + 1;
    auto const n = static_cast<std::uint32_t>(slabs < map_.count() ? slabs : map_.count());
    for (std::uint32_t attempt = 0, waits = 0; slabs == n;) {
      std::uint32_t const since = given();
      auto first = map_.claim(n);
      if (!first && idle() && reclaim() != 0) { first = map_.claim(n); }
      if (first) {
        took(n);
        access::store(uses_[*first], run | n, core::relaxed, "kernel.use");
        return bytes_of(*first);
      }
      if (changes(since) && P::slab_wait::again(waits++)) { continue; }
      if (!P::out_of_memory::again(attempt++)) { break; }
    }
    refuse(1, n);
    return nullptr;
  }
  [[nodiscard]] MILLRACE_HD result<void> give_run(std::uint32_t slab,
                                                  std::uint32_t use) const noexcept {
    std::uint32_t expected = use;
    if (!access::compare_exchange(uses_[slab], expected, none, core::relaxed, core::relaxed,
                                  "kernel.run")) {
      return core::fail(errc::bad_argument, 2);
    }
    gave(use - run);
    map_.release(slab, use - run);
    access::fetch_add(counts_->given, use - run, core::relaxed, "kernel.given");
    return {};
  }

  // --- counts ---

  MILLRACE_HD void took(std::uint32_t n) const noexcept {
    std::uint32_t const now =
        access::fetch_add(counts_->taken, n, core::relaxed, "kernel.taken") + n;
    core::raise<access>(counts_->peak, now, "kernel.most");
    if (now >= access::load(counts_->low_at, core::relaxed, "kernel.look")) { say_low(); }
  }
  MILLRACE_HD void gave(std::uint32_t n) const noexcept {
    access::fetch_add(counts_->taken, 0u - n, core::relaxed, "kernel.taken");
  }
  /// `n` allocations, of `slabs` each, found no room.
  MILLRACE_HD void refuse(std::uint32_t n, std::uint32_t slabs) const noexcept {
    access::fetch_add(counts_->refused, n, core::relaxed, "kernel.refused");
    core::raise<access>(counts_->wanted, slabs, "kernel.most");
    say_low();
  }

 private:
  using signal = core::direct_access<cuda::thread_scope_system>;

  /// The host's word may lie across a bus: one store each time, and no load.
  MILLRACE_HD void say_low() const noexcept {
    if (access::load(counts_->said_low, core::relaxed, "kernel.said_low") != 0) { return; }
    access::store(counts_->said_low, 1u, core::relaxed, "kernel.said_low");
    signal::store(*low_, 1u, core::relaxed, "heap.low");
  }
  /// Claims every word of an empty slab of the class.
  [[nodiscard]] MILLRACE_HD bool claim_all(std::uint32_t slab, std::uint32_t c) const noexcept {
    std::uint32_t const words = words_of(c);
    for (std::uint32_t w = 0; w < words; ++w) {
      std::uint64_t all = whole(c, w);
      bool mine = access::compare_exchange(word_of(slab, w), all, std::uint64_t{0}, core::acquire,
                                           core::relaxed, "kernel.retire");
      if (mine && w == 0 && !is_of(slab, c)) {  // now it stays what it is
        restore(slab, 0, whole(c, 0));
        mine = false;
      }
      if (!mine) {
        for (; w != 0; --w) { restore(slab, w - 1, whole(c, w - 1)); }
        return false;
      }
    }
    return true;
  }

  [[nodiscard]] MILLRACE_HD std::uint64_t offset_of(void const* p) const noexcept {
    return reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(slabs_);
  }

  std::byte* slabs_ = nullptr;
  kernel_heap_counts* counts_ = nullptr;
  kernel_heap_shard* shards_ = nullptr;    ///< [classes][shards]
  std::uint32_t* ready_counts_ = nullptr;  ///< [classes]: bits that are set in
  std::uint64_t* ready_ = nullptr;         ///< [classes][words of the map]
  std::uint32_t* uses_ = nullptr;          ///< [slabs]
  std::uint64_t* free_ = nullptr;          ///< [slabs][layout::words]
  slab_map<access> map_;
  std::uint32_t* low_ = nullptr;
};
static_assert(std::is_trivially_copyable_v<kernel_slabs<default_kernel_heap>>);

}  // namespace millrace::inline v0::memory
