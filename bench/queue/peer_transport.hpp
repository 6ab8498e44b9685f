// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/threads.hpp"
#include "bench/queue/payload.hpp"
#include "bench/queue/peer_queue.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace millrace::bench {

/// Pushes all of the messages, waiting while the queue is full.
template <class Source, class T, class Wait>
inline void push_all(Source& source, T const* m, std::size_t n, Wait& wait) {
  while (n > 0) {
    std::size_t const taken = source.try_push(m, n);
    if (taken == 0) {
      wait.pause();
    } else {
      wait.reset(static_cast<std::uint32_t>(taken));
      m += taken;
      n -= taken;
    }
  }
}

/// Consumes until `total` messages went by or, with several workers, until told to stop.
template <class Drain, class F, class Wait>
inline void consume_all(Drain& drain, F&& f, std::uint64_t total, std::atomic<bool> const& stop,
                        Wait wait) {
  for (std::uint64_t taken = 0; taken != total;) {
    std::size_t const n = drain.try_consume(f);
    taken += n;
    if (n > 0) {
      wait.reset(static_cast<std::uint32_t>(n));
    } else if (stop.load(std::memory_order_relaxed)) {
      return;
    } else {
      wait.pause();
    }
  }
}

/// One way through a peer queue: worker threads drain it into the functor. The threads inherit the
/// processor of the thread that constructs the transport.
template <class Queue, std::size_t Bytes, unsigned Workers, class Wait>
  requires peer_queue<Queue, message<Bytes>>
class peer_stream {
 public:
  static constexpr std::size_t bytes = Bytes;
  static constexpr unsigned workers = Workers;
  using wait = Wait;

  /// @param total  messages that will be sent in all
  peer_stream(tally<Workers> functor, unsigned /*producers*/, std::uint64_t total)
      : queue_(std::make_unique<Queue>()) {
    for (unsigned w = 0; w < Workers; ++w) {
      threads_.emplace_back([this, functor, total] {
        decltype(auto) drain = queue_->drain();
        consume_all(drain, functor, total, stop_, Wait{});
      });
    }
  }

  /// A producing thread's handle: builds `Queue::batch` messages at a time and pushes them.
  class sender {
   public:
    explicit sender(Queue& q) : source_(q.source()) {}
    void send(std::uint64_t first, std::uint64_t count) {
      for (std::uint64_t at = first; at != first + count;) {
        std::size_t n = 0;
        for (; n < Queue::batch && at != first + count; ++n, ++at) { fill(built_[n], at); }
        push_all(source_, built_.data(), n, wait_);
      }
    }

   private:
    decltype(std::declval<Queue&>().source()) source_;
    std::array<message<Bytes>, Queue::batch> built_;
    Wait wait_;
  };
  [[nodiscard]] sender open() { return sender(*queue_); }

  /// Ends the workers; everything sent has been taken.
  void finish() {
    stop_.store(true, std::memory_order_relaxed);
    for (auto& t : threads_) { t.join(); }
  }

 private:
  std::unique_ptr<Queue> queue_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

/// There and back through two peer queues: requests to worker threads, 8-byte replies from them.
template <class Requests, class Replies, std::size_t Bytes, unsigned Workers, class Wait>
  requires peer_queue<Requests, message<Bytes>> && peer_queue<Replies, std::uint64_t>
class peer_calls {
 public:
  static constexpr std::size_t bytes = Bytes;
  static constexpr unsigned workers = Workers;

  peer_calls(tally<Workers> functor, std::uint64_t total)
      : requests_(std::make_unique<Requests>()), replies_(std::make_unique<Replies>()) {
    for (unsigned w = 0; w < Workers; ++w) {
      threads_.emplace_back([this, functor, total] {
        decltype(auto) drain = requests_->drain();
        decltype(auto) back = replies_->source();
        Wait wait;
        auto const answer = [&](message<Bytes> const& m) {
          std::uint64_t const sum = functor(m);
          push_all(back, &sum, 1, wait);
        };
        consume_all(drain, answer, total, stop_, Wait{});
      });
    }
  }

  /// The calling thread's handle.
  class caller {
   public:
    explicit caller(peer_calls& calls)
        : source_(calls.requests_->source()), replies_(calls.replies_->drain()) {}
    [[nodiscard]] std::uint64_t call(std::uint64_t sequence) {
      message<Bytes> m;
      fill(m, sequence);
      push_all(source_, &m, 1, wait_);
      std::uint64_t reply = 0;
      auto const take = [&reply](std::uint64_t r) { reply = r; };
      while (replies_.try_consume(take) == 0) { relax(); }
      return reply;
    }

   private:
    decltype(std::declval<Requests&>().source()) source_;
    decltype(std::declval<Replies&>().drain()) replies_;
    Wait wait_;
  };
  [[nodiscard]] caller open() { return caller(*this); }

  /// Ends the workers; every call has returned.
  void finish() {
    stop_.store(true, std::memory_order_relaxed);
    for (auto& t : threads_) { t.join(); }
  }

 private:
  std::unique_ptr<Requests> requests_;
  std::unique_ptr<Replies> replies_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace millrace::bench
