// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"
#include "bench/queue/payload.hpp"
#include "bench/queue/peer_queue.hpp"

#include <cstring>
#include <memory>

namespace millrace::bench {

/// One core copying messages, a batch at a time, from a batch that stays in its cache into a ring
/// as large as the queue's: no queue whose producer writes each message once into such a ring can
/// be faster while another core reads them. Messages a second.
template <std::size_t Bytes>
[[nodiscard]] contender copy_limit(std::uint64_t messages) {
  return {"limit.copy", [messages]() -> measured {
            using batch = message<Bytes>[bulk];
            auto const source = std::make_unique<message<Bytes>[]>(bulk);
            auto const ring = std::make_unique<message<Bytes>[]>(slots);
            pin_to(trial_cpus().producer);
            for (std::size_t i = 0; i < bulk; ++i) { fill(source[i], i); }
            auto const lap = [&](std::uint64_t first, std::uint64_t count) {
              for (std::uint64_t at = first; at < first + count; at += bulk) {
                std::memcpy(&ring[at % slots], source.get(), sizeof(batch));
                asm volatile("" : : "r"(ring.get()) : "memory");
              }
            };
            lap(0, 2 * slots);
            std::int64_t const start = now_ns();
            lap(0, messages);
            double const seconds = static_cast<double>(now_ns() - start) * 1e-9;
            std::uint64_t sum = 0;
            for (std::size_t i = 0; i < slots; ++i) { sum += sum_bytes(ring[i]); }
            if (sum != slots / bulk * expected_sum<Bytes>(0, bulk)) {
              return {0, "the ring does not hold what was copied into it"};
            }
            return {static_cast<double>(messages) / seconds, {}};
          }};
}

/// One cache line to the other core and back, nanoseconds: a reply cannot come sooner.
[[nodiscard]] inline contender core_limit() {
  return {"limit.core_round_trip", [] { return measured{core_round_trip_ns(trial_cpus()), {}}; }};
}

}  // namespace millrace::bench
