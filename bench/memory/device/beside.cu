// SPDX-License-Identifier: Apache-2.0
// A persistent kernel's round trips while another host thread allocates and frees through a stream
// pool, and while nobody does: memory work must not stall what runs.
#include "bench/harness/threads.hpp"
#include "bench/memory/device/benches.hpp"
#include <millrace/core/cuda_status.cuh>
#include <millrace/memory/async_resource.cuh>
#include <millrace/memory/cuda_streams.cuh>
#include <millrace/memory/stream_pool.hpp>
#include <millrace/queue/launch_device.cuh>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>
#include <vector>

namespace millrace::bench::device {

namespace {

using millrace::core::value_or_throw;

struct add_one {
  MILLRACE_HD queue::status operator()(queue::message_view<std::uint64_t> view,
                                       queue::reply_writer<std::uint64_t>& out) const noexcept {
    out.write(view.value() + 1);
    return queue::status::ok;
  }
};
struct echo_policy : queue::default_consumer<std::uint64_t, add_one> {
  using backoff = queue::spin_backoff;
  static constexpr auto effects = queue::effect_mode::reply;
  static constexpr int threads_per_block = 32;
};

constexpr std::uint64_t warm_up = 500;
constexpr std::uint64_t messages = 20'000;

/// Allocates and frees blocks of several sizes in a stream's order until told to end.
void churn(int ordinal, std::atomic<bool> const& over, std::atomic<std::uint64_t>& pairs) {
  value_or_throw(millrace::core::cuda_check(cudaSetDevice(ordinal)));
  cudaStream_t stream = nullptr;
  value_or_throw(
      millrace::core::cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)));
  {
    auto const upstream = value_or_throw(memory::async_pool::make(ordinal));
    memory::stream_pool<memory::async_resource, memory::cuda_streams> pool(
        upstream.resource(), memory::cuda_streams(ordinal));
    auto here = value_or_throw(pool.bind(stream));
    for (std::size_t bytes = 256; !over.load(std::memory_order_relaxed);
         bytes = bytes < (std::size_t{1} << 20) ? 2 * bytes : 256) {
      void* const p = value_or_throw(here.try_allocate(bytes, 256));
      here.deallocate(p, bytes, 256);
      pairs.fetch_add(1, std::memory_order_relaxed);
    }
  }
  static_cast<void>(cudaStreamDestroy(stream));
}

/// Nanoseconds of the 99th of 100 round trips.
measured round_trips(int ordinal, bool beside) {
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> pairs{0};
  std::string problem;
  std::thread other;
  try {
    auto consumer =
        value_or_throw(queue::launch_device<echo_policy>(ordinal, {.capacity = 64}, {}));
    if (beside) {
      other = std::thread([&] {
        try {
          churn(ordinal, over, pairs);
        } catch (std::exception const& e) { problem = e.what(); }
      });
      while (pairs.load() == 0 && problem.empty()) { relax(); }
    }
    std::vector<double> times;
    times.reserve(messages);
    {
      auto lane = value_or_throw(consumer.open_lane());
      for (std::uint64_t i = 0; i < warm_up + messages; ++i) {
        std::int64_t const begin = now_ns();
        **lane.reserve() = i;  // one in flight: there is room
        queue::message_id const id = *lane.commit();
        auto done = lane.try_result(id);
        while (!done) {
          if (now_ns() - begin > 2'000'000'000) { throw std::runtime_error("no reply in 2 s"); }
          done = lane.try_result(id);
        }
        if (done->reply != i + 1) { problem = "a wrong reply"; }
        if (i >= warm_up) { times.push_back(static_cast<double>(now_ns() - begin)); }
      }
    }
    over = true;
    if (other.joinable()) { other.join(); }
    static_cast<void>(value_or_throw(consumer.stop(queue::within(std::chrono::seconds(5)))));
    auto const at = times.begin() + static_cast<std::ptrdiff_t>(times.size() * 99 / 100);
    std::nth_element(times.begin(), at, times.end());
    return {*at, problem};
  } catch (std::exception const& e) {
    over = true;
    if (other.joinable()) { other.join(); }
    return {0, e.what()};
  }
}

}  // namespace

void beside_bench(session& out, int ordinal) {
  comparison made{.bench = "memory.beside_kernel.p99",
                  .unit = "ns",
                  .way = better::lower,
                  .ours = {"millrace.pool_busy", [=] { return round_trips(ordinal, true); }},
                  .peers = {}};
  made.peers.push_back({"millrace.pool_idle", [=] { return round_trips(ordinal, false); }});
  out.run(made);
}

}  // namespace millrace::bench::device
