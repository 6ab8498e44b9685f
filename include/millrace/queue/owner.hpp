// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/queue/crew.hpp>
#include <millrace/queue/lane.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::queue {

/// The one side of a lane that is not a worker: it writes messages and takes their results.
/// It executes no read-modify-write; what it remembers is its own.
/// @thread one at a time
template <consumer_policy P>
class lane_owner : private detail::arena_part<detail::in_slab<P>> {
  using access = typename P::access;

 public:
  using message = typename P::message;
  using reply = typename P::reply;

  /// @param taken  [capacity] zeros that outlive the owner: which results were taken out of order
  /// @param stage  raw memory that outlives the owner, where batches are built; may be empty
  lane_owner(lane_ref<P> lane, crew_ref<P> crew, std::uint32_t number,
             memory::buffer_ref<std::uint8_t> taken,
             memory::buffer_ref<std::byte> stage = {}) noexcept
      : lane_(lane),
        crew_(crew),
        number_(number),
        next_(lane.control().first),
        published_(next_),
        retired_(next_),
        abandoned_(next_),
        kept_(next_),
        taken_(taken),
        stage_(stage) {
    if constexpr (detail::in_slab<P>) {
      this->arena = byte_ring(lane.control().arena_bytes);
      this->freed = next_;
    }
  }

  /// Goes on in a lane whose former owner is gone: behind every message that it published. Results
  /// of messages that the lane retains are there to be taken, though the former owner may have
  /// taken some; those of other messages are dropped.
  /// @thread while nobody else writes to the lane
  void take_over() noexcept {
    lane_control const& control = lane_.control();
    next_ = access::load(control.producer.published, core::acquire, "lane.published");
    message_id const so_far = next_ - control.first;
    next_index_ = static_cast<std::uint32_t>(so_far % lane_.capacity());
    // the slot is published before the cursor
    while (access::load(lane_.header(next_index_).seq, core::acquire, "slot.take_over") ==
           sequence_of(next_)) {
      ++next_;
      next_index_ = lane_.after(next_index_, 1);
    }
    published_ = next_;
    access::store(lane_.control().producer.reserved, next_, core::release, "lane.reserve");
    access::store(lane_.control().producer.published, next_, core::release, "lane.publish");
    message_id const lap =
        next_ - control.first < lane_.capacity() ? next_ - control.first : lane_.capacity();
    kept_ = retains ? access::load(lane_.credit(), core::acquire, "lane.kept") : next_;
    retired_ = retains ? kept_ : next_ - lap;
    abandoned_ = retains ? retired_ : next_;
    ahead_ = 0;
    for (std::uint8_t& taken : taken_) { taken = 0; }
    if constexpr (detail::in_slab<P>) { find_bytes(); }
  }

  /// Bytes of a stage: it stays in the first cache beside what else a producer touches.
  static constexpr std::size_t stage_bytes = std::size_t{36} << 10;

  /// Slots free for further messages.
  [[nodiscard]] std::uint32_t room() noexcept {
    reclaim();
    if constexpr (retains) { kept_ = access::load(lane_.credit(), core::acquire, "lane.kept"); }
    return lane_.capacity() - occupied();
  }
  /// Messages whose slots are in use: written, and not yet answered and taken.
  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    return static_cast<std::uint32_t>(next_ - retired_);
  }
  /// The number that the next message will get.
  [[nodiscard]] message_id next() const noexcept { return next_; }

  /// errc::ok when `count` messages fit now. A bare code: what a result costs, the hot path would
  /// pay in stalled stores.
  /// @error errc::closed; errc::full; errc::bad_argument when the lane could never hold so many
  [[nodiscard]] errc admit(std::uint32_t count) noexcept {
    if (count == 0 || count > lane_.capacity()) { return errc::bad_argument; }
    if (!takes_messages(crew_.phase(core::relaxed))) { return errc::closed; }
    bool const fits = lane_.capacity() - occupied() >= count || room() >= count;
    return fits ? errc::ok : errc::full;
  }

  /// The payload of the message `ahead` places behind the next one; admitted before.
  [[nodiscard]] std::byte* payload(std::uint32_t ahead = 0) noexcept {
    std::uint32_t const index = lane_.after(next_index_, ahead);
    access::write(&lane_.header(index).length, P::slot::stride - offsetof(slot_header, length),
                  "slot.write");
    lane_.fetch_slot_after(index);
    return lane_.payload(index);
  }

  /// Whether `count` admitted messages, the i-th of `size(i)` bytes, fit into the arena now.
  template <class Size>
  [[nodiscard]] bool fits(std::uint32_t count, Size size) noexcept
    requires(detail::in_slab<P>)
  {
    auto const holds = [&]() noexcept {
      byte_ring trial = this->arena;
      for (std::uint32_t i = 0; i < count; ++i) {
        if (trial.place(size(i)) == byte_ring::nowhere) { return false; }
        trial.take_placed(size(i));
      }
      return true;
    };
    return holds() || (room() != 0 && holds());
  }
  /// Where the next message's bytes go, which fit. They stay free until `commit_bytes`.
  [[nodiscard]] std::byte* bytes(std::size_t size) noexcept
    requires(detail::in_slab<P>)
  {
    std::byte* const at = lane_.arena() + this->arena.place(size);
    access::write(at, size, "slab.write");
    return at;
  }
  /// Commits the next message, whose `size` bytes are written: no more than `bytes` was asked for.
  message_id commit_bytes(std::size_t size, std::uint8_t kind) noexcept
    requires(detail::in_slab<P>)
  {
    slab_descriptor const where{this->arena.take_placed(size), size};
    detail::place(payload(), where);
    return commit(sizeof(where), kind);
  }

  /// Commits the next message, whose payload is written. It stays invisible until `publish`.
  message_id commit(std::size_t length, std::uint8_t kind) noexcept {
    write_header(lane_.header(next_index_), next_, length, kind);
    return step();
  }

  /// Commits `count` admitted messages of full length, each built by `build(i, payload)`.
  ///
  /// Large batches are built in the stage and copied in one piece: such a copy overwrites whole
  /// lines without fetching them from the worker that read them last.
  template <class Build>
  message_id commit_batch(std::uint32_t count, std::uint8_t kind, Build build) noexcept {
    constexpr std::size_t length = P::slot::payload_bytes;
    message_id const first = next_;
    std::uint32_t const room = stage_room(count);
    for (std::uint32_t done = 0; done < count;) {
      if (room < 2) {
        build(done++, payload());
        commit(length, kind);
        continue;
      }
      std::uint32_t const run = std::min({count - done, room, lane_.capacity() - next_index_});
      for (std::uint32_t i = 0; i < run; ++i) {
        std::byte* const at = stage_.data() + std::size_t{i} * P::slot::stride;
        slot_header& header = detail::place(at, slot_header{});
        header.seq = sequence_of(next_ + i);
        write_header(header, next_ + i, length, kind);
        build(done + i, at + P::slot::payload_offset);
      }
      copy_stage(run);
      step(run);
      done += run;
    }
    return first;
  }

  /// Publishes, or holds the messages back for company if the policy says so.
  void offer() noexcept {
    if constexpr (detail::defers<P>) {
      std::uint32_t const pending = static_cast<std::uint32_t>(next_ - published_);
      if (pending < std::min(P::publish_batch, lane_.capacity()) && !idle(pending)) {
        access::store(lane_.control().producer.reserved, next_, detail::publish_order<P>,
                      "lane.reserve");
        crew_.wake_for(number_, pending);
        return;
      }
    }
    publish();
  }

  /// Makes every committed message visible to the workers.
  void publish() noexcept {
    if (published_ == next_) { return; }
    std::uint32_t const pending = static_cast<std::uint32_t>(next_ - published_);
    slot_header& first = lane_.header(lane_.before(next_index_, pending));
    if constexpr (detail::defers<P>) {
      access::store(lane_.control().producer.reserved, next_, core::release, "lane.reserve");
    }
    access::store(first.seq, sequence_of(published_), detail::publish_order<P>, "slot.publish");
    access::store(lane_.control().producer.published, next_, core::release, "lane.publish");
    probe_.record(core::probe_event::published, published_);
    published_ = next_;
    crew_.wake_for(number_, pending);
  }

  /// Takes the result of message `id` into `out`.
  /// @error errc::unknown_id when no such message is in flight; errc::not_ready
  [[nodiscard]] errc take(message_id id, completion<reply>& out) noexcept
    requires(P::completions == completion_mode::records)
  {
    if (id - retired_ >= next_ - retired_ || is_abandoned(id)) { return errc::unknown_id; }
    std::uint32_t const index = lane_.before(next_index_, static_cast<std::uint32_t>(next_ - id));
    if (ahead_ != 0 && taken_[index] != 0) { return errc::unknown_id; }
    if (!answered(index, id) && !crew_.over()) { return errc::not_ready; }
    // looked at again: the last answers may have come between the two
    if (answered(index, id)) {
      detail::read_answer<P>(lane_, index, out);
    } else {
      out.status = status::unprocessed;
    }
    out.id = id;
    retire(id, index);
    probe_.record(core::probe_event::taken, id);
    return errc::ok;
  }

  /// Takes every result there is, oldest message first, and calls `use(completion)` for each;
  /// `use` must not touch the lane. Returns how many.
  template <class Use>
  std::uint32_t take_all(Use use) noexcept
    requires(P::completions == completion_mode::records)
  {
    // No more messages than this can be between claim and answer: behind so many unanswered ones
    // nothing has been claimed.
    std::uint32_t patience = at_once();
    std::uint32_t count = 0;
    message_id const first = is_abandoned(retired_) ? abandoned_ : retired_;
    for (message_id id = first; id != next_ && patience != 0; ++id) {
      completion<reply> got;
      errc const outcome = take(id, got);
      if (outcome == errc::ok) {
        ++count;
        use(std::as_const(got));
      } else {
        patience -= outcome == errc::not_ready ? 1u : 0u;
      }
    }
    return count;
  }

  /// Whether the message is done, its result still untaken or not asked for.
  [[nodiscard]] bool done(message_id id) noexcept {
    if (id - retired_ >= next_ - retired_) { return true; }
    if constexpr (detail::counts_credit<P>) {
      reclaim();
      return id - retired_ >= next_ - retired_;
    } else {
      return answered(lane_.before(next_index_, static_cast<std::uint32_t>(next_ - id)), id);
    }
  }
  [[nodiscard]] message_id oldest() const noexcept { return retired_; }

  /// Gives an admitted message up: its slot was never taken.
  void cancel() noexcept {}

  /// From now on nobody asks for the results of the messages in flight.
  void abandon() noexcept {
    publish();
    abandoned_ = next_;
  }

 private:
  static constexpr bool retains = detail::retains<P>;

  /// Slots in use: of messages in flight, and of those that the lane retains.
  [[nodiscard]] std::uint32_t occupied() const noexcept {
    std::uint32_t const kept = retains ? static_cast<std::uint32_t>(next_ - kept_) : 0;
    return std::max(in_flight(), kept);
  }

  /// Whether message `id`, which is in flight, is of a producer before this one.
  [[nodiscard]] bool is_abandoned(message_id id) const noexcept {
    message_id const left = abandoned_ - retired_;  // far more than is in flight once none is left
    return left <= next_ - retired_ && id - retired_ < left;
  }

  static void write_header(slot_header& header, message_id id, std::size_t length,
                           std::uint8_t kind) noexcept {
    header.length = static_cast<std::uint16_t>(length);
    header.kind = kind;
    header.flags = 0;
    header.id = id;
  }

  /// Counts the next `run` messages as committed; all but the first have their sequence numbers.
  /// @return the first one's number
  message_id step(std::uint32_t run = 1) noexcept {
    message_id const id = next_;
    // the batch's first slot is published last, and no worker gets past it before
    if (id != published_) {
      access::store(lane_.header(next_index_).seq, sequence_of(id), core::release,
                    "slot.publish_rest");
    }
    next_ += run;
    next_index_ = lane_.after(next_index_, run);
    for (std::uint32_t i = 0; i < run; ++i) { probe_.record(core::probe_event::reserved, id + i); }
    return id;
  }

  /// Slots of the stage that a batch of `count` messages should use; 0 when building in place is
  /// better, or needed: of several workers one may still look at an old number of a slot.
  [[nodiscard]] std::uint32_t stage_room(std::uint32_t count) const noexcept {
    constexpr std::size_t worth_it = 2048;
    bool const one_worker = P::claims == claim_mode::pinned || crew_.workers() == 1;
    if (!one_worker || count * P::slot::stride < worth_it) { return 0; }
    return static_cast<std::uint32_t>(stage_.size() / P::slot::stride);
  }

  /// Copies the stage's first `run` slots over the next ones, but for the first sequence number,
  /// which the worker is looking at. It looks at the others after it has seen the first.
  void copy_stage(std::uint32_t run) noexcept {
    constexpr std::size_t skip = offsetof(slot_header, length);
    for (std::uint32_t i = 0; i < run; ++i) {
      access::write(&lane_.header(next_index_ + i).length, P::slot::stride - skip, "slot.write");
    }
    auto* const slots = reinterpret_cast<std::byte*>(&lane_.header(next_index_));
    std::memcpy(slots + skip, stage_.data() + skip, std::size_t{run} * P::slot::stride - skip);
  }

  /// Messages of this lane that all its workers together can hold unanswered.
  [[nodiscard]] std::uint32_t at_once() const noexcept {
    std::uint64_t const workers = P::claims == claim_mode::pinned ? 1 : crew_.workers();
    std::uint64_t const held = workers * crew_.control().hold;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(lane_.capacity(), held));
  }

  /// True when nothing but the pending messages is in flight: then waiting for company only costs.
  [[nodiscard]] bool idle(std::uint32_t pending) noexcept {
    if (in_flight() == pending) { return true; }
    if constexpr (P::completions == completion_mode::none) {
      reclaim();
      return in_flight() == pending;
    } else {
      return false;
    }
  }

  [[nodiscard]] bool answered(std::uint32_t index, message_id id) const noexcept {
    return detail::answered<P>(lane_, index, id);
  }

  /// The slots of answered messages become free in order; the ones taken early wait for the rest.
  void retire(message_id id, std::uint32_t index) noexcept {
    if (id != retired_) {
      taken_[index] = 1;
      ++ahead_;
      return;
    }
    ++retired_;
    while (ahead_ != 0) {
      index = lane_.after(index, 1);
      if (taken_[index] == 0) { break; }
      taken_[index] = 0;
      --ahead_;
      ++retired_;
    }
    give_back();
    catch_up();
  }

  /// Frees the bytes of the messages that have left their slots: all up to the last one's end.
  void give_back() noexcept {
    if constexpr (detail::in_slab<P>) {
      message_id const until = next_ - occupied();
      if (until == this->freed) { return; }
      slab_descriptor const& last = descriptor(until - 1);
      this->arena.release(last.offset, last.length);
      this->freed = until;
    }
  }

  /// The slot of a message of the last lap says where its bytes are.
  [[nodiscard]] slab_descriptor const& descriptor(message_id id) const noexcept {
    std::uint32_t const index = lane_.before(next_index_, static_cast<std::uint32_t>(next_ - id));
    return *reinterpret_cast<slab_descriptor const*>(lane_.payload(index));
  }

  /// The arena of a lane whose former owner is gone: what the messages have that still need it.
  void find_bytes() noexcept
    requires(detail::in_slab<P>)
  {
    this->freed = next_ - occupied();
    reclaim();  // the bytes of answered messages may be others' since: only their slots count
    this->arena = byte_ring(lane_.control().arena_bytes);
    this->freed = next_ - occupied();
    for (message_id id = this->freed; id != next_; ++id) {
      slab_descriptor const& at = descriptor(id);
      this->arena.take_again(at.offset, at.length);
    }
  }

  /// A worker may be done with messages by their age before they are published: they are published
  /// before their slots are used again, so that what is pending always fits the lane.
  void catch_up() noexcept {
    if constexpr (detail::defers<P>) {
      if (retired_ != published_ && retired_ - published_ <= next_ - published_) { publish(); }
    }
  }

  /// Frees the slots whose results nobody will take.
  void reclaim() noexcept {
    if constexpr (detail::counts_credit<P>) {
      retired_ = access::load(lane_.credit(), core::acquire, "lane.take_credit");
      give_back();
      catch_up();
    } else {
      message_id const until = P::completions == completion_mode::none ? next_ : abandoned_;
      while (until - retired_ <= next_ - retired_ && retired_ != until) {
        std::uint32_t const index = lane_.before(next_index_, in_flight());
        if (!answered(index, retired_)) { break; }
        retire(retired_, index);
      }
    }
  }

  lane_ref<P> lane_;
  crew_ref<P> crew_;
  std::uint32_t number_;
  std::uint32_t next_index_ = 0;
  message_id next_;
  message_id published_;  ///< messages before it are visible to workers
  message_id retired_;    ///< messages before it have left their slots
  message_id abandoned_;  ///< nobody asks for messages before it
  message_id kept_;       ///< messages from here on may be done again
  std::uint32_t ahead_ = 0;
  memory::buffer_ref<std::uint8_t> taken_;
  memory::buffer_ref<std::byte> stage_;
  typename P::probe probe_;
};

}  // namespace millrace::inline v0::queue
