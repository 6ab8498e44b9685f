// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/epochs.hpp>
#include <millrace/queue/names.hpp>
#include <millrace/queue/producer.hpp>
#include <millrace/queue/report.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace millrace::inline v0::queue {

/// Running workers. Producers are opened from it and may outlive it. Moves, never copies; its end
/// closes, waits for the workers as long as `options::patience` says, then stops them: it never
/// hangs. A consumer that was moved from is closed, and has nothing to say.
/// @thread any, several at once, but for moves and the end
template <consumer_policy P>
class consumer {
 public:
  consumer(consumer&& other) noexcept : shared_(std::move(other.shared_)) {}
  consumer& operator=(consumer&& other) noexcept {
    consumer moved(std::move(other));
    std::swap(shared_, moved.shared_);
    return *this;
  }
  ~consumer() {
    if (shared_ == nullptr) { return; }
    auto const until = within(shared_->built.patience);
    if (shared_->part == detail::role::workers) {
      static_cast<void>(park(until));
      return;
    }
    close();
    if (shared_->part == detail::role::producers) { return; }
    auto const gone = [&]() noexcept { return shared_->deserted(); };
    static_cast<void>(detail::wait_until(*shared_, until, gone));
    static_cast<void>(stop(within(shared_->built.patience / 8)));
  }

  /// A lane of one's own; under total order, an end of the ring.
  /// @error errc::busy when every lane has a producer, and on a handle that serves: producers of a
  ///        shared block come through `share` and `join`; errc::closed
  [[nodiscard]] result<producer<P>> open_lane() noexcept
    requires(!P::named_producers)
  {
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    if (shared_->part == detail::role::workers) { return core::fail(errc::busy); }
    std::scoped_lock const lock(shared_->opening);
    if (!takes_messages(shared_->crew.phase())) { return core::fail(errc::closed); }
    for (std::uint32_t l = 0; l < shared_->entries.size(); ++l) {
      auto& entry = shared_->entries[l];
      if (!entry.open && shared_->claim_lane(l)) {
        entry.open = true;
        return producer<P>(shared_, l);
      }
    }
    return core::fail(errc::busy);
  }

  /// A lane for `name`, under an epoch above all that the name had. Messages are numbered on from
  /// the last one that was accepted under the name: `next_id` says where. Another producer that
  /// still has the name is fenced: it loses the lane, and what it submits from now on is never
  /// done; for that the lane's worker has to say where it stopped, which is waited for. Results of
  /// messages before, of the last lap of their lane at most, are there to be taken; some may have
  /// been taken before.
  /// @error errc::bad_argument for the name 0; errc::busy when every lane has a producer, or waits
  ///        for a name to come back, and on a handle that serves; errc::deadline_passed without a
  ///        worker to stop, or while others open lanes, and then the name's producer may be fenced
  ///        already; errc::closed; errc::out_of_memory
  [[nodiscard]] result<producer<P>> open_lane(producer_name name, recover::deadline until) noexcept
    requires(P::named_producers)
  {
    using book = detail::name_book<P>;
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    if (name == producer_name{}) { return core::fail(errc::bad_argument, 1); }
    // who serves holds no locks of lanes or names
    if (shared_->part == detail::role::workers) { return core::fail(errc::busy); }
    typename book::guard names(*shared_);
    if (auto const held = names.hold(until); !held) { return cuda::std::unexpected(held.error()); }
    if (!takes_messages(shared_->crew.phase())) { return core::fail(errc::closed); }
    try {
      typename book::completions results{
          typename book::completions::allocator_type(shared_->built.resource)};
      auto const lane = book(*shared_).open(static_cast<std::uint64_t>(name), until, results);
      if (!lane) { return cuda::std::unexpected(lane.error()); }
      return producer<P>(shared_, *lane, std::move(results));
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
  }
  /// Gives the lane of a name that nobody will come back under to others. A producer that opens
  /// under it all the same begins anew.
  /// @error errc::unknown_id when no lane has the name; errc::busy while it has a producer, and on
  ///        a handle that serves; errc::deadline_passed while others open lanes; errc::closed
  [[nodiscard]] result<void> forget(producer_name name, recover::deadline until) noexcept
    requires(P::named_producers)
  {
    using book = detail::name_book<P>;
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    if (name == producer_name{}) { return core::fail(errc::bad_argument, 1); }
    if (shared_->part == detail::role::workers) { return core::fail(errc::busy); }
    typename book::guard names(*shared_);
    if (auto const held = names.hold(until); !held) { return held; }
    return book(*shared_).forget(static_cast<std::uint64_t>(name));
  }

  /// Waits until no worker is left, as after another handle's `close`, or after a park; not for
  /// workers that come back by themselves.
  /// @error errc::deadline_passed; errc::device_lost
  [[nodiscard]] result<void> wait_until_left(recover::deadline until) noexcept {
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    return detail::wait_until(*shared_, until, [&]() noexcept { return shared_->vacant(); });
  }
  /// Whether there is a process that has the workers; true for a consumer that is not shared.
  [[nodiscard]] bool served() const noexcept { return shared_ != nullptr && shared_->served(); }

  /// Waits until every message published before the call is processed, with all that follows from
  /// it, whatever comes after it.
  /// @error errc::deadline_passed; errc::closed when the workers left before they did them all;
  ///        errc::device_lost
  [[nodiscard]] result<void> drain(recover::deadline until) noexcept {
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    for (lane_ref<P> const& lane : shared_->lanes.ref()) {
      lane_control const& words = lane.control();
      message_id end =
          access::load(detail::one_ring<P> ? words.producer.reserved : words.producer.published,
                       core::acquire, "lane.published");
      message_id id = end - std::min<message_id>(end - words.first, lane.capacity());
      bool over = false;
      auto const done = [&]() noexcept {
        over = shared_->deserted();  // read first: what they did is there by then
        if constexpr (P::named_producers) { end = detail::end_of(lane, end); }
        while (id != end && detail::processed(lane, id)) { ++id; }
        return id == end || over;
      };
      if (auto const ended = detail::wait_until(*shared_, until, done); !ended) { return ended; }
      if (id != end) { return core::fail(errc::closed); }
    }
    return detail::wait_for_follow_ups(*shared_, until);
  }

  /// Takes no more messages; workers do what is published, then leave. Returns at once; workers
  /// that are parked, or are about to, come back for it. Under total order they also wait for
  /// numbers drawn and not yet published: `stop` does not.
  void close() noexcept {
    if (shared_ == nullptr) { return; }
    {
      std::scoped_lock const lock(shared_->opening);
      crew_ref<P> const& crew = shared_->crew;
      if (crew.phase() == phase::recalling) { return; }
      bool const others =
          shared_->part == detail::role::producers;  // who serves brings the workers
      if (crew.hear_close(others) != phase::recalling) { return; }
    }
    if constexpr (!P::stay.bounded()) {
      auto const back = shared_->bring_back(phase::recalling, phase::closing);
      if (back || back.error().code != errc::busy) { return; }
      static_cast<void>(detail::start_keeper(shared_));  // some are still on their way out
    }
  }

  /// Lets the workers leave within 16 messages, to come back with `resume`; meanwhile producers go
  /// on submitting until their lanes are full. Nothing is lost, and nothing done twice. Workers
  /// that are away between two epochs stay away.
  /// @error errc::deadline_passed when a worker did not come back yet: park again, or stop;
  ///        errc::closed; errc::device_lost
  [[nodiscard]] result<void> park(recover::deadline until) noexcept {
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    {
      std::scoped_lock const lock(shared_->opening);
      if (!takes_messages(shared_->crew.hear_park())) { return core::fail(errc::closed); }
    }
    auto const ended = detail::wait_until(*shared_, until, [&]() noexcept {
      return shared_->crew.phase() != phase::parking || all_left();
    });
    if (!ended) { return ended; }
    std::scoped_lock const lock(shared_->leaving);
    if (all_left()) { shared_->workers().release_workers(true); }
    return takes_messages(shared_->crew.phase()) ? result<void>{} : core::fail(errc::closed);
  }

  /// Brings parked workers back; they go on where they stopped.
  /// @error errc::busy while a worker has not left yet, or when the workers are another process's;
  ///        errc::closed; as the launcher's, and then the consumer is stopped
  [[nodiscard]] result<void> resume() noexcept {
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    result<void> back = core::fail(errc::busy);
    if (shared_->crew.phase() == phase::parking && shared_->part != detail::role::producers) {
      back = shared_->bring_back(phase::parking, phase::running);
    }
    if (back || back.error().code != errc::busy) { return back; }
    phase const now = shared_->crew.phase();
    if (now == phase::running || now == phase::turning) { return {}; }
    return core::fail(now == phase::parking ? errc::busy : errc::closed);
  }

  /// A copy of worker `w`'s state, while the workers are parked or have left.
  /// @error errc::busy while they run; errc::bad_argument for no such worker; errc::closed
  [[nodiscard]] result<typename P::state> state(std::uint32_t w) noexcept
    requires detail::has_state<P>
  {
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    std::scoped_lock const lock(shared_->leaving);  // nobody brings the workers back meanwhile
    if (auto const ok = may_touch_state(w); !ok) { return cuda::std::unexpected(ok.error()); }
    return shared_->workers().read_state(w);
  }
  /// Gives worker `w` another state, as one that `state` returned before. Under a policy that takes
  /// snapshots it is the worker's next one: whoever dies after this call goes on from there.
  /// @error as above
  [[nodiscard]] result<void> restore(std::uint32_t w, typename P::state const& to) noexcept
    requires detail::has_state<P>
  {
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    std::scoped_lock const lock(shared_->leaving);
    if (auto const ok = may_touch_state(w); !ok) { return ok; }
    return shared_->workers().write_state(w, to);
  }

  /// Whether the workers are parked: gone, to come back.
  [[nodiscard]] bool parked() const noexcept {
    return shared_ != nullptr && shared_->crew.phase() == phase::parking && all_left();
  }

  /// Workers leave within 16 messages. What they did not do completes as
  /// `status::unprocessed`. A worker that does not come back by the deadline is left behind with
  /// the memory it needs.
  /// @return messages published, or left by functors, and not processed; under total order, numbers
  ///         drawn
  /// @error errc::deadline_passed when a worker did not come back; errc::device_lost
  [[nodiscard]] result<std::uint64_t> stop(recover::deadline until) noexcept {
    if (shared_ == nullptr) { return core::fail(errc::closed); }
    go(phase::stopping);
    auto const ended = detail::wait_until(*shared_, until, [&]() noexcept { return all_left(); });
    {
      std::scoped_lock const lock(shared_->leaving);
      shared_->workers().release_workers(ended.has_value());
    }
    shared_->end_keeper();
    if (!ended) {
      // nobody is left to answer: each message comes back under its number
      if (ended.error().code != errc::deadline_passed) { go(phase::stopped); }
      return cuda::std::unexpected(ended.error());
    }
    go(phase::stopped);
    statistics const now = stats();
    return now.in_flight;
  }

  /// The counters now, each read once.
  [[nodiscard]] statistics stats() const noexcept {
    statistics out;
    if (shared_ == nullptr) { return out; }
    crew_ref<P> const& crew = shared_->crew;
    for (std::uint32_t w = 0; w < crew.workers(); ++w) {
      worker_control const& worker = crew.worker(w);
      out.processed += access::load(worker.processed, core::acquire, "worker.processed");
      out.failed += access::load(worker.failed, core::relaxed, "worker.failed");
      out.replayed += access::load(worker.replayed, core::relaxed, "worker.replayed");
      out.cancelled += access::load(worker.cancelled, core::relaxed, "worker.cancelled");
      out.expired += access::load(worker.expired, core::relaxed, "worker.expired");
      out.followed += access::load(worker.followed, core::relaxed, "worker.follows");
    }
    bool const claims = detail::knows_claims(*shared_);
    for (auto const& lane : shared_->lanes.ref()) {
      auto const& words = lane.control().producer;
      std::uint64_t const dropped = access::load(words.dropped, core::relaxed, "lane.tallied");
      out.dropped += dropped;
      out.rejected += access::load(words.rejected, core::relaxed, "lane.tallied");
      out.accepted += dropped;  // the newer ones took their places
      message_id const end = detail::end_of(
          lane, access::load(accepted(lane.control()), core::acquire, "lane.published"));
      if constexpr (P::named_producers) {
        out.duplicate +=
            access::load(lane.identity().producer.duplicate, core::relaxed, "lane.tallied");
      }
      out.accepted += end - lane.control().first;
      if (claims) { out.depth += detail::unclaimed_before(lane, end); }
    }
    out.completed = out.processed + out.dropped + out.cancelled + out.expired;
    // a message may be done before its producer has stored that it is published
    out.accepted = std::max(out.accepted, out.completed - std::min(out.completed, out.followed));
    out.in_flight = out.accepted + out.followed - out.completed;
    out.depth = claims ? std::min(out.depth, out.in_flight) : out.in_flight;
    out.epochs = access::load(shared_->epochs, core::acquire, "epochs.look");
    out.workers = access::load(crew.control().crew.alive, core::relaxed, "crew.alive");
    out.exited = access::load(crew.control().crew.exited, core::relaxed, "crew.exited");
    return out;
  }

  /// Who waits for what: phase, workers, lanes, and which messages the workers hold. For when a
  /// drain or a stop ends with errc::deadline_passed.
  /// @cost  reads every record; allocates; nothing for producers and workers but the lines they
  ///        share   @thread any
  [[nodiscard]] consumer_report inspect() const {
    return shared_ == nullptr ? consumer_report{} : detail::look_at(*shared_);
  }
  /// The same in words: a line for the consumer, and one for each worker and each lane.
  [[nodiscard]] std::string report() const { return describe(inspect()); }

  /// Where the workers run: never automatic.
  [[nodiscard]] core::backend where() const noexcept {
    return shared_ == nullptr ? core::backend::host() : shared_->where_now();
  }
  /// Why there, in words.
  [[nodiscard]] std::string why() const { return shared_ == nullptr ? "" : shared_->why_now(); }
  /// Whether the workers' device was lost and host threads stand in for it, as `loss_mode` says.
  /// Whoever waits for the consumer finds the loss, and has it made good.
  [[nodiscard]] bool degraded() const noexcept { return shared_ != nullptr && shared_->degraded(); }

  /// @internal Who chose this place, and why.
  void explain(std::string why) noexcept { shared_->why = std::move(why); }
  /// @internal What its launchers know of it.
  [[nodiscard]] std::shared_ptr<detail::state<P>> const& shared() const noexcept { return shared_; }
  /// @internal What a launcher made.
  explicit consumer(std::shared_ptr<detail::state<P>> shared) noexcept
      : shared_(std::move(shared)) {}

 private:
  using access = typename P::access;

  /// Workers may take what is held back too; a ring knows its numbers drawn.
  [[nodiscard]] static message_id const& accepted(lane_control const& lane) noexcept {
    return detail::defers<P> || detail::one_ring<P> ? lane.producer.reserved
                                                    : lane.producer.published;
  }
  [[nodiscard]] bool all_left() const noexcept { return shared_->all_left(); }

  [[nodiscard]] result<void> may_touch_state(std::uint32_t w) const noexcept {
    if (w >= shared_->crew.workers()) { return core::fail(errc::bad_argument, 1); }
    if (!shared_->vacant()) { return core::fail(errc::busy); }
    return {};
  }

  void go(phase to) noexcept {
    if (shared_ == nullptr) { return; }
    std::scoped_lock const lock(shared_->opening);
    shared_->crew.hear_stop(to);
  }

  std::shared_ptr<detail::state<P>> shared_;
};

}  // namespace millrace::inline v0::queue
