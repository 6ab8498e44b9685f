// SPDX-License-Identifier: Apache-2.0
#include "survey.hpp"
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/platform.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/device_ground.cuh>
#include <millrace/memory/kernel_heap.hpp>
#include <millrace/memory/pinned_resource.cuh>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace kernel_heap_device_test {

using heap = memory::kernel_heap<memory::default_kernel_heap, memory::device_ground>;

/// Calls a body once a thread, or in one lane of each warp only.
template <class Body>
struct each_args {
  Body body;
  std::uint32_t count;
  std::uint32_t stride;  ///< threads for one call
};
template <class Body>
MILLRACE_KERNEL void __launch_bounds__(256) each(each_args<Body> args) {
  std::uint32_t const i = core::grid_block() * core::block_width() + core::block_lane();
  if (i % args.stride == 0 && i / args.stride < args.count) { args.body(i / args.stride); }
}
template <class Body>
void for_each_of(std::uint32_t count, Body const& body, std::uint32_t stride = 1) {
  each<Body><<<(count * stride + 255) / 256, 256>>>({body, count, stride});
  REQUIRE(core::cuda_check(cudaGetLastError()));
  REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
}

[[nodiscard]] heap make(memory::kernel_heap_options with) {
  auto ground = memory::device_ground::make(0, *heap::ground_bytes(with), heap::ground_alignment);
  REQUIRE(ground);
  auto made = heap::make(std::move(*ground), with);
  REQUIRE(made);
  return std::move(*made);
}
template <class T>
[[nodiscard]] memory::buffer<T, memory::pinned_resource> pinned(std::size_t count) {
  auto made =
      memory::buffer<T, memory::pinned_resource>::make_zeroed(count, memory::pinned_resource(0));
  REQUIRE(made);
  return std::move(*made);
}

/// @return blocks that were not given
std::uint32_t round(heap& of, std::uint32_t count, survey::sizes size, std::uint32_t stride = 1) {
  auto const blocks = pinned<void*>(count);
  auto const wrong = pinned<std::uint8_t>(count);
  for_each_of(count, survey::allocate<heap::ref_type>{of.ref(), size, blocks.data()}, stride);
  auto const missing =
      static_cast<std::uint32_t>(std::count(blocks.data(), blocks.data() + count, nullptr));
  auto const now = of.stats();
  REQUIRE(now);
  CHECK(now->live_blocks == count - missing);
  for_each_of(count,
              survey::check_and_free<heap::ref_type>{of.ref(), size, blocks.data(), count,
                                                     count / 3, wrong.data()},
              stride);
  CHECK(std::count(wrong.data(), wrong.data() + count, 0) == count);
  CHECK(of.stats()->live_blocks == 0);
  return missing;
}

struct realloc_twice {
  heap::ref_type of;
  std::uint32_t* wrong;

  MILLRACE_HD void operator()(std::uint32_t me) const noexcept {
    void* p = of.malloc(40);
    if (p != nullptr) { survey::write(p, 40, me); }
    for (std::uint32_t const bytes : {400u, 4000u}) {
      p = p == nullptr ? nullptr : of.realloc(p, bytes);
    }
    bool const right = p != nullptr && survey::holds(p, 40, me) && of.free(p).has_value();
    wrong[me] = right ? 0 : 1;
  }
};
struct wrong_frees {
  heap::ref_type of;
  std::uint32_t* wrong;

  MILLRACE_HD void operator()(std::uint32_t me) const noexcept {
    auto* const p = static_cast<std::byte*>(of.malloc(64));
    auto* const q = static_cast<std::byte*>(of.malloc(64));
    std::uint32_t told = 0;
    told += of.free(p + 16).has_value() ? 0 : 1;
    told += of.free(&told).has_value() ? 0 : 1;
    told += of.free(p).has_value() ? 1 : 0;
    told += of.free(q).has_value() ? 1 : 0;
    wrong[me] = told == 4 ? 0 : 1;
  }
};

}  // namespace kernel_heap_device_test

using namespace kernel_heap_device_test;

TEST_CASE("kernel_heap: the survey's uniform cases in a kernel") {
  auto all = make({.bytes = std::size_t{1} << 30});
  for (std::uint32_t const count : {10'000u, 100'000u}) {
    for (std::uint32_t const bytes : {4u, 16u, 100u, 256u, 1024u, 8192u}) {
      CHECK(round(all, count, {bytes, bytes}) == 0);
    }
  }
}
TEST_CASE("kernel_heap: the survey's mixed cases in a kernel") {
  auto all = make({.bytes = std::size_t{1} << 30});
  for (std::uint32_t const most : {64u, 1024u, 8192u}) {
    CHECK(round(all, 100'000, {4, most}) == 0);
  }
}
TEST_CASE("kernel_heap: one lane of each warp allocates") {
  auto all = make({.bytes = std::size_t{256} << 20});
  CHECK(round(all, 10'000, {16, 16}, 32) == 0);
  CHECK(round(all, 10'000, {4, 4096}, 32) == 0);
}
TEST_CASE("kernel_heap: a kernel that finds no room gets null, and the rest is of use") {
  auto all = make({.bytes = std::size_t{64} << 20});
  for (std::uint32_t const bytes : {16u, 64u, 1024u, 8192u}) {
    std::uint32_t const fits = (64u << 20) / bytes;
    std::uint32_t const missing = round(all, fits + 1000, {bytes, bytes});
    CHECK(missing >= 1000);
    CHECK(missing - 1000 <= fits / 20);
    CHECK(all.low());
    REQUIRE(all.maintain());
  }
}
TEST_CASE("kernel_heap: realloc and wrong frees in a kernel") {
  auto all = make({.bytes = std::size_t{256} << 20});
  auto const wrong = pinned<std::uint32_t>(20'000);
  for_each_of(20'000, realloc_twice{all.ref(), wrong.data()});
  CHECK(std::count(wrong.data(), wrong.data() + 20'000, 0u) == 20'000);
  for_each_of(20'000, wrong_frees{all.ref(), wrong.data()});
  CHECK(std::count(wrong.data(), wrong.data() + 20'000, 0u) == 20'000);
  CHECK(all.stats()->live_blocks == 0);
}
TEST_CASE("kernel_heap: grows on a device where it lies, and gives memory back") {
  auto all = make({.bytes = std::size_t{8} << 20, .most_bytes = std::size_t{64} << 20});
  auto const ref = all.ref();  // kernels keep theirs
  auto const blocks = pinned<void*>(20'000);
  survey::allocate<heap::ref_type> const body{ref, {1024, 1024}, blocks.data()};
  for_each_of(20'000, body);
  CHECK(std::count(blocks.data(), blocks.data() + 20'000, nullptr) > 0);
  CHECK(all.low());
  CHECK(*all.maintain() == std::size_t{8} << 20);
  CHECK(*all.maintain() == 0);
  auto const more = pinned<void*>(8'000);
  for_each_of(8'000, survey::allocate<heap::ref_type>{ref, {1024, 1024}, more.data()});
  CHECK(std::count(more.data(), more.data() + 8'000, nullptr) == 0);
  auto const wrong = pinned<std::uint8_t>(20'000);
  for (auto const& [which, count] : {std::pair{more.data(), 8'000u}, {blocks.data(), 20'000u}}) {
    for_each_of(count, survey::check_and_free<heap::ref_type>{
                           ref, {1024, 1024}, which, count, 0, wrong.data()});
    CHECK(std::count(wrong.data(), wrong.data() + count, 0) == count);
  }
  CHECK(*all.trim() > std::size_t{8} << 20);
}
