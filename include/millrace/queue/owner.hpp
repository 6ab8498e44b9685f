// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/displace.hpp>
#include <millrace/queue/results.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace millrace::inline v0::queue {

/// The one side of a lane that is not a worker: it writes messages and takes their results.
/// It executes no read-modify-write but where the policy drops the oldest messages, whose claims it
/// then shares with the workers; what it remembers is its own.
/// @thread one at a time
template <consumer_policy P>
class lane_owner : private detail::lane_results<P> {
  using results = detail::lane_results<P>;
  using access = typename P::access;
  using results::lane_, results::crew_, results::number_, results::next_, results::next_index_,
      results::published_, results::retired_, results::abandoned_, results::kept_, results::ahead_,
      results::taken_, results::probe_, results::occupied, results::reclaim, results::descriptor,
      results::retains, results::number_of, results::place_of, results::is_abandoned,
      results::dropped_, results::shift_;

 public:
  using message = typename P::message;
  using reply = typename P::reply;
  using results::in_flight, results::next, results::oldest, results::publish, results::take,
      results::take_all, results::done, results::cut_off;

  /// @param taken  [capacity] zeros that outlive the owner: which results were taken out of order
  /// @param stage  raw memory that outlives the owner, where batches are built; may be empty, but
  ///        holds a slot where the policy drops the oldest messages
  /// @param dropped  of such a policy, where dropped messages wait until their results are taken
  lane_owner(lane_ref<P> lane, crew_ref<P> crew, std::uint32_t number,
             memory::buffer_ref<std::uint8_t> taken, memory::buffer_ref<std::byte> stage = {},
             memory::buffer_ref<message_id> dropped = {}) noexcept
      : results(lane, crew, number, taken, dropped), stage_(stage) {
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
    if constexpr (detail::defers<P>) { publish_held_back(); }
    go_on();
  }

  /// Goes on in a lane whose worker a seal stopped at `place`: whatever was written from there on
  /// is as if it had never been.
  /// @thread while nobody else writes to the lane, and the seal is there
  void reopen(message_id place) noexcept
    requires(P::named_producers)
  {
    next_ = place;
    next_index_ = static_cast<std::uint32_t>((next_ - lane_.control().first) % lane_.capacity());
    for (std::uint32_t i = 0; i < lane_.capacity(); ++i) {
      access::store(lane_.header(lane_.after(next_index_, i)).seq,
                    sequence_of(place + i - lane_.capacity()), core::relaxed, "slot.reset");
    }
    go_on();
  }
  /// The messages from `mine` on that are in flight are this producer's, and numbers are `shift`
  /// above places.
  void adopt(message_id mine, message_id shift) noexcept
    requires(P::named_producers)
  {
    abandoned_ = mine;
    this->shift_ = shift;
  }
  /// Whether another producer goes on under this one's name. What follows from it for messages
  /// that are written, the worker decides.
  [[nodiscard]] bool fenced() const noexcept
    requires(P::named_producers)
  {
    return detail::is_fenced<access>(lane_.identity());
  }
  /// Whether `number` is the next message's.
  /// @error errc::duplicate, which is counted; errc::bad_argument for a later one; errc::fenced
  [[nodiscard]] errc expect(message_id number) noexcept
    requires(P::named_producers)
  {
    if (fenced()) { return errc::fenced; }
    message_id const ahead = number - number_of(next_);
    if (ahead <= ~message_id{0} / 2) { return ahead == 0 ? errc::ok : errc::bad_argument; }
    tally(lane_.identity().producer.duplicate, 1);
    return errc::duplicate;
  }
  /// The number that the next message will get.
  [[nodiscard]] message_id next_number() const noexcept
    requires(P::named_producers)
  {
    return number_of(next_);
  }

  /// Bytes of a stage: it stays in the first cache beside what else a producer touches.
  static constexpr std::size_t stage_bytes = std::size_t{36} << 10;

  /// Slots free for further messages.
  [[nodiscard]] std::uint32_t room() noexcept {
    reclaim();
    if constexpr (retains) { kept_ = access::load(lane_.credit(), core::acquire, "lane.kept"); }
    return lane_.capacity() - occupied();
  }
  /// errc::ok when `count` messages fit now. A bare code: what a result costs, the hot path would
  /// pay in stalled stores.
  /// @error errc::closed; errc::full; errc::bad_argument when the lane could never hold so many
  [[nodiscard]] errc admit(std::uint32_t count) noexcept {
    if (count == 0 || count > lane_.capacity()) { return errc::bad_argument; }
    if constexpr (P::named_producers) {
      if (fenced()) { return errc::fenced; }
    }
    if (!takes_messages(crew_.phase(core::relaxed))) { return errc::closed; }
    bool const fits = lane_.capacity() - occupied() >= count || room() >= count;
    return fits ? errc::ok : errc::full;
  }

  /// The payload of the message `ahead` places behind the next one; admitted before.
  [[nodiscard]] std::byte* payload(std::uint32_t ahead = 0) noexcept {
    std::uint32_t const index = lane_.after(next_index_, ahead);
    announce_slot(index);
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
  message_id commit_bytes(std::size_t size, std::uint8_t kind,
                          std::uint64_t expires_ns = never_expires) noexcept
    requires(detail::in_slab<P>)
  {
    slab_descriptor const where{this->arena.take_placed(size), size};
    detail::place(payload(), where);
    return commit(sizeof(where), kind, expires_ns);
  }

  /// Commits the next message, whose payload is written. It stays invisible until `publish`.
  message_id commit(std::size_t length, std::uint8_t kind,
                    std::uint64_t expires_ns = never_expires) noexcept {
    message_id const id = number_of(next_);
    write_header(lane_.header(next_index_), id, length, kind, expires_ns);
    step();
    return id;
  }

  /// Commits `count` admitted messages of full length, each built by `build(i, payload)`.
  ///
  /// Large batches are built in the stage and copied in one piece: such a copy overwrites whole
  /// lines without fetching them from the worker that read them last.
  template <class Build>
  message_id commit_batch(std::uint32_t count, std::uint8_t kind, Build build,
                          std::uint64_t expires_ns = never_expires) noexcept {
    constexpr std::size_t length = P::slot::payload_bytes;
    message_id const first = number_of(next_);
    std::uint32_t const room = stage_room(count);
    for (std::uint32_t built = 0; built < count;) {
      if (room < 2) {
        build(built++, payload());
        commit(length, kind, expires_ns);
        continue;
      }
      std::uint32_t const run = std::min({count - built, room, lane_.capacity() - next_index_});
      for (std::uint32_t i = 0; i < run; ++i) {
        std::byte* const at = stage_.data() + std::size_t{i} * P::slot::stride;
        slot_header& header = detail::place(at, slot_header{});
        header.seq = sequence_of(next_ + i);
        write_header(header, number_of(next_ + i), length, kind, expires_ns);
        build(built + i, at + P::slot::payload_offset);
      }
      copy_stage(run);
      step(run);
      built += run;
    }
    return first;
  }

  /// Submits `count` messages of `length` bytes, each built by `build(i, payload)`, where there is
  /// room for fewer: the oldest messages that no worker has taken make way. Those behind them move
  /// up, so that the lane keeps its order whatever the workers hold. All of it is visible at once.
  /// @error errc::full when the lane holds too few such messages; nothing is dropped then
  /// @cost  moves every unclaimed message of the lane, while its workers wait
  template <class Build>
  [[nodiscard]] errc displace(std::uint32_t count, std::size_t length, std::uint8_t kind,
                              Build build, message_id& first,
                              std::uint64_t expires_ns = never_expires) noexcept
    requires(detail::drops_oldest<P>)
  {
    publish();
    std::uint32_t const free = std::min(room(), count);
    std::uint32_t const places = count - free;
    detail::unclaimed<P> held(lane_);
    if (places != 0) {
      if (!held.take(next_, places)) {
        reject(count);
        return errc::full;
      }
      drop(held.first(), places);
      held.shift(next_, next_index_, places);
    }
    first = number_of(next_ - places);
    for (std::uint32_t i = 0; i < places; ++i) {
      std::uint32_t const index = lane_.before(next_index_, places - i);
      announce_slot(index);
      write_header(lane_.header(index), first + i, length, kind, expires_ns);
      build(i, lane_.payload(index));
    }
    for (std::uint32_t i = places; i < count; ++i) {
      build(i, payload());
      commit(length, kind, expires_ns);
    }
    publish();
    if (places != 0) { held.put_back(); }
    return errc::ok;
  }

  /// Where a message can be built before it is known which slot it gets.
  [[nodiscard]] std::byte* draft() noexcept
    requires(detail::drops_oldest<P>)
  {
    return stage_.data() + P::slot::payload_offset;
  }
  /// Whether `displace` would find room for a message now.
  [[nodiscard]] bool displaceable() const noexcept
    requires(detail::drops_oldest<P>)
  {
    message_id const claimed =
        access::load(lane_.control().claim.claimed, core::relaxed, "lane.claimed");
    return claimed != next_;
  }

  /// Asks the workers not to begin message `id`.
  /// @error errc::unknown_id when no such message is in flight
  [[nodiscard]] errc cancel(message_id id) noexcept
    requires(P::cancellable)
  {
    message_id const place = place_of(id);
    if (place - retired_ >= next_ - retired_ || is_abandoned(place)) { return errc::unknown_id; }
    std::uint32_t const index =
        lane_.before(next_index_, static_cast<std::uint32_t>(next_ - place));
    if (ahead_ != 0 && taken_[index] != 0) { return errc::unknown_id; }
    // a request: nothing else is told by it, and whoever comes too late does the message
    access::store(lane_.cancel_word(index), id, core::relaxed, "slot.cancel");
    return errc::ok;
  }

  /// Counts messages that were refused for want of room.
  void reject(std::uint32_t count) noexcept { tally(lane_.control().producer.rejected, count); }

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

  /// Gives an admitted message up: its slot was never taken.
  void cancel() noexcept {}

  /// From now on nobody asks for the results of the messages in flight.
  void abandon() noexcept {
    publish();
    abandoned_ = next_;
    if constexpr (detail::drops_oldest<P>) { dropped_.clear(); }
  }

 private:
  /// The rest of a take-over, once it is known which message comes next.
  /// What a dead producer wrote and did not publish: a worker may have taken it by its age, so it
  /// counts as submitted.
  void publish_held_back() noexcept {
    message_id const end =
        access::load(lane_.control().producer.reserved, core::acquire, "lane.held_back");
    message_id const held = end - next_;
    if (held == 0 || held > lane_.capacity()) { return; }
    // the first slot of what is held back is the one that is published last
    access::store(lane_.header(next_index_).seq, sequence_of(next_), detail::publish_order<P>,
                  "slot.publish");
    next_index_ = lane_.after(next_index_, static_cast<std::uint32_t>(held));
    next_ = end;
  }

  void go_on() noexcept {
    published_ = next_;
    access::store(lane_.control().producer.reserved, next_, core::release, "lane.reserve");
    access::store(lane_.control().producer.published, next_, core::release, "lane.publish");
    message_id const so_far = next_ - lane_.control().first;
    message_id const lap = so_far < lane_.capacity() ? so_far : lane_.capacity();
    kept_ = retains ? access::load(lane_.credit(), core::acquire, "lane.kept") : next_;
    retired_ = retains ? kept_ : next_ - lap;
    abandoned_ = retains ? retired_ : next_;
    ahead_ = 0;
    for (std::uint8_t& taken : taken_) { taken = 0; }
    if constexpr (detail::in_slab<P>) { find_bytes(); }
  }

  /// Gives the oldest `count` messages from `first` on up.
  void drop(message_id first, std::uint32_t count) noexcept {
    std::uint32_t orphans = 0;  // of a producer before this one
    for (std::uint32_t i = 0; i < count; ++i) {
      if (is_abandoned(first + i)) {
        ++orphans;
        continue;
      }
      auto const behind = static_cast<std::uint32_t>(next_ - first) - i;
      dropped_.add(lane_.header(lane_.before(next_index_, behind)).id);
    }
    abandoned_ -= orphans;
    shift_ += count;
    tally(lane_.control().producer.dropped, count);
  }

  /// Adds to a counter that only the producer writes.
  static void tally(std::uint64_t& word, std::uint32_t count) noexcept {
    access::store(word, word + count, core::relaxed, "lane.tally");
  }

  void announce_slot(std::uint32_t index) const noexcept {
    access::write(&lane_.header(index).length, P::slot::stride - offsetof(slot_header, length),
                  "slot.write");
  }

  static void write_header(slot_header& header, message_id id, std::size_t length,
                           std::uint8_t kind, std::uint64_t expires_ns) noexcept {
    if constexpr (P::expires) {
      std::memcpy(reinterpret_cast<std::byte*>(&header) + P::slot::deadline_offset, &expires_ns,
                  sizeof(expires_ns));
    }
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
    if (detail::drops_oldest<P> || !one_worker || count * P::slot::stride < worth_it) { return 0; }
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

  memory::buffer_ref<std::byte> stage_;
};

}  // namespace millrace::inline v0::queue
