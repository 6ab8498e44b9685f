// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/heap_core.hpp>
#include <millrace/memory/heap_policy.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/memory/thread_caches.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

template <heap_policy P = default_heap>
class heap;

namespace detail {
/// For what looks into a heap from other headers.
struct heap_inside {
  template <heap_policy P>
  [[nodiscard]] static heap_core<P>& of(heap<P> const& h) noexcept {
    h.publish();
    return *h.core_;
  }
};
}  // namespace detail

/// One thread's cache, taken by hand: what it gives and takes costs no look for the thread. Its end
/// leaves the cache, with the slabs that are in use, to whoever comes next.
/// @thread one at a time; blocks may be freed through any other cache of the heap
template <heap_policy P = default_heap>
class local_heap {
 public:
  local_heap(local_heap&& other) noexcept
      : heap_{std::move(other.heap_)}, cache_{other.cache_}, number_{other.number_} {}
  local_heap& operator=(local_heap&& other) noexcept {
    local_heap moved(std::move(other));
    std::swap(heap_, moved.heap_);
    std::swap(cache_, moved.cache_);
    std::swap(number_, moved.number_);
    return *this;
  }
  ~local_heap() {
    if (heap_ != nullptr) { heap_->caches().leave(number_); }
  }

  /// @error as heap::try_allocate
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment = 16) noexcept {
    if (void* const p = allocate_or_null(bytes, alignment)) [[likely]] { return p; }
    if (auto const ok = check_request(bytes, alignment, heap<P>::max_alignment); !ok) {
      return cuda::std::unexpected(ok.error());
    }
    return core::fail(errc::out_of_memory);
  }
  /// As try_allocate; null in place of an error.
  [[nodiscard]] void* allocate_or_null(std::size_t bytes, std::size_t alignment = 16) noexcept {
    if (inside::is_small(bytes, alignment) && is_alignment(alignment)) [[likely]] {
      std::uint32_t const size_class = inside::small_class(bytes);
      std::size_t const have = cache_->at_hand(size_class);
      if (have != 0) [[likely]] { return cache_->take_at_hand(size_class, have); }
    }
    return heap<P>::admits(bytes, alignment) ? heap_->allocate_any(*cache_, bytes, alignment)
                                             : nullptr;
  }
  /// @pre the block came with this size and alignment
  void deallocate(void* p, std::size_t bytes, std::size_t alignment = 16) noexcept {
    if (inside::is_small(bytes, alignment)) [[likely]] {
      return cache_->give(p, inside::small_class(bytes));
    }
    heap_->deallocate_any(*cache_, p, bytes, alignment);
  }
  /// @error as heap::free
  [[nodiscard]] result<void> free(void* p) noexcept { return heap_->free(cache_, p); }

  [[nodiscard]] heap_cache<P>& cache() noexcept { return *cache_; }

 private:
  friend class heap<P>;
  using inside = detail::heap_core<P>;

  local_heap(std::shared_ptr<detail::heap_core<P>> of, std::uint32_t number) noexcept
      : heap_{std::move(of)}, cache_{&heap_->caches()[number]}, number_{number} {}

  std::shared_ptr<detail::heap_core<P>> heap_;
  heap_cache<P>* cache_;
  std::uint32_t number_;
};

/// A local_heap as a resource, for the containers of its thread. Does not own: the local_heap
/// outlives what is allocated through it.
/// @thread that of the local_heap
template <heap_policy P = default_heap>
class local_resource {
 public:
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;

  explicit local_resource(local_heap<P>& of) noexcept : of_{&of} {}

  /// @error as heap::try_allocate
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes,
                                           std::size_t alignment) const noexcept {
    return of_->try_allocate(bytes, alignment);
  }
  /// As try_allocate; null in place of an error.
  [[nodiscard]] void* allocate_or_null(std::size_t bytes, std::size_t alignment) const noexcept {
    return of_->allocate_or_null(bytes, alignment);
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment) const noexcept {
    of_->deallocate(p, bytes, alignment);
  }
  [[nodiscard]] friend bool operator==(local_resource a, local_resource b) noexcept {
    return a.of_ == b.of_;
  }

 private:
  local_heap<P>* of_;
};
static_assert(host_accessible_resource<local_resource<>>);

/// Blocks of any size for any thread of a process, from slabs in a range of addresses of its own.
/// Copies are handles of the same heap; its memory goes when the last is gone, whatever blocks are
/// still in use.
/// @thread any   @cost about 2 ns for a block that the thread's cache has, no locked instruction
template <heap_policy P>
class heap {
 public:
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;
  static constexpr std::size_t max_alignment = 4096;  // a page
  static_assert(max_alignment <= P::classes::largest && max_alignment <= P::slab_bytes);

  /// @error errc::bad_argument 1 when reserve_bytes hold no slab or more than 64 TiB, 3 for no
  ///        cache; errc::out_of_memory when the system admits no such range
  [[nodiscard]] static result<heap> make(heap_options const& with = {}) noexcept {
    heap made;
    try {
      made.core_ = std::make_shared<detail::heap_core<P>>();
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
    if (auto const ok = made.core_->begin(with); !ok) { return cuda::std::unexpected(ok.error()); }
    return made;
  }

  /// At least `bytes` at a multiple of `alignment`; above 32 KiB whole slabs.
  /// @error as check_request; errc::out_of_memory when neither the budget nor the reservation has
  ///        room; errc::busy when this thread gets no cache
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes,
                                           std::size_t alignment = 16) const noexcept {
    if (void* const p = allocate_or_null(bytes, alignment)) [[likely]] { return p; }
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected(ok.error());
    }
    bool const alone = threads::of(core_) == nullptr;
    return core::fail(alone ? errc::busy : errc::out_of_memory);
  }
  /// As try_allocate; null in place of an error.
  [[nodiscard]] void* allocate_or_null(std::size_t bytes,
                                       std::size_t alignment = 16) const noexcept {
    if (threads::is_last(core_.get()) && inside::is_small(bytes, alignment) &&
        is_alignment(alignment)) [[likely]] {
      auto& mine = threads::last();
      std::uint32_t const size_class = inside::small_class(bytes);
      std::size_t const have = mine.at_hand(size_class);
      if (have != 0) [[likely]] { return mine.take_at_hand(size_class, have); }
    }
    return allocate_any(bytes, alignment);
  }
  /// @pre the block came from this heap with this size and alignment
  void deallocate(void* p, std::size_t bytes, std::size_t alignment = 16) const noexcept {
    if (threads::is_last(core_.get()) && inside::is_small(bytes, alignment)) [[likely]] {
      return threads::last().give(p, inside::small_class(bytes));
    }
    deallocate_any(p, bytes, alignment);
  }
  /// Frees a block whose size is not at hand; null is nothing to free.
  /// @error errc::bad_argument 1 when `p` is not in this heap, or in a part of it that nobody has
  /// @pre otherwise `p` is a block's begin, freed once: see checked_resource, which finds out
  [[nodiscard]] result<void> free(void* p) const noexcept {
    return core_->free(threads::of(core_), p);
  }
  /// Bytes of the block at `p`, which may be more than were asked for; 0 when it is not in this
  /// heap.
  [[nodiscard]] std::size_t usable_bytes(void const* p) const noexcept {
    return core_->usable_bytes(p);
  }

  /// A cache for a thread that wants it at hand.
  /// @error errc::busy when every cache is taken
  [[nodiscard]] result<local_heap<P>> open() const noexcept {
    auto const number = core_->caches().enter();
    if (!number) { return cuda::std::unexpected(number.error()); }
    return local_heap<P>(core_, *number);
  }

  /// Takes the slabs in which nothing is in use from the calling thread's cache, and from those
  /// whose threads have left: other classes and large blocks can have them.
  /// @return bytes of slabs that others can have now   @cost empties the cache
  std::size_t evict() const noexcept {
    auto const before = stats().taken_bytes;
    if (auto* const mine = threads::of(core_)) {
      core_->give_up_idle(*mine);
    } else {
      core_->caches().reclaim();
    }
    auto const after = stats().taken_bytes;
    return before > after ? before - after : 0;  // others may take some meanwhile
  }
  /// Changes what may be in use, slabs of caches included, while others allocate; 0 leaves it to
  /// the reservation. What is in use already stays.
  void set_budget_bytes(std::size_t bytes) const noexcept { core_->set_budget(bytes); }
  /// Gives memory that nobody has back to the system.
  /// @return bytes given back   @cost a system call a slab
  std::size_t trim() const noexcept {
    core_->caches().reclaim();
    return core_->trim();
  }

  /// @cost a look at each cache's count of each class: for seldom, not for every allocation
  [[nodiscard]] heap_stats stats() const noexcept {
    publish();
    return core_->stats();
  }
  /// The same of the blocks of one class.
  /// @error errc::bad_argument 1 when there is no such class
  [[nodiscard]] result<class_stats> stats_of(std::uint32_t size_class) const noexcept {
    if (size_class >= P::classes::count) { return core::fail(errc::bad_argument, 1); }
    publish();
    return core_->count_of(size_class);
  }

  // No moves: who moves a container's allocator goes on using the one that it came from.
  heap(heap const&) noexcept = default;
  heap& operator=(heap const&) noexcept = default;
  ~heap() = default;

  [[nodiscard]] friend bool operator==(heap const& a, heap const& b) noexcept {
    return a.core_ == b.core_;
  }

 private:
  using inside = detail::heap_core<P>;
  using threads = detail::thread_caches<P>;

  heap() noexcept = default;

  friend class local_heap<P>;
  friend struct detail::heap_inside;

  void publish() const noexcept {
    if (auto* const mine = threads::existing(core_.get())) { mine->publish(); }
  }

  /// What check_request says, as one answer.
  [[nodiscard]] static constexpr bool admits(std::size_t bytes, std::size_t alignment) noexcept {
    return bytes - 1 < max_request_bytes - max_alignment && alignment - 1 < max_alignment &&
           is_alignment(alignment);
  }

  [[nodiscard, gnu::noinline]] void* allocate_any(std::size_t bytes,
                                                  std::size_t alignment) const noexcept {
    if (!admits(bytes, alignment)) { return nullptr; }
    if (auto* const mine = threads::of(core_)) {
      return core_->allocate_any(*mine, bytes, alignment);
    }
    auto visit = open();  // the thread is ending and has given its caches up, or it gets none
    return visit ? visit->allocate_or_null(bytes, alignment) : nullptr;
  }
  [[gnu::noinline]] void deallocate_any(void* p, std::size_t bytes,
                                        std::size_t alignment) const noexcept {
    if (auto* const mine = threads::of(core_)) {
      return core_->deallocate_any(*mine, p, bytes, alignment);
    }
    static_cast<void>(core_->free(nullptr, p));
  }

  std::shared_ptr<detail::heap_core<P>> core_;
};
static_assert(host_accessible_resource<heap<>>);

}  // namespace millrace::inline v0::memory
