// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/memory/reliefs.hpp>

#include <cuda_runtime_api.h>

namespace millrace::inline v0::memory {

/// Says whether all work of a stream is done: for `waits`, where freed memory comes back with the
/// work that was before it. Name the streams that hold memory: there is no such question about a
/// whole device, on which a persistent kernel never ends.
struct stream_is_idle {
  cudaStream_t stream = nullptr;

  [[nodiscard]] bool operator()() const noexcept {
    return core::cuda_check(cudaStreamQuery(stream)).has_value();
  }
};

}  // namespace millrace::inline v0::memory
