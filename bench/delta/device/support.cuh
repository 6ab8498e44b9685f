// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"
#include "bench/queue/device/support.cuh"
#include <millrace/core/error.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>

#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace millrace::bench::device {

/// Columns of the device, and what a host says that they should hold in the end.
template <class K, class V>
class device_rows {
 public:
  device_rows(workspace& gpu, std::size_t capacity)
      : keys_{gpu.on_device<K>(capacity)},
        values_{gpu.on_device<V>(capacity)},
        capacity_{capacity} {}
  device_rows(workspace& gpu, delta::change_set_ref<K, V> rows) : device_rows(gpu, rows.size()) {
    copy(keys_, rows.keys().data(), rows.size() * sizeof(K));
    copy(values_, rows.values().data(), rows.size() * sizeof(V));
  }

  [[nodiscard]] K* keys() const { return keys_; }
  [[nodiscard]] V* values() const { return values_; }
  [[nodiscard]] delta::change_set_ref<K, V> ref() const { return {keys_, capacity_, values_}; }
  [[nodiscard]] delta::change_space<K, V> space() const { return {keys_, capacity_, values_}; }

  void clear() const {
    check(cudaMemset(keys_, 0, capacity_ * sizeof(K)), "cudaMemset");
    check(cudaMemset(values_, 0, capacity_ * sizeof(V)), "cudaMemset");
  }
  /// What is wrong with the first rows, of which there should be want.size().
  [[nodiscard]] std::string differ_from(delta::change_set_ref<K, V> want, std::size_t size) const {
    if (size != want.size()) { return "the number of rows differs from the host's"; }
    std::vector<K> keys(size);
    std::vector<V> values(size);
    copy(keys.data(), keys_, size * sizeof(K));
    copy(values.data(), values_, size * sizeof(V));
    bool const same = delta::change_set_ref<K, V>(keys.data(), size, values.data()) == want;
    return same ? std::string{} : std::string{"the rows differ from the host's"};
  }

 private:
  static void copy(void* to, void const* from, std::size_t bytes) {
    check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "cudaMemcpy");
  }

  K* keys_;
  V* values_;
  std::size_t capacity_;
};

inline void check(result<void> const& done, char const* call) {
  if (!done) { throw std::runtime_error(std::string(call) + ": " + core::describe(done.error())); }
}

/// Nanoseconds of the device for each of several times that `work()` puts something into its
/// stream.
template <class Work>
[[nodiscard]] double device_ns(workspace& gpu, Work const& work) {
  constexpr int times = 8;
  struct event {
    cudaEvent_t is = nullptr;
    event() { check(cudaEventCreate(&is), "cudaEventCreate"); }
    event(event const&) = delete;
    event& operator=(event const&) = delete;
    ~event() { (void)cudaEventDestroy(is); }
  };
  event const begin, end;
  work();  // not measured: what is loaded late is loaded now
  check(cudaEventRecord(begin.is, gpu.stream()), "cudaEventRecord");
  for (int i = 0; i < times; ++i) { work(); }
  check(cudaEventRecord(end.is, gpu.stream()), "cudaEventRecord");
  gpu.wait("the measured work");
  float ms = 0;
  check(cudaEventElapsedTime(&ms, begin.is, end.is), "cudaEventElapsedTime");
  return static_cast<double>(ms) * 1e6 / times;
}

}  // namespace millrace::bench::device
