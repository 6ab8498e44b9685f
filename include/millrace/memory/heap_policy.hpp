// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/memory/size_classes.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// What every heap is cut into: slabs of one size, each of blocks of one class.
template <class P>
concept slab_policy = requires {
  requires core::access_policy<typename P::access>;
  requires size_class_policy<typename P::classes>;
  requires is_alignment(P::slab_bytes) && P::classes::largest <= P::slab_bytes / 2;
};

/// What a heap is made of. Derive from default_heap, override what differs, name the result.
template <class P>
concept heap_policy = requires {
  requires slab_policy<P>;
  requires P::slab_bytes <= std::size_t{64} << 10;  // a word a bit for 64 words of its bitmap
  requires P::magazine_blocks >= 2 && P::magazine_blocks <= 255 && P::magazine_bytes >= 16;
  requires P::remote_batch >= 1 && P::remote_batch <= 255;
  requires is_alignment(P::remote_slabs);
  requires P::spare_slabs >= 1;
};

/// The values that fit most programs.
struct default_heap {
  using access = core::direct_access<cuda::thread_scope_system>;
  using classes = four_an_octave<>;
  /// Also what large blocks are multiples of.
  static constexpr std::size_t slab_bytes = std::size_t{64} << 10;
  /// Free blocks of a class that a cache holds ready, at most.
  static constexpr std::uint32_t magazine_blocks = 64;
  /// And their bytes; two blocks of any size.
  static constexpr std::size_t magazine_bytes = std::size_t{32} << 10;
  /// Blocks of another cache's slab that go home together.
  static constexpr std::uint32_t remote_batch = 32;
  /// Slabs of others for which a cache gathers such blocks at a time.
  static constexpr std::uint32_t remote_slabs = 16;
  /// Empty slabs that a cache keeps for its next needs.
  static constexpr std::uint32_t spare_slabs = 4;
};
static_assert(heap_policy<default_heap>);

/// Free blocks of class `index` that a magazine holds.
template <heap_policy P>
[[nodiscard]] constexpr std::uint32_t magazine_limit(std::uint32_t index) noexcept {
  std::size_t const fit = P::magazine_bytes / P::classes::bytes_of(index);
  std::size_t const most = P::magazine_blocks;
  return static_cast<std::uint32_t>(fit < 2 ? 2 : fit < most ? fit : most);
}

}  // namespace millrace::inline v0::memory
