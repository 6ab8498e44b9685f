// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/platform.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/memory/async_resource.cuh>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/cuda_streams.cuh>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/memory/graph_memory.hpp>
#include <millrace/memory/pinned_resource.cuh>
#include <millrace/memory/stream_pool.hpp>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

namespace stream_pool_test {

struct fill_args {
  std::uint32_t* at;
  std::size_t words;
  std::uint32_t value;
  std::uint32_t delay_ns;
};
MILLRACE_KERNEL void __launch_bounds__(128) fill(fill_args args) {
  core::relax_for(args.delay_ns);  // so that whoever should wait is seen not to
  for (std::size_t i = core::block_lane(); i < args.words; i += core::block_width()) {
    args.at[i] = args.value + static_cast<std::uint32_t>(i);
  }
}

struct look_args {
  std::uint32_t const* at;
  std::size_t words;
  std::uint32_t value;
  std::uint32_t* wrong;
};
MILLRACE_KERNEL void __launch_bounds__(128) look(look_args args) {
  for (std::size_t i = core::block_lane(); i < args.words; i += core::block_width()) {
    if (args.at[i] != args.value + static_cast<std::uint32_t>(i)) { atomicAdd(args.wrong, 1u); }
  }
}

using counters = memory::buffer<std::uint32_t, memory::pinned_resource>;
using failing = memory::failing_resource<memory::async_resource>;
using pool_type = memory::stream_pool<failing, memory::cuda_streams>;

/// A stream of its own.
struct stream {
  cudaStream_t handle = nullptr;
  stream() { REQUIRE(core::cuda_check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking))); }
  stream(stream const&) = delete;
  ~stream() { static_cast<void>(cudaStreamDestroy(handle)); }
};
struct event {
  cudaEvent_t handle = nullptr;
  event() { REQUIRE(core::cuda_check(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming))); }
  event(event const&) = delete;
  ~event() { static_cast<void>(cudaEventDestroy(handle)); }
};

struct block {
  std::uint32_t* at;
  std::size_t words;
  std::uint32_t value;
  std::size_t last;  // the stream that used it
};

/// Allocates, writes, hands from stream to stream, verifies and frees, by chance. Returns how many
/// allocations were refused.
std::uint32_t churn(pool_type& pool, std::vector<cudaStream_t> const& streams, std::uint32_t* wrong,
                    std::uint64_t seed, int operations, std::size_t most_words) {
  core::xoshiro_rng chance(seed);
  std::vector<block> live;
  std::uint32_t value = 0, refused = 0;
  event handed;
  auto const free_one = [&] {
    std::size_t const i = core::below(chance, live.size());
    block const b = live[i];
    live[i] = live.back();
    live.pop_back();
    std::size_t on = b.last;
    if (core::below(chance, 3) == 0) { on = core::below(chance, streams.size()); }
    if (on != b.last) {
      CHECK(core::cuda_check(cudaEventRecord(handed.handle, streams[b.last])));
      CHECK(core::cuda_check(cudaStreamWaitEvent(streams[on], handed.handle, 0)));
    }
    look<<<1, 128, 0, streams[on]>>>({b.at, b.words, b.value, wrong});
    CHECK(pool.deallocate(b.at, 4 * b.words, 4, streams[on]));
  };
  for (int i = 0; i < operations; ++i) {
    if (live.size() < 40 && core::below(chance, 2) == 0) {
      std::size_t const on = core::below(chance, streams.size());
      std::size_t const words = 1 + core::below(chance, most_words);
      auto const got = pool.try_allocate(4 * words, 4, streams[on]);
      if (!got) {
        CHECK(got.error().code == errc::out_of_memory);
        ++refused;
        continue;
      }
      block const b{static_cast<std::uint32_t*>(*got), words, value += 100'000, on};
      auto const delay_ns = static_cast<std::uint32_t>(core::below(chance, 20'000));
      fill<<<1, 128, 0, streams[on]>>>({b.at, b.words, b.value, delay_ns});
      live.push_back(b);
    } else if (!live.empty()) {
      free_one();
    }
    if (core::below(chance, 500) == 0) { pool.trim(0); }
    if (core::below(chance, 200) == 0) { CHECK(pool.flush()); }
  }
  while (!live.empty()) { free_one(); }
  CHECK(core::cuda_check(cudaGetLastError()));
  return refused;
}

}  // namespace stream_pool_test

using namespace stream_pool_test;

TEST_CASE("async_pool: counts what it reserves, and gives it back when it is told to") {
  auto made = memory::async_pool::make(0);
  REQUIRE(made);
  auto from = made->resource();
  CHECK(from.try_allocate(0, 8).error().code == errc::bad_argument);
  CHECK(from.try_allocate(8, 512).error().code == errc::bad_argument);
  CHECK(from.try_allocate(std::size_t{1} << 50, 8).error().code == errc::out_of_memory);
  CHECK(memory::async_pool::make(1 << 20).error().code == errc::no_device);
  std::size_t const bytes = std::size_t{8} << 20;
  auto const p = from.try_allocate(bytes, 256);
  REQUIRE(p);
  CHECK(reinterpret_cast<std::uintptr_t>(*p) % 256 == 0);
  CHECK(made->counts()->used_bytes >= bytes);
  from.deallocate(*p, bytes, 256);
  REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
  CHECK(made->counts()->reserved_bytes >= bytes);  // a synchronisation alone gives nothing back
  REQUIRE(made->trim(0));
  CHECK(made->counts()->reserved_bytes == 0);
  CHECK(made->counts()->peak_reserved_bytes >= bytes);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("cuda_streams: a stream that is another in each thread is refused") {
  memory::cuda_streams const model(0);
  stream one;
  CHECK(model.admit(one.handle));
  CHECK(model.admit(cudaStreamLegacy));
  CHECK(model.admit(cudaStreamPerThread).error().code == errc::bad_argument);
  CHECK(memory::cuda_streams(1).admit(one.handle).error().code == errc::bad_argument);
  CHECK(*model.id(one.handle) != *model.id(cudaStreamLegacy));
  CHECK(*model.capturing(one.handle) == false);
  CHECK(*model.capture_id(one.handle) == 0);
}

TEST_CASE("cuda_streams: the default stream is the model's device's, whichever is current") {
  int devices = 0;
  REQUIRE(core::cuda_check(cudaGetDeviceCount(&devices)));
  if (devices < 2) {
    MESSAGE("skipped: with one device there is no other to be current");
    return;
  }
  memory::cuda_streams const model(0);
  stream other;
  auto const done = model.make_event();
  REQUIRE(done);
  core::device_guard const elsewhere(1);
  REQUIRE(elsewhere.status());
  CHECK(model.runs(cudaStreamLegacy));
  CHECK(model.record(*done, cudaStreamLegacy));  // refused where it is the other device's
  CHECK(model.order(other.handle, *done));
  CHECK(model.order(cudaStreamLegacy, *done));
  int now = -1;
  CHECK(core::cuda_check(cudaGetDevice(&now)));
  CHECK(now == 1);
  model.drop_event(*done);
}

TEST_CASE("stream_pool: kernels of three streams never write each other's blocks") {
  auto upstream = memory::async_pool::make(0);
  REQUIRE(upstream);
  auto wrong = counters::make_zeroed(1, memory::pinned_resource(0));
  REQUIRE(wrong);
  stream a, b, c;
  for (bool const orders : {false, true}) {
    memory::failure_plan plan;
    memory::stream_pool_options options;
    options.order_after_others = orders;
    options.wait_ns = orders ? 0 : 1'000'000'000;
    plan.budget_bytes = std::size_t{24} << 20;
    pool_type pool(failing(plan, upstream->resource()), memory::cuda_streams(0), options);
    static_cast<void>(churn(pool, {a.handle, b.handle, c.handle}, wrong->data(), 7, 4000, 200'000));
    auto const counts = pool.counts();
    CHECK(counts.live == 0);
    CHECK(counts.all.stolen + counts.all.ordered > 0);
    CHECK(counts.all.event_failures == 0);
    CHECK(counts.peak_reserved_bytes <= plan.budget_bytes);
    REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
    pool.trim(0);
    CHECK(pool.counts().reserved_bytes == 0);
  }
  CHECK((*wrong)[0] == 0);
}

TEST_CASE("stream_pool: threads with streams of their own share one pool") {
  auto upstream = memory::async_pool::make(0);
  REQUIRE(upstream);
  auto wrong = counters::make_zeroed(1, memory::pinned_resource(0));
  REQUIRE(wrong);
  stream streams[4];
  {
    memory::failure_plan plan;
    pool_type pool(failing(plan, upstream->resource()), memory::cuda_streams(0));
    std::atomic<std::uint32_t> refused = 0;
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        refused += churn(pool, {streams[2 * t].handle, streams[2 * t + 1].handle}, wrong->data(),
                         t + 1, 3000, 20'000);
      });
    }
    for (auto& t : threads) { t.join(); }
    CHECK(refused == 0);
    CHECK(pool.counts().live == 0);
    REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
  }
  CHECK((*wrong)[0] == 0);
}

TEST_CASE("stream_pool: a capture goes on beside the pool, and its graph keeps its blocks") {
  auto upstream = memory::async_pool::make(0);
  REQUIRE(upstream);
  auto wrong = counters::make_zeroed(1, memory::pinned_resource(0));
  REQUIRE(wrong);
  constexpr std::size_t words = 50'000;
  stream a, b;
  memory::failure_plan plan;
  pool_type pool(failing(plan, upstream->resource()), memory::cuda_streams(0));
  auto const eager = [&](cudaStream_t on, std::uint64_t seed) {
    CHECK(churn(pool, {on}, wrong->data(), seed, 300, 60'000) == 0);
  };
  eager(a.handle, 1);
  eager(b.handle, 2);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t program = nullptr;
  {
    memory::graph_memory<pool_type::handle, memory::cuda_streams> blocks(pool.unordered(),
                                                                         memory::cuda_streams(0));
    REQUIRE(core::cuda_check(cudaStreamBeginCapture(a.handle, cudaStreamCaptureModeGlobal)));
    CHECK(pool.try_allocate(64, 4, a.handle).error().code == errc::busy);
    CHECK(pool.flush().error().code == errc::busy);
    auto const p = blocks.try_allocate(4 * words, 4, a.handle);
    REQUIRE(p);
    auto* const at = static_cast<std::uint32_t*>(*p);
    fill<<<1, 128, 0, a.handle>>>({at, words, 77, 10'000});
    // what the other stream does with the pool meanwhile: events, upstream, a trim
    for (int i = 0; i < 20; ++i) {
      std::vector<void*> mine;
      for (int n = 0; n < 100; ++n) { mine.push_back(*pool.try_allocate(4096, 4, b.handle)); }
      for (void* q : mine) { CHECK(pool.deallocate(q, 4096, 4, b.handle)); }
      pool.trim(0);
    }
    look<<<1, 128, 0, a.handle>>>({at, words, 77, wrong->data()});
    CHECK(blocks.deallocate(at, 4 * words, 4, a.handle));
    CHECK(*blocks.try_allocate(4 * words, 4, a.handle) == *p);
    fill<<<1, 128, 0, a.handle>>>({at, words, 99, 0});
    look<<<1, 128, 0, a.handle>>>({at, words, 99, wrong->data()});
    REQUIRE(core::cuda_check(cudaStreamEndCapture(a.handle, &graph)));
    REQUIRE(core::cuda_check(cudaGraphInstantiate(&program, graph, 0)));
    for (std::uint64_t i = 0; i < 20; ++i) {
      REQUIRE(core::cuda_check(cudaGraphLaunch(program, b.handle)));
      eager(a.handle, 10 + i);
    }
    REQUIRE(core::cuda_check(cudaDeviceSynchronize()));
    CHECK(pool.counts().live == 1);
  }
  CHECK(pool.counts().live == 0);
  CHECK(core::cuda_check(cudaGraphExecDestroy(program)));
  CHECK(core::cuda_check(cudaGraphDestroy(graph)));
  CHECK((*wrong)[0] == 0);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}
