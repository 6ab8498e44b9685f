// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/access.hpp>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/platform.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/device_resource.cuh>
#include <millrace/memory/pinned_resource.cuh>
#include <millrace/memory/slab.hpp>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace device_test {

using on_device = core::direct_access<cuda::thread_scope_device>;
using on_system = core::direct_access<cuda::thread_scope_system>;

struct format_args {
  std::byte* bytes;
  std::size_t size;
  std::uint32_t* failures;
};

MILLRACE_KERNEL void __launch_bounds__(1) format(format_args args) {
  if (!memory::slab_ref<on_device>::format(args.bytes, args.size, 16, 1000)) { ++*args.failures; }
}

template <class Access>
struct churn_args {
  std::byte* bytes;
  std::uint32_t* failures;
};

template <class Access>
MILLRACE_HD std::uint32_t churn_once(memory::slab_ref<Access> blocks, std::uint64_t me) {
  auto const index = blocks.allocate(static_cast<std::uint32_t>(me));
  if (!index) { return index.error().code == errc::full ? 0 : 1; }
  auto* const word = static_cast<std::uint64_t*>(blocks.block(*index));
  *word = me;
  core::relax_for(100);
  std::uint32_t const broken = *word == me ? 0 : 1;
  return broken + (blocks.free(*index) ? 0 : 1);
}

template <class Access>
MILLRACE_KERNEL void __launch_bounds__(128) churn(churn_args<Access> args) {
  auto const blocks = memory::slab_ref<Access>::attach(args.bytes);
  std::uint64_t const me = core::grid_block() * core::block_width() + core::block_lane();
  std::uint32_t failures = blocks ? 0 : 1;
  for (int i = 0; blocks && i < 200; ++i) { failures += churn_once(*blocks, me); }
  if (failures != 0) { atomicAdd(args.failures, failures); }
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
  auto bytes = memory::slab_ref<on_system>::required_bytes(16, 100);
  REQUIRE(bytes);
  auto made =
      memory::slab<on_system, memory::pinned_resource>::make(16, 100, memory::pinned_resource(0));
  REQUIRE(made);
  auto failures = memory::buffer<std::uint32_t, memory::pinned_resource>::make_zeroed(
      1, memory::pinned_resource(0));
  REQUIRE(failures);
  // the slab's memory begins slab_alignment-aligned before its first block
  auto* const head = static_cast<std::byte*>(made->ref().block(0)) - (*bytes - 16 * 100);
  churn<on_system><<<2, 128>>>({head, failures->data()});
  REQUIRE(core::cuda_check(cudaGetLastError()));
  // one after the other: compare-exchange across PCIe is atomic on few machines
  REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
  std::uint32_t mine = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) { mine += churn_once(made->ref(), 1'000'000 + i); }
  CHECK(mine == 0);
  CHECK((*failures)[0] == 0);
  CHECK(made->ref().live() == 0);
  CHECK(memory::pinned_resource(0).try_allocate(8, 8192).error().code == errc::bad_argument);
}

TEST_CASE("slab: threads of a kernel never share a block") {
  auto const bytes = memory::slab_ref<on_device>::required_bytes(16, 1000);
  REQUIRE(bytes);
  auto made = memory::buffer<std::byte, memory::device_resource>::make(
      *bytes, memory::device_resource(0), memory::slab_alignment);
  REQUIRE(made);
  auto failures = memory::buffer<std::uint32_t, memory::pinned_resource>::make_zeroed(
      1, memory::pinned_resource(0));
  REQUIRE(failures);
  format<<<1, 1>>>({made->data(), *bytes, failures->data()});
  churn<on_device><<<64, 128>>>({made->data(), failures->data()});
  REQUIRE(core::cuda_check(cudaGetLastError()));
  REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
  CHECK((*failures)[0] == 0);
}
