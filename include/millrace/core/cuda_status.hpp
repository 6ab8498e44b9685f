// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>

#include <cstdint>

namespace millrace::inline v0::core {

/// What a CUDA status means for the process that got it.
enum class cuda_severity : std::uint8_t {
  ok = 0,
  recoverable = 1,  ///< this call failed; the context works on
  sticky = 2,       ///< every later call fails too: only a new process gets the device back
};

/// The runtime's status numbers that millrace tells apart, for code that has no CUDA headers;
/// core/cuda_status.cuh holds them against the toolkit's.
enum class cuda_code : std::int32_t {
  success = 0,
  invalid_value = 1,
  memory_allocation = 2,
  initialization_error = 3,
  cudart_unloading = 4,
  stub_library = 34,
  insufficient_driver = 35,
  devices_unavailable = 46,
  no_device = 100,
  invalid_device = 101,
  no_kernel_image = 209,
  ecc_uncorrectable = 214,
  nvlink_uncorrectable = 220,
  contained = 226,
  not_ready = 600,
  illegal_address = 700,
  launch_timeout = 702,
  context_is_destroyed = 709,
  device_assert = 710,
  hardware_stack_error = 714,
  illegal_instruction = 715,
  misaligned_address = 716,
  invalid_address_space = 717,
  invalid_pc = 718,
  launch_failure = 719,
  cooperative_launch_too_large = 720,
  tensor_memory_leak = 721,
  mps_client_terminated = 810,
  external_device = 911,
  unknown = 999,
};

/// Sorts a cudaError_t by its number. `unknown` counts as sticky: nothing says that it is not.
/// @source CUDA 13.0 driver_types.h: "leaves the process in an inconsistent state"
[[nodiscard]] MILLRACE_HD constexpr cuda_severity classify_cuda(std::int32_t status) noexcept {
  switch (static_cast<cuda_code>(status)) {
    case cuda_code::success: return cuda_severity::ok;
    case cuda_code::cudart_unloading:
    case cuda_code::ecc_uncorrectable:
    case cuda_code::nvlink_uncorrectable:
    case cuda_code::contained:
    case cuda_code::illegal_address:
    case cuda_code::launch_timeout:
    case cuda_code::context_is_destroyed:
    case cuda_code::device_assert:
    case cuda_code::hardware_stack_error:
    case cuda_code::illegal_instruction:
    case cuda_code::misaligned_address:
    case cuda_code::invalid_address_space:
    case cuda_code::invalid_pc:
    case cuda_code::launch_failure:
    case cuda_code::tensor_memory_leak:
    case cuda_code::mps_client_terminated:
    case cuda_code::external_device:
    case cuda_code::unknown: return cuda_severity::sticky;
    default: return cuda_severity::recoverable;
  }
}

/// A cudaError_t as an error: errc::device_lost for every sticky status, the nearest code for the
/// others, errc::native_failure where there is none; the number stays in `native`.
[[nodiscard]] MILLRACE_HD constexpr error cuda_error(std::int32_t status) noexcept {
  switch (classify_cuda(status)) {
    case cuda_severity::ok: return {};
    case cuda_severity::sticky: return {errc::device_lost, origin::cuda, status};
    case cuda_severity::recoverable: break;
  }
  auto code = errc::native_failure;
  switch (static_cast<cuda_code>(status)) {
    case cuda_code::invalid_value: code = errc::bad_argument; break;
    case cuda_code::memory_allocation: code = errc::out_of_memory; break;
    case cuda_code::not_ready: code = errc::not_ready; break;
    case cuda_code::cooperative_launch_too_large: code = errc::not_co_resident; break;
    case cuda_code::devices_unavailable: code = errc::busy; break;
    case cuda_code::no_kernel_image: code = errc::not_compiled; break;
    case cuda_code::initialization_error:
    case cuda_code::stub_library:
    case cuda_code::insufficient_driver:
    case cuda_code::no_device:
    case cuda_code::invalid_device: code = errc::no_device; break;
    default: break;
  }
  return {code, origin::cuda, status};
}

/// Nothing, or the status as an error.
[[nodiscard]] MILLRACE_HD constexpr result<void> cuda_result(std::int32_t status) noexcept {
  if (status == 0) { return {}; }
  return cuda::std::unexpected<error>(cuda_error(status));
}

}  // namespace millrace::inline v0::core
