// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/driver.hpp>
#include <millrace/queue/keeper.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::queue {

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
