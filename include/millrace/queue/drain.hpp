// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/call.hpp>
#include <millrace/queue/claim.hpp>
#include <millrace/queue/epoch_count.hpp>

#include <cstdint>

namespace millrace::inline v0::queue {

/// The loop of one worker, a host thread or a group of device threads.
template <consumer_policy P, core::access_policy A, class Group>
class worker_loop : detail::lane_claims<P, A, Group>,
                    detail::epoch_count<P, Group::alone && P::stay.messages != 0> {
  static_assert(Group::alone || !detail::one_ring<P>,
                "millrace: total order is for host threads: no read-modify-write crosses the bus");
  static_assert(Group::alone || !P::named_producers,
                "millrace: named producers are for host threads, whose memory processes share");
  using base = detail::lane_claims<P, A, Group>;
  using access = typename P::access;
  using base::args_, base::claim, base::closing_, base::cursor_of, base::exclusive_, base::follow,
      base::for_each_lane, base::group_, base::has_lanes, base::held_cursor_, base::held_lane_,
      base::hint_, base::hold, base::lead, base::let_go, base::look_at_phase, base::put_back,
      base::roomy, base::stopping, base::thread_wide, base::withheld_, base::worker_;
  static constexpr bool retains = detail::retains<P>;
  /// Whether a cursor changes although its lane is dry: for its age, or to follow other workers.
  static constexpr bool remembers_dry_rounds = detail::defers<P> || P::claims == claim_mode::shared;
  /// Whether a completion is one word that is stored whole: nothing else must be visible with it.
  static constexpr bool answers_whole = !Group::alone && P::effects == effect_mode::reply &&
                                        !retains && lane_ref<P, A>::record::stride == 16;
  /// The bit of a message's turn that says that no functor saw it.
  static constexpr std::uint64_t unseen = detail::screens<P> ? std::uint64_t{1} << 63 : 0;
  /// Messages taken from one lane before the worker looks up.
  static constexpr std::uint32_t burst = 256;
  /// Messages between two looks at a stop.
  static constexpr std::uint32_t stop_every = 16;
  /// Whether the worker counts towards the end of its epoch; for others the host does.
  static constexpr bool counts_epoch = Group::alone && P::stay.messages != 0;
  /// Messages done between two reports of a worker that never runs dry.
  static constexpr std::uint32_t report_every =
      Group::alone || P::stay.messages == 0 ? 4096 : detail::reports_every(P::stay.messages);
  /// Looks at the next slot between two looks around.
  static constexpr std::uint32_t rounds_watched = 16;
  /// Rounds in a row without a message before a group of device threads reports: that costs it as
  /// much as a look at a lane.
  static constexpr std::uint32_t rounds_to_settle = 32;

 public:
  MILLRACE_HD worker_loop(drain_args<P, A> const& args, std::uint32_t worker, Group group) noexcept
      : base(args, worker, group), process_(args, worker, group), probe_(args.probe) {
    if (args.states != nullptr) {
      processed_ = reported_ = args.states[worker].processed + process_.all_skipped();
      failed_ = args.states[worker].failed;
    }
  }

  MILLRACE_HD void run() noexcept {
    if constexpr (retains) { replay(); }
    typename P::backoff wait;
    std::uint32_t dry = 0;  // rounds in a row
    for (;;) {
      // read before polling, or the last message before a close is lost
      phase const now = look_at_phase();
      if (leaves_work(now)) { break; }
      closing_ = now == phase::closing;
      withheld_ = false;
      std::uint32_t taken = 0;
      for_each_lane([&](std::uint32_t lane) noexcept {
        taken += take_run(lane);
        if constexpr (retains) {
          if (due_) { save(); }
        }
      });
      if (taken != 0) {
        if (processed_ - reported_ >= report_every) { report(); }
        dry = 0;
        wait.reset(taken);
        continue;
      }
      bool const settled = Group::alone || ++dry >= rounds_to_settle;
      if (settled && processed_ != reported_) { report(); }
      if (now == phase::closing && !withheld_ && !awaits_more()) { break; }
      rest(wait);
    }
    if constexpr (roomy) { let_go(); }
    report();
    if constexpr (retains) {
      if (unsaved_ != 0) { save(); }
    }
    if (args_.states != nullptr && group_.rank() == 0) {
      args_.states[worker_].processed = processed_ - process_.all_skipped();
      args_.states[worker_].failed = failed_;
      if constexpr (retains) { args_.states[worker_].turn = turn_; }
    }
  }

 private:
  /// Whether the worker has to stay at a close for messages behind a gap.
  [[nodiscard]] MILLRACE_HD bool awaits_more() const noexcept {
    if constexpr (detail::one_ring<P>) {
      return has_lanes() && detail::holds_gap(args_.lanes[0], cursor_of(0).position);
    }
    return false;
  }

  /// Takes messages of one lane until it is dry or a burst is done.
  MILLRACE_HD std::uint32_t take_run(std::uint32_t number) noexcept {
    if constexpr (P::named_producers) {
      if (stands_sealed(number)) { return 0; }
    }
    if constexpr (Group::alone) {
      lane_ref<P, A> const lane = args_.lanes[number];
      lane_cursor cursor = cursor_of(number);
      std::uint32_t const taken = take_run(lane, cursor);
      if (remembers_dry_rounds || taken != 0) { cursor_of(number) = cursor; }
      if (exclusive_ && args_.lane_count == 1) {
        watched_ = &lane.header(cursor.index);
        awaited_ = sequence_of(cursor.position);
      }
      return taken;
    } else if constexpr (roomy) {
      hold(number);
      return take_run(held_lane_, held_cursor_);
    } else {
      lane_cursor cursor;
      detail::copy_cursor<P>(cursor, cursor_of(number));
      lane_ref<P, A> const lane = args_.lanes[number];
      std::uint32_t const taken = take_run(lane, cursor);
      if (remembers_dry_rounds || taken != 0) { put_back(number, cursor); }
      return taken;
    }
  }

  MILLRACE_HD std::uint32_t take_run(lane_ref<P, A> const& lane, lane_cursor& cursor) noexcept {
    bool const exclusive = exclusive_;
    std::uint32_t taken = 0;
    while (taken < burst) {
      if (taken != 0 && taken % stop_every == 0 && stopping()) { break; }
      std::uint32_t const run = claim(lane, cursor, exclusive);
      if (run == 0) { break; }
      if constexpr (Group::alone) { streaming_ = taken != 0; }
      if (std::uint32_t const bad = do_messages(lane, cursor, run); bad != 0) { failed_ += bad; }
      cursor.position += run;
      cursor.index = lane.after(cursor.index, run);
      taken += run;
      if constexpr (detail::defers<P>) { cursor.dry = false; }  // what follows is younger than this
      bool over = false;
      if constexpr (counts_epoch) { over = this->ends_epoch(args_.crew, worker_, run); }
      if constexpr (detail::counts_credit<P>) {
        cursor.fresh += run;
        if (cursor.fresh * 8 >= lane.capacity()) { give_credit(lane, cursor); }
      }
      if constexpr (retains) {
        cursor.fresh += run;
        unsaved_ += run;
        // no lane is ever full of what it retains
        due_ = due_ || unsaved_ >= P::snapshot_every || 2 * cursor.fresh >= lane.capacity();
        if (due_) { break; }
      }
      if constexpr (detail::follows<P>) {
        if (!do_follow_ups()) { break; }
      }
      if (over) { break; }
    }
    if constexpr (detail::counts_credit<P>) {
      if (cursor.fresh != 0) { give_credit(lane, cursor); }
    }
    processed_ += taken;
    return taken;
  }

  /// Whether nothing more is to be taken from a lane. The first time the worker says where it
  /// stands: that is a promise, which whoever serves after it finds kept in the lane.
  [[nodiscard]] MILLRACE_HD bool stands_sealed(std::uint32_t number) noexcept {
    lane_identity& words = args_.lanes[number].identity();
    std::uint64_t const seal = A::load(words.successor.seal, core::acquire, "lane.look_sealed");
    if (seal == 0) { return false; }
    if (A::load(words.worker.acknowledged, core::relaxed, "lane.so_far") == seal) { return true; }
    if constexpr (retains) {
      // the lane's slots may become another's: nothing in them may have to be done again
      if (cursor_of(number).fresh != 0) { save(); }
    }
    A::store(words.worker.stopped, cursor_of(number).position, core::relaxed, "lane.stop_at");
    A::store(words.worker.acknowledged, seal, core::release, "lane.acknowledge");
    return true;
  }

  /// @return how many of them failed
  [[nodiscard]] MILLRACE_HD std::uint32_t do_messages(lane_ref<P, A> const& lane,
                                                      lane_cursor const& cursor,
                                                      std::uint32_t run) noexcept {
    std::uint32_t const mine = thread_wide ? group_.rank() : 0;
    status outcome = status::ok;
    process_.begin();
    if (mine < run) {
      outcome = do_one(lane, cursor.position + mine, lane.after(cursor.index, mine));
    }
    process_.tally(outcome, [this](bool so) noexcept { return count(so); });
    return count(outcome != status::ok && !process_.skipped());
  }
  /// How many messages of the group's run say so.
  [[nodiscard]] MILLRACE_HD std::uint32_t count(bool mine) noexcept {
    return thread_wide ? group_.count(mine) : static_cast<std::uint32_t>(mine);
  }

  MILLRACE_HD status do_one(lane_ref<P, A> const& lane, message_id id,
                            std::uint32_t index) noexcept {
    probe_.record(core::probe_event::claimed, id);
    slot_header const& header = lane.header(index);
    A::read(&header.length, P::slot::payload_offset - offsetof(slot_header, length), "slot.read");
    A::read(lane.payload(index), header.length, "slot.read");
    message_view<typename P::message> const view = lane.view(index);
    if constexpr (detail::one_ring<P>) {
      if (header.flags == given_up) { return detail::step_over(lane, index, id); }
    }
    if constexpr (detail::in_slab<P>) {
      access::read(view.bytes().data(), view.size(), "slab.read");
    }
    if constexpr (lane_ref<P, A>::has_records) {
      using record = typename lane_ref<P, A>::record;
      record_header& answer = lane.record_at(index);
      if constexpr (Group::alone) { lane.fetch_record_after(index); }
      access::write(&answer.status, record::stride - offsetof(record_header, status),
                    "record.write");
      std::uint16_t length = 0;
      if constexpr (answers_whole) {
        std::uint64_t words[2] = {};
        reply_writer<typename P::reply> out(reinterpret_cast<std::byte*>(&words[1]), length);
        status const outcome = call(lane, id, index, view, out);
        if (thread_wide || group_.rank() == 0) {
          words[0] = std::uint64_t{sequence_of(id)} | static_cast<std::uint64_t>(outcome) << 32 |
                     std::uint64_t{length} << 48;
          access::store_whole(&answer, words, "record.publish_whole");
          probe_.record(core::probe_event::completed, id);
        }
        return outcome;
      } else {
        reply_writer<typename P::reply> out(lane.reply(index), length);
        status const outcome = call(lane, id, index, view, out);
        if (thread_wide || group_.rank() == 0) {
          if constexpr (retains) { lane.turn(index) = turn_++ | (process_.skipped() ? unseen : 0); }
          answer.status = static_cast<std::uint16_t>(outcome);
          answer.length = length;
          access::store(answer.seq, sequence_of(id), core::release, "record.publish");
          probe_.record(core::probe_event::completed, id);
        }
        return outcome;
      }
    } else {
      std::uint16_t length = 0;
      reply_writer<typename P::reply> out(nullptr, length);
      status const outcome = call(lane, id, index, view, out);
      if constexpr (detail::marks_free<P>) { detail::free_slot(lane, index, id); }
      return outcome;
    }
  }

  MILLRACE_HD status call(lane_ref<P, A> const& lane, message_id id, std::uint32_t index,
                          message_view<typename P::message> view,
                          reply_writer<typename P::reply>& out) noexcept {
    status const outcome = process_(lane, index, view, out);
    if constexpr (Group::alone) { own(lane, index); }
    if (!process_.skipped()) { probe_.record(core::probe_event::processed, id); }
    return outcome;
  }

  /// Takes over the lines of a message that is read, but not of one that came alone: its answer
  /// would wait for them.
  void own(lane_ref<P, A> const& lane, std::uint32_t index) const noexcept {
    if (lane_ref<P, A>::has_records && !streaming_) { return; }
    A::write(&lane.header(index).length, P::slot::stride - offsetof(slot_header, length),
             "slot.own");
    if constexpr (detail::in_slab<P>) {
      auto const bytes = lane.view(index).bytes();
      access::write(const_cast<std::byte*>(bytes.data()), bytes.size(), "slab.own");
    }
    lane.own_message(index);
  }

  /// Does what functors left to this worker before the next message of a lane; false when the
  /// consumer stops meanwhile.
  [[nodiscard]] MILLRACE_HD bool do_follow_ups() noexcept {
    auto const stops = [this]() noexcept {
      hint_ = static_cast<phase>(
          lead([this]() noexcept { return static_cast<std::uint32_t>(args_.crew.phase()); }));
      return hint_ >= phase::stopping;  // who parks comes back without them
    };
    return process_.do_follow_ups(stop_every, stops, [this](status outcome) noexcept {
      ++processed_;
      failed_ += outcome != status::ok ? 1 : 0;
      if constexpr (counts_epoch) { this->add_to_epoch(); }
    });
  }

  /// Does again what a worker before this one did after its last snapshot, in the order of its
  /// turns, for the state alone: the answers are there.
  MILLRACE_HD void replay() noexcept {
    turn_ = args_.states[worker_].turn;
    for (bool found = true; found;) {
      found = false;
      for_each_lane([&](std::uint32_t number) noexcept {
        lane_ref<P, A> const& lane = args_.lanes[number];
        lane_cursor cursor = cursor_of(number);
        while (answered_at_turn(lane, cursor)) {
          do_again(lane, cursor);
          cursor.position += 1;
          cursor.index = lane.after(cursor.index, 1);
          cursor.fresh += 1;
          ++unsaved_;
          ++turn_;
          found = true;
        }
        put_back(number, cursor);
      });
    }
    if (unsaved_ != 0) { save(); }
  }
  [[nodiscard]] MILLRACE_HD bool answered_at_turn(lane_ref<P, A> const& lane,
                                                  lane_cursor const& cursor) noexcept {
    return lead([&]() noexcept {
             record_header const& answer = lane.record_at(cursor.index);
             if (access::load(answer.seq, core::acquire, "record.answered") !=
                 sequence_of(cursor.position)) {
               return 0u;
             }
             access::read(&lane.turn(cursor.index), sizeof(std::uint64_t), "record.read");
             return (lane.turn(cursor.index) & ~unseen) == turn_ ? 1u : 0u;
           }) != 0;
  }
  MILLRACE_HD void do_again(lane_ref<P, A> const& lane, lane_cursor const& cursor) noexcept {
    using record = typename lane_ref<P, A>::record;
    if constexpr (detail::screens<P>) {
      // what was cancelled or too late then is so now, whatever a second look would say
      if ((lane.turn(cursor.index) & unseen) != 0) { return; }
    }
    slot_header const& header = lane.header(cursor.index);
    A::read(lane.payload(cursor.index), header.length, "slot.read");
    alignas(record::alignment) std::byte scratch[record::payload_bytes + 1];
    std::uint16_t length = 0;
    reply_writer<typename P::reply> out(scratch, length);
    message_view<typename P::message> const view(header, lane.payload(cursor.index));
    static_cast<void>(process_.again(view, out));
    if (group_.rank() == 0) {
      worker_control& me = args_.crew.worker(worker_);
      access::store(me.replayed, access::load(me.replayed, core::relaxed, "worker.so_far") + 1,
                    core::relaxed, "worker.replayed");
    }
  }

  /// Takes a snapshot between two messages, and lets the lanes go of what it covers. The state is
  /// copied by all members; the last store makes it the one that counts.
  MILLRACE_HD void save() noexcept {
    if constexpr (roomy) { let_go(); }
    worker_control& me = args_.crew.worker(worker_);
    std::uint64_t const number =
        1 +
        lead([&]() noexcept { return access::load(me.snapshots, core::relaxed, "worker.so_far"); });
    if (group_.rank() == 0) { args_.snapshots.writing(worker_, number); }
    auto const* const from = reinterpret_cast<std::byte const*>(&args_.states[worker_].state);
    auto* const to = reinterpret_cast<std::byte*>(&args_.snapshots.of(worker_, number).state);
    for (std::size_t i = group_.rank(); i < sizeof(typename P::state); i += group_.size()) {
      to[i] = from[i];
    }
    for_each_lane([&](std::uint32_t number_of_lane) noexcept {
      if (group_.rank() == 0) {
        args_.snapshots.position(worker_, number, number_of_lane) =
            cursor_of(number_of_lane).position;
      }
    });
    group_.sync();
    if (group_.rank() == 0) {
      args_.snapshots.of(worker_, number).turn = turn_;
      access::store(me.snapshots, number, core::release, "worker.snapshot");
    }
    for_each_lane([&](std::uint32_t lane) noexcept {
      if (group_.rank() == 0) {
        access::store(args_.lanes[lane].credit(), cursor_of(lane).position, core::release,
                      "lane.keep");
        cursor_of(lane).fresh = 0;
      }
    });
    group_.sync();
    unsaved_ = 0;
    due_ = false;
  }

  /// Tells the producer how far its lane is consumed.
  MILLRACE_HD void give_credit(lane_ref<P, A> const& lane, lane_cursor& cursor) noexcept {
    cursor.fresh = 0;
    group_.sync();
    if (group_.rank() == 0) {
      access::store(lane.credit(), cursor.position, core::release, "lane.credit");
    }
  }

  /// Publishes the counters; what the functor wrote is visible to whoever reads them.
  MILLRACE_HD void report() noexcept {
    reported_ = processed_;
    group_.sync();
    if (group_.rank() == 0) {
      worker_control& me = args_.crew.worker(worker_);
      access::store(me.failed, failed_, core::relaxed, "worker.failed");
      process_.report_skipped();
      access::store(me.processed, processed_ - process_.all_skipped(), core::release,
                    "worker.processed");
    }
  }

  MILLRACE_HD void rest(typename P::backoff& wait) noexcept {
    if constexpr (P::backoff::blocks && Group::may_park) {
      if (wait.wants_sleep() && !withheld_) {
        probe_.record(core::probe_event::parked, worker_);
        args_.crew.sleep(worker_, [this]() noexcept { return something_to_do(); });
        probe_.record(core::probe_event::woken, worker_);
        wait.reset(0);
        return;
      }
    }
    wait.pause();
    if constexpr (Group::alone && !detail::defers<P>) { watch(wait); }
  }

  /// A host worker of a consumer with one lane looks at nothing but the next slot for a while: the
  /// shorter the round, the sooner it sees the message.
  MILLRACE_HD void watch(typename P::backoff& wait) noexcept {
    if (watched_ == nullptr) { return; }
    for (std::uint32_t round = 0; round < rounds_watched; ++round) {
      if (A::load(watched_->seq, core::relaxed, "slot.watch") == awaited_) { return; }
      wait.pause();
    }
  }

  /// The last look before sleep.
  [[nodiscard]] MILLRACE_HD bool something_to_do() noexcept {
    bool found = args_.crew.phase(core::seq_cst) != phase::running;
    for_each_lane([&](std::uint32_t number) noexcept {
      lane_ref<P, A> const& lane = args_.lanes[number];
      lane_cursor& cursor = cursor_of(number);
      if constexpr (P::named_producers) {
        lane_identity const& words = lane.identity();
        std::uint64_t const seal = A::load(words.successor.seal, core::seq_cst, "lane.last_look");
        if (seal != 0) {
          found = found || A::load(words.worker.acknowledged, core::relaxed, "lane.so_far") != seal;
          return;
        }
      }
      if (!exclusive_) { found = !follow(lane, cursor) || found; }
      found = found || !detail::is_quiet(lane, cursor.index, cursor.position);
      if constexpr (detail::defers<P>) {
        found = found || A::load(lane.control().producer.reserved, core::seq_cst,
                                 "lane.last_look") != cursor.position;
      }
    });
    return found;
  }

  detail::functor_call<P, A, Group> process_;
  typename P::probe probe_;
  std::uint64_t turn_ = 0;     ///< of the next message, in policies that retain
  std::uint32_t unsaved_ = 0;  ///< messages since the last snapshot
  bool due_ = false;           ///< a snapshot is
  bool streaming_ = false;     ///< the message before this one was there at once
  std::uint64_t processed_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t reported_ = 0;
  slot_header const* watched_ = nullptr;
  std::uint32_t awaited_ = 0;
};

/// Runs one worker until the consumer stops. The one body of every host thread and of every
/// persistent kernel.
template <consumer_policy P, core::access_policy A, class Group>
MILLRACE_HD void drain(drain_args<P, A> const& args, std::uint32_t worker, Group group) noexcept {
  worker_loop<P, A, Group>(args, worker, group).run();
}

}  // namespace millrace::inline v0::queue
