// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/queue/device/support.cuh"

#include <cuda/atomic>

#include <cstdint>

namespace millrace::bench::device {

/// The words between the host and hand-written kernels: in pinned memory, one writer each.
struct raw_words {
  struct alignas(128) {
    std::uint64_t published = 0;  ///< batches, or `stop`
  } host;
  struct alignas(128) {
    std::uint64_t sum = 0;   ///< of every byte of the batches done
    std::uint64_t done = 0;  ///< batches
  } device;
  static constexpr std::uint64_t stop = ~std::uint64_t{0};
};

/// What launched kernels remember from one launch to the next.
struct raw_memory {
  unsigned long long sum = 0;
  unsigned long long done = 0;
  unsigned arrived = 0;
};

/// Messages in batches, one behind the other: batch b lies at b % depth.
template <std::size_t Bytes>
struct raw_job {
  message<Bytes> const* ring = nullptr;
  std::uint32_t batch = 1;
  std::uint32_t depth = 1;
  raw_words* words = nullptr;
  raw_memory* memory = nullptr;  ///< of launched kernels, in device memory

  [[nodiscard]] MILLRACE_HD std::uint32_t pieces() const noexcept {
    return batch * static_cast<std::uint32_t>(Bytes / 16);
  }
  [[nodiscard]] MILLRACE_HD message<Bytes> const* at(std::uint64_t index) const noexcept {
    return ring + index % depth * batch;
  }
};

using host_word = cuda::atomic_ref<std::uint64_t, cuda::thread_scope_system>;

/// The sum over the threads of a block, in thread 0.
template <int Threads>
__device__ std::uint64_t block_sum(std::uint64_t mine) {
  mine = warp_sum(mine);
  if constexpr (Threads > 32) {
    __shared__ std::uint64_t warps[Threads / 32];
    if (threadIdx.x % 32 == 0) { warps[threadIdx.x / 32] = mine; }
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 1; w < Threads / 32; ++w) { mine += warps[w]; }
    }
    __syncthreads();
  }
  return mine;
}

/// One block that never ends by itself: polls pinned memory, sums each batch in place, and answers
/// into pinned memory. The release makes the sum visible before the count that announces it.
template <std::size_t Bytes, int Threads>
__global__ void __launch_bounds__(Threads) raw_persistent(raw_job<Bytes> job) {
  __shared__ std::uint64_t seen;
  std::uint64_t done = 0;
  std::uint64_t sum = 0;
  for (;;) {
    if (threadIdx.x == 0) {
      host_word const published(job.words->host.published);
      std::uint64_t now = done;
      while (now == done) { now = published.load(cuda::memory_order_acquire); }
      seen = now;
    }
    __syncthreads();
    std::uint64_t const until = seen;
    __syncthreads();
    if (until == raw_words::stop) { return; }
    for (; done != until; ++done) {
      sum += block_sum<Threads>(sum_pieces(job.at(done), job.pieces(), threadIdx.x, Threads));
      if (threadIdx.x == 0) {
        job.words->device.sum = sum;
        host_word(job.words->device.done).store(done + 1, cuda::memory_order_release);
      }
    }
  }
}

/// A kernel for one batch, launched anew for the next: the last of its blocks answers.
template <std::size_t Bytes, int Threads>
__global__ void __launch_bounds__(Threads) raw_launched(raw_job<Bytes> job) {
  unsigned long long const done = job.memory->done;
  std::uint64_t const sum = block_sum<Threads>(sum_pieces(
      job.at(done), job.pieces(), blockIdx.x * Threads + threadIdx.x, gridDim.x * Threads));
  if (threadIdx.x != 0) { return; }
  atomicAdd(&job.memory->sum, static_cast<unsigned long long>(sum));
  __threadfence();
  if (atomicAdd(&job.memory->arrived, 1u) + 1 != gridDim.x) { return; }
  __threadfence();
  job.memory->arrived = 0;
  job.memory->done = done + 1;
  job.words->device.sum = *static_cast<unsigned long long volatile*>(&job.memory->sum);
  host_word(job.words->device.done).store(done + 1, cuda::memory_order_release);
}

/// How a hand-written contender brings a batch to the device.
enum class way { persistent, graph, launch, copy };

/// The host's side of the hand-written contenders: batches are filled in place, sent, and done in
/// order.
template <std::size_t Bytes, int Threads>
class raw_device {
 public:
  raw_device(int ordinal, way how, std::uint32_t batch, std::uint32_t depth)
      : space_(ordinal), how_(how) {
    ring_ = space_.template pinned<message<Bytes>>(std::size_t{batch} * depth);
    job_ = {ring_, batch, depth, space_.template pinned<raw_words>(1),
            space_.template on_device<raw_memory>(1)};
    blocks_ = (job_.pieces() + 4 * Threads - 1) / (4 * Threads);
    if (how == way::copy) {
      staged_ = space_.template on_device<message<Bytes>>(std::size_t{batch} * depth);
    }
    // loads every kernel before one of them runs for ever
    cudaFuncAttributes loaded{};
    check(cudaFuncGetAttributes(&loaded, raw_persistent<Bytes, Threads>), "cudaFuncGetAttributes");
    check(cudaFuncGetAttributes(&loaded, raw_launched<Bytes, Threads>), "cudaFuncGetAttributes");
    if (how == way::graph) { capture(); }
    if (how == way::persistent) {
      raw_persistent<Bytes, Threads><<<1, Threads, 0, space_.stream()>>>(job_);
      check(cudaGetLastError(), "raw_persistent");
      (void)cudaStreamQuery(space_.stream());  // starts it
    }
  }
  raw_device(raw_device const&) = delete;
  raw_device& operator=(raw_device const&) = delete;
  ~raw_device() {
    try {
      finish();
    } catch (std::exception const&) { return; }  // the workspace keeps what the kernel may touch
    if (graph_ != nullptr) { (void)cudaGraphExecDestroy(graph_); }
  }

  /// Where the messages of the next batch are written, once there is room.
  [[nodiscard]] message<Bytes>* next() {
    if (sent_ >= job_.depth) { await_done(sent_ - job_.depth + 1); }
    return ring_ + sent_ % job_.depth * job_.batch;
  }
  /// Brings the batch that `next` gave to the device.
  void send() {
    cudaStream_t const stream = space_.stream();
    std::uint64_t const index = sent_++;
    switch (how_) {
      case way::persistent:
        host_word(job_.words->host.published).store(sent_, cuda::memory_order_release);
        return;
      case way::graph: check(cudaGraphLaunch(graph_, stream), "cudaGraphLaunch"); return;
      case way::launch: launch(job_); return;
      case way::copy: {
        std::size_t const at = index % job_.depth * job_.batch;
        check(cudaMemcpyAsync(staged_ + at, ring_ + at, job_.batch * sizeof(message<Bytes>),
                              cudaMemcpyHostToDevice, stream),
              "cudaMemcpyAsync");
        raw_job<Bytes> there = job_;
        there.ring = staged_;
        launch(there);
        space_.wait("a copied batch");
        return;
      }
    }
  }
  /// Waits until `batches` are done; returns the sum of the bytes of all that are.
  std::uint64_t await_done(std::uint64_t batches) {
    host_word const done(job_.words->device.done);
    await("a batch", [&] { return done.load(cuda::memory_order_acquire) >= batches; });
    return job_.words->device.sum;
  }
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }

  /// Ends the kernel.
  void finish() {
    if (how_ == way::persistent) {
      host_word(job_.words->host.published).store(raw_words::stop, cuda::memory_order_release);
    }
    space_.wait("the kernel");
  }

 private:
  void launch(raw_job<Bytes> const& job) {
    raw_launched<Bytes, Threads><<<blocks_, Threads, 0, space_.stream()>>>(job);
    check(cudaGetLastError(), "raw_launched");
  }
  void capture() {
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(space_.stream(), cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture");
    launch(job_);
    check(cudaStreamEndCapture(space_.stream(), &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&graph_, graph, 0), "cudaGraphInstantiate");
    check(cudaGraphDestroy(graph), "cudaGraphDestroy");
    check(cudaGraphUpload(graph_, space_.stream()), "cudaGraphUpload");
    space_.wait("the graph's upload");
  }

  workspace space_;
  way how_;
  message<Bytes>* ring_ = nullptr;
  message<Bytes>* staged_ = nullptr;
  raw_job<Bytes> job_;
  unsigned blocks_ = 1;
  cudaGraphExec_t graph_ = nullptr;
  std::uint64_t sent_ = 0;
};

/// The name of a hand-written contender.
[[nodiscard]] constexpr char const* name_of(way how) noexcept {
  switch (how) {
    case way::persistent: return "raw.persistent_kernel";
    case way::graph: return "raw.graph_launch";
    case way::launch: return "raw.kernel_launch";
    case way::copy: return "raw.copy_sync";
  }
  return "";
}

inline constexpr way every_way[] = {way::persistent, way::graph, way::launch, way::copy};

}  // namespace millrace::bench::device
