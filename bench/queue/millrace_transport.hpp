// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/threads.hpp"
#include "bench/queue/payload.hpp"
#include "bench/queue/peer_queue.hpp"
#include <millrace/queue/launch_host.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace millrace::bench {

/// The functor of the queue benches as a millrace processor.
template <std::size_t Bytes, unsigned Workers, class Reply>
struct tally_processor {
  tally<Workers> functor;

  queue::status operator()(queue::message_view<message<Bytes>> view,
                           queue::reply_writer<Reply>& out) const noexcept {
    std::uint64_t const sum = functor(view.value());
    if constexpr (std::is_same_v<Reply, std::uint64_t>) { out.write(sum); }
    return queue::status::ok;
  }
};

/// One way: no completions; a lane's messages belong to one worker.
template <std::size_t Bytes, unsigned Workers, class Backoff>
struct stream_policy
    : queue::default_consumer<message<Bytes>, tally_processor<Bytes, Workers, queue::no_reply>> {
  using reply = queue::no_reply;
  using backoff = Backoff;
  static constexpr auto completions = queue::completion_mode::none;
  static constexpr auto claims = queue::claim_mode::pinned;
};

/// One way through a ring that all producers share. A lone worker needs no claim.
template <std::size_t Bytes, unsigned Workers, class Backoff>
struct total_policy : stream_policy<Bytes, Workers, Backoff> {
  static constexpr auto order = queue::order_mode::total;
  static constexpr auto claims =
      Workers == 1 ? queue::claim_mode::pinned : queue::claim_mode::shared;
};

/// There and back: every message answered. One worker needs no claim; several share the lane.
template <std::size_t Bytes, unsigned Workers, class Backoff>
struct call_policy
    : queue::default_consumer<message<Bytes>, tally_processor<Bytes, Workers, std::uint64_t>> {
  using backoff = Backoff;
  static constexpr auto claims =
      Workers == 1 ? queue::claim_mode::pinned : queue::claim_mode::shared;
};

/// Workers where the calling thread is pinned: their threads inherit its processor.
template <queue::consumer_policy P>
[[nodiscard]] queue::consumer<P> launch_here(std::uint32_t lanes, std::uint32_t workers,
                                             typename P::processor process) {
  return core::value_or_throw(queue::launch_host<P>(
      {.lanes = lanes, .capacity = static_cast<std::uint32_t>(slots), .workers = workers},
      process));
}

/// A stream through millrace, messages built in their slots, `Batch` published together.
template <std::size_t Bytes, unsigned Workers, std::size_t Batch, class Wait, class Backoff,
          class Policy = stream_policy<Bytes, Workers, Backoff>>
class millrace_stream {
 public:
  static constexpr std::size_t bytes = Bytes;
  static constexpr unsigned workers = Workers;
  using wait = Wait;
  using policy = Policy;

  millrace_stream(tally<Workers> functor, unsigned producers, std::uint64_t /*total*/)
      : consumer_(launch_here<policy>(producers, Workers, {functor})) {}

  class sender {
   public:
    explicit sender(queue::producer<policy> lane) : lane_(std::move(lane)) {}
    void send(std::uint64_t first, std::uint64_t count) {
      Wait wait;
      if constexpr (Batch == 1) {
        for (std::uint64_t at = first; at != first + count; ++at) {
          auto slot = lane_.reserve();
          for (; !slot; slot = lane_.reserve()) { wait.pause(); }
          fill(**slot, at);
          (void)lane_.commit();
        }
      } else {
        for (std::uint64_t at = first; at != first + count;) {
          auto const n =
              static_cast<std::uint32_t>(std::min<std::uint64_t>(Batch, first + count - at));
          auto const build = [at](std::uint32_t i, message<Bytes>& slot) noexcept {
            fill(slot, at + i);
          };
          while (!lane_.submit_batch(n, build)) { wait.pause(); }
          at += n;
        }
      }
    }

   private:
    queue::producer<policy> lane_;
  };
  [[nodiscard]] sender open() { return sender(core::value_or_throw(consumer_.open_lane())); }

  void finish() {
    consumer_.close();
    (void)consumer_.stop(queue::within(std::chrono::seconds(5)));
  }

 private:
  queue::consumer<policy> consumer_;
};

/// There and back through millrace: the reply is the message's completion record.
template <std::size_t Bytes, unsigned Workers, class Backoff>
class millrace_calls {
 public:
  static constexpr std::size_t bytes = Bytes;
  static constexpr unsigned workers = Workers;
  using policy = call_policy<Bytes, Workers, Backoff>;

  millrace_calls(tally<Workers> functor, std::uint64_t /*total*/)
      : consumer_(launch_here<policy>(1, Workers, {functor})) {}

  class caller {
   public:
    explicit caller(queue::producer<policy> lane) : lane_(std::move(lane)) {}
    [[nodiscard]] std::uint64_t call(std::uint64_t sequence) {
      auto const slot = lane_.reserve();  // one in flight: there is room
      fill(**slot, sequence);
      queue::message_id const id = *lane_.commit();
      for (;;) {
        if (auto const done = lane_.try_result(id)) { return done->reply; }
        relax();
      }
    }

   private:
    queue::producer<policy> lane_;
  };
  [[nodiscard]] caller open() { return caller(core::value_or_throw(consumer_.open_lane())); }

  void finish() {
    consumer_.close();
    (void)consumer_.stop(queue::within(std::chrono::seconds(5)));
  }

 private:
  queue::consumer<policy> consumer_;
};

}  // namespace millrace::bench
