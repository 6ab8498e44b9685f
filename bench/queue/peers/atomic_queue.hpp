// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<atomic_queue/atomic_queue.h>)
#define MILLRACE_BENCH_ATOMIC_QUEUE 1

#include "bench/queue/peer_queue.hpp"

#include <atomic_queue/atomic_queue.h>
#include <cstddef>
#include <string_view>

namespace millrace::bench {

// Of the library's parameters: minimised contention is its default; one producer and one consumer
// without its pause inside the operations is what its own benchmarks choose for SPSC.
template <class T, bool Throughput>
using atomic_queue2_spsc =
    atomic_queue::AtomicQueue2<T, static_cast<unsigned>(slots), true, Throughput, false, true>;

/// AtomicQueue2, one producer and one consumer, `push` and `pop`, which wait inside. This pairing
/// is the library's OptimistAtomicQueue2.
template <class T, bool Throughput = false>
class optimist2_spsc {
 public:
  static constexpr std::string_view name =
      Throughput ? "atomic_queue.optimist2.spsc.pause" : "atomic_queue.optimist2.spsc";
  static constexpr std::size_t batch = 1;

  optimist2_spsc& source() noexcept { return *this; }
  optimist2_spsc& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t) noexcept {
    queue_.push(*m);
    return 1;
  }
  template <class F>
  std::size_t try_consume(F&& f) noexcept {
    f(queue_.pop());
    return 1;
  }

 private:
  atomic_queue2_spsc<T, Throughput> queue_;
};

/// AtomicQueue2, one producer and one consumer, `try_push` and `try_pop`.
template <class T>
class atomic2_spsc {
 public:
  static constexpr std::string_view name = "atomic_queue.atomic2.spsc";
  static constexpr std::size_t batch = 1;

  atomic2_spsc& source() noexcept { return *this; }
  atomic2_spsc& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t) noexcept { return queue_.try_push(*m) ? 1 : 0; }
  template <class F>
  std::size_t try_consume(F&& f) noexcept {
    T m;
    if (!queue_.try_pop(m)) { return 0; }
    f(m);
    return 1;
  }

 private:
  atomic_queue2_spsc<T, false> queue_;
};

}  // namespace millrace::bench
#endif
