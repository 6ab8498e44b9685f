// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/error.hpp>

#include <cuda/atomic>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::delta {

namespace detail {

/// How blocks of a launch meet.
using device_words = core::direct_access<cuda::thread_scope_device>;

/// Threads of a block that works on a tile.
inline constexpr std::uint32_t tile_threads = 256;

/// Puts a kernel of one struct of arguments into a stream; nothing when there are no blocks.
template <class Args>
[[nodiscard]] result<void> launch_blocks(void (*kernel)(Args), std::size_t blocks, Args args,
                                         cudaStream_t stream) noexcept {
  if (blocks == 0) { return {}; }
  void* values[] = {&args};
  return core::cuda_check(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)),
                                           dim3(tile_threads), values, 0, stream));
}

/// The same, with a thread for each of `count` items.
template <class Args>
[[nodiscard]] result<void> launch_threads(void (*kernel)(Args), std::size_t count, Args args,
                                          cudaStream_t stream) noexcept {
  return launch_blocks(kernel, (count + tile_threads - 1) / tile_threads, args, stream);
}

/// Blocks of a grid at most.
inline constexpr std::size_t most_blocks = 0x7FFF'FFFF;

/// Takes pieces of a scratch memory one after the other, each aligned to 256 bytes.
class scratch_pieces {
 public:
  explicit scratch_pieces(std::byte* begin = nullptr) noexcept : begin_{begin} {}

  template <class T>
  [[nodiscard]] T* take(std::size_t count) noexcept {
    std::byte* const at = begin_ == nullptr ? nullptr : begin_ + used_;
    used_ += (count * sizeof(T) + 255) / 256 * 256;
    return reinterpret_cast<T*>(at);
  }
  /// Bytes of all pieces so far.
  [[nodiscard]] std::size_t used_bytes() const noexcept { return used_; }

 private:
  std::byte* begin_ = nullptr;
  std::size_t used_ = 0;
};

/// Whether `bytes` of scratch memory that begin at `p` are as aligned as scratch_pieces assumes.
[[nodiscard]] inline bool serves_as_scratch(void const* p, std::size_t bytes,
                                            std::size_t needed) noexcept {
  return bytes >= needed && reinterpret_cast<std::uintptr_t>(p) % 256 == 0 && p != nullptr;
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
