// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/crew.hpp>
#include <millrace/queue/policy.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace millrace::inline v0::queue {

/// A worker's own memory: what its functor keeps from one message to the next, and the number of
/// the worker's next message. It outlives an epoch; a snapshot outlives the process.
template <class State>
struct worker_state {
  std::uint64_t processed = 0;  ///< as the worker last reported: its counters never go back
  std::uint64_t failed = 0;
  std::uint64_t turn = 0;
  State state{};
};

/// Snapshots of all workers: two for each, written in turn, so that one of them is whole whenever
/// the writer dies. `worker_control::snapshots` says how many a worker has finished; the last one
/// lies in the half of that number's parity. A snapshot holds how far the worker is in each lane,
/// its next turn, and the state after exactly those messages.
/// @tparam A  how the memory is accessed
template <consumer_policy P, core::access_policy A = typename P::access>
class snapshots_ref {
  using state = typename P::state;

 public:
  snapshots_ref() noexcept = default;
  /// @param memory  `bytes(workers, lanes)` bytes at `alignment`
  MILLRACE_HD snapshots_ref(std::byte* memory, std::uint32_t lanes) noexcept
      : memory_(memory), lanes_(lanes) {}

  static constexpr std::size_t alignment =
      detail::larger(core::destructive_bytes, alignof(worker_state<state>));
  [[nodiscard]] static constexpr std::size_t bytes(std::uint32_t workers,
                                                   std::uint32_t lanes) noexcept {
    return P::snapshot_every == 0 ? 0 : 2 * std::size_t{workers} * stride(lanes);
  }

  /// The position in lane `lane` that snapshot `number` of `worker` holds.
  [[nodiscard]] MILLRACE_HD message_id& position(std::uint32_t worker, std::uint64_t number,
                                                 std::uint32_t lane) const noexcept {
    return reinterpret_cast<message_id*>(at(worker, number) + state_bytes())[lane];
  }
  [[nodiscard]] MILLRACE_HD worker_state<state>& of(std::uint32_t worker,
                                                    std::uint64_t number) const noexcept {
    return *reinterpret_cast<worker_state<state>*>(at(worker, number));
  }

  /// Announces that snapshot `number` of `worker` is written, or read.
  MILLRACE_HD void writing(std::uint32_t worker, std::uint64_t number) const noexcept {
    A::write(at(worker, number), stride(lanes_), "snapshot.write");
  }
  MILLRACE_HD void reading(std::uint32_t worker, std::uint64_t number) const noexcept {
    A::read(at(worker, number), stride(lanes_), "snapshot.read");
  }

  /// Makes `to` the state in the next snapshot of a worker that is not there, which holds all else
  /// as its last one does. @thread the consumer's handle, while `words` is no worker's
  void amend(std::uint32_t worker, worker_control& words, state const& to) const noexcept {
    std::uint64_t const last = A::load(words.snapshots, core::acquire, "worker.snapshot");
    reading(worker, last);
    writing(worker, last + 1);
    worker_state<state>& next = of(worker, last + 1);
    next.turn = of(worker, last).turn;
    next.state = to;
    for (std::uint32_t l = 0; l < lanes_; ++l) {
      position(worker, last + 1, l) = position(worker, last, l);
    }
    A::store(words.snapshots, last + 1, core::release, "worker.snapshot");
  }

  /// The same for a policy of the same shape.
  template <consumer_policy Q>
  [[nodiscard]] snapshots_ref<Q> seen_as() const noexcept {
    return {memory_, lanes_};
  }

 private:
  [[nodiscard]] static MILLRACE_HD constexpr std::size_t state_bytes() noexcept {
    return detail::round_up(sizeof(worker_state<state>), alignof(message_id));
  }
  [[nodiscard]] static MILLRACE_HD constexpr std::size_t stride(std::uint32_t lanes) noexcept {
    return detail::round_up(detail::round_up(sizeof(worker_state<state>), alignof(message_id)) +
                                std::size_t{lanes} * sizeof(message_id),
                            detail::larger(core::destructive_bytes, alignof(worker_state<state>)));
  }
  [[nodiscard]] MILLRACE_HD std::byte* at(std::uint32_t worker,
                                          std::uint64_t number) const noexcept {
    return memory_ + (2 * std::size_t{worker} + (number & 1)) * stride(lanes_);
  }

  std::byte* memory_ = nullptr;
  std::uint32_t lanes_ = 0;
};

}  // namespace millrace::inline v0::queue
