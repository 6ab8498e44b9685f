// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/beside_captures.cuh>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>

namespace millrace::inline v0::memory {

/// Memory of one device, from its stream-ordered pool: unlike cudaMalloc and cudaFree neither call
/// waits for kernels that run, so that one persistent kernel may come and go beside another. Memory
/// that is given back must not be in use. Devices without pools get cudaMalloc.
/// @thread any   @cost a driver call
class device_resource {
 public:
  static constexpr bool host_accessible = false;
  static constexpr bool device_accessible = true;
  static constexpr std::size_t max_alignment = 256;  // what cudaMalloc promises

  explicit constexpr device_resource(int ordinal) noexcept : ordinal_{ordinal} {}

  [[nodiscard]] constexpr int ordinal() const noexcept { return ordinal_; }

  /// @error as check_request; errc::no_device, errc::out_of_memory or what the runtime says
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes,
                                           std::size_t alignment) const noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    void* p = nullptr;
    auto const got = pooled() ? allocate_in_order(&p, bytes) : cudaMalloc(&p, bytes);
    if (auto const ok = core::cuda_check(got); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return p;
  }

  void deallocate(void* p, std::size_t, std::size_t) const noexcept {
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    static_cast<void>(
        core::cuda_check(pooled() ? cudaFreeAsync(p, cudaStreamPerThread) : cudaFree(p)));
  }

  /// As try_allocate, in the order of a stream of this device: for what the stream does from here
  /// on, and for others once they wait for it. Nothing waits.
  /// @error as try_allocate
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment,
                                           cudaStream_t stream) const noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    if (!pooled()) { return try_allocate(bytes, alignment); }
    core::device_guard const on(ordinal_);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    void* p = nullptr;
    if (auto const ok = core::cuda_check(cudaMallocAsync(&p, bytes, stream)); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return p;
  }

  /// Gives memory back, however it was allocated, once the stream has done what it was given.
  /// Without pools it waits for that.
  void deallocate(void* p, std::size_t, std::size_t, cudaStream_t stream) const noexcept {
    core::device_guard const on(ordinal_);
    static_cast<void>(
        core::cuda_check(pooled() ? cudaFreeAsync(p, stream) : wait_and_free(p, stream)));
  }

  [[nodiscard]] friend constexpr bool operator==(device_resource a, device_resource b) noexcept {
    return a.ordinal_ == b.ordinal_;
  }

 private:
  [[nodiscard]] bool pooled() const noexcept {
    return core::has_attribute(cudaDevAttrMemoryPoolsSupported, ordinal_);
  }
  [[nodiscard]] static cudaError_t wait_and_free(void* p, cudaStream_t stream) noexcept {
    cudaError_t const waited = cudaStreamSynchronize(stream);
    return waited == cudaSuccess ? cudaFree(p) : waited;
  }
  [[nodiscard]] static cudaError_t allocate_in_order(void** p, std::size_t bytes) noexcept {
    cudaError_t const got = cudaMallocAsync(p, bytes, cudaStreamPerThread);
    return got == cudaSuccess ? cudaStreamSynchronize(cudaStreamPerThread) : got;
  }

  int ordinal_;
};
static_assert(resource<device_resource> && !host_accessible_resource<device_resource>);

}  // namespace millrace::inline v0::memory
