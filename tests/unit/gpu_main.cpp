// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

int main(int argc, char** argv) {
  int devices = 0;
  cudaError_t const asked = cudaGetDeviceCount(&devices);
  if (asked != cudaSuccess || devices == 0) {
    std::printf("skipped: no usable CUDA device (%s)\n",
                asked == cudaSuccess ? "the driver lists none" : cudaGetErrorString(asked));
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
