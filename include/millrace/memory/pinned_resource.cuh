// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// Page-locked host memory, mapped into every device under the same address, by cudaHostAlloc: what
/// lanes and completion records lie in. The device named is the one whose context does the call.
/// @thread any   @cost a driver call that may wait for the device
class pinned_resource {
 public:
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = true;
  static constexpr std::size_t max_alignment = 4096;  // whole pages

  explicit constexpr pinned_resource(int ordinal) noexcept : ordinal_{ordinal} {}

  [[nodiscard]] constexpr int ordinal() const noexcept { return ordinal_; }

  /// @error as check_request; errc::no_device, errc::out_of_memory or what the runtime says
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes,
                                           std::size_t alignment) const noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    core::device_guard const on(ordinal_);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    void* p = nullptr;
    auto const flags = cudaHostAllocPortable | cudaHostAllocMapped;
    if (auto const ok = core::cuda_check(cudaHostAlloc(&p, bytes, flags)); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    if (reinterpret_cast<std::uintptr_t>(p) % alignment != 0) {  // the runtime states no alignment
      static_cast<void>(core::cuda_check(cudaFreeHost(p)));
      return core::fail(errc::bad_argument, 2);
    }
    return p;
  }

  void deallocate(void* p, std::size_t, std::size_t) const noexcept {
    core::device_guard const on(ordinal_);
    static_cast<void>(core::cuda_check(cudaFreeHost(p)));
  }

  /// Portable memory belongs to no device.
  [[nodiscard]] friend constexpr bool operator==(pinned_resource, pinned_resource) noexcept {
    return true;
  }

 private:
  int ordinal_;
};
static_assert(host_accessible_resource<pinned_resource>);

}  // namespace millrace::inline v0::memory
