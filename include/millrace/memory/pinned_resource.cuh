// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/beside_captures.cuh>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// Page-locked host memory, mapped into the device named under the same address: what lanes and
/// completion records lie in. From the host's stream-ordered pool where the driver has one, which
/// waits for no kernel; else from cudaHostAlloc, which may wait for every kernel that runs.
/// @thread any   @cost a driver call
class pinned_resource {
 public:
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = true;
  static constexpr std::size_t max_alignment = 256;  // what pools give

  explicit constexpr pinned_resource(int ordinal) noexcept : ordinal_{ordinal} {}

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
    auto const flags = cudaHostAllocPortable | cudaHostAllocMapped;
    auto const got = pooled() ? from_pool(&p, bytes) : cudaHostAlloc(&p, bytes, flags);
    if (auto const ok = core::cuda_check(got); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    if (reinterpret_cast<std::uintptr_t>(p) % alignment != 0) {  // the runtime states no alignment
      give_back(p);
      return core::fail(errc::bad_argument, 2);
    }
    return p;
  }

  void deallocate(void* p, std::size_t, std::size_t) const noexcept {
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    give_back(p);
  }

  /// Portable memory belongs to no device.
  [[nodiscard]] friend constexpr bool operator==(pinned_resource, pinned_resource) noexcept {
    return true;
  }

 private:
  [[nodiscard]] bool pooled() const noexcept {
    return core::has_attribute(cudaDevAttrHostMemoryPoolsSupported, ordinal_);
  }
  [[nodiscard]] cudaError_t from_pool(void** p, std::size_t bytes) const noexcept {
    cudaMemLocation host{};
    host.type = cudaMemLocationTypeHost;
    cudaMemPool_t pool = nullptr;
    cudaMemAccessDesc access{};
    access.location.type = cudaMemLocationTypeDevice;
    access.location.id = ordinal_;
    access.flags = cudaMemAccessFlagsProtReadWrite;
    cudaError_t status = cudaMemGetDefaultMemPool(&pool, &host, cudaMemAllocationTypePinned);
    if (status == cudaSuccess) { status = cudaMemPoolSetAccess(pool, &access, 1); }
    if (status == cudaSuccess) {
      status = cudaMallocFromPoolAsync(p, bytes, pool, cudaStreamPerThread);
    }
    return status == cudaSuccess ? cudaStreamSynchronize(cudaStreamPerThread) : status;
  }
  void give_back(void* p) const noexcept {
    static_cast<void>(
        core::cuda_check(pooled() ? cudaFreeAsync(p, cudaStreamPerThread) : cudaFreeHost(p)));
  }

  int ordinal_;
};
static_assert(host_accessible_resource<pinned_resource>);

}  // namespace millrace::inline v0::memory
