// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<tbb/concurrent_queue.h>)
#define MILLRACE_BENCH_TBB 1

#include "bench/queue/peer_queue.hpp"

#include <cstddef>
#include <string_view>
#include <tbb/concurrent_queue.h>

namespace millrace::bench {

/// tbb::concurrent_bounded_queue, `try_` operations.
template <class T>
class tbb_bounded {
 public:
  static constexpr std::string_view name = "tbb.concurrent_bounded_queue";
  static constexpr std::size_t batch = 1;

  tbb_bounded() { queue_.set_capacity(static_cast<std::ptrdiff_t>(slots)); }
  tbb_bounded& source() noexcept { return *this; }
  tbb_bounded& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t) { return queue_.try_push(*m) ? 1 : 0; }
  template <class F>
  std::size_t try_consume(F&& f) {
    T m;
    if (!queue_.try_pop(m)) { return 0; }
    f(m);
    return 1;
  }

 private:
  tbb::concurrent_bounded_queue<T> queue_;
};

/// tbb::concurrent_queue, which has no bound: it grows while its consumer is behind.
template <class T>
class tbb_queue {
 public:
  static constexpr std::string_view name = "tbb.concurrent_queue";
  static constexpr std::size_t batch = 1;

  tbb_queue& source() noexcept { return *this; }
  tbb_queue& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t) {
    queue_.push(*m);
    return 1;
  }
  template <class F>
  std::size_t try_consume(F&& f) {
    T m;
    if (!queue_.try_pop(m)) { return 0; }
    f(m);
    return 1;
  }

 private:
  tbb::concurrent_queue<T> queue_;
};

}  // namespace millrace::bench
#endif
