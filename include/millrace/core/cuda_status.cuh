// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.hpp>
#include <millrace/core/error.hpp>

#include <cuda_runtime_api.h>

#include <cstdint>

namespace millrace::inline v0::core {

/// Nothing, or the runtime's status as an error. Takes the status only: the runtime's last-error
/// state is left alone, but for a recoverable error, which is cleared, so that a later
/// cudaGetLastError does not report it again.
[[nodiscard]] inline result<void> cuda_check(cudaError_t status) noexcept {
  if (status == cudaSuccess) { return {}; }
  auto const number = static_cast<std::int32_t>(status);
  if (classify_cuda(number) == cuda_severity::recoverable) {
    static_cast<void>(cudaGetLastError());
  }
  return cuda_result(number);
}

namespace detail {
consteval bool same_number(cuda_code ours, cudaError_t theirs) {
  return static_cast<std::int32_t>(ours) == static_cast<std::int32_t>(theirs);
}
}  // namespace detail
static_assert(detail::same_number(cuda_code::success, cudaSuccess));
static_assert(detail::same_number(cuda_code::invalid_value, cudaErrorInvalidValue));
static_assert(detail::same_number(cuda_code::memory_allocation, cudaErrorMemoryAllocation));
static_assert(detail::same_number(cuda_code::initialization_error, cudaErrorInitializationError));
static_assert(detail::same_number(cuda_code::cudart_unloading, cudaErrorCudartUnloading));
static_assert(detail::same_number(cuda_code::stub_library, cudaErrorStubLibrary));
static_assert(detail::same_number(cuda_code::insufficient_driver, cudaErrorInsufficientDriver));
static_assert(detail::same_number(cuda_code::devices_unavailable, cudaErrorDevicesUnavailable));
static_assert(detail::same_number(cuda_code::no_device, cudaErrorNoDevice));
static_assert(detail::same_number(cuda_code::invalid_device, cudaErrorInvalidDevice));
static_assert(detail::same_number(cuda_code::no_kernel_image, cudaErrorNoKernelImageForDevice));
static_assert(detail::same_number(cuda_code::ecc_uncorrectable, cudaErrorECCUncorrectable));
static_assert(detail::same_number(cuda_code::nvlink_uncorrectable, cudaErrorNvlinkUncorrectable));
static_assert(detail::same_number(cuda_code::contained, cudaErrorContained));
static_assert(detail::same_number(cuda_code::not_ready, cudaErrorNotReady));
static_assert(detail::same_number(cuda_code::illegal_address, cudaErrorIllegalAddress));
static_assert(detail::same_number(cuda_code::launch_timeout, cudaErrorLaunchTimeout));
static_assert(detail::same_number(cuda_code::context_is_destroyed, cudaErrorContextIsDestroyed));
static_assert(detail::same_number(cuda_code::device_assert, cudaErrorAssert));
static_assert(detail::same_number(cuda_code::hardware_stack_error, cudaErrorHardwareStackError));
static_assert(detail::same_number(cuda_code::illegal_instruction, cudaErrorIllegalInstruction));
static_assert(detail::same_number(cuda_code::misaligned_address, cudaErrorMisalignedAddress));
static_assert(detail::same_number(cuda_code::invalid_address_space, cudaErrorInvalidAddressSpace));
static_assert(detail::same_number(cuda_code::invalid_pc, cudaErrorInvalidPc));
static_assert(detail::same_number(cuda_code::launch_failure, cudaErrorLaunchFailure));
static_assert(detail::same_number(cuda_code::cooperative_launch_too_large,
                                  cudaErrorCooperativeLaunchTooLarge));
static_assert(detail::same_number(cuda_code::tensor_memory_leak, cudaErrorTensorMemoryLeak));
static_assert(detail::same_number(cuda_code::mps_client_terminated, cudaErrorMpsClientTerminated));
static_assert(detail::same_number(cuda_code::external_device, cudaErrorExternalDevice));
static_assert(detail::same_number(cuda_code::unknown, cudaErrorUnknown));

}  // namespace millrace::inline v0::core
