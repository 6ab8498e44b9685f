// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/heap.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::memory {

/// Objects of one type from one thread's cache of a heap: the fastest way to a block. Any pool of T
/// over the same heap takes back what another gave.
/// @thread one at a time
/// @cost about a nanosecond for a pair while the cache has blocks; no locked instruction
template <class T, heap_policy P = default_heap>
class pool {
 public:
  static constexpr std::uint32_t size_class = class_for<typename P::classes>(sizeof(T), alignof(T));
  static_assert(size_class < P::classes::count, "millrace: a pool's objects fit into a size class");
  static_assert(alignof(T) <= heap<P>::max_alignment);

  /// A pool over a cache of its own.
  /// @error as heap::open
  [[nodiscard]] static result<pool> make(heap<P> const& from) noexcept {
    auto mine = from.open();
    if (!mine) { return cuda::std::unexpected(mine.error()); }
    return pool(std::move(*mine));
  }

  /// Room for a T; null when the heap has none.
  [[nodiscard]] void* allocate() noexcept {
    if (void* const p = cache().take(size_class)) [[likely]] { return p; }
    return mine_.allocate_or_null(sizeof(T), alignof(T));  // asks others too
  }
  /// @pre `p` came from a pool of T over this heap
  void deallocate(void* p) noexcept {
    // blocks of whole lines have no neighbours whose lines they could share
    if constexpr (P::classes::bytes_of(size_class) % core::line_bytes == 0) {
      cache().give_own(p, size_class);
    } else {
      cache().give(p, size_class);
    }
  }

  /// A T made from `from`.
  /// @error errc::out_of_memory   @throws what T's constructor does; the room goes back first
  template <class... From>
  [[nodiscard]] result<T*> create(From&&... from) noexcept(
      std::is_nothrow_constructible_v<T, From...>) {
    void* const room = allocate();
    if (room == nullptr) { return core::fail(errc::out_of_memory); }
    if constexpr (std::is_nothrow_constructible_v<T, From...>) {
      return ::new (room) T(std::forward<From>(from)...);
    } else {
      try {
        return ::new (room) T(std::forward<From>(from)...);
      } catch (...) {
        deallocate(room);
        throw;
      }
    }
  }
  /// Ends what `create` made; null is nothing to end.
  void destroy(T* object) noexcept {
    if (object == nullptr) { return; }
    std::destroy_at(object);
    deallocate(object);
  }

 private:
  explicit pool(local_heap<P> mine) noexcept : mine_{std::move(mine)} {}
  [[nodiscard]] heap_cache<P>& cache() noexcept { return mine_.cache(); }

  local_heap<P> mine_;
};

}  // namespace millrace::inline v0::memory
