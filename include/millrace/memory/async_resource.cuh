// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/beside_captures.cuh>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

/// What a CUDA memory pool says of itself.
struct async_counts {
  std::uint64_t reserved_bytes = 0;
  std::uint64_t peak_reserved_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t peak_used_bytes = 0;
};

class async_resource;

/// A cudaMemPool_t of its own on one device, and a stream of its own, in whose order it allocates
/// and frees: neither waits for other work. Memory that comes back stays reserved up to the release
/// threshold, until `trim`.
/// @thread any
class async_pool {
 public:
  /// @param release_threshold_bytes  what the pool keeps when CUDA gives memory back, at each
  ///        synchronisation; as CUDA's own default, 0, would give back everything there
  /// @error errc::no_device when there is no such device, errc::not_compiled when it or its driver
  ///        has no pools, else what the runtime says
  [[nodiscard]] static result<async_pool> make(
      int ordinal, std::uint64_t release_threshold_bytes = ~std::uint64_t{0}) noexcept {
    core::device_guard const on(ordinal);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    if (!core::has_attribute(cudaDevAttrMemoryPoolsSupported, ordinal)) {
      return core::fail(errc::not_compiled);
    }
    auto* const made = new (std::nothrow) state;
    if (made == nullptr) { return core::fail(errc::out_of_memory); }
    async_pool owner(made);
    made->ordinal = ordinal;
    cudaMemPoolProps what{};
    what.allocType = cudaMemAllocationTypePinned;
    what.location.type = cudaMemLocationTypeDevice;
    what.location.id = ordinal;
    auto ok = core::cuda_check(cudaMemPoolCreate(&made->pool, &what));
    if (ok) {
      ok = core::cuda_check(cudaStreamCreateWithFlags(&made->stream, cudaStreamNonBlocking));
    }
    if (ok) { ok = owner.set_release_threshold(release_threshold_bytes); }
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    return owner;
  }

  async_pool(async_pool&& other) noexcept : state_{std::exchange(other.state_, nullptr)} {}
  async_pool& operator=(async_pool&& other) noexcept {
    async_pool moved(std::move(other));
    std::swap(state_, moved.state_);
    return *this;
  }
  ~async_pool() { delete state_; }

  /// What allocates from it, as long as it is there.
  [[nodiscard]] inline async_resource resource() const noexcept;
  [[nodiscard]] int ordinal() const noexcept { return state_->ordinal; }

  [[nodiscard]] result<void> set_release_threshold(std::uint64_t bytes) const noexcept {
    std::uint64_t value = bytes;
    return core::cuda_check(
        cudaMemPoolSetAttribute(state_->pool, cudaMemPoolAttrReleaseThreshold, &value));
  }
  /// Gives reserved memory that nobody has back to the device, until no more than `keep_bytes` are
  /// reserved.
  [[nodiscard]] result<void> trim(std::size_t keep_bytes) const noexcept {
    core::beside_captures const any_mode;
    // what was freed counts as used until the host has seen the end of it
    auto const seen = core::cuda_check(cudaStreamSynchronize(state_->stream));
    if (!seen) { return seen; }
    return core::cuda_check(cudaMemPoolTrimTo(state_->pool, keep_bytes));
  }
  [[nodiscard]] result<async_counts> counts() const noexcept {
    async_counts c;
    std::pair<cudaMemPoolAttr, std::uint64_t*> const all[] = {
        {cudaMemPoolAttrReservedMemCurrent, &c.reserved_bytes},
        {cudaMemPoolAttrReservedMemHigh, &c.peak_reserved_bytes},
        {cudaMemPoolAttrUsedMemCurrent, &c.used_bytes},
        {cudaMemPoolAttrUsedMemHigh, &c.peak_used_bytes}};
    for (auto const& [what, to] : all) {
      std::uint64_t value = 0;
      auto const ok = core::cuda_check(cudaMemPoolGetAttribute(state_->pool, what, &value));
      if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
      *to = value;
    }
    return c;
  }

 private:
  friend class async_resource;
  struct state {
    int ordinal = 0;
    cudaMemPool_t pool = nullptr;
    cudaStream_t stream = nullptr;

    state() noexcept = default;
    state(state const&) = delete;
    state& operator=(state const&) = delete;
    ~state() {
      core::device_guard const on(ordinal);
      // the pool ends when the last of its memory is free, the stream when its work is done
      if (pool != nullptr) { static_cast<void>(core::cuda_check(cudaMemPoolDestroy(pool))); }
      if (stream != nullptr) { static_cast<void>(core::cuda_check(cudaStreamDestroy(stream))); }
    }
  };
  explicit async_pool(state* made) noexcept : state_{made} {}

  state* state_;
};

/// Memory of an async_pool, usable on every stream at once. Memory that is given back must not be
/// in use.
/// @thread any   @cost an allocation in the pool's stream and a wait for it alone
class async_resource {
 public:
  static constexpr bool host_accessible = false;
  static constexpr bool device_accessible = true;
  static constexpr std::size_t max_alignment = 256;

  /// @error as check_request; errc::out_of_memory or what the runtime says
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes,
                                           std::size_t alignment) const noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    core::beside_captures const any_mode;
    void* p = nullptr;
    cudaError_t got = cudaMallocFromPoolAsync(&p, bytes, from_->pool, from_->stream);
    if (got == cudaSuccess) { got = cudaStreamSynchronize(from_->stream); }
    if (auto const ok = core::cuda_check(got); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return p;
  }
  void deallocate(void* p, std::size_t, std::size_t) const noexcept {
    core::beside_captures const any_mode;
    static_cast<void>(core::cuda_check(cudaFreeAsync(p, from_->stream)));
  }

  [[nodiscard]] friend bool operator==(async_resource a, async_resource b) noexcept {
    return a.from_ == b.from_;
  }

 private:
  friend class async_pool;
  explicit async_resource(async_pool::state const* from) noexcept : from_{from} {}

  async_pool::state const* from_;
};
static_assert(resource<async_resource>);

inline async_resource async_pool::resource() const noexcept { return async_resource(state_); }

}  // namespace millrace::inline v0::memory
