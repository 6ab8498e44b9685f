// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/backend.hpp>
#include <millrace/memory/any_resource.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/pmr.hpp>
#include <millrace/queue/ring.hpp>
#include <millrace/recover/deadline.hpp>

#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace millrace::inline v0::queue {

/// `time` from now on the steady clock; negative times have passed already.
[[nodiscard]] inline recover::deadline within(std::chrono::nanoseconds time) noexcept {
  auto const ns = time.count();
  return recover::deadline::after(core::steady_clock{},
                                  ns > 0 ? static_cast<std::uint64_t>(ns) : 0);
}

/// How a consumer is built.
struct options {
  std::uint32_t lanes = 1;        ///< producers that can be open at once
  std::uint32_t capacity = 1024;  ///< messages in flight in one lane, or in the ring; any number
  /// For slab messages in flight in one lane, at least one of the largest; 0 asks for what
  /// `default_arena_bytes` says.
  std::size_t arena_bytes = 0;
  std::uint32_t workers = 1;     ///< host threads, or groups of device threads
  message_id first_message = 0;  ///< the number of each lane's first message
  /// The processor that host worker 0 runs on, worker i on the i-th after it; -1 lets them roam.
  std::int32_t first_cpu = -1;
  /// How long `launch` waits for the workers to come alive, and a destructor for them to leave.
  std::chrono::nanoseconds patience = std::chrono::seconds(5);
  /// Where the consumer's memory on the host comes from: lanes, rings, arenas and records on the
  /// host backend, and what producers note for themselves. All of it is taken by `launch`, but for
  /// a functor swapped in and the results that a named producer takes over, and goes back when
  /// handle, producers and workers are gone; until then what the resource refers to has to live.
  /// Pinned and device memory come from the device itself, a shared block from the system.
  memory::any_resource resource = {};
};

/// How one submit differs from the plain one.
struct terms {
  std::uint8_t kind = 0;  ///< the caller's own tag
  /// When a submit that blocks gives up; by itself `block_ns` from the call. Others never wait.
  std::optional<recover::deadline> until = {};
  /// When the message is not worth beginning any more, on the policy's clock; for policies whose
  /// messages expire, and never by itself.
  recover::deadline expires = {};
};

/// A consumer's counters; all but `depth` and `in_flight` only grow, and `accepted` where no seal
/// takes messages back. `processed` counts failed ones
/// and follow-ups too. What is accepted or followed is processed, dropped, cancelled or expired in
/// the end, unless a stop leaves it undone.
struct statistics {
  std::uint64_t accepted = 0;   ///< messages that producers submitted
  std::uint64_t processed = 0;  ///< messages that a functor has returned from
  std::uint64_t failed = 0;     ///< messages whose status was not ok
  std::uint64_t replayed = 0;   ///< messages done again, for the state alone, after a death
  std::uint64_t rejected = 0;   ///< messages refused for want of room, where the policy counts them
  std::uint64_t followed = 0;   ///< further messages that functors left to their workers
  std::uint64_t dropped = 0;    ///< accepted messages given up for newer ones
  std::uint64_t duplicate = 0;  ///< messages refused because they had been accepted before
  std::uint64_t cancelled = 0;  ///< accepted messages that no functor saw because of `cancel`
  std::uint64_t expired = 0;    ///< accepted messages that no functor saw because of their deadline
  std::uint64_t completed = 0;  ///< processed, dropped, cancelled and expired ones together
  std::uint64_t in_flight =
      0;  ///< accepted and followed ones that are not completed, as far as told
  /// Of those, the ones in lanes that no worker has taken; where claims are not known, as in a
  /// report, it is the same as `in_flight`.
  std::uint64_t depth = 0;
  /// How often workers came: the first time, after a park, and after an epoch.
  std::uint64_t epochs = 0;
  std::uint32_t workers = 0;  ///< workers that came alive
  std::uint32_t exited = 0;   ///< workers that left
};

namespace detail {

/// What a handle and its process are to a consumer: all of it, or one side of a shared one.
enum class role : std::uint8_t { whole, producers, workers };

/// Memory of the resource that the options name.
template <class T>
using own_buffer = memory::buffer<T, memory::any_resource>;
template <class T>
using own_vector = std::vector<T, memory::allocator<T, memory::any_resource>>;

/// An object of T in memory of `from`. @throws std::bad_alloc
template <class T, class... Args>
[[nodiscard]] std::shared_ptr<T> make_owned(memory::any_resource const& from, Args&&... args) {
  return std::allocate_shared<T>(memory::allocator<T, memory::any_resource>(from),
                                 std::forward<Args>(args)...);
}

/// What workers run, and with what. A backend knows its own kind.
class program {
 public:
  program() = default;
  program(program const&) = delete;
  program& operator=(program const&) = delete;
  virtual ~program() = default;
};

/// What the consumer's handle, its producers and its workers hold together; it lives until the last
/// of them lets go. A backend derives from it and owns the memory.
template <consumer_policy P>
class state : public std::enable_shared_from_this<state<P>> {
 public:
  state() = default;
  state(state const&) = delete;
  state& operator=(state const&) = delete;
  virtual ~state() { end_keeper(); }

  /// Brings the workers, the first time or after they parked. None is there, and `crew` is reset.
  /// @error as the launcher's
  [[nodiscard]] virtual result<void> start_workers() = 0;
  /// What workers run from the next start on, of this backend's kind.
  virtual void replace(std::unique_ptr<program> with) noexcept = 0;
  /// A worker's own state, while none is there. @error what reaching it says
  [[nodiscard]] virtual result<typename P::state> read_state(std::uint32_t worker) noexcept = 0;
  [[nodiscard]] virtual result<void> write_state(std::uint32_t worker,
                                                 typename P::state const& to) noexcept = 0;
  /// @error errc::device_lost or errc::native_failure once the workers cannot go on
  [[nodiscard]] virtual result<void> health() noexcept { return {}; }
  /// Host threads that go on with this state's lanes, not started yet. @error why there are none
  [[nodiscard]] virtual result<std::shared_ptr<state>> make_stand_in() {
    return core::fail(errc::device_lost);
  }
  /// Lets go of workers that have left, and of those that will not.
  virtual void release_workers(bool all_left) noexcept = 0;

  [[nodiscard]] bool all_left() const noexcept {
    return P::access::load(crew.control().crew.exited, core::acquire, "crew.exited") ==
           crew.workers();
  }

  /// Whether the workers were lost, and others stand in for them.
  [[nodiscard]] bool degraded() const noexcept { return fallen_.load(std::memory_order_acquire); }
  /// Who has the workers.
  [[nodiscard]] state& workers() noexcept { return degraded() ? *stand_in_ : *this; }

  /// Where they are, and why.
  [[nodiscard]] core::backend where_now() const noexcept {
    return degraded() ? stand_in_->where : where;
  }
  [[nodiscard]] std::string why_now() const { return degraded() ? loss_ : why; }

  /// `health`, or why workers did not come; under a policy that falls back a loss is made good,
  /// once.
  [[nodiscard]] result<void> keep_going() noexcept {
    std::uint64_t const bits = P::access::load(failure, core::acquire, "epochs.failure");
    if (bits != 0) { return cuda::std::unexpected<error>(std::bit_cast<error>(bits)); }
    auto const well = workers().health();
    if constexpr (P::on_loss == loss_mode::fall_back) {
      if (!well) { return fall_back(well.error()); }
    }
    return well;
  }

  /// Whether no worker is there, nor will come back by itself: perhaps they are parked.
  [[nodiscard]] bool vacant() const noexcept { return !keeps_going(crew.phase()) && all_left(); }
  /// Whether no worker is there, nor will come back. The phase is read first: once it says that
  /// workers come for a close, what it says of those that left before is gone.
  [[nodiscard]] bool deserted() const noexcept {
    queue::phase const now = crew.phase();
    return !takes_messages(now) && now != queue::phase::recalling && all_left();
  }

  /// Starts the workers the first time.
  /// @error as the launcher's, and then the consumer is stopped
  [[nodiscard]] result<void> begin_epoch() noexcept { return note(try_start()); }
  /// Starts the workers anew, for phase `to`, if they have left and the phase is still `from`.
  /// @error errc::busy if not; as begin_epoch
  [[nodiscard]] result<void> bring_back(queue::phase from, queue::phase to) noexcept {
    // In this order: a thread that is waited for may want `opening` for a producer of its own. And
    // no other workers begin meanwhile, for whatever reason.
    std::scoped_lock const left(leaving);
    if (crew.phase() != from || !all_left()) { return core::fail(errc::busy); }
    workers().release_workers(true);
    std::scoped_lock const lock(opening);
    std::scoped_lock const falling(falling_);
    if (crew.phase() != from || !all_left()) { return core::fail(errc::busy); }
    crew.reset();
    crew.advance(to);
    auto started = try_start();
    if constexpr (P::on_loss == loss_mode::fall_back) {
      if (!started && !degraded()) { started = make_good(started.error()); }
    }
    return note(started);
  }

  /// Waits for the keeper, which leaves by itself once the consumer stops. @thread none that holds
  /// another lock
  void end_keeper() noexcept {
    std::scoped_lock const lock(keeping);
    if (!keeper.joinable()) { return; }
    if (keeper.get_id() == std::this_thread::get_id()) {
      keeper.detach();  // it was the last to let go
    } else {
      keeper.join();
    }
  }

  /// On lines of its own: its producer writes it with every message.
  struct alignas(core::destructive_bytes) lane_entry {
    owner_for<P> owner;
    bool open = false;
  };

  /// Makes a lane this handle's alone, where several may have it. @thread under `opening`
  [[nodiscard]] virtual bool claim_lane(std::uint32_t) noexcept { return true; }
  virtual void give_lane(std::uint32_t) noexcept {}
  /// Makes the names of producers this thread's to look at and to change, if they are nobody's now.
  [[nodiscard]] virtual bool claim_names() noexcept { return naming.try_lock(); }
  virtual void give_names() noexcept { naming.unlock(); }
  /// Whether there is a process for the workers.
  [[nodiscard]] virtual bool served() const noexcept { return true; }

  role part = role::whole;
  core::backend where = core::backend::host();
  std::string why;
  options built;
  crew_ref<P> crew;
  own_buffer<lane_ref<P>> lanes;  ///< what workers read stands apart from what producers write
  own_vector<lane_entry> entries;
  own_buffer<std::byte> stages;    ///< where producers build large batches
  own_buffer<std::uint8_t> notes;  ///< the owners' own, a line or more for each
  own_buffer<message_id> dropped;  ///< the owners' own, where the policy drops messages
  std::mutex opening;              ///< guards lane_entry::open, never the message path
  /// Guards release_workers and begin_epoch: a leaving worker may close a producer of its own.
  /// Taken before `opening` where both are.
  std::mutex leaving;
  std::uint64_t epochs = 0;   ///< that began
  std::uint64_t failure = 0;  ///< the bits of an error of `begin_epoch`
  std::thread keeper;         ///< see epochs.hpp
  std::mutex keeping;         ///< guards `keeper`, and is taken alone
  std::mutex naming;          ///< this process's part of `claim_names`

 private:
  [[nodiscard]] result<void> try_start() noexcept {
    try {
      return workers().start_workers();
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
  }
  /// Counts an epoch that began, or keeps why it did not.
  [[nodiscard]] result<void> note(result<void> started) noexcept {
    if (started) {
      std::uint64_t const so_far = P::access::load(epochs, core::relaxed, "epochs.so_far");
      P::access::store(epochs, so_far + 1, core::release, "epochs.count");
    } else {
      crew.advance(queue::phase::stopping);
      P::access::store(failure, std::bit_cast<std::uint64_t>(started.error()), core::release,
                       "epochs.fail");
    }
    return started;
  }

  /// @return `why` when nobody can stand in
  [[nodiscard]] result<void> fall_back(core::error loss) noexcept {
    std::scoped_lock const lock(falling_);
    if (degraded()) { return workers().health(); }  // somebody else was first
    return make_good(loss);
  }
  /// @thread under `falling_`
  [[nodiscard]] result<void> make_good(core::error loss) noexcept {
    if (crew.phase() >= phase::stopping) { return cuda::std::unexpected(loss); }
    try {
      auto made = make_stand_in();
      if (!made) { return cuda::std::unexpected(loss); }
      crew.reset();
      loss_ = "host threads stand in: " + core::describe(loss);
      stand_in_ = std::move(*made);
      fallen_.store(true, std::memory_order_release);
      return stand_in_->start_workers();
    } catch (std::bad_alloc const&) { return cuda::std::unexpected(loss); }
  }

  std::mutex falling_;
  std::atomic<bool> fallen_{false};  ///< guards the two below, which are written once
  std::shared_ptr<state> stand_in_;
  std::string loss_;
};

/// Waits between looks: polls, then yields, then sleeps ever longer up to 50 us.
class patience {
 public:
  void pause() noexcept {
    if (turns_ < 2'000) {
      core::relax();
    } else if (turns_ < 4'000) {
      core::yield_thread();
    } else {
      timespec const nap{0, turns_ < 4'100 ? 5'000 : 50'000};
      ::nanosleep(&nap, nullptr);
    }
    ++turns_;
  }
  /// True now and then, and at every nap: when a look at the clock is worth its cost.
  [[nodiscard]] bool look_up() const noexcept { return naps() || (turns_ & 63u) == 63u; }
  /// True at every nap: when a question to a driver is, which may take as long as an answer.
  [[nodiscard]] bool naps() const noexcept { return turns_ >= 4'000; }

 private:
  std::uint64_t turns_ = 0;
};

/// Looks until `ready()` holds, the deadline passes, or the workers cannot go on.
template <consumer_policy P, class Ready>
[[nodiscard]] result<void> wait_until(state<P>& shared, recover::deadline until,
                                      Ready ready) noexcept {
  patience wait;
  while (!ready()) {
    if (wait.look_up()) {
      if (until.expired(core::steady_clock{})) {
        return ready() ? result<void>{} : core::fail(errc::deadline_passed);
      }
    }
    if (wait.naps()) {
      if (auto const well = shared.keep_going(); !well) { return well; }
    }
    wait.pause();
  }
  return {};
}

/// Waits for what follows from the messages that the caller knows to be done.
/// @error errc::closed when the workers left before; else as `wait_until`
template <consumer_policy P>
[[nodiscard]] result<void> wait_for_follow_ups(state<P>& shared, recover::deadline until) noexcept {
  using access = typename P::access;
  if constexpr (follows<P>) {
    for (std::uint32_t w = 0; w < shared.crew.workers(); ++w) {
      worker_control const& worker = shared.crew.worker(w);
      std::uint64_t const end = access::load(worker.followed, core::relaxed, "worker.follows");
      bool over = false, done = false;
      auto const ready = [&]() noexcept {
        over = shared.deserted();  // read first: what they did is there by then
        std::uint64_t const now =
            access::load(worker.follow_done, core::acquire, "worker.follows_done");
        done = now - end <= ~std::uint64_t{0} / 2;
        return done || over;
      };
      if (auto const ended = wait_until(shared, until, ready); !ended) { return ended; }
      if (!done) { return core::fail(errc::closed); }
    }
  }
  return {};
}

}  // namespace detail

}  // namespace millrace::inline v0::queue
