// SPDX-License-Identifier: Apache-2.0
#include "latecomer.hpp"

#include <cuda_runtime.h>

namespace progress_test {

static __global__ void __launch_bounds__(32) latecomer(std::uint32_t* word) {
  if (threadIdx.x == 0) { *word = 1; }
}

cudaError_t launch_latecomer_beside(std::uint32_t* word, cudaStream_t stream) {
  latecomer<<<1, 32, 0, stream>>>(word);
  cudaError_t const launched = cudaGetLastError();
  return launched == cudaSuccess ? cudaStreamSynchronize(stream) : launched;
}

}  // namespace progress_test
