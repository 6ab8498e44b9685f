// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/heap_policy.hpp>
#include <millrace/memory/heap_space.hpp>
#include <millrace/memory/watched.hpp>

#include <cuda/std/bit>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::memory {

/// One thread's part of a heap: free blocks at hand, the slabs that they come from, and the blocks
/// of other caches' slabs that wait to go home. What it does alone costs no atomic operation.
///
/// A block that is freed where its slab belongs goes into its class's magazine, and from a full
/// magazine the older half goes back to the bitmaps of their slabs. A magazine that is dry gets
/// free blocks of the slab at hand, in the order of their addresses and without a look at any,
/// which may lie in no cache of the processor by now. A block of another cache's slab is noted
/// beside those of the same slab before it. A batch of them goes home in one of their number, which
/// carries the places of all: it is pushed onto the slab's remote word, and the first batch there
/// puts the slab into its owner's mailbox. The owner reads its mail when a magazine is dry and the
/// slab at hand has nothing more.
/// @thread one at a time
template <heap_policy P>
class alignas(core::destructive_bytes) heap_cache {
 public:
  using access = typename P::access;
  using record = slab_record<P>;
  using classes = typename P::classes;

  heap_cache() noexcept = default;
  heap_cache(heap_cache&&) = delete;
  ~heap_cache() {}

  /// Makes the cache `number`'s. Before anybody else knows of it.
  void begin(heap_space<P>& space, std::uint32_t number) noexcept {
    space_ = &space;
    // slabs begin at multiples of their size, so an address alone leads to its slab's owner
    owners_of_zero_ =
        reinterpret_cast<std::uintptr_t>(space.owners) -
        reinterpret_cast<std::uintptr_t>(space.slabs) / P::slab_bytes * sizeof(*space.owners);
    for (std::uint32_t c = 0; c < classes::count; ++c) {
      limits_[c] = static_cast<std::uint8_t>(magazine_limit<P>(c));
    }
    number_ = static_cast<std::uint16_t>(number);
  }

  /// No class: a request for it finds nothing at hand.
  static constexpr std::uint32_t no_class = classes::count;

  /// Blocks in the magazine of a class, or of none.
  [[nodiscard]] std::size_t at_hand(std::uint32_t size_class) const noexcept {
    return count_of(fill_[size_class]);
  }
  /// One of the `have` blocks that are at hand, which are not none.
  [[nodiscard]] void* take_at_hand(std::uint32_t size_class, std::size_t have) noexcept {
    fill_[size_class] += one_given - 1;
    return magazines_[size_class].blocks[have - 1];
  }
  /// A block of a class; null when there is none.
  [[nodiscard]] void* take(std::uint32_t size_class) noexcept {
    std::size_t const have = at_hand(size_class);
    return have != 0 ? take_at_hand(size_class, have) : refill(size_class);
  }

  /// Takes a block of a class back, whosever slab it is of.
  void give(void* p, std::uint32_t size_class) noexcept {
    if (!is_own(p)) [[unlikely]] { return give_back(p, size_class); }
    give_own(p, size_class);
  }
  /// The same for a block that fills whole cache lines: whosever slab it is of, this thread keeps
  /// it, since nobody else writes beside it.
  void give_own(void* p, std::uint32_t size_class) noexcept {
    fullness& to = fill_[size_class];
    std::size_t const have = count_of(to);
    if (have == limits_[size_class]) [[unlikely]] { return give_to_full(p, size_class); }
    magazines_[size_class].blocks[have] = p;
    to += 1;
  }

  /// Frees a block of a space for a thread that has no cache: a batch of its own.
  static void give_without_cache(heap_space<P>& space, void* p) noexcept {
    outgoing alone;
    alone.home = &space.record_of(p);
    alone.count = 1;
    alone.places[0] =
        static_cast<std::uint16_t>(alone.home->index_of(space.offset_of(p) % P::slab_bytes));
    static_cast<void>(words::fetch_add(space.homeless.freed[alone.home->size_class],
                                       std::uint64_t{1}, core::relaxed, "heap.homeless"));
    post(space, alone);
  }

  /// What a cache counted of a class, as of the last time that a magazine of the class ran dry or
  /// full, or that `publish` was called. For any thread.
  struct counts {
    std::uint64_t given = 0;  ///< allocations
    std::uint64_t lent = 0;   ///< blocks that slabs gave less those that this cache sent to slabs,
                              ///< modulo 2^64: below 0 where it frees what others allocated
    std::uint64_t at_hand = 0;        ///< blocks in the magazine
    std::uint64_t sent = 0;           ///< frees of blocks of other caches' slabs
    std::uint64_t sampled = 0;        ///< allocations that found the magazine dry, of known size
    std::uint64_t sampled_bytes = 0;  ///< what these asked for
  };
  [[nodiscard]] counts counted(std::uint32_t size_class) const noexcept {
    tally const& from = tallies_[size_class];
    std::uint64_t const word = from.word.seen();
    return {word / one_given, from.lent.seen(),    count_of(word),
            from.sent.seen(), from.sampled.seen(), from.sampled_bytes.seen()};
  }
  /// Lets others see what was counted so far. For the thread whose cache it is.
  void publish() noexcept {
    for (std::uint32_t c = 0; c < classes::count; ++c) { publish(c); }
  }
  /// Notes the size that a request for a block of a class had: of some, so that the rest can be
  /// guessed.
  void note_size(std::uint32_t size_class, std::size_t bytes) noexcept {
    tallies_[size_class].sampled += 1;
    tallies_[size_class].sampled_bytes += bytes;
  }

  /// Everything that is not in use goes to where others can have it.
  void empty() noexcept {
    for (std::uint32_t c = 0; c < classes::count; ++c) { flush(c, at_hand(c)); }
    for (outgoing& each : outgoing_) { post(*space_, each); }
    read_mail();
    for (std::uint32_t c = 0; c < classes::count; ++c) {
      record* const at_hand = std::exchange(current_[c], nullptr);
      if (at_hand == nullptr) { continue; }
      at_hand->used == 0 ? space_->release(*at_hand) : list(*at_hand);
    }
    while (spares_ != 0) { space_->release(*spare_[--spares_]); }
  }

 private:
  using words = core::direct_access<cuda::thread_scope_system>;

  /// Of a magazine. Its count lies in the lowest byte of a word, above it how often a block was
  /// taken: one addition keeps both. Words, since processors hand a byte on from a store to a load
  /// far more slowly.
  using fullness = std::uint64_t;
  static constexpr std::uint64_t one_given = 256;
  static_assert(P::magazine_blocks < one_given);
  [[nodiscard]] static std::size_t count_of(std::uint64_t word) noexcept {
    return static_cast<std::uint8_t>(word);
  }
  struct tally {                      // as `counts` has it
    watched<std::uint64_t> word = 0;  ///< of the magazine
    watched<std::uint64_t> lent = 0;
    watched<std::uint64_t> sent = 0;
    watched<std::uint64_t> sampled = 0;
    watched<std::uint64_t> sampled_bytes = 0;
  };
  struct magazine {
    void* blocks[P::magazine_blocks];
  };
  /// Blocks of one slab on their way home, by their places in it.
  struct outgoing {
    record* home = nullptr;
    std::uint32_t count = 0;
    std::uint16_t places[P::remote_batch];
  };
  /// What the block that carries a batch holds.
  struct batch {
    std::uint64_t next = 0;  ///< the batch behind it, as the remote word has it
    std::uint16_t places[P::remote_batch];
  };
  /// The remote word holds the carrying block's address, below 2^56, and above it the count.
  static constexpr std::uint32_t count_shift = 56;
  static_assert(P::remote_batch < 1u << (64 - count_shift));

  /// Whether a block's slab is this cache's.
  [[nodiscard]] bool is_own(void const* p) const noexcept {
    MILLRACE_ASSERT(space_->contains(p));
    std::uintptr_t const slab = reinterpret_cast<std::uintptr_t>(p) / P::slab_bytes;
    return *reinterpret_cast<watched<std::uint16_t> const*>(
               owners_of_zero_ + slab * sizeof(watched<std::uint16_t>)) == number_;
  }
  [[nodiscard]] std::uint32_t place_of(void const* p, record const& home) const noexcept {
    return home.index_of(space_->offset_of(p) % P::slab_bytes);
  }
  /// A block is free in its slab again.
  static void put_back(record& home, std::uint32_t place) noexcept {
    home.free[place / 64] = home.free[place / 64] | std::uint64_t{1} << (place % 64);
    home.filled |= std::uint64_t{1} << (place / 64);
  }

  void publish(std::uint32_t size_class) noexcept { tallies_[size_class].word = fill_[size_class]; }

  // What is rare stays out of line, so that what is not needs no frame.

  // --- blocks come in ---

  [[nodiscard, gnu::noinline]] void* refill(std::uint32_t size_class) noexcept {
    std::uint32_t const wanted = std::max(1u, std::uint32_t{limits_[size_class]} / 2);
    for (;;) {
      if (current_[size_class] != nullptr) {
        draw(*current_[size_class], size_class, wanted);
        if (std::size_t const have = at_hand(size_class); have != 0) {
          void* const p = take_at_hand(size_class, have);
          publish(size_class);
          return p;
        }
        current_[size_class] = nullptr;  // full: whoever frees into it lists it
      }
      read_mail();
      record*& list = partial_[size_class];
      if (list != nullptr) {
        current_[size_class] = list;
        unlist(*list);
      } else if (record* const made = another_slab(size_class)) {
        current_[size_class] = made;
      } else {
        return nullptr;
      }
    }
  }

  /// Up to `wanted` free blocks of `from` into the empty magazine of its class, in the order of
  /// their addresses from the slab's start on; the first comes out first.
  void draw(record& from, std::uint32_t size_class, std::uint32_t wanted) noexcept {
    std::byte* const base = space_->bytes_of(from);
    void** const to = magazines_[size_class].blocks;
    int const word = static_cast<int>(from.start / 64), bit = static_cast<int>(from.start % 64);
    std::uint32_t got = 0;
    while (got < wanted && from.filled != 0) {
      int const w = (cuda::std::countr_zero(cuda::std::rotr(from.filled, word)) + word) % 64;
      std::uint64_t bits = cuda::std::rotr(std::uint64_t{from.free[w]}, bit);
      for (; got < wanted && bits != 0; ++got, bits &= bits - 1) {
        int const b = (cuda::std::countr_zero(bits) + bit) % 64;
        to[got] = base + static_cast<std::uint64_t>(64 * w + b) * from.block_bytes;
      }
      from.free[w] = cuda::std::rotl(bits, bit);
      if (bits == 0) { from.filled &= ~(std::uint64_t{1} << w); }
    }
    std::reverse(to, to + got);
    fill_[size_class] += got;
    tallies_[size_class].lent += got;
    from.used += got;
  }

  [[nodiscard]] record* another_slab(std::uint32_t size_class) noexcept {
    record* made = nullptr;
    if (spares_ != 0) {
      made = spare_[--spares_];
    } else if (auto const claimed = space_->claim(1)) {
      made = *claimed;
    } else {
      return nullptr;
    }
    std::size_t const bytes = classes::bytes_of(size_class);
    auto const count = static_cast<std::uint32_t>(P::slab_bytes / bytes);
    made->use = slab_use::blocks;
    space_->owners[space_->index_of(*made)] = number_;
    made->size_class = size_class;
    made->block_bytes = bytes;
    made->inverse = static_cast<std::uint32_t>((std::uint64_t{1} << 32) / bytes + 1);
    made->batch = static_cast<std::uint16_t>(
        std::min<std::size_t>(P::remote_batch, (bytes - offsetof(batch, places)) / 2));
    made->touched = true;
    made->used = 0;
    made->listed = false;
    // Slabs begin at the same place of a processor's cache; what is in use of each should not.
    made->start = (space_->index_of(*made) * 0x9e37'79b1u >> 16) * count >> 16;
    std::uint32_t const length = (count + 63) / 64;
    for (std::uint32_t w = 0; w < length; ++w) { made->free[w] = ~std::uint64_t{0}; }
    if (count % 64 != 0) { made->free[length - 1] = ~std::uint64_t{0} >> (64 - count % 64); }
    made->filled = ~std::uint64_t{0} >> (64 - length);
    return made;
  }

  // --- blocks go out ---

  [[gnu::noinline]] void give_to_full(void* p, std::uint32_t size_class) noexcept {
    flush(size_class, limits_[size_class] / 2);
    magazines_[size_class].blocks[at_hand(size_class)] = p;
    fill_[size_class] += 1;
  }

  /// The oldest `n` blocks of a magazine go to their slabs.
  void flush(std::uint32_t size_class, std::size_t n) noexcept {
    void** const blocks = magazines_[size_class].blocks;
    record const* const drawn = current_[size_class];
    // only blocks of whole lines may be of other caches' slabs
    bool const all_own = classes::bytes_of(size_class) % core::line_bytes != 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (!all_own && !is_own(blocks[i])) {
        send_home(blocks[i]);
        continue;
      }
      record& home = space_->record_of(blocks[i]);
      put_back(home, place_of(blocks[i], home));
      home.used -= 1;
      bool const as_before = &home == drawn || (home.listed && home.used != 0);
      if (!as_before) [[unlikely]] { settle(home); }
    }
    std::copy(blocks + n, blocks + at_hand(size_class), blocks);
    fill_[size_class] -= n;
    tallies_[size_class].lent -= n;
    publish(size_class);
  }

  /// `n` more blocks of a slab of this cache are free.
  void came_back(record& home, std::uint32_t n) noexcept {
    home.used -= n;
    if (&home != current_[home.size_class]) { settle(home); }
  }
  /// Finds the place of a slab that is not drawn from, after blocks came back.
  [[gnu::noinline]] void settle(record& home) noexcept {
    if (home.used != 0) {
      if (!home.listed) { list(home); }
      return;
    }
    if (home.listed) { unlist(home); }
    if (spares_ < P::spare_slabs) {
      spare_[spares_++] = &home;
    } else {
      space_->release(home);
    }
  }

  [[gnu::noinline]] void give_back(void* p, std::uint32_t size_class) noexcept {
    tallies_[size_class].lent -= 1;
    tallies_[size_class].sent += 1;
    publish(size_class);
    send_home(p);
  }
  void send_home(void* p) noexcept {
    record& home = space_->record_of(p);
    outgoing& with = outgoing_[space_->index_of(home) % P::remote_slabs];
    if (with.home != &home) {
      post(*space_, with);
      with.home = &home;
    }
    with.places[with.count++] = static_cast<std::uint16_t>(place_of(p, home));
    // a line that this processor owns costs its next writer less than one that several have read
    access::write(p, sizeof(std::uint64_t), "block.own");
    *static_cast<std::uint64_t volatile*>(p) = 0;
    if (with.count == home.batch) { post(*space_, with); }
  }

  /// Pushes a batch onto its slab.
  static void post(heap_space<P>& space, outgoing& out) noexcept {
    if (out.count == 0) { return; }
    record& home = *out.home;
    std::uint32_t const count = std::exchange(out.count, 0);
    auto* const carrier =
        reinterpret_cast<batch*>(space.bytes_of(home) + out.places[count - 1] * home.block_bytes);
    access::write(carrier, offsetof(batch, places) + 2 * count, "batch.write");
    std::memcpy(carrier->places, out.places, 2 * count);
    std::uint64_t const word = reinterpret_cast<std::uintptr_t>(carrier) | std::uint64_t{count}
                                                                               << count_shift;
    std::uint64_t newest = access::load(home.remote, core::relaxed, "remote.look");
    do {
      carrier->next = newest;
      // release: the batch, and all that this thread did with its blocks; acquire: whoever finds
      // the word empty mails the slab, and its owner has read its last mail before it emptied it
    } while (!access::compare_exchange(home.remote, newest, word, core::acq_rel, core::relaxed,
                                       "remote.push"));
    if (newest == 0) { mail(space, home); }
  }

  /// Tells the owner of a slab to look at its remote word. Whoever put the first batch there does,
  /// so a slab is in a mailbox once, and its blocks are not home before its mail was read.
  static void mail(heap_space<P>& space, record& to) noexcept {
    std::uint64_t& box = space.posts[space.owners[space.index_of(to)]].newest;
    std::uint64_t newest = access::load(box, core::relaxed, "mail.look");
    do {
      access::write(&to.next_mail, sizeof(to.next_mail), "mail.link");
      to.next_mail = newest;
      // release: the link
    } while (!access::compare_exchange(box, newest, reinterpret_cast<std::uintptr_t>(&to),
                                       core::release, core::relaxed, "mail.push"));
  }

  /// Takes home what others freed.
  void read_mail() noexcept {
    std::uint64_t newest = take_all(space_->posts[number_].newest, "mail.look", "mail.take");
    while (newest != 0) {
      auto& home = *reinterpret_cast<record*>(newest);
      access::read(&home.next_mail, sizeof(home.next_mail), "mail.next");
      newest = home.next_mail;  // read first: the slab may be mailed again once it is empty
      std::uint32_t blocks = 0;
      std::uint64_t word = take_all(home.remote, "remote.look", "remote.take");
      while (word != 0) {
        auto const* const carrier =
            reinterpret_cast<batch const*>(word & ((std::uint64_t{1} << count_shift) - 1));
        auto const count = static_cast<std::uint32_t>(word >> count_shift);
        access::read(carrier, offsetof(batch, places) + 2 * count, "batch.read");
        word = carrier->next;
        for (std::uint32_t i = 0; i < count; ++i) { put_back(home, carrier->places[i]); }
        blocks += count;
      }
      came_back(home, blocks);
    }
  }

  /// What a stack that others push onto holds, which is empty afterwards. No ABA, since nothing is
  /// read before it is this thread's.
  [[nodiscard]] static std::uint64_t take_all(std::uint64_t& stack, char const* look,
                                              char const* take) noexcept {
    std::uint64_t newest = access::load(stack, core::relaxed, look);
    // acquire: what the pushers did before each of their pushes; release: see post
    while (newest != 0 && !access::compare_exchange(stack, newest, std::uint64_t{0}, core::acq_rel,
                                                    core::relaxed, take)) {}
    return newest;
  }

  // --- the lists of slabs that have free blocks ---

  void list(record& one) noexcept {
    record*& head = partial_[one.size_class];
    one.previous = nullptr;
    one.next = head;
    if (head != nullptr) { head->previous = &one; }
    head = &one;
    one.listed = true;
  }
  void unlist(record& one) noexcept {
    (one.previous != nullptr ? one.previous->next : partial_[one.size_class]) = one.next;
    if (one.next != nullptr) { one.next->previous = one.previous; }
    one.listed = false;
  }

  fullness fill_[classes::count + 1] = {};  ///< of no class, nothing; first: see above
  heap_space<P>* space_ = nullptr;
  std::uintptr_t owners_of_zero_ = 0;  ///< where the owner of a slab at address 0 would be
  std::uint16_t number_ = 0;
  std::uint32_t spares_ = 0;
  std::uint8_t limits_[classes::count + 1] = {};
  record* spare_[P::spare_slabs] = {};
  record* current_[classes::count] = {};  ///< from which each magazine is filled
  record* partial_[classes::count] = {};  ///< others that have free blocks
  outgoing outgoing_[P::remote_slabs] = {};
  magazine magazines_[classes::count + 1] = {};  ///< the last, of no class, is empty for ever
  tally tallies_[classes::count] = {};
};

}  // namespace millrace::inline v0::memory
