// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/group.hpp>

#include <cuda_runtime.h>

#include <concepts>
#include <cstdint>

namespace millrace::inline v0::queue {

/// A whole warp. See host_group for what the members mean.
struct warp_group {
  static constexpr bool may_park = false;
  static constexpr bool alone = false;

  [[nodiscard]] static __device__ std::uint32_t rank() noexcept { return core::warp_lane(); }
  [[nodiscard]] static constexpr __device__ std::uint32_t size() noexcept { return 32; }
  static __device__ void sync() noexcept { core::sync_warp(); }
  template <std::integral T>
  [[nodiscard]] static __device__ T broadcast(T value) noexcept {
    T const got = core::warp_broadcast(value);
    sync();  // a shuffle orders no memory: what the leader acquired, every member has from here on
    return got;
  }
  [[nodiscard]] static __device__ std::uint32_t leading(bool mine) noexcept {
    std::uint32_t const missing = ~__ballot_sync(all, mine);
    return missing == 0 ? 32u : static_cast<std::uint32_t>(__ffs(static_cast<int>(missing)) - 1);
  }
  [[nodiscard]] static __device__ std::uint32_t count(bool mine) noexcept {
    return static_cast<std::uint32_t>(__popc(__ballot_sync(all, mine)));
  }

 private:
  static constexpr unsigned all = 0xffffffffu;
};

/// A whole one-dimensional block. See host_group for what the members mean.
struct block_group {
  static constexpr bool may_park = false;
  static constexpr bool alone = false;

  [[nodiscard]] static __device__ std::uint32_t rank() noexcept { return core::block_lane(); }
  [[nodiscard]] static __device__ std::uint32_t size() noexcept { return core::block_width(); }
  static __device__ void sync() noexcept { core::sync_block(); }
  template <std::integral T>
  [[nodiscard]] static __device__ T broadcast(T value) noexcept {
    __shared__ T cell;
    if (rank() == 0) { cell = value; }
    sync();
    T const got = cell;
    sync();  // the next broadcast writes the cell again
    return got;
  }
  [[nodiscard]] static __device__ std::uint32_t leading(bool mine) noexcept {
    __shared__ std::uint32_t first;
    if (rank() == 0) { first = size(); }
    sync();
    if (!mine) { atomicMin_block(&first, rank()); }
    sync();
    std::uint32_t const got = first;
    sync();  // the next call writes it again
    return got;
  }
  [[nodiscard]] static __device__ std::uint32_t count(bool mine) noexcept {
    return static_cast<std::uint32_t>(__syncthreads_count(mine ? 1 : 0));
  }
};

}  // namespace millrace::inline v0::queue
