// SPDX-License-Identifier: Apache-2.0
#include "bench/harness/threads.hpp"
#include "bench/memory/device/benches.hpp"
#include <millrace/core/cuda_status.cuh>
#include <millrace/memory/async_resource.cuh>
#include <millrace/memory/cuda_streams.cuh>
#include <millrace/memory/stream_pool.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace millrace::bench::device {

namespace {

constexpr std::uint64_t warm_up = 1000;
constexpr std::uint64_t pairs = 20'000;

void check(cudaError_t status, char const* call) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(status));
  }
}

/// A stream of the trial's own.
class own_stream {
 public:
  own_stream() { check(cudaStreamCreateWithFlags(&s_, cudaStreamNonBlocking), "cudaStreamCreate"); }
  own_stream(own_stream const&) = delete;
  own_stream& operator=(own_stream const&) = delete;
  ~own_stream() { (void)cudaStreamDestroy(s_); }
  [[nodiscard]] cudaStream_t get() const noexcept { return s_; }

 private:
  cudaStream_t s_ = nullptr;
};

/// Writes a block in the stream's order and reads its ends back.
void use(void* p, std::size_t bytes, cudaStream_t s) {
  check(cudaMemsetAsync(p, 0x5a, bytes, s), "cudaMemsetAsync");
  unsigned char ends[2] = {};
  auto* const begin = static_cast<unsigned char*>(p);
  check(cudaMemcpyAsync(&ends[0], begin, 1, cudaMemcpyDeviceToHost, s), "cudaMemcpyAsync");
  check(cudaMemcpyAsync(&ends[1], begin + bytes - 1, 1, cudaMemcpyDeviceToHost, s),
        "cudaMemcpyAsync");
  check(cudaStreamSynchronize(s), "cudaStreamSynchronize");
  if (ends[0] != 0x5a || ends[1] != 0x5a) { throw std::runtime_error("a block was not writable"); }
}

/// Nanoseconds a pair of `take()`, which gives a block, and `give(block)`.
template <class Take, class Give>
double pair_ns(std::size_t bytes, cudaStream_t s, Take take, Give give) {
  for (std::uint64_t i = 0; i < warm_up; ++i) { give(take()); }
  std::int64_t const before = now_ns();
  for (std::uint64_t i = 0; i < pairs; ++i) { give(take()); }
  double const ns = static_cast<double>(now_ns() - before) / static_cast<double>(pairs);
  void* const p = take();
  use(p, bytes, s);
  give(p);
  check(cudaStreamSynchronize(s), "cudaStreamSynchronize");
  return ns;
}

using pool_type = memory::stream_pool<memory::async_resource, memory::cuda_streams>;

double ours(int ordinal, std::size_t bytes, bool bound) {
  auto const upstream = core::value_or_throw(memory::async_pool::make(ordinal));
  own_stream s;
  pool_type pool(upstream.resource(), memory::cuda_streams(ordinal));
  auto here = core::value_or_throw(pool.bind(s.get()));
  double const ns =
      bound
          ? pair_ns(
                bytes, s.get(), [&] { return core::value_or_throw(here.try_allocate(bytes, 256)); },
                [&](void* p) { here.deallocate(p, bytes, 256); })
          : pair_ns(
                bytes, s.get(),
                [&] { return core::value_or_throw(pool.try_allocate(bytes, 256, s.get())); },
                [&](void* p) { core::value_or_throw(pool.deallocate(p, bytes, 256, s.get())); });
  if (pool.counts().live != 0 || pool.counts().all.frees != warm_up + pairs + 1) {
    throw std::runtime_error("the pool lost a block");
  }
  return ns;
}

/// From a pool of its own that keeps what it has, as ours has upstream.
double cudas(int ordinal, std::size_t bytes) {
  cudaMemPoolProps what{};
  what.allocType = cudaMemAllocationTypePinned;
  what.location.type = cudaMemLocationTypeDevice;
  what.location.id = ordinal;
  cudaMemPool_t pool = nullptr;
  check(cudaMemPoolCreate(&pool, &what), "cudaMemPoolCreate");
  std::uint64_t keep = ~std::uint64_t{0};
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "threshold");
  own_stream s;
  double const ns = pair_ns(
      bytes, s.get(),
      [&] {
        void* p = nullptr;
        check(cudaMallocFromPoolAsync(&p, bytes, pool, s.get()), "cudaMallocFromPoolAsync");
        return p;
      },
      [&](void* p) { check(cudaFreeAsync(p, s.get()), "cudaFreeAsync"); });
  check(cudaMemPoolDestroy(pool), "cudaMemPoolDestroy");
  return ns;
}

}  // namespace

void stream_pool_benches(session& out, int ordinal) {
  check(cudaSetDevice(ordinal), "cudaSetDevice");
  struct size {
    char const* name;
    std::size_t bytes;
  };
  for (auto const& [name, bytes] : {size{"256B", 256}, size{"64KiB", std::size_t{64} << 10},
                                    size{"16MiB", std::size_t{16} << 20}}) {
    comparison bench;
    bench.bench = std::string("memory.stream_pool.pair.") + name;
    bench.unit = "ns";
    bench.way = better::lower;
    bench.ours =
        guarded("millrace.handle", [=, n = bytes] { return measured{ours(ordinal, n, true)}; });
    bench.peers.push_back(
        guarded("cuda.malloc_async", [=, n = bytes] { return measured{cudas(ordinal, n)}; }));
    bench.peers.push_back(guarded("millrace.by_stream",
                                  [=, n = bytes] { return measured{ours(ordinal, n, false)}; }));
    out.run(bench);
  }
}

}  // namespace millrace::bench::device
