// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"
#include "bench/harness/threads.hpp"
#include "bench/queue/payload.hpp"
#include <millrace/core/config.hpp>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench::device {

/// No wait in these benches is longer; a longer one is a hang.
inline constexpr std::int64_t longest_wait_ns = 5'000'000'000;

/// Throws the runtime's words when a call failed.
inline void check(cudaError_t status, char const* call) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(status));
  }
}

/// Polls until `holds()`; throws when that takes too long.
template <class Holds>
void await(char const* what, Holds holds) {
  std::int64_t const start = now_ns();
  for (;;) {
    for (int turn = 0; turn < 4096; ++turn) {
      if (holds()) { return; }
      relax();
    }
    if (now_ns() - start > longest_wait_ns) {
      throw std::runtime_error(std::string("no end of ") + what + " within 5 s");
    }
  }
}

/// A stream and memory, given back together; but not while a kernel that did not come back may
/// still touch them.
class workspace {
 public:
  explicit workspace(int ordinal) {
    check(cudaSetDevice(ordinal), "cudaSetDevice");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  workspace(workspace const&) = delete;
  workspace& operator=(workspace const&) = delete;
  ~workspace() {
    if (cudaStreamQuery(stream_) != cudaSuccess) { return; }
    for (void* p : pinned_) { (void)cudaFreeHost(p); }
    for (void* p : device_) { (void)cudaFree(p); }
    (void)cudaStreamDestroy(stream_);
  }

  [[nodiscard]] cudaStream_t stream() const noexcept { return stream_; }

  /// Zeroed host memory that the device reads and writes too.
  template <class T>
  [[nodiscard]] T* pinned(std::size_t count) {
    void* p = nullptr;
    check(cudaHostAlloc(&p, count * sizeof(T), cudaHostAllocMapped), "cudaHostAlloc");
    pinned_.push_back(p);
    std::memset(p, 0, count * sizeof(T));
    return static_cast<T*>(p);
  }
  /// Zeroed memory of the device.
  template <class T>
  [[nodiscard]] T* on_device(std::size_t count) {
    void* p = nullptr;
    check(cudaMalloc(&p, count * sizeof(T)), "cudaMalloc");
    device_.push_back(p);
    check(cudaMemsetAsync(p, 0, count * sizeof(T), stream_), "cudaMemsetAsync");
    wait("clearing memory");
    return static_cast<T*>(p);
  }
  /// Waits until the stream has done everything.
  void wait(char const* what) {
    cudaError_t now = cudaErrorNotReady;
    await(what, [&] { return (now = cudaStreamQuery(stream_)) != cudaErrorNotReady; });
    check(now, what);
  }

 private:
  cudaStream_t stream_ = nullptr;
  std::vector<void*> pinned_;
  std::vector<void*> device_;
};

/// The sum of a word's eight bytes.
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t byte_sum(std::uint64_t word) noexcept {
  constexpr std::uint64_t even = 0x00FF00FF00FF00FFu;
  std::uint64_t const pairs = (word & even) + (word >> 8 & even);
  return (pairs * 0x0001000100010001u) >> 48;
}

/// The sum of the bytes of every `step`-th 16-byte piece from `first` on. Every contender calls it.
[[nodiscard]] MILLRACE_HD inline std::uint64_t sum_pieces(void const* data, std::uint32_t pieces,
                                                          std::uint32_t first,
                                                          std::uint32_t step) noexcept {
  auto const* const at = static_cast<ulonglong2 const*>(data);
  std::uint64_t sum = 0;
  for (std::uint32_t i = first; i < pieces; i += step) {
    ulonglong2 const piece = at[i];
    sum += byte_sum(piece.x) + byte_sum(piece.y);
  }
  return sum;
}

/// The sum over the lanes of a whole warp, in each of them.
[[nodiscard]] __device__ inline std::uint64_t warp_sum(std::uint64_t mine) {
  for (int apart = 16; apart > 0; apart /= 2) {
    mine += __shfl_xor_sync(0xffffffffu, static_cast<unsigned long long>(mine), apart);
  }
  return mine;
}

}  // namespace millrace::bench::device
