// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/beside_captures.cuh>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/numa_resource.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// Page-locked memory of one NUMA node of the host, mapped into the device named under the same
/// address. Copies to a device from the wrong node may take three times as long. From the node's
/// stream-ordered pool where the device can, which waits for no kernel; else pages of numa_resource
/// are registered, which may wait for every kernel that runs.
/// @thread any   @cost a driver call or three; registering touches each page
class numa_pinned_resource {
 public:
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = true;
  static constexpr std::size_t max_alignment = 256;  // what pools give

  constexpr numa_pinned_resource(int ordinal, int node) noexcept : ordinal_{ordinal}, node_{node} {}

  /// Memory of the node that the device hangs on; node 0 where the system tells of none.
  /// @error errc::no_device
  [[nodiscard]] static result<numa_pinned_resource> near(int ordinal) noexcept {
    int node = 0;
    if (auto const ok =
            core::cuda_check(cudaDeviceGetAttribute(&node, cudaDevAttrHostNumaId, ordinal));
        !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return numa_pinned_resource(ordinal, node < 0 ? 0 : node);
  }

  [[nodiscard]] constexpr int ordinal() const noexcept { return ordinal_; }
  [[nodiscard]] constexpr int node() const noexcept { return node_; }

  /// @error as numa_resource; errc::no_device, errc::out_of_memory or what the runtime says
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes,
                                           std::size_t alignment) const noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    if (node_ < 0 || node_ >= numa_resource::most_nodes) {
      return core::fail(errc::bad_argument, 3);
    }
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    auto const got = pooled() ? from_pool(bytes) : registered(bytes, alignment);
    if (got && reinterpret_cast<std::uintptr_t>(*got) % alignment != 0) {
      give_back(*got, bytes, alignment);
      return core::fail(errc::bad_argument, 2);
    }
    return got;
  }

  void deallocate(void* p, std::size_t bytes, std::size_t alignment) const noexcept {
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    give_back(p, bytes, alignment);
  }

  /// Devices may differ in whether they have pools.
  [[nodiscard]] friend constexpr bool operator==(numa_pinned_resource a,
                                                 numa_pinned_resource b) noexcept {
    return a.ordinal_ == b.ordinal_ && a.node_ == b.node_;
  }

 private:
  [[nodiscard]] bool pooled() const noexcept {
    return core::has_attribute(cudaDevAttrHostNumaMemoryPoolsSupported, ordinal_);
  }
  // the node's default pool: one of our own would need an owner, which a handle is not
  [[nodiscard]] result<void*> from_pool(std::size_t bytes) const noexcept {
    cudaMemLocation where{};
    where.type = cudaMemLocationTypeHostNuma;
    where.id = node_;
    cudaMemPool_t pool = nullptr;
    cudaMemAccessDesc access{};
    access.location.type = cudaMemLocationTypeDevice;
    access.location.id = ordinal_;
    access.flags = cudaMemAccessFlagsProtReadWrite;
    void* p = nullptr;
    cudaError_t status = cudaMemGetDefaultMemPool(&pool, &where, cudaMemAllocationTypePinned);
    if (status == cudaErrorInvalidValue) {  // the one thing here that can be wrong is the node
      static_cast<void>(core::cuda_check(status));
      return core::fail(errc::bad_argument, 3);
    }
    if (status == cudaSuccess) { status = cudaMemPoolSetAccess(pool, &access, 1); }
    if (status == cudaSuccess) {
      status = cudaMallocFromPoolAsync(&p, bytes, pool, cudaStreamPerThread);
    }
    if (status == cudaSuccess) { status = cudaStreamSynchronize(cudaStreamPerThread); }
    if (auto const ok = core::cuda_check(status); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return p;
  }
  [[nodiscard]] result<void*> registered(std::size_t bytes, std::size_t alignment) const noexcept {
    numa_resource const pages(node_);
    auto const got = pages.try_allocate(bytes, alignment);
    if (!got) { return got; }
    auto const flags = cudaHostRegisterPortable | cudaHostRegisterMapped;
    if (auto const ok = core::cuda_check(cudaHostRegister(*got, bytes, flags)); !ok) {
      pages.deallocate(*got, bytes, alignment);
      return cuda::std::unexpected<error>(ok.error());
    }
    return got;
  }
  void give_back(void* p, std::size_t bytes, std::size_t alignment) const noexcept {
    if (pooled()) {
      static_cast<void>(core::cuda_check(cudaFreeAsync(p, cudaStreamPerThread)));
      return;
    }
    static_cast<void>(core::cuda_check(cudaHostUnregister(p)));
    numa_resource(node_).deallocate(p, bytes, alignment);
  }

  int ordinal_;
  int node_;
};
static_assert(host_accessible_resource<numa_pinned_resource>);

}  // namespace millrace::inline v0::memory
