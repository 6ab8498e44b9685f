// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/device_resource.cuh>
#include <millrace/memory/managed_resource.cuh>
#include <millrace/memory/numa_pinned_resource.cuh>
#include <millrace/memory/numa_resource.hpp>
#include <millrace/memory/pinned_resource.cuh>
#include <millrace/memory/resource.hpp>

#include <cuda/memory_resource>
#include <cuda/stream_ref>

#include <cuda_runtime_api.h>

#include <concepts>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

/// \file
/// millrace's resources for CCCL. The names of its concepts changed: what 3.0 calls `resource` and
/// `async_resource` is `synchronous_resource` and `resource` from 3.1 on. cccl_resource has the
/// members of both. In 3.0 concepts and properties exist only when
/// LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE is defined before any header of CCCL; without it
/// the class is the same, and its properties and the checks below are absent.
/// Needs the toolkit's headers, not nvcc.

namespace millrace::inline v0::memory {

/// A resource that also takes and gives in the order of a stream.
template <class R>
concept stream_ordered_resource = requires(R r, void* p, std::size_t n, cudaStream_t stream) {
  requires resource<R>;
  { r.try_allocate(n, n, stream) } noexcept -> std::same_as<result<void*>>;
  { r.deallocate(p, n, n, stream) } noexcept -> std::same_as<void>;
};
static_assert(stream_ordered_resource<device_resource>);

/// Any resource as CCCL's containers and algorithms want it, under the names of CCCL 3.0 and of 3.1
/// and later. Here an error becomes an exception. No bytes are a byte.
/// A resource without stream order allocates at once, and its memory goes back when the stream is
/// done: deallocate on a stream waits for that.
/// @thread as the resource's
template <resource R>
class cccl_resource {
 public:
  static constexpr std::size_t default_alignment = alignof(std::max_align_t);
#if CCCL_VERSION >= 3002000
  using default_queries = std::conditional_t<
      R::host_accessible && R::device_accessible,
      cuda::mr::properties_list<cuda::mr::host_accessible, cuda::mr::device_accessible>,
      std::conditional_t<R::host_accessible, cuda::mr::properties_list<cuda::mr::host_accessible>,
                         cuda::mr::properties_list<cuda::mr::device_accessible>>>;
#endif

  explicit cccl_resource(R upstream) noexcept : upstream_{std::move(upstream)} {}

  [[nodiscard]] R const& upstream() const noexcept { return upstream_; }

  /// @throws std::bad_alloc for errc::out_of_memory, std::invalid_argument for an alignment that
  /// the
  ///         resource does not give, cuda::cuda_error for what the runtime says, std::runtime_error
  ///         for what else may fail
  [[nodiscard]] void* allocate_sync(std::size_t bytes, std::size_t alignment = default_alignment) {
    return value_or_throw(upstream_.try_allocate(at_least_one(bytes), alignment));
  }
  void deallocate_sync(void* p, std::size_t bytes,
                       std::size_t alignment = default_alignment) noexcept {
    upstream_.deallocate(p, at_least_one(bytes), alignment);
  }

  /// In the order of the stream.
  /// @throws as allocate_sync
  [[nodiscard]] void* allocate(cuda::stream_ref stream, std::size_t bytes,
                               std::size_t alignment = default_alignment) {
    if constexpr (stream_ordered_resource<R>) {
      return value_or_throw(upstream_.try_allocate(at_least_one(bytes), alignment, stream.get()));
    } else {
      static_cast<void>(stream);
      return allocate_sync(bytes, alignment);
    }
  }
  /// @throws cuda::cuda_error where the stream must be waited for and cannot be: the memory is not
  ///         given back, since the stream may still use it
  void deallocate(cuda::stream_ref stream, void* p, std::size_t bytes,
                  std::size_t alignment = default_alignment) noexcept(stream_ordered_resource<R>) {
    if constexpr (stream_ordered_resource<R>) {
      upstream_.deallocate(p, at_least_one(bytes), alignment, stream.get());
    } else {
      auto const done = core::cuda_check(cudaStreamSynchronize(stream.get()));
      if (!done) { fail(done.error()); }
      deallocate_sync(p, bytes, alignment);
    }
  }

  // as CCCL 3.0 calls them
  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment = default_alignment) {
    return allocate_sync(bytes, alignment);
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    deallocate_sync(p, bytes, alignment);
  }
  [[nodiscard]] void* allocate_async(std::size_t bytes, std::size_t alignment,
                                     cuda::stream_ref stream) {
    return allocate(stream, bytes, alignment);
  }
  void deallocate_async(void* p, std::size_t bytes, std::size_t alignment,
                        cuda::stream_ref stream) noexcept(stream_ordered_resource<R>) {
    deallocate(stream, p, bytes, alignment);
  }

  [[nodiscard]] friend bool operator==(cccl_resource const& a, cccl_resource const& b) noexcept {
    return a.upstream_ == b.upstream_;
  }

 private:
  [[nodiscard]] static constexpr std::size_t at_least_one(std::size_t bytes) noexcept {
    return bytes == 0 ? 1 : bytes;
  }
  [[nodiscard]] static void* value_or_throw(result<void*> const& got) {
    if (!got) [[unlikely]] { fail(got.error()); }
    return *got;
  }
  [[noreturn]] static void fail(error e) {
    if (e.code == errc::out_of_memory) { throw std::bad_alloc(); }
    if (e.origin == core::origin::cuda) {
      throw cuda::cuda_error(static_cast<cudaError_t>(e.native), core::describe(e.code));
    }
    if (e.code == errc::bad_argument) { throw std::invalid_argument(core::describe(e)); }
    throw std::runtime_error(core::describe(e));
  }

  R upstream_;
};

#if CCCL_VERSION >= 3001000 || defined(LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE)

// apart from the class, which is then the same with and without the gate
template <class R>
  requires(R::host_accessible)
constexpr void get_property(cccl_resource<R> const&, cuda::mr::host_accessible) noexcept {}
template <class R>
  requires(R::device_accessible)
constexpr void get_property(cccl_resource<R> const&, cuda::mr::device_accessible) noexcept {}

/// Whether a resource is, through the adapter, all that this CCCL asks: both its concepts, and the
/// property of each side that may touch its bytes and of no other.
template <class R>
inline constexpr bool satisfies_cccl =
    cuda::has_property<cccl_resource<R>, cuda::mr::host_accessible> == R::host_accessible &&
    cuda::has_property<cccl_resource<R>, cuda::mr::device_accessible> == R::device_accessible &&
#if CCCL_VERSION >= 3001000
    cuda::mr::synchronous_resource<cccl_resource<R>> && cuda::mr::resource<cccl_resource<R>>;
#else
    cuda::mr::resource<cccl_resource<R>> && cuda::mr::async_resource<cccl_resource<R>>;
#endif

static_assert(satisfies_cccl<host_resource> && satisfies_cccl<numa_resource>);
static_assert(satisfies_cccl<device_resource> && satisfies_cccl<managed_resource>);
static_assert(satisfies_cccl<pinned_resource> && satisfies_cccl<numa_pinned_resource>);

#endif

}  // namespace millrace::inline v0::memory
