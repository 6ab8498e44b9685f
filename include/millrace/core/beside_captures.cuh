// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>

#include <cuda_runtime_api.h>

namespace millrace::inline v0::core {

/// Lets the calling thread make calls for a scope that CUDA forbids it while any stream captures in
/// global mode: to look at an event, to allocate. They have nothing to do with what is captured,
/// and without this they would end the capture with an error.
/// @thread the one that made it
class beside_captures {
 public:
  beside_captures() noexcept {
    changed_ = cuda_check(cudaThreadExchangeStreamCaptureMode(&mode_)).has_value();
  }
  beside_captures(beside_captures const&) = delete;
  beside_captures& operator=(beside_captures const&) = delete;
  ~beside_captures() {
    if (changed_) { static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  }

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
  bool changed_ = false;
};

}  // namespace millrace::inline v0::core
