// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/queue/peer_queue.hpp"

#include <cstddef>
#include <deque>
#include <mutex>
#include <string_view>

namespace millrace::bench {

/// std::deque under std::mutex: what one writes without a queue library.
template <class T>
class mutex_deque {
 public:
  static constexpr std::string_view name = "std.mutex_deque";
  static constexpr std::size_t batch = 1;

  mutex_deque& source() noexcept { return *this; }
  mutex_deque& drain() noexcept { return *this; }
  std::size_t try_push(T const* m, std::size_t) {
    std::lock_guard const hold(mutex_);
    if (queue_.size() == slots) { return 0; }
    queue_.push_back(*m);
    return 1;
  }
  template <class F>
  std::size_t try_consume(F&& f) {
    T m;
    {
      std::lock_guard const hold(mutex_);
      if (queue_.empty()) { return 0; }
      m = queue_.front();
      queue_.pop_front();
    }
    f(m);
    return 1;
  }

 private:
  std::mutex mutex_;
  std::deque<T> queue_;
};

}  // namespace millrace::bench
