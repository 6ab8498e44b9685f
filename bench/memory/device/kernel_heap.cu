// SPDX-License-Identifier: Apache-2.0
// Blocks for the threads of kernels: ours, the CUDA runtime's malloc in kernels, and a bump of one
// counter a warp, which is the least that an allocation can do.
#include "bench/memory/device/benches.hpp"
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/platform.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/device_ground.cuh>
#include <millrace/memory/device_resource.cuh>
#include <millrace/memory/kernel_heap.hpp>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench::device {

namespace {

using millrace::core::value_or_throw;
using policy = memory::default_kernel_heap;
using heap = memory::kernel_heap<policy, memory::device_ground>;

constexpr std::size_t heap_bytes = std::size_t{2} << 30;
constexpr std::uint32_t threads = 100'000;
constexpr int rounds_a_trial = 20;

void check(cudaError_t status) { value_or_throw(millrace::core::cuda_check(status)); }

/// What the kernels allocate from.
struct from_heap {
  heap::ref_type of;
  MILLRACE_HD void* take(std::uint32_t bytes) const noexcept { return of.malloc(bytes); }
  MILLRACE_HD void give(void* p) const noexcept { static_cast<void>(of.free(p)); }
};
struct from_runtime {
  __device__ void* take(std::uint32_t bytes) const noexcept { return ::malloc(bytes); }
  __device__ void give(void* p) const noexcept { ::free(p); }
};
/// A warp moves the counter once for all of its threads, and frees nothing.
struct from_bump {
  unsigned long long* next;
  std::byte* bytes;
  __device__ void* take(std::uint32_t size) const noexcept {
    core::lanes const here = core::lanes_here();
    auto const rank = static_cast<unsigned>(__popc(here & ((1u << core::warp_lane()) - 1)));
    unsigned long long first = 0;
    if (rank == 0) {
      first = atomicAdd(next, static_cast<unsigned long long>(__popc(here)) * size);
    }
    first = core::lane_value(here, first,
                             static_cast<std::uint32_t>(__ffs(static_cast<int>(here)) - 1));
    return bytes + (first + std::uint64_t{rank} * size) % heap_bytes;
  }
  __device__ void give(void*) const noexcept {}
};

template <class From>
struct kernel_args {
  From from;
  void** blocks;
  std::uint32_t count, bytes;
  unsigned* wrong;
};
template <class From>
__global__ void __launch_bounds__(256) take_blocks(kernel_args<From> args) {
  std::uint32_t const i = blockIdx.x * 256 + threadIdx.x;
  if (i < args.count) { args.blocks[i] = args.from.take(args.bytes); }
}
template <class From>
__global__ void __launch_bounds__(256) give_blocks(kernel_args<From> args) {
  std::uint32_t const i = blockIdx.x * 256 + threadIdx.x;
  if (i < args.count) { args.from.give(args.blocks[i]); }
}
template <class From>
__global__ void __launch_bounds__(256) mark_blocks(kernel_args<From> args) {
  std::uint32_t const i = blockIdx.x * 256 + threadIdx.x;
  if (i < args.count && args.blocks[i] != nullptr) {
    *static_cast<std::uint32_t*>(args.blocks[i]) = i;
    static_cast<std::uint32_t*>(args.blocks[i])[args.bytes / 4 - 1] = i;
  }
}
template <class From>
__global__ void __launch_bounds__(256) look_at_blocks(kernel_args<From> args) {
  std::uint32_t const i = blockIdx.x * 256 + threadIdx.x;
  if (i >= args.count) { return; }
  auto const* const p = static_cast<std::uint32_t const*>(args.blocks[i]);
  if (p == nullptr || *p != i || p[args.bytes / 4 - 1] != i) { atomicAdd(args.wrong, 1u); }
}

/// Times of one trial.
struct times {
  double take_us = 0, give_us = 0;
  std::string problem = {};
};

/// Medians of warm rounds: all threads allocate, all free; a round between is looked at.
template <class From>
times run(int ordinal, From from, std::uint32_t bytes) {
  memory::device_resource const memory(ordinal);
  auto const blocks =
      value_or_throw(memory::buffer<void*, memory::device_resource>::make(threads, memory));
  auto const wrong =
      value_or_throw(memory::buffer<unsigned, memory::device_resource>::make(1, memory));
  kernel_args<From> const args{from, blocks.data(), threads, bytes, wrong.data()};
  constexpr unsigned grid = (threads + 255) / 256;
  cudaEvent_t at[3];
  for (auto& e : at) { check(cudaEventCreate(&e)); }
  std::vector<double> take, give;
  unsigned found = 0;
  for (int r = 0; r < rounds_a_trial; ++r) {
    check(cudaEventRecord(at[0]));
    take_blocks<From><<<grid, 256>>>(args);
    check(cudaEventRecord(at[1]));
    if (r == 0) {
      check(cudaMemset(wrong.data(), 0, sizeof(unsigned)));
      mark_blocks<From><<<grid, 256>>>(args);
      look_at_blocks<From><<<grid, 256>>>(args);
      check(cudaMemcpy(&found, wrong.data(), sizeof found, cudaMemcpyDeviceToHost));
      check(cudaEventRecord(at[1]));
    }
    give_blocks<From><<<grid, 256>>>(args);
    check(cudaEventRecord(at[2]));
    check(cudaEventSynchronize(at[2]));
    if (r == 0) { continue; }  // cold
    float ms = 0;
    check(cudaEventElapsedTime(&ms, at[0], at[1]));
    take.push_back(ms * 1e3);
    check(cudaEventElapsedTime(&ms, at[1], at[2]));
    give.push_back(ms * 1e3);
  }
  for (auto& e : at) { check(cudaEventDestroy(e)); }
  return {median(take), median(give),
          found == 0 ? "" : std::to_string(found) + " blocks did not hold what was written"};
}

[[nodiscard]] heap make_heap(int ordinal) {
  memory::kernel_heap_options const with{.bytes = heap_bytes};
  auto ground = memory::device_ground::make(ordinal, value_or_throw(heap::ground_bytes(with)),
                                            heap::ground_alignment);
  return value_or_throw(heap::make(value_or_throw(std::move(ground)), with));
}

times ours(int ordinal, std::uint32_t bytes) {
  auto const all = make_heap(ordinal);
  return run(ordinal, from_heap{all.ref()}, bytes);
}
times bump(int ordinal, std::uint32_t bytes) {
  memory::device_resource const memory(ordinal);
  auto const room = value_or_throw(
      memory::buffer<std::byte, memory::device_resource>::make(heap_bytes + 1024, memory, 256));
  auto const next =
      value_or_throw(memory::buffer<unsigned long long, memory::device_resource>::make(1, memory));
  check(cudaMemset(next.data(), 0, sizeof(unsigned long long)));
  return run(ordinal, from_bump{next.data(), room.data()}, bytes);
}

/// Thousandths of a heap's bytes that are in blocks when the first allocation finds no room.
template <class From>
measured useful(int ordinal, From from, std::uint32_t bytes) {
  memory::device_resource const memory(ordinal);
  auto const count = static_cast<std::uint32_t>(heap_bytes / bytes);
  auto const blocks =
      value_or_throw(memory::buffer<void*, memory::device_resource>::make(count, memory));
  std::vector<void*> seen(count);
  kernel_args<From> const args{from, blocks.data(), count, bytes, nullptr};
  take_blocks<From><<<(count + 255) / 256, 256>>>(args);
  check(cudaMemcpy(seen.data(), blocks.data(), blocks.size_bytes(), cudaMemcpyDeviceToHost));
  std::size_t got = 0;
  for (void const* const p : seen) { got += p != nullptr ? 1 : 0; }
  give_blocks<From><<<(count + 255) / 256, 256>>>(args);
  check(cudaDeviceSynchronize());
  return {static_cast<double>(got) * bytes / static_cast<double>(heap_bytes) * 1000};
}

}  // namespace

void kernel_heap_benches(session& out, int ordinal) {
  check(cudaSetDevice(ordinal));
  check(cudaDeviceSetLimit(cudaLimitMallocHeapSize, heap_bytes));
  for (std::uint32_t const bytes : {16u, 64u, 256u, 1024u}) {
    for (bool const take : {true, false}) {
      auto const pick = [take](times const& t) {
        return measured{take ? t.take_us : t.give_us, t.problem};
      };
      comparison made{.bench = std::string("memory.kernel_heap.") + (take ? "malloc." : "free.") +
                               std::to_string(bytes) + "B",
                      .unit = "us",
                      .way = better::lower,
                      .ours = guarded("millrace", [=] { return pick(ours(ordinal, bytes)); }),
                      .peers = {}};
      made.peers.push_back(
          guarded("cuda.malloc", [=] { return pick(run(ordinal, from_runtime{}, bytes)); }));
      if (take) {
        made.peers.push_back(guarded("limit.bump", [=] { return pick(bump(ordinal, bytes)); }));
      }
      out.run(made);
    }
  }
  for (std::uint32_t const bytes : {16u, 1024u}) {
    comparison made{.bench = "memory.kernel_heap.useful." + std::to_string(bytes) + "B",
                    .unit = "per_mille",
                    .way = better::higher,
                    .ours = guarded("millrace",
                                    [=] {
                                      auto const all = make_heap(ordinal);
                                      return useful(ordinal, from_heap{all.ref()}, bytes);
                                    }),
                    .peers = {}};
    out.run(made);
  }
}

}  // namespace millrace::bench::device
