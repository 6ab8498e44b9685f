// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/platform.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/device_resource.cuh>
#include <millrace/memory/pinned_resource.cuh>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace device_test {

MILLRACE_KERNEL void __launch_bounds__(128) add_one(memory::buffer_ref<std::uint32_t> words) {
  std::uint32_t const i = core::grid_block() * core::block_width() + core::block_lane();
  if (i < words.size()) { ++words[i]; }
}

}  // namespace device_test

using namespace device_test;

TEST_CASE("device_resource: gives aligned device memory and takes it back") {
  memory::device_resource const from(0);
  auto made = memory::buffer<std::uint32_t, memory::device_resource>::make(1000, from, 256);
  REQUIRE(made);
  CHECK(reinterpret_cast<std::uintptr_t>(made->data()) % 256 == 0);
  CHECK(core::cuda_check(cudaMemset(made->data(), 0, made->size_bytes())));
  cudaPointerAttributes seen{};
  REQUIRE(core::cuda_check(cudaPointerGetAttributes(&seen, made->data())));
  CHECK(seen.type == cudaMemoryTypeDevice);
}

TEST_CASE("device_resource: bad input and missing memory are results, and leave no error behind") {
  memory::device_resource const from(0);
  CHECK(from.try_allocate(0, 8).error().code == errc::bad_argument);
  CHECK(from.try_allocate(8, 512).error().code == errc::bad_argument);
  CHECK(from.try_allocate(std::size_t{1} << 50, 8).error().code == errc::out_of_memory);
  CHECK(memory::device_resource(1 << 20).try_allocate(8, 8).error().code == errc::no_device);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("pinned_resource: the host and a kernel use the same address") {
  auto made = memory::buffer<std::uint32_t, memory::pinned_resource>::make_zeroed(
      1000, memory::pinned_resource(0));
  REQUIRE(made);
  for (std::uint32_t i = 0; i < 1000; ++i) { (*made)[i] = i; }
  add_one<<<8, 128>>>(made->ref());
  REQUIRE(core::cuda_check(cudaGetLastError()));
  REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
  std::uint32_t wrong = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) { wrong += (*made)[i] == i + 1 ? 0 : 1; }
  CHECK(wrong == 0);
  CHECK(memory::pinned_resource(0).try_allocate(8, 8192).error().code == errc::bad_argument);
}
