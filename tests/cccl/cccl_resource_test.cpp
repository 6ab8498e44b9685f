// SPDX-License-Identifier: Apache-2.0
// Built against the CCCL that is installed and against a newer one, by the host's compiler and by
// nvcc. Needs no device.
#define LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE

#include <millrace/memory/cccl_resource.cuh>
#include <millrace/memory/counting_resource.hpp>

#include <cuda/memory_resource>

#if !defined(__CUDACC__)
#include <millrace/memory/heap.hpp>
#endif

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::cccl_resource;
using millrace::errc;
using millrace::error;
using millrace::result;

namespace cccl_test {

/// A resource whose calls are counted, in the order of a stream or not.
struct calls {
  int plain = 0;
  int ordered = 0;
  cudaStream_t stream = nullptr;
  std::size_t bytes = 0;
};
struct ordered_resource {
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;
  calls* seen;

  result<void*> try_allocate(std::size_t bytes, std::size_t alignment) const noexcept {
    ++seen->plain;
    seen->bytes = bytes;
    return memory::host_resource::try_allocate(bytes, alignment);
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment) const noexcept {
    --seen->plain;
    seen->bytes = bytes;
    memory::host_resource::deallocate(p, bytes, alignment);
  }
  result<void*> try_allocate(std::size_t bytes, std::size_t alignment,
                             cudaStream_t stream) const noexcept {
    ++seen->ordered;
    seen->stream = stream;
    seen->bytes = bytes;
    return memory::host_resource::try_allocate(bytes, alignment);
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment,
                  cudaStream_t stream) const noexcept {
    --seen->ordered;
    seen->stream = stream;
    seen->bytes = bytes;
    memory::host_resource::deallocate(p, bytes, alignment);
  }
  friend bool operator==(ordered_resource a, ordered_resource b) noexcept {
    return a.seen == b.seen;
  }
};

/// Fails with what it is told.
struct refusing_resource {
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = true;
  error why;

  result<void*> try_allocate(std::size_t, std::size_t) const noexcept {
    return cuda::std::unexpected<error>(why);
  }
  void deallocate(void*, std::size_t, std::size_t) const noexcept {}
  friend bool operator==(refusing_resource a, refusing_resource b) noexcept {
    return a.why == b.why;
  }
};

template <class R>
void allocates_under_both_names(cccl_resource<R> r) {
  void* const a = r.allocate(100, 64);
  void* const b = r.allocate_sync(100, 64);
  CHECK(reinterpret_cast<std::uintptr_t>(a) % 64 == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(b) % 64 == 0);
  std::memset(a, 1, 100);
  std::memset(b, 2, 100);
  r.deallocate_sync(a, 100, 64);
  r.deallocate(b, 100, 64);
  void* const none = r.allocate(0);
  CHECK(none != nullptr);
  r.deallocate(none, 0);
}

}  // namespace cccl_test

using namespace cccl_test;

static_assert(CCCL_VERSION >= LEAST_CCCL, "the build looks into another CCCL than it should");

// what is checked beside the class, spelt out: each name once, and that a lie would be seen
static_assert(memory::satisfies_cccl<memory::counting_resource<memory::host_resource>>);
static_assert(memory::satisfies_cccl<memory::counting_resource<memory::device_resource>>);
using on_host = cccl_resource<memory::host_resource>;
using on_device = cccl_resource<memory::device_resource>;
using on_both = cccl_resource<memory::managed_resource>;
static_assert(cuda::has_property<on_host, cuda::mr::host_accessible>);
static_assert(!cuda::has_property<on_host, cuda::mr::device_accessible>);
static_assert(!cuda::has_property<on_device, cuda::mr::host_accessible>);
#if CCCL_VERSION >= 3001000
static_assert(cuda::mr::synchronous_resource_with<on_host, cuda::mr::host_accessible>);
static_assert(cuda::mr::resource_with<on_device, cuda::mr::device_accessible>);
static_assert(
    cuda::mr::resource_with<on_both, cuda::mr::host_accessible, cuda::mr::device_accessible>);
static_assert(!cuda::mr::synchronous_resource<memory::host_resource>);
using host_ref = cuda::mr::synchronous_resource_ref<cuda::mr::host_accessible>;
#else
static_assert(cuda::mr::resource_with<on_host, cuda::mr::host_accessible>);
static_assert(cuda::mr::async_resource_with<on_device, cuda::mr::device_accessible>);
static_assert(
    cuda::mr::async_resource_with<on_both, cuda::mr::host_accessible, cuda::mr::device_accessible>);
static_assert(!cuda::mr::resource<memory::host_resource>);
using host_ref = cuda::mr::resource_ref<cuda::mr::host_accessible>;
#endif

TEST_CASE("cccl_resource: memory comes under the names of either version") {
  MESSAGE("CCCL ", CCCL_MAJOR_VERSION, ".", CCCL_MINOR_VERSION, ".", CCCL_PATCH_VERSION);
  allocates_under_both_names(on_host(memory::host_resource{}));
}

// Beside the type erasure of CCCL 3.2 and later, nvcc 13.0 takes the copies of a heap's shared_ptr
// for device code, and warns.
#if !defined(__CUDACC__)
static_assert(memory::satisfies_cccl<memory::heap<>>);

TEST_CASE("cccl_resource: a heap's memory comes under the names of either version") {
  auto heap = memory::heap<>::make({});
  REQUIRE(heap);
  allocates_under_both_names(cccl_resource<memory::heap<>>(*heap));
}
#endif

TEST_CASE("cccl_resource: CCCL's reference to any resource takes it") {
  on_host r(memory::host_resource{});
  host_ref ref(r);
#if CCCL_VERSION >= 3001000
  void* const p = ref.allocate_sync(1000, 256);
  std::memset(p, 3, 1000);
  ref.deallocate_sync(p, 1000, 256);
#else
  void* const p = ref.allocate(1000, 256);
  std::memset(p, 3, 1000);
  ref.deallocate(p, 1000, 256);
#endif
  on_host same(memory::host_resource{});
  CHECK(host_ref(same) == ref);
}

#if CCCL_VERSION >= 3002000
TEST_CASE("cccl_resource: CCCL's owner of any resource takes it, with its properties") {
  cuda::mr::any_synchronous_resource<cuda::mr::host_accessible> any(
      on_host(memory::host_resource{}));
  auto copy = any;
  void* const p = any.allocate_sync(64, 64);
  copy.deallocate_sync(p, 64, 64);
  CHECK(copy == any);
}
#endif

TEST_CASE("cccl_resource: a resource with stream order gets the stream, others a wait") {
  static_assert(memory::stream_ordered_resource<ordered_resource>);
  static_assert(!memory::stream_ordered_resource<memory::host_resource>);
  calls seen;
  cccl_resource<ordered_resource> r(ordered_resource{&seen});
  static_assert(noexcept(r.deallocate(cuda::stream_ref(cudaStreamLegacy), nullptr, 1, 1)));
  cuda::stream_ref const stream(cudaStreamPerThread);
  void* const a = r.allocate(stream, 10, 32);
  CHECK(seen.ordered == 1);
  CHECK(seen.stream == cudaStreamPerThread);
  void* const b = r.allocate_async(11, 32, stream);
  CHECK(seen.ordered == 2);
  CHECK(seen.bytes == 11);
  r.deallocate(stream, a, 10, 32);
  r.deallocate_async(b, 11, 32, stream);
  CHECK(seen.ordered == 0);
  CHECK(seen.plain == 0);
  r.deallocate_sync(r.allocate_sync(0), 0);
  CHECK(seen.plain == 0);
  CHECK(seen.bytes == 1);
}

TEST_CASE("cccl_resource: a stream that cannot be waited for keeps the memory from going back") {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0) { return; }  // the stream is fine
  memory::allocation_counts counts;
  using counting = memory::counting_resource<memory::host_resource>;
  cccl_resource<counting> r{counting(counts)};
  cuda::stream_ref const stream(cudaStreamPerThread);
  void* const p = r.allocate(stream, 100, 16);
  CHECK_THROWS_AS(r.deallocate(stream, p, 100, 16), cuda::cuda_error);
  CHECK_THROWS_AS(r.deallocate_async(p, 100, 16, stream), cuda::cuda_error);
  CHECK(counts.live_bytes == 100);
  r.deallocate_sync(p, 100, 16);
  CHECK(counts.live_bytes == 0);
}

TEST_CASE("cccl_resource: an error is the exception that CCCL's own resources throw") {
  auto const refusing = [](error why) {
    return cccl_resource<refusing_resource>(refusing_resource{why});
  };
  auto const native = static_cast<std::int32_t>(cudaErrorIllegalAddress);
  CHECK_THROWS_AS((void)refusing({errc::out_of_memory}).allocate(8), std::bad_alloc);
  CHECK_THROWS_AS((void)refusing({errc::bad_argument}).allocate_sync(8), std::invalid_argument);
  CHECK_THROWS_AS((void)refusing({errc::device_lost, core::origin::cuda, native}).allocate(8),
                  cuda::cuda_error);
  CHECK_THROWS_AS((void)refusing({errc::native_failure, core::origin::posix, 1}).allocate(8),
                  std::runtime_error);
  CHECK_THROWS_AS((void)on_host(memory::host_resource{}).allocate(8, 3), std::invalid_argument);
  CHECK_THROWS_AS((void)on_host(memory::host_resource{}).allocate(std::size_t{1} << 62),
                  std::bad_alloc);
}

TEST_CASE("cccl_resource: equal when what it stands for is") {
  CHECK(cccl_resource(memory::device_resource(0)) == cccl_resource(memory::device_resource(0)));
  CHECK(cccl_resource(memory::device_resource(0)) != cccl_resource(memory::device_resource(1)));
  CHECK(cccl_resource(memory::device_resource(3)).upstream().ordinal() == 3);
}
