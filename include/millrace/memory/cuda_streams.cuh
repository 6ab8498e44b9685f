// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/beside_captures.cuh>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/graph_memory.hpp>
#include <millrace/memory/stream_policy.hpp>

#include <cuda_runtime_api.h>

#include <cstdint>

namespace millrace::inline v0::memory {

/// One device's streams, for a stream_pool. The default stream is this device's, whichever is the
/// calling thread's current one.
/// @thread any
class cuda_streams {
 public:
  using stream = cudaStream_t;
  using event = cudaEvent_t;

  explicit constexpr cuda_streams(int ordinal) noexcept : ordinal_{ordinal} {}

  /// @error errc::bad_argument for a stream of another device, and for one whose handle means
  ///        another stream in each thread (cudaStreamPerThread, and the default stream of programs
  ///        compiled with --default-stream per-thread): others could not wait for it
  [[nodiscard]] result<void> admit(stream s) const noexcept {
    int device = -1;
    if (auto const ok = core::cuda_check(cudaStreamGetDevice(s, &device)); !ok) { return ok; }
    auto const mine = id(s), of_thread = id(cudaStreamPerThread);
    if (!mine) { return cuda::std::unexpected<error>(mine.error()); }
    if (!of_thread) { return cuda::std::unexpected<error>(of_thread.error()); }
    if (device != ordinal_ || *mine == *of_thread) { return core::fail(errc::bad_argument); }
    return {};
  }
  [[nodiscard]] result<std::uint64_t> id(stream s) const noexcept {
    unsigned long long number = 0;
    if (auto const ok = core::cuda_check(cudaStreamGetId(s, &number)); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return static_cast<std::uint64_t>(number);
  }
  [[nodiscard]] bool runs(stream s) const noexcept {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    return state(s, status) == cudaSuccess && status == cudaStreamCaptureStatusNone;
  }
  [[nodiscard]] result<bool> capturing(stream s) const noexcept {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cudaError_t const asked = state(s, status);
    if (asked == cudaErrorStreamCaptureImplicit) {  // the default stream beside a capture: unusable
      static_cast<void>(core::cuda_check(asked));
      return true;
    }
    if (auto const ok = core::cuda_check(asked); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return status != cudaStreamCaptureStatusNone;
  }
  [[nodiscard]] result<std::uint64_t> capture_id(stream s) const noexcept {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    unsigned long long number = 0;
    if (auto const ok = core::cuda_check(cudaStreamGetCaptureInfo(s, &status, &number)); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    if (status != cudaStreamCaptureStatusActive) { return std::uint64_t{0}; }
    return static_cast<std::uint64_t>(number) + 1;  // CUDA says unique, and not that none is 0
  }

  [[nodiscard]] result<event> make_event() const noexcept {
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    event e = nullptr;
    auto const made = core::cuda_check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    return e;
  }
  void drop_event(event e) const noexcept {
    core::beside_captures const any_mode;
    static_cast<void>(core::cuda_check(cudaEventDestroy(e)));
  }
  [[nodiscard]] result<void> record(event e, stream s) const noexcept {
    core::device_guard const on(ordinal_);
    return on.status() ? core::cuda_check(cudaEventRecord(e, s)) : on.status();
  }
  [[nodiscard]] result<bool> done(event e) const noexcept {
    core::beside_captures const any_mode;
    cudaError_t const seen = cudaEventQuery(e);
    auto const ok = core::cuda_check(seen);
    if (seen == cudaErrorNotReady) { return false; }
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    return true;
  }
  [[nodiscard]] result<void> order(stream s, event e) const noexcept {
    core::device_guard const on(ordinal_);
    return on.status() ? core::cuda_check(cudaStreamWaitEvent(s, e, 0)) : on.status();
  }

  [[nodiscard]] std::uint64_t now_ns() const noexcept { return core::now_ns(); }
  void pause() const noexcept { core::relax_for(1000); }

 private:
  /// Other handles say whose they are; to find the default stream takes a moment more.
  [[nodiscard]] cudaError_t state(stream s, cudaStreamCaptureStatus& to) const noexcept {
    if (s != nullptr && s != cudaStreamLegacy) [[likely]] { return cudaStreamIsCapturing(s, &to); }
    core::device_guard const on(ordinal_);
    return on.status() ? cudaStreamIsCapturing(s, &to)
                       : static_cast<cudaError_t>(on.status().error().native);
  }

  int ordinal_;
};
static_assert(capture_model<cuda_streams>);

}  // namespace millrace::inline v0::memory
