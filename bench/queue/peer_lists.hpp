// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/queue/peer_queue.hpp"
#include "bench/queue/peer_transport.hpp"
#include "bench/queue/peers/atomic_queue.hpp"
#include "bench/queue/peers/boost_lockfree.hpp"
#include "bench/queue/peers/moodycamel.hpp"
#include "bench/queue/peers/mutex_deque.hpp"
#include "bench/queue/peers/tbb.hpp"
#include "bench/queue/trials.hpp"

#include <utility>
#include <vector>

namespace millrace::bench {

/// The single-operation stream peers that this machine has. Peers that are several times slower
/// than the others move `less`, so that no trial takes much longer than another. Queues without a
/// bound are not among them: what their worker takes from a backlog is not what passes between two
/// processors.
template <std::size_t Bytes>
[[nodiscard]] std::vector<contender> single_peers(load const& work, load const& less) {
  using T = message<Bytes>;
  std::vector<contender> peers;
  auto const run = [&]<class Queue>(std::in_place_type_t<Queue>, load const& amount) {
    peers.push_back(stream_contender<peer_stream<Queue, Bytes, 1, spin_wait>>(Queue::name, amount));
  };
  [[maybe_unused]] auto const add = [&](auto queue) { run(queue, work); };
  auto const add_slow = [&](auto queue) { run(queue, less); };
#if defined(MILLRACE_BENCH_ATOMIC_QUEUE)
  add(std::in_place_type<optimist2_spsc<T>>);
  add(std::in_place_type<optimist2_spsc<T, true>>);
  add(std::in_place_type<atomic2_spsc<T>>);
#endif
#if defined(MILLRACE_BENCH_MOODYCAMEL)
  add(std::in_place_type<moodycamel_queue<T>>);
#endif
#if defined(MILLRACE_BENCH_BOOST)
  add_slow(std::in_place_type<boost_queue<T>>);
  add(std::in_place_type<boost_spsc<T>>);
#endif
#if defined(MILLRACE_BENCH_TBB)
  add_slow(std::in_place_type<tbb_bounded<T>>);
#endif
  add_slow(std::in_place_type<mutex_deque<T>>);
  return peers;
}

/// The single-operation stream peers that share one order among any number of producers and
/// consumers, and moodycamel's, which does not.
template <std::size_t Bytes>
[[nodiscard]] std::vector<contender> total_peers(load const& work, load const& less) {
  using T = message<Bytes>;
  std::vector<contender> peers;
  [[maybe_unused]] auto const add = [&]<class Queue>(std::in_place_type_t<Queue>,
                                                     load const& amount) {
    peers.push_back(stream_contender<peer_stream<Queue, Bytes, 1, spin_wait>>(Queue::name, amount));
  };
#if defined(MILLRACE_BENCH_ATOMIC_QUEUE)
  add(std::in_place_type<optimist2_many<T>>, work);
  add(std::in_place_type<optimist2_many<T, true>>, work);
#endif
#if defined(MILLRACE_BENCH_MOODYCAMEL)
  add(std::in_place_type<moodycamel_queue<T>>, work);
#endif
#if defined(MILLRACE_BENCH_BOOST)
  add(std::in_place_type<boost_queue<T>>, less);
#endif
#if defined(MILLRACE_BENCH_TBB)
  add(std::in_place_type<tbb_bounded<T>>, less);
#endif
  return peers;
}

/// The same for two producers and two workers on two processors. OptimistAtomicQueue2 is absent:
/// its operations wait inside, without giving the processor away, and its workers cannot be told
/// that no message comes any more. Its `try_` operations are here in its place.
template <std::size_t Bytes>
[[nodiscard]] std::vector<contender> total_fan_peers(load const& work, load const& less) {
  using T = message<Bytes>;
  std::vector<contender> peers;
  [[maybe_unused]] auto const add = [&]<class Queue>(std::in_place_type_t<Queue>,
                                                     load const& amount) {
    peers.push_back(
        stream_contender<peer_stream<Queue, Bytes, 2, yield_wait>, 2>(Queue::name, amount));
  };
#if defined(MILLRACE_BENCH_ATOMIC_QUEUE)
  add(std::in_place_type<atomic2_many<T>>, work);
  add(std::in_place_type<atomic2_many<T, true>>, work);
#endif
#if defined(MILLRACE_BENCH_MOODYCAMEL)
  add(std::in_place_type<moodycamel_queue<T, 1, 2>>, work);
#endif
#if defined(MILLRACE_BENCH_BOOST)
  add(std::in_place_type<boost_queue<T>>, less);
#endif
#if defined(MILLRACE_BENCH_TBB)
  add(std::in_place_type<tbb_bounded<T>>, less);
#endif
  return peers;
}

/// The bulk stream peers that this machine has.
template <std::size_t Bytes>
[[nodiscard]] std::vector<contender> bulk_peers([[maybe_unused]] load const& work) {
  using T = message<Bytes>;
  std::vector<contender> peers;
  [[maybe_unused]] auto const add = [&]<class Queue>(std::in_place_type_t<Queue>) {
    peers.push_back(stream_contender<peer_stream<Queue, Bytes, 1, spin_wait>>(Queue::name, work));
  };
#if defined(MILLRACE_BENCH_BOOST)
  add(std::in_place_type<boost_spsc<T, bulk>>);
  add(std::in_place_type<boost_spsc_consume_all<T>>);
#endif
#if defined(MILLRACE_BENCH_MOODYCAMEL)
  add(std::in_place_type<moodycamel_queue<T, bulk>>);
#endif
  return peers;
}

/// The bulk peers for two producers and two workers that this machine has.
template <std::size_t Bytes>
[[nodiscard]] std::vector<contender> fan_peers([[maybe_unused]] load const& work) {
  std::vector<contender> peers;
#if defined(MILLRACE_BENCH_MOODYCAMEL)
  using queue = moodycamel_queue<message<Bytes>, bulk, 2>;
  peers.push_back(stream_contender<peer_stream<queue, Bytes, 2, yield_wait>, 2>(queue::name, work));
#endif
  return peers;
}

/// The round-trip peers that this machine has, a pair of each library's queues; the slower ones do
/// `less`.
template <std::size_t Bytes>
[[nodiscard]] std::vector<contender> roundtrip_peers(load const& work, load const& less) {
  using T = message<Bytes>;
  using R = std::uint64_t;
  std::vector<contender> peers;
  auto const run = [&]<class Q, class P>(std::in_place_type_t<Q>, std::in_place_type_t<P>,
                                         load const& amount) {
    peers.push_back(roundtrip_contender<peer_calls<Q, P, Bytes, 1, spin_wait>>(Q::name, amount));
  };
  [[maybe_unused]] auto const add = [&](auto there, auto back) { run(there, back, work); };
  auto const add_slow = [&](auto there, auto back) { run(there, back, less); };
#if defined(MILLRACE_BENCH_ATOMIC_QUEUE)
  add(std::in_place_type<optimist2_spsc<T>>, std::in_place_type<optimist2_spsc<R>>);
  add(std::in_place_type<optimist2_spsc<T, true>>, std::in_place_type<optimist2_spsc<R, true>>);
  add(std::in_place_type<atomic2_spsc<T>>, std::in_place_type<atomic2_spsc<R>>);
#endif
#if defined(MILLRACE_BENCH_MOODYCAMEL)
  add(std::in_place_type<moodycamel_queue<T>>, std::in_place_type<moodycamel_queue<R>>);
#endif
#if defined(MILLRACE_BENCH_BOOST)
  add_slow(std::in_place_type<boost_queue<T>>, std::in_place_type<boost_queue<R>>);
  add(std::in_place_type<boost_spsc<T>>, std::in_place_type<boost_spsc<R>>);
#endif
#if defined(MILLRACE_BENCH_TBB)
  add_slow(std::in_place_type<tbb_bounded<T>>, std::in_place_type<tbb_bounded<R>>);
  add_slow(std::in_place_type<tbb_queue<T>>, std::in_place_type<tbb_queue<R>>);
#endif
  add_slow(std::in_place_type<mutex_deque<T>>, std::in_place_type<mutex_deque<R>>);
  return peers;
}

/// The same with two workers on one queue of requests.
template <std::size_t Bytes>
[[nodiscard]] std::vector<contender> two_worker_peers([[maybe_unused]] load const& work) {
  std::vector<contender> peers;
#if defined(MILLRACE_BENCH_MOODYCAMEL)
  using requests = moodycamel_queue<message<Bytes>>;
  using replies = moodycamel_queue<std::uint64_t, 1, 2>;
  peers.push_back(roundtrip_contender<peer_calls<requests, replies, Bytes, 2, yield_wait>>(
      requests::name, work));
#endif
#if defined(MILLRACE_BENCH_BOOST)
  using boost_requests = boost_queue<message<Bytes>>;
  using boost_replies = boost_queue<std::uint64_t>;
  peers.push_back(
      roundtrip_contender<peer_calls<boost_requests, boost_replies, Bytes, 2, yield_wait>>(
          boost_requests::name, work));
#endif
  return peers;
}

}  // namespace millrace::bench
