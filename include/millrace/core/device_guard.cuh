// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/error.hpp>

#include <cuda_runtime_api.h>

namespace millrace::inline v0::core {

/// Makes a device the calling thread's current one for a scope, and puts the former one back.
/// @thread the one that made it
class device_guard {
 public:
  /// @error errc::no_device when there is no such device, else what the runtime says
  explicit device_guard(int ordinal) noexcept {
    status_ = cuda_check(cudaGetDevice(&former_));
    if (!status_ || former_ == ordinal) { return; }
    status_ = cuda_check(cudaSetDevice(ordinal));
    changed_ = status_.has_value();
  }
  device_guard(device_guard const&) = delete;
  device_guard& operator=(device_guard const&) = delete;
  ~device_guard() {
    if (changed_) { static_cast<void>(cudaSetDevice(former_)); }
  }

  /// Whether the device is current now.
  [[nodiscard]] result<void> const& status() const noexcept { return status_; }

 private:
  result<void> status_;
  int former_ = 0;
  bool changed_ = false;
};

/// Whether a device says yes to an attribute; one that cannot be asked does not.
[[nodiscard]] inline bool has_attribute(cudaDeviceAttr attribute, int ordinal) noexcept {
  int value = 0;
  return cuda_check(cudaDeviceGetAttribute(&value, attribute, ordinal)).has_value() && value != 0;
}

}  // namespace millrace::inline v0::core
