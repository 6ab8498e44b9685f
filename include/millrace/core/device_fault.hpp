// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace millrace::inline v0::core {

/// Why a device, or every device, cannot be used. Values are frozen: errc::no_device carries one as
/// its native number.
enum class device_fault : std::int32_t {
  none = 0,
  no_driver_library = 1,
  broken_driver_library = 2,
  driver_too_old = 3,
  init_failed = 4,
  no_device = 5,
  hidden = 6,
  mig_without_instance = 7,
  query_failed = 8,
  compute_prohibited = 9,
  in_use = 10,
  architecture_too_old = 11,
  no_cooperative_launch = 12,
  no_such_ordinal = 13,
};

/// The words for a fault; never null.
[[nodiscard]] constexpr char const* describe(device_fault fault) noexcept {
  switch (fault) {
    case device_fault::none: return "usable";
    case device_fault::no_driver_library: return "no CUDA driver library (libcuda.so.1)";
    case device_fault::broken_driver_library: return "the CUDA driver library is incomplete";
    case device_fault::driver_too_old: return "the CUDA driver is too old";
    case device_fault::init_failed: return "the CUDA driver does not start";
    case device_fault::no_device: return "the CUDA driver finds no device";
    case device_fault::hidden: return "CUDA_VISIBLE_DEVICES hides every device";
    case device_fault::mig_without_instance: return "MIG mode is on and has no compute instance";
    case device_fault::query_failed: return "the CUDA driver does not answer for the device";
    case device_fault::compute_prohibited: return "its compute mode prohibits every program";
    case device_fault::in_use: return "another process has it for itself (exclusive mode)";
    case device_fault::architecture_too_old: return "its architecture is too old";
    case device_fault::no_cooperative_launch: return "it cannot launch cooperatively";
    case device_fault::no_such_ordinal: return "no device has this ordinal";
  }
  return "unknown fault";
}

}  // namespace millrace::inline v0::core
