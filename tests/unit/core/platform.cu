// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/array_view.hpp>
#include <millrace/core/backend.hpp>
#include <millrace/core/clock.hpp>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/devices.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/core/probe.hpp>
#include <millrace/core/rng.hpp>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <cstdint>

namespace core = millrace::core;
using millrace::errc;

namespace platform_test {

struct findings {
  bool on_device;
  std::uint32_t lane_sum;
  std::uint32_t width;
  std::uint64_t broadcast;
  std::uint64_t waited_ns;
  std::uint64_t draws;
  std::int64_t total;
  core::probe_log<2> log;
};

MILLRACE_HD std::uint64_t draw_many(std::uint64_t seed) {
  core::xoshiro_rng g(seed);
  std::uint64_t sum = 0;
  for (int i = 0; i < 100; ++i) { sum += core::below(g, 1000) + (g.next() >> 32); }
  return sum;
}

MILLRACE_HD std::int64_t column_total(core::const_array_view view) {
  std::int64_t sum = 0;
  auto const column = view.select(1, 1);
  if (!column) { return -1; }
  for (std::int64_t i = 0; i < column->extents()[0]; ++i) { sum += column->at<std::int64_t>(i); }
  return sum;
}

struct look_args {
  findings* out;
  core::const_array_view view;
};

MILLRACE_KERNEL void __launch_bounds__(64) look(look_args args) {
  __shared__ std::uint32_t lanes;
  if (core::block_lane() == 0) { lanes = 0; }
  core::sync_block();
  atomicAdd(&lanes, core::warp_lane());
  std::uint64_t const shared = core::warp_broadcast(100 + core::block_lane(), 3);
  core::sync_block();
  if (core::block_lane() != 0) { return; }
  findings& out = *args.out;
  out.on_device = core::is_device();
  out.lane_sum = lanes;
  out.width = core::warp_width() * core::block_width() + core::grid_block();
  out.broadcast = shared;
  std::uint64_t const start = core::steady_clock::now_ns();
  for (int i = 0; i < 100; ++i) { core::relax_for(10'000); }
  core::relax();
  core::yield_thread();
  core::prefetch_read(args.out);
  out.waited_ns = core::now_ns() - start;
  out.draws = draw_many(9);
  out.total = column_total(args.view);
  core::recording_probe<2>(out.log).record(core::probe_event::parked, 5);
}

}  // namespace platform_test

using namespace platform_test;

TEST_CASE("platform: a kernel sees the device's side of every call, and the same numbers") {
  findings* out = nullptr;
  std::int64_t* data = nullptr;
  REQUIRE(core::cuda_check(cudaMallocManaged(&out, sizeof(findings))));
  REQUIRE(core::cuda_check(cudaMallocManaged(&data, 6 * sizeof(std::int64_t))));
  for (int i = 0; i < 6; ++i) { data[i] = i; }
  *out = {};
  std::int64_t const extents[] = {3, 2};
  auto const view = core::const_array_view::make(data, core::dtype::i64, extents);
  REQUIRE(view);
  look<<<1, 64>>>({out, *view});
  REQUIRE(core::cuda_check(cudaGetLastError()));
  REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
  CHECK(out->on_device);
  CHECK(out->lane_sum == 2 * 31 * 32 / 2);
  CHECK(out->width == 32 * 64);
  CHECK(out->broadcast == 103);
  CHECK(out->waited_ns < 1'000'000'000u);
  CHECK(out->draws == draw_many(9));
  CHECK(out->total == column_total(*view));
  CHECK(out->log.records[0] == core::probe_record{core::probe_event::parked, 5});
  CHECK(core::cuda_check(cudaFree(data)));
  CHECK(core::cuda_check(cudaFree(out)));
}

TEST_CASE("cuda_check: a call that failed by itself leaves no error behind") {
  auto const failed = core::cuda_check(cudaSetDevice(1 << 20));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == errc::no_device);
  CHECK(failed.error().origin == core::origin::cuda);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("device_guard: refuses a device that is not there, and leaves the current one") {
  int before = -1, after = -1;
  REQUIRE(core::cuda_check(cudaGetDevice(&before)));
  {
    core::device_guard const on(1 << 20);
    CHECK(on.status().error().code == errc::no_device);
  }
  {
    core::device_guard const on(before);
    CHECK(on.status());
  }
  REQUIRE(core::cuda_check(cudaGetDevice(&after)));
  CHECK(before == after);
}

TEST_CASE("devices: finds the devices that the runtime finds") {
  int count = 0;
  REQUIRE(core::cuda_check(cudaGetDeviceCount(&count)));
  auto const report = core::devices();
  REQUIRE(report.devices.size() == static_cast<std::size_t>(count));
  for (auto const& info : report.devices) {
    cudaDeviceProp seen{};
    REQUIRE(core::cuda_check(cudaGetDeviceProperties(&seen, info.ordinal)));
    CHECK(info.name == seen.name);
    CHECK(info.multiprocessors == seen.multiProcessorCount);
    CHECK(info.capability == 10 * seen.major + seen.minor);
    CHECK(info.cooperative_launch == (seen.cooperativeLaunch != 0));
  }
}
