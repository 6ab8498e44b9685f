// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/stats.hpp"
#include "bench/harness/threads.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace millrace::bench {

/// The message of every queue bench: `Bytes` of payload, no padding.
template <std::size_t Bytes>
struct message {
  static_assert(Bytes % 16 == 0);
  std::uint64_t words[Bytes / 8];
};

/// Writes every byte of the message from its sequence number. Every contender's producer calls it.
template <std::size_t Bytes>
inline void fill(message<Bytes>& m, std::uint64_t sequence) noexcept {
  std::uint64_t const base = sequence * 0x9E3779B97F4A7C15U;
  for (std::size_t i = 0; i < Bytes / 8; ++i) { m.words[i] = base + i; }
}

/// The sum of every byte of the message. Every contender's functor calls it.
template <std::size_t Bytes>
[[nodiscard]] inline std::uint64_t sum_bytes(message<Bytes> const& m) noexcept {
#if defined(__SSE2__)
  auto const* at = reinterpret_cast<__m128i const*>(m.words);
  __m128i sums = _mm_setzero_si128();
  for (std::size_t i = 0; i < Bytes / 16; ++i) {
    sums = _mm_add_epi64(sums, _mm_sad_epu8(_mm_loadu_si128(at + i), _mm_setzero_si128()));
  }
  alignas(16) std::uint64_t halves[2];
  _mm_store_si128(reinterpret_cast<__m128i*>(halves), sums);
  return halves[0] + halves[1];
#else
  auto const* at = reinterpret_cast<unsigned char const*>(m.words);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < Bytes; ++i) { sum += at[i]; }
  return sum;
#endif
}

/// The sum of every byte of the messages [first, first + count), one byte after another from the
/// numbers themselves: the answer that trials are checked against.
template <std::size_t Bytes>
[[nodiscard]] std::uint64_t expected_sum(std::uint64_t first, std::uint64_t count) noexcept {
  std::uint64_t sum = 0;
  for (std::uint64_t sequence = first; sequence != first + count; ++sequence) {
    for (std::size_t i = 0; i < Bytes; ++i) {
      sum += (sequence * 0x9E3779B97F4A7C15U + i / 8) >> (8 * (i % 8)) & 0xFFU;
    }
  }
  return sum;
}

/// Equal parts of a trial that are timed one by one. Their median leaves out the parts during which
/// the machine gave a processor to somebody else.
inline constexpr std::uint64_t parts = 20;

/// What one worker has taken. Only that worker writes it; `sum` may be read once `count` says so,
/// `times` once the worker has ended.
struct alignas(128) sink {
  std::atomic<std::uint64_t> count{0};
  std::uint64_t sum = 0;
  std::uint64_t next = 0;  ///< the count at which the next time is noted
  std::uint64_t step = 0;
  std::uint64_t noted = 0;
  std::array<std::int64_t, parts + 1> times{};  ///< at the end of the warm-up and of each part

  [[gnu::noinline]] void note() noexcept {
    if (noted <= parts) { times[noted++] = now_ns(); }
    next += step;
  }
};

/// The median of the differences between neighbours.
[[nodiscard]] inline double median_step(std::array<std::int64_t, parts + 1> const& times) {
  std::array<double, parts> steps{};
  for (std::size_t i = 0; i < parts; ++i) {
    steps[i] = static_cast<double>(times[i + 1] - times[i]);
  }
  return median(steps);
}

/// The functor of every contender: sums the message's bytes into the calling worker's sink.
template <unsigned Workers>
struct tally {
  sink* sinks;                       ///< [Workers]
  std::atomic<std::uint32_t>* next;  ///< hands each worker thread its sink

  template <std::size_t Bytes>
  std::uint64_t operator()(message<Bytes> const& m) const noexcept {
    std::uint64_t const sum = sum_bytes(m);
    sink& own = mine();
    own.sum += sum;
    std::uint64_t const count = own.count.load(std::memory_order_relaxed) + 1;
    own.count.store(count, std::memory_order_release);
    if (count == own.next) { own.note(); }
    return sum;
  }

 private:
  [[nodiscard]] sink& mine() const noexcept {
    if constexpr (Workers == 1) {
      return *sinks;
    } else {
      thread_local sink* own = nullptr;
      if (own == nullptr) { own = &sinks[next->fetch_add(1, std::memory_order_relaxed) % Workers]; }
      return *own;
    }
  }
};

/// The sinks of one trial.
template <unsigned Workers>
class sinks {
 public:
  [[nodiscard]] tally<Workers> functor() noexcept { return {sinks_, &next_}; }

  /// Notes the time after `warm_up` messages and after each part of `messages` more; one worker.
  void time_parts(std::uint64_t warm_up, std::uint64_t messages) noexcept {
    sinks_[0].next = warm_up;
    sinks_[0].step = messages / parts;
  }
  [[nodiscard]] auto const& times() const noexcept { return sinks_[0].times; }

  /// Messages taken by all workers. Polled only when nothing is left to send, so that the polling
  /// does not disturb the workers.
  [[nodiscard]] std::uint64_t count() const noexcept {
    std::uint64_t all = 0;
    for (sink const& s : sinks_) { all += s.count.load(std::memory_order_acquire); }
    return all;
  }

  /// Sum of the bytes of all messages taken; call it after `count` has said that all were.
  [[nodiscard]] std::uint64_t sum() const noexcept {
    std::uint64_t all = 0;
    for (sink const& s : sinks_) { all += s.sum; }
    return all;
  }

 private:
  sink sinks_[Workers];
  std::atomic<std::uint32_t> next_{0};
};

}  // namespace millrace::bench
