// SPDX-License-Identifier: Apache-2.0
#define LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE

#include <millrace/core/cuda_status.cuh>
#include <millrace/memory/cccl_resource.cuh>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>

namespace core = millrace::core;
namespace memory = millrace::memory;

namespace {

/// Takes, fills, reads back and gives, under every name there is.
template <class R>
void serves(R upstream) {
  memory::cccl_resource<R> r(upstream);
  cudaStream_t stream = nullptr;
  REQUIRE(core::cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)));
  void* const taken[] = {r.allocate(4096, 256), r.allocate_sync(4096, 256),
                         r.allocate(stream, 4096, 256), r.allocate_async(4096, 256, stream)};
  for (void* const p : taken) {
    std::uint8_t last = 0;
    CHECK(core::cuda_check(cudaMemsetAsync(p, 0x5A, 4096, stream)));
    CHECK(core::cuda_check(cudaMemcpyAsync(&last, static_cast<std::uint8_t*>(p) + 4095, 1,
                                           cudaMemcpyDefault, stream)));
    CHECK(core::cuda_check(cudaStreamSynchronize(stream)));
    CHECK(last == 0x5A);
  }
  r.deallocate(taken[0], 4096, 256);
  r.deallocate_sync(taken[1], 4096, 256);
  r.deallocate(stream, taken[2], 4096, 256);
  r.deallocate_async(taken[3], 4096, 256, stream);
  CHECK(core::cuda_check(cudaStreamSynchronize(stream)));
  CHECK_THROWS_AS(static_cast<void>(r.allocate(8, 512)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(r.allocate(std::size_t{1} << 50)), std::bad_alloc);
  CHECK(core::cuda_check(cudaStreamDestroy(stream)));
}

}  // namespace

TEST_CASE("cccl_resource: device memory under every name") { serves(memory::device_resource(0)); }

TEST_CASE("cccl_resource: pinned memory under every name") { serves(memory::pinned_resource(0)); }

TEST_CASE("cccl_resource: managed memory under every name") { serves(memory::managed_resource(0)); }

TEST_CASE("cccl_resource: pinned memory of a node under every name") {
  auto const from = memory::numa_pinned_resource::near(0);
  REQUIRE(from);
  serves(*from);
}
