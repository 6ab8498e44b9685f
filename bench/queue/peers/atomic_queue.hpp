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
template <class T, bool Throughput, bool Spsc>
using atomic_queue2 =
    atomic_queue::AtomicQueue2<T, static_cast<unsigned>(slots), true, Throughput, false, Spsc>;

/// AtomicQueue2 with `push` and `pop`, which wait inside: the library's OptimistAtomicQueue2. Spsc:
/// for one producer and one consumer; otherwise any number of either share one order.
template <class T, bool Throughput, bool Spsc>
class optimist2 {
 public:
  static constexpr std::string_view name =
      Spsc ? (Throughput ? "atomic_queue.optimist2.spsc.pause" : "atomic_queue.optimist2.spsc")
           : (Throughput ? "atomic_queue.optimist2.pause" : "atomic_queue.optimist2");
  static constexpr std::size_t batch = 1;

  optimist2& source() noexcept { return *this; }
  optimist2& drain() noexcept { return *this; }
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
  atomic_queue2<T, Throughput, Spsc> queue_;
};
template <class T, bool Throughput = false>
using optimist2_spsc = optimist2<T, Throughput, true>;
template <class T, bool Throughput = false>
using optimist2_many = optimist2<T, Throughput, false>;

/// AtomicQueue2 with `try_push` and `try_pop`.
template <class T, bool Throughput, bool Spsc>
class atomic2 {
 public:
  static constexpr std::string_view name =
      Spsc ? "atomic_queue.atomic2.spsc"
           : (Throughput ? "atomic_queue.atomic2.pause" : "atomic_queue.atomic2");
  static constexpr std::size_t batch = 1;

  atomic2& source() noexcept { return *this; }
  atomic2& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t) noexcept { return queue_.try_push(*m) ? 1 : 0; }
  template <class F>
  std::size_t try_consume(F&& f) noexcept {
    T m;
    if (!queue_.try_pop(m)) { return 0; }
    f(m);
    return 1;
  }

 private:
  atomic_queue2<T, Throughput, Spsc> queue_;
};
template <class T>
using atomic2_spsc = atomic2<T, false, true>;
template <class T, bool Throughput = false>
using atomic2_many = atomic2<T, Throughput, false>;

}  // namespace millrace::bench
#endif
