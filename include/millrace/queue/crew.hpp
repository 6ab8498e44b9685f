// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/policy.hpp>

#include <cstdint>

namespace millrace::inline v0::queue {

/// Where a consumer stands. It goes forward, but from `parking` and `turning` it may go back to
/// `running`, and from `recalling` to `closing`.
enum class phase : std::uint32_t {
  running = 0,
  closing = 1,    ///< workers leave when every lane is dry
  parking = 2,    ///< workers leave after a few more messages, to come back when they are asked to
  turning = 3,    ///< the same at the end of an epoch: the consumer brings them back
  recalling = 4,  ///< the same once a close came: the consumer brings them back for it
  stopping = 5,   ///< workers leave after a few more messages
  stopped = 6,    ///< no worker is left: what is not done by now will not be
};

/// Whether producers may submit: to workers that are there, or will be again.
[[nodiscard]] MILLRACE_HD constexpr bool takes_messages(phase now) noexcept {
  return now == phase::running || now == phase::parking || now == phase::turning;
}
/// Whether workers are there, or are brought back without anybody's asking.
[[nodiscard]] MILLRACE_HD constexpr bool keeps_going(phase now) noexcept {
  return now == phase::running || now == phase::turning || now == phase::recalling;
}
/// Whether workers leave although there may be messages.
[[nodiscard]] MILLRACE_HD constexpr bool leaves_work(phase now) noexcept {
  return now >= phase::parking;
}

/// The words that a consumer's handle, its workers and its producers share.
struct crew_control {
  static constexpr std::uint64_t ready = 0x6d696c6c72616365u;  ///< once all else is there

  std::uint64_t magic = 0;
  std::uint32_t version = 0;
  std::uint32_t workers = 0;
  std::uint32_t hold = 1;  ///< messages that one worker may hold unanswered
  std::uint32_t lanes = 0;
  std::uint32_t capacity = 0;     ///< of each lane
  std::uint64_t first = 0;        ///< number of each lane's first message
  std::uint64_t arena_bytes = 0;  ///< of each lane, as the options asked for it
  /// Written by the consumer's handle.
  struct alignas(core::destructive_bytes) {
    std::uint32_t phase = 0;
  } owner;
  /// Written by workers as they come, sleep and go.
  struct alignas(core::destructive_bytes) {
    std::uint32_t alive = 0;
    std::uint32_t exited = 0;
    std::uint32_t asleep = 0;
  } crew;
};

/// Whether a worker is there, told as it comes and goes.
enum class presence : std::uint32_t { absent = 0, working = 1, gone = 2 };

/// One worker's words.
struct alignas(core::destructive_bytes) worker_control {
  std::uint32_t sleeping = 0;  ///< 1 while it sleeps; whoever makes it 0 wakes it
  std::uint32_t presence = 0;
  std::uint64_t processed = 0;
  std::uint64_t failed = 0;     ///< of those, the ones whose status was not ok
  std::uint64_t replayed = 0;   ///< messages done again after a worker's death
  std::uint64_t snapshots = 0;  ///< finished; see snapshots_ref
  std::uint64_t cancelled = 0;
  std::uint64_t expired = 0;
  std::uint64_t followed = 0;     ///< follow-ups that functors left, stored with each
  std::uint64_t follow_done = 0;  ///< of those, the ones that are done
  std::uint64_t in_epoch = 0;     ///< done since it came, where a policy bounds an epoch by them
};

/// The workers of one consumer, seen by whoever publishes to them or waits for them.
template <consumer_policy P>
class crew_ref {
 public:
  using access = typename P::access;

  crew_ref() noexcept = default;
  MILLRACE_HD crew_ref(crew_control& control, worker_control* workers) noexcept
      : crew_ref(control, workers, control.workers) {}
  /// For control blocks that this side cannot read.
  MILLRACE_HD crew_ref(crew_control& control, worker_control* workers, std::uint32_t count) noexcept
      : control_(&control), workers_(workers), count_(count) {}

  [[nodiscard]] MILLRACE_HD std::uint32_t workers() const noexcept { return count_; }
  [[nodiscard]] MILLRACE_HD crew_control& control() const noexcept { return *control_; }
  [[nodiscard]] MILLRACE_HD worker_control& worker(std::uint32_t i) const noexcept {
    return workers_[i];
  }

  [[nodiscard]] MILLRACE_HD queue::phase phase(
      core::memory_order order = core::acquire) const noexcept {
    return static_cast<queue::phase>(access::load(control_->owner.phase, order, "crew.phase"));
  }

  /// Whether no worker is left, so that what is not done by now will not be.
  [[nodiscard]] MILLRACE_HD bool over() const noexcept {
    queue::phase const now = phase();
    if (takes_messages(now) || now == queue::phase::recalling) { return false; }
    return now == queue::phase::stopped ||
           access::load(control_->crew.exited, core::acquire, "crew.exited") == count_;
  }

  /// Moves to another phase and wakes everyone. @thread the consumer's handle
  void advance(queue::phase to) const noexcept {
    access::store(control_->owner.phase, static_cast<std::uint32_t>(to), core::seq_cst,
                  "crew.advance");
    wake_all();
  }
  /// Moves from one phase to another, unless somebody else has moved it. @thread any, on the host
  [[nodiscard]] bool move(queue::phase from, queue::phase to) const noexcept {
    auto expected = static_cast<std::uint32_t>(from);
    if (!access::compare_exchange(control_->owner.phase, expected, static_cast<std::uint32_t>(to),
                                  core::seq_cst, core::relaxed, "crew.move")) {
      return false;
    }
    wake_all();
    return true;
  }

  /// Has the workers leave for the end of their epoch; false when they leave, or are to leave, for
  /// another reason. @thread any, on the host
  [[nodiscard]] bool end_epoch() const noexcept {
    return phase(core::relaxed) == queue::phase::running &&
           move(queue::phase::running, queue::phase::turning);
  }
  /// What a park, a close and a stop make of the phase, whatever others make of it meanwhile.
  /// @return the phase that stands then
  queue::phase hear_park() const noexcept {
    return go_on([](queue::phase now) noexcept {
      bool const works = now == queue::phase::running || now == queue::phase::turning;
      return works ? queue::phase::parking : now;
    });
  }
  /// @param at_once  parked workers, whom another process brings back, are told by the phase alone
  queue::phase hear_close(bool at_once) const noexcept {
    return go_on([=](queue::phase now) noexcept {
      if (now == queue::phase::running) { return queue::phase::closing; }
      bool const parks = now == queue::phase::parking || now == queue::phase::turning;
      if (!parks) { return now; }
      return at_once ? queue::phase::closing : queue::phase::recalling;
    });
  }
  queue::phase hear_stop(queue::phase to) const noexcept {
    return go_on([=](queue::phase now) noexcept { return now < to ? to : now; });
  }

  /// Before workers come, the first time or again: nobody has come, left, or sleeps.
  /// @thread the consumer's handle, while no worker is there
  void reset() const noexcept {
    for (std::uint32_t w = 0; w < count_; ++w) {
      access::store(workers_[w].sleeping, 0u, core::relaxed, "crew.reset");
      if constexpr (P::stay.messages != 0) {
        access::store(workers_[w].in_epoch, std::uint64_t{0}, core::relaxed, "crew.reset");
      }
    }
    access::store(control_->crew.alive, 0u, core::relaxed, "crew.reset");
    access::store(control_->crew.asleep, 0u, core::relaxed, "crew.reset");
    access::store(control_->crew.exited, 0u, core::release, "crew.reset");
  }

  /// What a worker says of itself as it comes and goes. @thread the worker, or its leader
  MILLRACE_HD void tell(std::uint32_t worker, presence now) const noexcept {
    access::store(workers_[worker].presence, static_cast<std::uint32_t>(now), core::relaxed,
                  "worker.presence");
  }

  /// Wakes sleepers for `messages` just published to lane `lane`; without sleepers it is one load.
  void wake_for(std::uint32_t lane, std::uint32_t messages) const noexcept {
    if constexpr (P::backoff::blocks) {
      if (access::load(control_->crew.asleep, core::seq_cst, "crew.asleep") == 0) { return; }
      if constexpr (P::claims == claim_mode::pinned) {
        wake_worker(lane % count_);
      } else {
        for (std::uint32_t w = 0; w < count_ && messages > 0; ++w) {
          messages -= wake_worker(w) ? 1u : 0u;
        }
      }
    }
  }

  /// Sleeps until someone wakes `worker` or `ready()` holds. `ready` must look with sequentially
  /// consistent loads: it runs after the sleeper is announced, as the producer's look at the
  /// sleepers runs after its publication, so one of the two sees the other.
  template <class Ready>
  void sleep(std::uint32_t worker, Ready ready) const noexcept {
    worker_control& me = workers_[worker];
    access::store(me.sleeping, 1u, core::seq_cst, "crew.sleep");
    access::fetch_add(control_->crew.asleep, 1u, core::seq_cst, "crew.asleep");
    while (!ready() && access::load(me.sleeping, core::acquire, "crew.woken") != 0) {
      P::parking::park(me.sleeping, 1u, longest_sleep_ns);
    }
    access::store(me.sleeping, 0u, core::relaxed, "crew.awake");
    access::fetch_add(control_->crew.asleep, ~std::uint32_t{0}, core::seq_cst, "crew.asleep");
  }

 private:
  /// A producer of another process may die between the store that says that it wakes the sleeper
  /// and the wake, and nobody else would: the sleeper looks at its word now and then.
  static constexpr std::uint64_t longest_sleep_ns =
      shareable<P> && P::claims == claim_mode::pinned ? 20'000'000u : ~std::uint64_t{0};

  template <class Next>
  queue::phase go_on(Next next) const noexcept {
    for (;;) {
      queue::phase const now = phase(), to = next(now);
      if (to == now || move(now, to)) { return to; }
    }
  }
  void wake_all() const noexcept {
    if constexpr (P::backoff::blocks) {
      for (std::uint32_t w = 0; w < count_; ++w) { wake_worker(w); }
    }
    // a keeper sleeps on the phase itself
    if constexpr (P::stay.bounded()) { P::parking::wake(control_->owner.phase); }
  }
  bool wake_worker(std::uint32_t w) const noexcept {
    std::uint32_t& sleeping = workers_[w].sleeping;
    std::uint32_t expected = 1;
    // in one order with the store before it: `advance` looks at no other word of the sleeper's
    if (access::load(sleeping, core::seq_cst, "crew.sleeping") == 0 ||
        !access::compare_exchange(sleeping, expected, 0u, core::acq_rel, core::relaxed,
                                  "crew.wake")) {
      return false;
    }
    P::parking::wake(sleeping);
    return true;
  }

  crew_control* control_ = nullptr;
  worker_control* workers_ = nullptr;
  std::uint32_t count_ = 0;
};

}  // namespace millrace::inline v0::queue
