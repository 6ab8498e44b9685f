// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/managed_hints.hpp>

#include <cuda/std/span>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

/// \file
/// Hints on managed memory: prefetch, advise, discard. What each does and refuses is said at
/// managed_hints. No hint waits for the device.

namespace millrace::inline v0::memory {

/// The CUDA runtime, as managed_hints asks it.
struct cuda_managed_runtime {
  using stream = cudaStream_t;

  [[nodiscard]] static std::int32_t device_count(int& count) noexcept {
    return number(cudaGetDeviceCount(&count));
  }
  [[nodiscard]] static std::int32_t concurrent(int ordinal, bool& able) noexcept {
    int value = 0;
    cudaError_t const status =
        cudaDeviceGetAttribute(&value, cudaDevAttrConcurrentManagedAccess, ordinal);
    able = value != 0;
    return number(status);
  }
  [[nodiscard]] static std::int32_t stream_device(stream in, int& ordinal) noexcept {
    return number(cudaStreamGetDevice(in, &ordinal));
  }
  [[nodiscard]] static bool is_legacy(stream in) noexcept {
#if defined(CUDA_API_PER_THREAD_DEFAULT_STREAM)
    return in == cudaStreamLegacy;
#else
    return in == cudaStreamLegacy || in == nullptr;
#endif
  }
  [[nodiscard]] static bool is_managed(void const* p) noexcept {
    cudaPointerAttributes seen{};
    return number(cudaPointerGetAttributes(&seen, p)) == 0 && seen.type == cudaMemoryTypeManaged;
  }
  [[nodiscard]] static std::int32_t prefetch(void const* p, std::size_t bytes, location to,
                                             stream in) noexcept {
    return number(cudaMemPrefetchAsync(p, bytes, native(to), 0, in));
  }
  [[nodiscard]] static std::int32_t advise(void const* p, std::size_t bytes, advice how,
                                           location where) noexcept {
    return number(cudaMemAdvise(p, bytes, native(how), native(where)));
  }
  [[nodiscard]] static std::int32_t discard(void** pointers, std::size_t* sizes, std::size_t count,
                                            stream in) noexcept {
    return number(cudaMemDiscardBatchAsync(pointers, sizes, count, 0, in));
  }
  [[nodiscard]] static std::int32_t discard_and_prefetch(void** pointers, std::size_t* sizes,
                                                         std::size_t count, location to,
                                                         stream in) noexcept {
    cudaMemLocation where = native(to);
    std::size_t first = 0;
    return number(
        cudaMemDiscardAndPrefetchBatchAsync(pointers, sizes, count, &where, &first, 1, 0, in));
  }

  [[nodiscard]] static constexpr cudaMemLocation native(location l) noexcept {
    cudaMemLocation out{};
    switch (l.what) {
      case location::kind::device: out.type = cudaMemLocationTypeDevice; break;
      case location::kind::host: out.type = cudaMemLocationTypeHost; break;
      case location::kind::node: out.type = cudaMemLocationTypeHostNuma; break;
    }
    out.id = l.id;
    return out;
  }
  [[nodiscard]] static constexpr cudaMemoryAdvise native(advice a) noexcept {
    switch (a) {
      case advice::read_mostly: return cudaMemAdviseSetReadMostly;
      case advice::not_read_mostly: return cudaMemAdviseUnsetReadMostly;
      case advice::prefer: return cudaMemAdviseSetPreferredLocation;
      case advice::no_preference: return cudaMemAdviseUnsetPreferredLocation;
      case advice::accessed_by: return cudaMemAdviseSetAccessedBy;
      case advice::not_accessed_by: return cudaMemAdviseUnsetAccessedBy;
    }
    return cudaMemoryAdvise{};
  }

 private:
  /// The status's number; a recoverable one does not stay behind for cudaGetLastError.
  [[nodiscard]] static std::int32_t number(cudaError_t status) noexcept {
    auto const ok = core::cuda_check(status);
    return ok ? 0 : static_cast<std::int32_t>(status);
  }
};
static_assert(managed_runtime<cuda_managed_runtime>);

/// The hints of the CUDA runtime.
inline constexpr managed_hints<cuda_managed_runtime> cuda_hints{cuda_managed_runtime{}};

/// As managed_hints::prefetch.
[[nodiscard]] inline result<hint> prefetch(void const* p, std::size_t bytes, location to,
                                           cudaStream_t stream) noexcept {
  return cuda_hints.prefetch(p, bytes, to, stream);
}
template <class T>
[[nodiscard]] result<hint> prefetch(buffer_ref<T> what, location to, cudaStream_t stream) noexcept {
  return cuda_hints.prefetch(what.data(), what.size_bytes(), to, stream);
}

/// As managed_hints::advise.
[[nodiscard]] inline result<hint> advise(void const* p, std::size_t bytes, advice how,
                                         location where) noexcept {
  return cuda_hints.advise(p, bytes, how, where);
}
template <class T>
[[nodiscard]] result<hint> advise(buffer_ref<T> what, advice how, location where) noexcept {
  return cuda_hints.advise(what.data(), what.size_bytes(), how, where);
}

/// As managed_hints::discard.
[[nodiscard]] inline result<hint> discard(void* p, std::size_t bytes,
                                          cudaStream_t stream) noexcept {
  return cuda_hints.discard(p, bytes, stream);
}
template <class T>
[[nodiscard]] result<hint> discard(buffer_ref<T> what, cudaStream_t stream) noexcept {
  return cuda_hints.discard(what.data(), what.size_bytes(), stream);
}
[[nodiscard]] inline result<hint> discard(cuda::std::span<void*> pointers,
                                          cuda::std::span<std::size_t> sizes,
                                          cudaStream_t stream) noexcept {
  return cuda_hints.discard(pointers, sizes, stream);
}

/// As managed_hints::discard_and_prefetch.
[[nodiscard]] inline result<hint> discard_and_prefetch(void* p, std::size_t bytes, location to,
                                                       cudaStream_t stream) noexcept {
  return cuda_hints.discard_and_prefetch(p, bytes, to, stream);
}
template <class T>
[[nodiscard]] result<hint> discard_and_prefetch(buffer_ref<T> what, location to,
                                                cudaStream_t stream) noexcept {
  return cuda_hints.discard_and_prefetch(what.data(), what.size_bytes(), to, stream);
}
[[nodiscard]] inline result<hint> discard_and_prefetch(cuda::std::span<void*> pointers,
                                                       cuda::std::span<std::size_t> sizes,
                                                       location to, cudaStream_t stream) noexcept {
  return cuda_hints.discard_and_prefetch(pointers, sizes, to, stream);
}

}  // namespace millrace::inline v0::memory
