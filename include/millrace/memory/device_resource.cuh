// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>

namespace millrace::inline v0::memory {

/// Memory of one device, by cudaMalloc. Both calls may wait for the device, and must not be made
/// while a persistent kernel has to make progress for the wait to end: allocate before the launch.
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
    core::device_guard const on(ordinal_);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    void* p = nullptr;
    if (auto const ok = core::cuda_check(cudaMalloc(&p, bytes)); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return p;
  }

  void deallocate(void* p, std::size_t, std::size_t) const noexcept {
    core::device_guard const on(ordinal_);
    static_cast<void>(core::cuda_check(cudaFree(p)));
  }

  [[nodiscard]] friend constexpr bool operator==(device_resource a, device_resource b) noexcept {
    return a.ordinal_ == b.ordinal_;
  }

 private:
  int ordinal_;
};
static_assert(resource<device_resource> && !host_accessible_resource<device_resource>);

}  // namespace millrace::inline v0::memory
