// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"
#include "bench/harness/threads.hpp"
#include "bench/queue/payload.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace millrace::bench {

/// How many messages a trial moves, and the sum of all their bytes.
struct load {
  std::uint64_t warm_up = 0;   ///< by each producer, untimed: every slot has been used twice
  std::uint64_t messages = 0;  ///< by each producer, timed
  std::uint64_t sum = 0;       ///< of the bytes of all of them, the warm-up included
};

/// The first sequence number of a producer; producers' numbers never meet.
[[nodiscard]] constexpr std::uint64_t first_of(unsigned producer) noexcept {
  return static_cast<std::uint64_t>(producer) << 40;
}

/// A load whose sum has been computed.
template <std::size_t Bytes>
[[nodiscard]] load load_of(std::uint64_t warm_up, std::uint64_t messages, unsigned producers = 1) {
  load all{warm_up, messages, 0};
  for (unsigned p = 0; p < producers; ++p) {
    all.sum += expected_sum<Bytes>(first_of(p), warm_up + messages);
  }
  return all;
}

/// What to say about a wrong sum; empty when it is right.
[[nodiscard]] inline std::string check_sum(std::uint64_t got, std::uint64_t want) {
  if (got == want) { return {}; }
  return "the bytes received sum to " + std::to_string(got) + ", those sent to " +
         std::to_string(want);
}

/// A transport moves messages from producers into the functor of its workers:
///   Transport(tally<workers>, producers, total)   starts the workers where the caller is pinned
///   open() -> sender, one a producing thread; sender.send(first, count) builds and sends messages
///   finish()                                      ends the workers after the last message
/// with `bytes`, `workers` and the waiting loop `wait`.
///
/// One trial: messages a second. With one worker that is what the worker took in the median part of
/// the trial; with several, all messages over the time from the first send to the last one taken.
/// Producers run on one processor, workers on the other.
template <class Transport, unsigned Producers = 1>
[[nodiscard]] measured stream_trial(load const& work) {
  using wait = typename Transport::wait;
  cpu_pair const cpus = trial_cpus();
  std::uint64_t const warm = work.warm_up * Producers;
  std::uint64_t const total = warm + work.messages * Producers;
  sinks<Transport::workers> taken;
  if constexpr (Transport::workers == 1) { taken.time_parts(warm, total - warm); }
  pin_to(cpus.worker);
  Transport transport(taken.functor(), Producers, total);
  pin_to(cpus.producer);

  auto const until = [](auto&& holds) {
    for (wait w; !holds();) { w.pause(); }
  };
  std::atomic<unsigned> warmed{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  for (unsigned p = 1; p < Producers; ++p) {
    others.emplace_back([&, p] {
      auto sender = transport.open();
      sender.send(first_of(p), work.warm_up);
      warmed.fetch_add(1, std::memory_order_release);
      until([&] { return go.load(std::memory_order_acquire); });
      sender.send(first_of(p) + work.warm_up, work.messages);
    });
  }
  double seconds = 0;
  {
    auto sender = transport.open();
    sender.send(first_of(0), work.warm_up);
    until([&] {
      return warmed.load(std::memory_order_acquire) == Producers - 1 && taken.count() == warm;
    });
    std::int64_t const start = now_ns();
    go.store(true, std::memory_order_release);
    sender.send(first_of(0) + work.warm_up, work.messages);
    for (auto& t : others) { t.join(); }
    until([&] { return taken.count() == total; });
    seconds = static_cast<double>(now_ns() - start) * 1e-9;
  }
  transport.finish();
  std::string const problem = check_sum(taken.sum(), work.sum);
  if constexpr (Transport::workers == 1) {
    auto const part = static_cast<double>((total - warm) / parts);
    return {part / (median_step(taken.times()) * 1e-9), problem};
  } else {
    return {static_cast<double>(total - warm) / seconds, problem};
  }
}

/// One trial: nanoseconds from handing over a message to having the reply that the functor computed
/// from it, one message in flight, in the median part of the trial. A calls transport has a caller
/// instead of senders:
///   Calls(tally<workers>, total); open() -> caller; caller.call(sequence) -> sum; finish()
template <class Calls>
[[nodiscard]] measured roundtrip_trial(load const& work) {
  cpu_pair const cpus = trial_cpus();
  sinks<Calls::workers> taken;
  pin_to(cpus.worker);
  Calls calls(taken.functor(), work.warm_up + work.messages);
  pin_to(cpus.producer);
  std::uint64_t replies = 0;
  std::array<std::int64_t, parts + 1> times{};
  {
    auto caller = calls.open();
    std::uint64_t at = 0;
    for (; at < work.warm_up; ++at) { replies += caller.call(at); }
    times[0] = now_ns();
    for (std::size_t part = 1; part <= parts; ++part) {
      for (std::uint64_t i = 0; i < work.messages / parts; ++i, ++at) {
        replies += caller.call(at);
      }
      times[part] = now_ns();
    }
  }
  calls.finish();
  return {median_step(times) / static_cast<double>(work.messages / parts),
          check_sum(replies, work.sum)};
}

/// The contender that runs a stream trial of a transport.
template <class Transport, unsigned Producers = 1>
[[nodiscard]] contender stream_contender(std::string_view name, load const& work) {
  return {std::string(name), [work] { return stream_trial<Transport, Producers>(work); }};
}

/// The contender that runs a round-trip trial of a calls transport.
template <class Calls>
[[nodiscard]] contender roundtrip_contender(std::string_view name, load const& work) {
  return {std::string(name), [work] { return roundtrip_trial<Calls>(work); }};
}

}  // namespace millrace::bench
