// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/delta/change_set_ref.hpp>

#include <cuda/std/span>
#include <cuda/std/tuple>

#include <cuda_runtime.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace millrace_test {

/// A stream, and memory of the device that is given back with it.
class on_device {
 public:
  on_device() {
    REQUIRE(millrace::core::cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)));
  }
  on_device(on_device const&) = delete;
  on_device& operator=(on_device const&) = delete;
  ~on_device() {
    static_cast<void>(cudaStreamSynchronize(stream_));
    for (void* const p : taken_) { static_cast<void>(cudaFree(p)); }
    static_cast<void>(cudaStreamDestroy(stream_));
  }

  [[nodiscard]] cudaStream_t stream() const { return stream_; }
  /// Bytes that nothing has been written to, but ones that no result should be.
  template <class T>
  [[nodiscard]] T* room(std::size_t count) {
    void* p = nullptr;
    std::size_t const bytes = count * sizeof(T) + 1;  // never none
    REQUIRE(millrace::core::cuda_check(cudaMalloc(&p, bytes)));
    taken_.push_back(p);
    REQUIRE(millrace::core::cuda_check(cudaMemsetAsync(p, 0xA5, bytes, stream_)));
    return static_cast<T*>(p);
  }
  [[nodiscard]] cuda::std::span<std::byte> scratch(std::size_t bytes) {
    return {room<std::byte>(bytes), bytes};
  }
  template <class T>
  [[nodiscard]] T* copy(T const* from, std::size_t count) {
    T* const to = room<T>(count);
    put(to, from, count);
    return to;
  }
  template <class T>
  [[nodiscard]] std::vector<T> back(T const* from, std::size_t count) {
    std::vector<T> to(count);
    put(to.data(), from, count);
    REQUIRE(millrace::core::cuda_check(cudaStreamSynchronize(stream_)));
    return to;
  }
  template <class T>
  [[nodiscard]] T back(T const* from) {
    return back(from, 1)[0];
  }

  template <class K, class... Vs>
  [[nodiscard]] millrace::delta::change_set_ref<K, Vs...> copy(
      millrace::delta::change_set_ref<K, Vs...> rows) {
    return copy_columns(rows, std::index_sequence_for<Vs...>{});
  }
  template <class K, class... Vs>
  [[nodiscard]] millrace::delta::change_space<K, Vs...> rows(std::size_t count) {
    return millrace::delta::change_space<K, Vs...>(room<K>(count), count, room<Vs>(count)...);
  }
  /// The first `count` rows of device memory, into memory of the host.
  template <class K, class... Vs>
  void back(millrace::delta::change_space<K, Vs...> from, std::size_t count,
            millrace::delta::change_space<K, Vs...> to) {
    back_columns(from, count, to, std::index_sequence_for<Vs...>{});
    REQUIRE(millrace::core::cuda_check(cudaStreamSynchronize(stream_)));
  }

 private:
  template <class T>
  void put(T* to, T const* from, std::size_t count) {
    if (count == 0) { return; }
    REQUIRE(millrace::core::cuda_check(
        cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDefault, stream_)));
  }
  template <class K, class... Vs, std::size_t... Is>
  [[nodiscard]] auto copy_columns(millrace::delta::change_set_ref<K, Vs...> rows,
                                  std::index_sequence<Is...>) {
    std::size_t const n = rows.size();
    return millrace::delta::change_set_ref<K, Vs...>(copy(rows.keys().data(), n), n,
                                                     copy(rows.template values<Is>().data(), n)...);
  }
  template <class K, class... Vs, std::size_t... Is>
  void back_columns(millrace::delta::change_space<K, Vs...> from, std::size_t count,
                    millrace::delta::change_space<K, Vs...> to, std::index_sequence<Is...>) {
    put(to.keys(), from.keys(), count);
    (put(to.template values<Is>(), from.template values<Is>(), count), ...);
  }

  cudaStream_t stream_ = nullptr;
  std::vector<void*> taken_;
};

}  // namespace millrace_test
