// SPDX-License-Identifier: Apache-2.0
#include "bench/memory/device/benches.hpp"
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/device_resource.cuh>
#include <millrace/memory/managed.cuh>
#include <millrace/memory/managed_resource.cuh>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench::device {

namespace {

constexpr std::size_t swept_bytes = std::size_t{512} << 20;
constexpr std::size_t words = swept_bytes / sizeof(std::uint64_t);
constexpr int passes = 8;

using managed_words = memory::buffer<std::uint64_t, memory::managed_resource>;
using device_words = memory::buffer<std::uint64_t, memory::device_resource>;
using millrace::core::value_or_throw;

struct sum_args {
  ulonglong2 const* from;
  std::size_t pieces;
  unsigned long long* sum;
};

/// Reads every word once and sums them up.
__global__ void __launch_bounds__(256) sum_words(sum_args args) {
  unsigned long long mine = 0;
  std::size_t const step = std::size_t{gridDim.x} * 256;
#pragma unroll 4
  for (std::size_t i = std::size_t{blockIdx.x} * 256 + threadIdx.x; i < args.pieces; i += step) {
    ulonglong2 const piece = args.from[i];
    mine += piece.x + piece.y;
  }
  for (int apart = 16; apart > 0; apart /= 2) { mine += __shfl_xor_sync(0xffffffffu, mine, apart); }
  if (threadIdx.x % 32 == 0) { atomicAdd(args.sum, mine); }
}

void check(cudaError_t status) { value_or_throw(millrace::core::cuda_check(status)); }

/// The memories that are swept, and what a sweep needs.
class sweep {
 public:
  explicit sweep(int ordinal)
      : on_(ordinal),
        ordinal_{ordinal},
        managed_{
            value_or_throw(managed_words::make(words, memory::managed_resource(ordinal), 256))},
        device_{value_or_throw(device_words::make(words, memory::device_resource(ordinal), 256))},
        sum_{value_or_throw(device_words::make(1, memory::device_resource(ordinal)))} {
    value_or_throw(on_.status());
    int processors = 0;
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, ordinal));
    blocks_ = 8 * static_cast<unsigned>(processors);
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    check(cudaEventCreate(&begin_));
    check(cudaEventCreate(&end_));
  }
  sweep(sweep const&) = delete;
  sweep& operator=(sweep const&) = delete;
  ~sweep() {
    static_cast<void>(cudaStreamSynchronize(stream_));
    static_cast<void>(cudaEventDestroy(begin_));
    static_cast<void>(cudaEventDestroy(end_));
    static_cast<void>(cudaStreamDestroy(stream_));
  }

  /// Managed memory that the host wrote, brought to the device first.
  measured prefetched() {
    fill();
    auto const asked = value_or_throw(
        memory::prefetch(managed_.ref(), memory::location::device(ordinal_), stream_));
    if (asked != memory::hint::asked) { return {0, "the device takes no prefetch"}; }
    check(cudaStreamSynchronize(stream_));
    return run(managed_.data(), passes);
  }
  /// The same, moved page by page as the sweep comes to it.
  measured faulting() {
    fill();
    return run(managed_.data(), 1);
  }
  /// The device's own memory.
  measured own() {
    fill();
    check(
        cudaMemcpyAsync(device_.data(), managed_.data(), swept_bytes, cudaMemcpyDefault, stream_));
    check(cudaStreamSynchronize(stream_));
    return run(device_.data(), passes);
  }

 private:
  /// The host writes new values, which brings every page to it.
  void fill() {
    ++round_;
    wanted_ = 0;
    for (std::size_t i = 0; i < words; ++i) {
      managed_[i] = i * 0x9E3779B97F4A7C15u + round_;
      wanted_ += managed_[i];
    }
  }
  /// Bytes a second of `times` sweeps.
  measured run(std::uint64_t const* from, int times) {
    auto* const sum = reinterpret_cast<unsigned long long*>(sum_.data());
    check(cudaMemsetAsync(sum, 0, sizeof *sum, stream_));
    check(cudaEventRecord(begin_, stream_));
    for (int pass = 0; pass < times; ++pass) {
      sum_words<<<blocks_, 256, 0, stream_>>>(
          {reinterpret_cast<ulonglong2 const*>(from), words / 2, sum});
    }
    check(cudaGetLastError());
    check(cudaEventRecord(end_, stream_));
    check(cudaStreamSynchronize(stream_));
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin_, end_));
    unsigned long long got = 0;
    check(cudaMemcpyAsync(&got, sum, sizeof got, cudaMemcpyDeviceToHost, stream_));
    check(cudaStreamSynchronize(stream_));
    bool const right = got == wanted_ * static_cast<std::uint64_t>(times);
    return {static_cast<double>(swept_bytes) * times / (ms * 1e-3), right ? "" : "a wrong sum"};
  }

  millrace::core::device_guard on_;
  int ordinal_;
  managed_words managed_;
  device_words device_;
  device_words sum_;
  unsigned blocks_ = 1;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  std::uint64_t round_ = 0;
  std::uint64_t wanted_ = 0;
};

}  // namespace

void managed_sweep_bench(session& out, int ordinal) {
  constexpr char const* name = "memory.managed_sweep";
  if (!out.wants(name)) { return; }
  if (!memory::managed_resource(ordinal).concurrent()) {
    session::note(name, "skipped: host and device cannot use managed memory at the same time");
    return;
  }
  try {
    sweep all(ordinal);
    comparison what;
    what.bench = name;
    what.unit = "B/s";
    what.way = better::higher;
    what.ours = guarded("managed.prefetched", [&all] { return all.prefetched(); });
    what.peers.push_back(guarded("device", [&all] { return all.own(); }));
    what.peers.push_back(guarded("managed.faulting", [&all] { return all.faulting(); }));
    out.run(what);
  } catch (std::exception const& e) { out.fail(std::string(name) + ": " + e.what()); }
}

}  // namespace millrace::bench::device
