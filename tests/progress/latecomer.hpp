// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace progress_test {

/// Each launches a kernel of a translation unit of its own, which stores 1 to the word, and waits
/// for the stream. The first call loads the kernel. One test calls each.
[[nodiscard]] cudaError_t launch_latecomer_beside(std::uint32_t* word, cudaStream_t stream);
[[nodiscard]] cudaError_t launch_latecomer_parked(std::uint32_t* word, cudaStream_t stream);

}  // namespace progress_test
