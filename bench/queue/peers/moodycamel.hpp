// SPDX-License-Identifier: Apache-2.0
#pragma once

// Debian moved the header after version 1.0.3.
#if __has_include(<concurrentqueue/moodycamel/concurrentqueue.h>)
#include <concurrentqueue/moodycamel/concurrentqueue.h>
#define MILLRACE_BENCH_MOODYCAMEL 1
#elif __has_include(<concurrentqueue/concurrentqueue.h>)
#include <concurrentqueue/concurrentqueue.h>
#define MILLRACE_BENCH_MOODYCAMEL 1
#endif

#if defined(MILLRACE_BENCH_MOODYCAMEL)

#include "bench/queue/peer_queue.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace millrace::bench {

/// The library's defaults, and `slots` messages for each producer: a producer keeps every block
/// that it ever used, so without a bound the first one may leave none to the second.
struct moodycamel_traits : moodycamel::ConcurrentQueueDefaultTraits {
  static constexpr std::size_t MAX_SUBQUEUE_SIZE = slots;
};

/// moodycamel::ConcurrentQueue with a token for each thread. `try_` operations never allocate; the
/// blocks made at construction are as many again as the bound, for those between two owners.
template <class T, std::size_t Batch = 1, std::size_t Producers = 1>
class moodycamel_queue {
  using queue = moodycamel::ConcurrentQueue<T, moodycamel_traits>;

 public:
  static constexpr std::string_view name =
      Batch == 1 ? "moodycamel.concurrentqueue" : "moodycamel.tokens.bulk32";
  static constexpr std::size_t batch = Batch;

  class source_end {
   public:
    explicit source_end(queue& q) : queue_(q), token_(q) {}
    std::size_t try_push(T const* m, std::size_t n) {
      if constexpr (Batch == 1) {
        return queue_.try_enqueue(token_, *m) ? 1 : 0;
      } else {
        return queue_.try_enqueue_bulk(token_, m, n) ? n : 0;
      }
    }

   private:
    queue& queue_;
    moodycamel::ProducerToken token_;
  };

  class drain_end {
   public:
    explicit drain_end(queue& q) : queue_(q), token_(q) {}
    template <class F>
    std::size_t try_consume(F&& f) {
      if constexpr (Batch == 1) {
        T m;
        if (!queue_.try_dequeue(token_, m)) { return 0; }
        f(m);
        return 1;
      } else {
        std::size_t const n = queue_.try_dequeue_bulk(token_, taken_.data(), Batch);
        for (std::size_t i = 0; i < n; ++i) { f(taken_[i]); }
        return n;
      }
    }

   private:
    queue& queue_;
    moodycamel::ConsumerToken token_;
    std::array<T, Batch> taken_;
  };

  source_end source() { return source_end(queue_); }
  drain_end drain() { return drain_end(queue_); }

 private:
  queue queue_{2 * Producers * slots};
};

}  // namespace millrace::bench
#endif
