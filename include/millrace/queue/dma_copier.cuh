// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/driver.hpp>
#include <millrace/queue/keeper.hpp>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

namespace millrace::inline v0::queue {

/// Control blocks in device memory that a stream may write words of: what pools give is refused. It
/// comes from cudaMalloc and never goes back, since cudaFree waits for kernels that do not end; the
/// next ones of the process use it again.
/// @thread several objects at once
class stream_written {
 public:
  stream_written() noexcept = default;
  stream_written(stream_written const&) = delete;
  stream_written& operator=(stream_written const&) = delete;
  ~stream_written() {
    if (mine_.at == nullptr) { return; }
    shelf& all = shared();
    std::scoped_lock const lock(all.guard);
    all.idle.push_back(mine_);  // there is room: each had its place there before
  }

  /// @error errc::out_of_memory; what the runtime says
  [[nodiscard]] result<void> reserve(int ordinal, std::size_t count) noexcept {
    shelf& all = shared();
    std::scoped_lock const lock(all.guard);
    auto const fits = [&](piece const& one) noexcept {
      return one.ordinal == ordinal && one.count >= count;
    };
    if (auto const found = std::find_if(all.idle.begin(), all.idle.end(), fits);
        found != all.idle.end()) {
      mine_ = *found;
      all.idle.erase(found);
      return {};
    }
    try {
      all.idle.reserve(++all.made);
    } catch (std::exception const&) { return core::fail(errc::out_of_memory); }
    void* at = nullptr;
    auto const got = core::cuda_check(cudaMalloc(&at, count * sizeof(lane_control)));
    if (got) { mine_ = {static_cast<lane_control*>(at), count, ordinal}; }
    return got;
  }
  [[nodiscard]] lane_control* at(std::size_t i) const noexcept { return mine_.at + i; }

 private:
  struct piece {
    lane_control* at = nullptr;
    std::size_t count = 0;
    int ordinal = 0;
  };
  struct shelf {
    std::mutex guard;
    std::vector<piece> idle;
    std::size_t made = 0;
  };
  [[nodiscard]] static shelf& shared() noexcept {
    static shelf all;
    return all;
  }

  piece mine_;
};

/// Copies by the device's copy engine, on a stream of its own. A word is published by a write in
/// the order of the stream, which the driver puts behind a fence of system scope: a kernel that has
/// acquired the word at that scope has the copies before it. The order of a stream alone promises
/// that to later work of streams, not to a kernel that runs.
/// @thread one at a time, with the device current
class dma_copier {
 public:
  dma_copier() noexcept = default;
  dma_copier(dma_copier const&) = delete;
  dma_copier& operator=(dma_copier const&) = delete;
  ~dma_copier() {
    for (cudaEvent_t const end : ends_) {
      if (end != nullptr) { static_cast<void>(cudaEventDestroy(end)); }
    }
    if (stream_ != nullptr) { static_cast<void>(cudaStreamDestroy(stream_)); }
  }

  /// @error errc::native_failure with the driver's number 801, "not supported", for a driver
  /// without
  ///        such writes; what the runtime says
  [[nodiscard]] result<void> open() noexcept {
    core::system_driver_source source;
    void* const driver = source.open(core::cuda_driver::library);
    void* const found = driver == nullptr ? nullptr : source.symbol(driver, write_name);
    if (found == nullptr) {
      return core::fail(errc::native_failure, core::origin::cuda_driver, not_supported);
    }
    write_ = reinterpret_cast<write_value>(found);
    auto const made = core::cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    if (!made) { return made; }
    for (cudaEvent_t& end : ends_) {
      auto const ok = core::cuda_check(cudaEventCreateWithFlags(&end, cudaEventDisableTiming));
      if (!ok) { return ok; }
    }
    return {};
  }

  /// Waits until all is done: before a persistent kernel runs.
  [[nodiscard]] result<void> settle() noexcept {
    return core::cuda_check(cudaStreamSynchronize(stream_));
  }

  /// Two batches may be under way: one is carried while the next one gathers behind it.
  [[nodiscard]] result<bool> ready() noexcept {
    while (finished_ != begun_) {
      cudaError_t const now = cudaEventQuery(ends_[finished_ % most]);
      auto const done = core::cuda_check(now);
      if (now == cudaErrorNotReady) { break; }
      if (!done) { return cuda::std::unexpected(done.error()); }
      ++finished_;
    }
    return begun_ - finished_ < most;
  }
  [[nodiscard]] result<void> copy(std::byte* to, std::byte const* from,
                                  std::size_t bytes) noexcept {
    return core::cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
  }
  [[nodiscard]] result<void> publish(message_id& word, message_id value) noexcept {
    constexpr unsigned behind_a_fence = 0;  // CU_STREAM_WRITE_VALUE_DEFAULT
    int const status =
        write_(stream_, reinterpret_cast<std::uintptr_t>(&word), value, behind_a_fence);
    if (status == core::cuda_driver::success) { return {}; }
    return core::fail(errc::native_failure, core::origin::cuda_driver, status);
  }
  [[nodiscard]] result<void> finish() noexcept {
    auto const ok = core::cuda_check(cudaEventRecord(ends_[begun_ % most], stream_));
    if (ok) { ++begun_; }
    return ok;
  }

 private:
  /// cuStreamWriteValue64 as cuda.h 13.0 has it.
  using write_value = int (*)(cudaStream_t, unsigned long long at, std::uint64_t value,
                              unsigned flags);
  static constexpr char const* write_name = "cuStreamWriteValue64_v2";
  static constexpr int not_supported = 801;
  static constexpr unsigned most = 2;

  write_value write_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t ends_[most] = {};
  unsigned begun_ = 0;     ///< batches
  unsigned finished_ = 0;  ///< of those
};
static_assert(run_copier<dma_copier>);

}  // namespace millrace::inline v0::queue
