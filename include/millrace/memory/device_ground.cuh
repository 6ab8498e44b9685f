// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/beside_captures.cuh>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/error.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/kernel_heap.hpp>
#include <millrace/memory/pinned_resource.cuh>
#include <millrace/memory/resource.hpp>

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace::inline v0::memory {

namespace detail {

/// The driver's calls for addresses apart from memory, looked up at run time so that no program has
/// to link the driver.
struct mapping_driver {
  decltype(&cuMemAddressReserve) reserve = nullptr;
  decltype(&cuMemAddressFree) release = nullptr;
  decltype(&cuMemCreate) create = nullptr;
  decltype(&cuMemRelease) destroy = nullptr;
  decltype(&cuMemMap) map = nullptr;
  decltype(&cuMemUnmap) unmap = nullptr;
  decltype(&cuMemSetAccess) set_access = nullptr;
  decltype(&cuMemGetAllocationGranularity) granularity = nullptr;

  /// @error errc::native_failure (cudaErrorNotSupported) where the driver lacks one
  [[nodiscard]] static result<mapping_driver> find() noexcept {
    mapping_driver d;
    bool all = true;
    auto const take = [&all](auto& function, char const* name) noexcept {
      void* p = nullptr;
      auto found = cudaDriverEntryPointSymbolNotFound;
      auto const status =
          cudaGetDriverEntryPointByVersion(name, &p, 12000, cudaEnableDefault, &found);
      all = all && core::cuda_check(status) && found == cudaDriverEntryPointSuccess;
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(p);
    };
    take(d.reserve, "cuMemAddressReserve");
    take(d.release, "cuMemAddressFree");
    take(d.create, "cuMemCreate");
    take(d.destroy, "cuMemRelease");
    take(d.map, "cuMemMap");
    take(d.unmap, "cuMemUnmap");
    take(d.set_access, "cuMemSetAccess");
    take(d.granularity, "cuMemGetAllocationGranularity");
    if (!all) { return cuda::std::unexpected<error>(not_supported()); }
    return d;
  }
  [[nodiscard]] static error not_supported() noexcept {
    return core::cuda_check(cudaErrorNotSupported).error();
  }
  /// The driver's numbers are the runtime's.
  [[nodiscard]] static result<void> check(CUresult status) noexcept {
    return core::cuda_check(static_cast<cudaError_t>(status));
  }
};

template <class F>
MILLRACE_KERNEL void __launch_bounds__(1) perform_once(F what) {
  what();
}

}  // namespace detail

/// Memory of one device under addresses of its own, backed in pieces of some megabytes: so a heap
/// grows where it lies, and what kernels have stays valid. Mapping and unmapping may wait for every
/// kernel that runs: `back`, `unback` and its end are for times without a persistent one.
/// @thread one at a time
class device_ground {
 public:
  /// @param alignment  of its begin, a power of two
  /// @error as check_request; errc::no_device; errc::native_failure (cudaErrorNotSupported) where
  ///        the driver lacks a call; else what the driver says
  [[nodiscard]] static result<device_ground> make(int ordinal, std::size_t bytes,
                                                  std::size_t alignment) noexcept {
    if (auto const ok = check_request(bytes, alignment, std::size_t{1} << 40); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    core::device_guard const on(ordinal);
    if (!on.status()) { return cuda::std::unexpected<error>(on.status().error()); }
    auto const driver = detail::mapping_driver::find();
    if (!driver) { return cuda::std::unexpected<error>(driver.error()); }
    auto words = buffer<std::uint32_t, pinned_resource>::make_zeroed(2, pinned_resource(ordinal));
    if (!words) { return cuda::std::unexpected<error>(words.error()); }
    device_ground made(std::move(*words), *driver, ordinal);
    if (auto const ok = made.reserve(bytes, alignment); !ok) {
      return cuda::std::unexpected<error>(ok.error());
    }
    return made;
  }

  device_ground(device_ground&& other) noexcept
      : words_{std::move(other.words_)},
        driver_{other.driver_},
        ordinal_{other.ordinal_},
        piece_{other.piece_},
        data_{std::exchange(other.data_, nullptr)},
        size_{std::exchange(other.size_, 0)},
        pieces_{std::move(other.pieces_)} {}
  device_ground& operator=(device_ground&& other) noexcept {
    device_ground moved(std::move(other));
    std::swap(words_, moved.words_);
    std::swap(driver_, moved.driver_);
    std::swap(ordinal_, moved.ordinal_);
    std::swap(piece_, moved.piece_);
    std::swap(data_, moved.data_);
    std::swap(size_, moved.size_);
    std::swap(pieces_, moved.pieces_);
    return *this;
  }
  ~device_ground() {
    if (data_ == nullptr) { return; }
    unback(0, size_);
    static_cast<void>(driver_.release(address(0), size_));
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint32_t* shared() const noexcept { return words_.data(); }
  /// Bytes that get memory together.
  [[nodiscard]] std::size_t piece_bytes() const noexcept { return piece_; }

  /// @error errc::out_of_memory or what the driver says; pieces that got memory before keep it
  [[nodiscard]] result<void> back(std::size_t at, std::size_t bytes) noexcept {
    core::device_guard const on(ordinal_);
    if (!on.status()) { return on.status(); }
    for (std::size_t i = at / piece_; i * piece_ < at + bytes; ++i) {
      if (pieces_[i] != 0) { continue; }
      if (auto const ok = map(i); !ok) { return ok; }
    }
    return {};
  }
  /// Takes memory from the pieces that lie within.
  void unback(std::size_t at, std::size_t bytes) noexcept {
    core::device_guard const on(ordinal_);
    for (std::size_t i = (at + piece_ - 1) / piece_; (i + 1) * piece_ <= at + bytes; ++i) {
      if (pieces_[i] == 0) { continue; }
      static_cast<void>(driver_.unmap(address(i * piece_), piece_));
      static_cast<void>(driver_.destroy(std::exchange(pieces_[i], 0)));
    }
  }
  [[nodiscard]] result<void> clear(std::size_t at, std::size_t bytes) noexcept {
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    if (!on.status()) { return on.status(); }
    auto const ok = core::cuda_check(cudaMemsetAsync(data_ + at, 0, bytes, cudaStreamPerThread));
    return ok ? core::cuda_check(cudaStreamSynchronize(cudaStreamPerThread)) : ok;
  }
  [[nodiscard]] result<void> read(void* to, std::size_t at, std::size_t bytes) const noexcept {
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    if (!on.status()) { return on.status(); }
    auto const ok = core::cuda_check(
        cudaMemcpyAsync(to, data_ + at, bytes, cudaMemcpyDeviceToHost, cudaStreamPerThread));
    return ok ? core::cuda_check(cudaStreamSynchronize(cudaStreamPerThread)) : ok;
  }
  template <class F>
  [[nodiscard]] result<void> perform(F what) noexcept {
    core::beside_captures const any_mode;
    core::device_guard const on(ordinal_);
    if (!on.status()) { return on.status(); }
    detail::perform_once<F><<<1, 1, 0, cudaStreamPerThread>>>(what);
    auto const ok = core::cuda_check(cudaGetLastError());
    return ok ? core::cuda_check(cudaStreamSynchronize(cudaStreamPerThread)) : ok;
  }

 private:
  using handle = CUmemGenericAllocationHandle;

  device_ground(buffer<std::uint32_t, pinned_resource> words, detail::mapping_driver const& driver,
                int ordinal) noexcept
      : words_{std::move(words)}, driver_{driver}, ordinal_{ordinal} {}

  [[nodiscard]] CUdeviceptr address(std::size_t at) const noexcept {
    return reinterpret_cast<CUdeviceptr>(data_ + at);
  }
  [[nodiscard]] CUmemAllocationProp properties() const noexcept {
    CUmemAllocationProp p{};
    p.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    p.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    p.location.id = ordinal_;
    return p;
  }
  [[nodiscard]] result<void> reserve(std::size_t bytes, std::size_t alignment) noexcept {
    CUmemAllocationProp const p = properties();
    auto ok = detail::mapping_driver::check(
        driver_.granularity(&piece_, &p, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    if (!ok) { return ok; }
    std::size_t const size = (bytes + piece_ - 1) / piece_ * piece_;
    try {
      pieces_.assign(size / piece_, 0);
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
    CUdeviceptr begin = 0;
    ok = detail::mapping_driver::check(
        driver_.reserve(&begin, size, alignment < piece_ ? piece_ : alignment, 0, 0));
    if (!ok) { return ok; }
    data_ = reinterpret_cast<std::byte*>(begin);
    size_ = size;
    return {};
  }
  [[nodiscard]] result<void> map(std::size_t piece) noexcept {
    CUmemAllocationProp const p = properties();
    handle made{};
    auto ok = detail::mapping_driver::check(driver_.create(&made, piece_, &p, 0));
    if (!ok) { return ok; }
    ok = detail::mapping_driver::check(driver_.map(address(piece * piece_), piece_, 0, made, 0));
    if (!ok) {
      static_cast<void>(driver_.destroy(made));
      return ok;
    }
    pieces_[piece] = made;
    CUmemAccessDesc access{};
    access.location = p.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    ok = detail::mapping_driver::check(
        driver_.set_access(address(piece * piece_), piece_, &access, 1));
    if (!ok) { unback(piece * piece_, piece_); }
    return ok;
  }

  buffer<std::uint32_t, pinned_resource> words_;
  detail::mapping_driver driver_;
  int ordinal_;
  std::size_t piece_ = 0;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::vector<handle> pieces_;  ///< 0: without memory
};
static_assert(kernel_ground<device_ground>);

}  // namespace millrace::inline v0::memory
