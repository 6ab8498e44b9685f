// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<boost/lockfree/queue.hpp>)
#define MILLRACE_BENCH_BOOST 1

#include "bench/queue/peer_queue.hpp"

#include <array>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <string_view>

namespace millrace::bench {

/// boost::lockfree::queue with its nodes in a fixed array: many producers, many consumers.
template <class T>
class boost_queue {
 public:
  static constexpr std::string_view name = "boost.lockfree.queue";
  static constexpr std::size_t batch = 1;

  boost_queue& source() noexcept { return *this; }
  boost_queue& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t) { return queue_.bounded_push(*m) ? 1 : 0; }
  template <class F>
  std::size_t try_consume(F&& f) {
    T m;
    if (!queue_.pop(m)) { return 0; }
    f(m);
    return 1;
  }

 private:
  boost::lockfree::queue<T, boost::lockfree::capacity<slots>> queue_;
};

/// boost::lockfree::spsc_queue. The single-operation form hands its functor the slot itself; the
/// bulk form moves `Batch` messages with one `push` and one `pop`.
template <class T, std::size_t Batch = 1>
class boost_spsc {
 public:
  static constexpr std::string_view name =
      Batch == 1 ? "boost.lockfree.spsc" : "boost.lockfree.spsc.bulk32";
  static constexpr std::size_t batch = Batch;

  boost_spsc& source() noexcept { return *this; }
  boost_spsc& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t n) {
    if constexpr (Batch == 1) {
      return queue_.push(*m) ? 1 : 0;
    } else {
      return queue_.push(m, n);
    }
  }
  template <class F>
  std::size_t try_consume(F&& f) {
    if constexpr (Batch == 1) {
      return queue_.consume_one(f) ? 1 : 0;
    } else {
      std::size_t const n = queue_.pop(taken_.data(), Batch);
      for (std::size_t i = 0; i < n; ++i) { f(taken_[i]); }
      return n;
    }
  }

 private:
  boost::lockfree::spsc_queue<T, boost::lockfree::capacity<slots>> queue_;
  alignas(128) std::array<T, Batch> taken_;
};

/// boost::lockfree::spsc_queue, bulk `push` and `consume_all`: no copy on the consuming side, and
/// room appears only when all that was there has been consumed.
template <class T>
class boost_spsc_consume_all {
 public:
  static constexpr std::string_view name = "boost.lockfree.spsc.bulk32.consume_all";
  static constexpr std::size_t batch = bulk;

  boost_spsc_consume_all& source() noexcept { return *this; }
  boost_spsc_consume_all& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t n) { return queue_.push(m, n); }
  template <class F>
  std::size_t try_consume(F&& f) {
    return queue_.consume_all(f);
  }

 private:
  boost::lockfree::spsc_queue<T, boost::lockfree::capacity<slots>> queue_;
};

}  // namespace millrace::bench
#endif
