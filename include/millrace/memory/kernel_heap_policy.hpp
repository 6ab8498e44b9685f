// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/heap_policy.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// How long to wait for others before going another way. `again(n)` pauses after the n-th attempt,
/// counted from 0, and says whether there is to be another.
template <class W>
concept patience_policy = requires(std::uint32_t attempt) {
  { W::again(attempt) } noexcept -> std::same_as<bool>;
};

/// `Times` more attempts, `Ns` nanoseconds apart.
template <std::uint32_t Times, std::uint32_t Ns = 0>
struct patient {
  [[nodiscard]] static MILLRACE_HD bool again([[maybe_unused]] std::uint32_t attempt) noexcept {
    if constexpr (Times == 0) {
      return false;
    } else {
      if (attempt >= Times) { return false; }
      if constexpr (Ns != 0) { core::relax_for(Ns); }
      return true;
    }
  }
};
static_assert(patience_policy<patient<0>>);

/// What a kernel heap is made of. Derive from default_kernel_heap, override what differs, name the
/// result. A policy may be a heap_policy as well, and make both kinds of heap.
template <class P>
concept kernel_heap_policy = requires {
  requires slab_policy<P>;
  requires P::slab_bytes <= std::size_t{1} << 26;
  requires P::shards >= 1;
  requires patience_policy<typename P::slab_wait>;
  requires patience_policy<typename P::out_of_memory>;
  { P::place() } noexcept -> std::same_as<std::uint32_t>;
};

/// The values that fit most kernels.
struct default_kernel_heap : default_heap {
  using access = core::direct_access<cuda::thread_scope_device>;
  static constexpr std::size_t slab_bytes = std::size_t{256} << 10;
  /// Slabs of a class that are drawn from at a time: one a multiprocessor, modulo this.
  static constexpr std::uint32_t shards = 128;
  /// While another thread of the shard fetches the next slab. Then the caller fetches one itself,
  /// so that nobody who stands still holds the others up.
  using slab_wait = patient<64, 100>;
  /// Before an allocation that finds no room is null.
  using out_of_memory = patient<0>;
  /// Where the caller runs: chooses its shard by all bits but the low six, and by these where in a
  /// slab it begins to look.
  [[nodiscard]] static MILLRACE_HD std::uint32_t place() noexcept { return core::running_place(); }
};
static_assert(kernel_heap_policy<default_kernel_heap>);

}  // namespace millrace::inline v0::memory
