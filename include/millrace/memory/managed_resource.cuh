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

/// Managed memory: pages that the driver moves to whoever touches them; see managed.cuh for hints
/// on where they should be. Where the device has no concurrent access (`concurrent()`; Windows,
/// WSL) the host must touch no managed memory at all while a kernel runs. A request for more than
/// the device has free is refused: what oversubscription does depends on the order of accesses, and
/// has cost machines a reboot. Pages that nobody touched yet count as free, so several requests may
/// exceed it together: a budget around the resource bounds their sum. Both calls may wait for every
/// kernel that runs: make managed memory before a persistent kernel begins.
/// @thread any   @cost a driver call, and one that asks for free memory
class managed_resource {
 public:
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = true;
  static constexpr std::size_t max_alignment = 256;  // what cudaMalloc promises

  explicit constexpr managed_resource(int ordinal) noexcept : ordinal_{ordinal} {}

  [[nodiscard]] constexpr int ordinal() const noexcept { return ordinal_; }

  /// Whether host and device may touch managed memory at the same time, and hints have an effect.
  [[nodiscard]] bool concurrent() const noexcept {
    return core::has_attribute(cudaDevAttrConcurrentManagedAccess, ordinal_);
  }

  /// @error as check_request; errc::no_device, errc::out_of_memory or what the runtime says
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes,
                                           std::size_t alignment) const noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    std::size_t free_bytes = 0;
    std::size_t all_bytes = 0;
    if (auto const ok = core::cuda_check(cudaMemGetInfo(&free_bytes, &all_bytes)); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    if (bytes > free_bytes) { return core::fail(errc::out_of_memory); }
    void* p = nullptr;
    if (auto const ok = core::cuda_check(cudaMallocManaged(&p, bytes, cudaMemAttachGlobal)); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return p;
  }

  void deallocate(void* p, std::size_t, std::size_t) const noexcept {
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    static_cast<void>(core::cuda_check(cudaFree(p)));
  }

  /// Managed memory belongs to no device.
  [[nodiscard]] friend constexpr bool operator==(managed_resource, managed_resource) noexcept {
    return true;
  }

 private:
  int ordinal_;
};
static_assert(host_accessible_resource<managed_resource>);

}  // namespace millrace::inline v0::memory
