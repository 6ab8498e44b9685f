// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/queue/crew.hpp>
#include <millrace/queue/displace.hpp>
#include <millrace/queue/lane.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::queue::detail {

/// The half of a lane's owner that follows messages once they are written: it publishes them, takes
/// their results, and frees their slots and bytes. `lane_owner` is the other half, which writes.
/// @thread as lane_owner
template <consumer_policy P>
class lane_results : protected arena_part<in_slab<P>> {
  using access = typename P::access;
  using reply = typename P::reply;

 public:
  lane_results(lane_ref<P> lane, crew_ref<P> crew, std::uint32_t number,
               memory::buffer_ref<std::uint8_t> taken,
               [[maybe_unused]] memory::buffer_ref<message_id> dropped) noexcept
      : lane_(lane),
        crew_(crew),
        number_(number),
        next_(lane.control().first),
        published_(next_),
        retired_(next_),
        abandoned_(next_),
        kept_(next_),
        taken_(taken) {
    if constexpr (drops_oldest<P>) { dropped_ = dropped_list(dropped); }
  }

  /// Messages whose slots are in use: written, and not yet answered and taken.
  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    return static_cast<std::uint32_t>(next_ - retired_);
  }
  /// The number that the next message will get.
  [[nodiscard]] message_id next() const noexcept { return next_; }

  /// Makes every committed message visible to the workers.
  void publish() noexcept {
    if (published_ == next_) { return; }
    std::uint32_t const pending = static_cast<std::uint32_t>(next_ - published_);
    slot_header& first = lane_.header(lane_.before(next_index_, pending));
    if constexpr (defers<P>) {
      access::store(lane_.control().producer.reserved, next_, core::release, "lane.reserve");
    }
    access::store(first.seq, sequence_of(published_), publish_order<P>, "slot.publish");
    access::store(lane_.control().producer.published, next_, core::release, "lane.publish");
    probe_.record(core::probe_event::published, published_);
    published_ = next_;
    crew_.wake_for(number_, pending);
  }

  /// Takes the result of message `id` into `out`.
  /// @error errc::unknown_id when no such message is in flight; errc::not_ready; errc::fenced when
  ///        no worker will ever take it
  [[nodiscard]] errc take(message_id id, completion<reply>& out) noexcept
    requires(P::completions == completion_mode::records)
  {
    if constexpr (drops_oldest<P>) {
      if (dropped_.take(id)) {
        out = {};
        out.id = id;
        out.status = status::dropped;
        return errc::ok;
      }
    }
    return take_at(place_of(id), out);
  }

  /// Takes every result there is, dropped messages before the others, each oldest first, and calls
  /// `use(completion)` for each; `use` must not touch the lane. Returns how many.
  template <class Use>
  std::uint32_t take_all(Use use) noexcept
    requires(P::completions == completion_mode::records)
  {
    // No more messages than this can be between claim and answer: behind so many unanswered ones
    // nothing has been claimed.
    std::uint32_t patience = at_once();
    std::uint32_t count = 0;
    if constexpr (drops_oldest<P>) {
      for (; dropped_.size() != 0; ++count) {
        completion<reply> gone;
        gone.id = dropped_.pop();
        gone.status = status::dropped;
        use(std::as_const(gone));
      }
    }
    message_id const first = is_abandoned(retired_) ? abandoned_ : retired_;
    for (message_id id = first; id != next_ && patience != 0; ++id) {
      completion<reply> got;
      errc const outcome = take_at(id, got);
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
    if constexpr (counts_credit<P>) {
      reclaim();
      return id - retired_ >= next_ - retired_;
    } else {
      return answered(lane_.before(next_index_, static_cast<std::uint32_t>(next_ - id)), id);
    }
  }
  [[nodiscard]] message_id oldest() const noexcept { return retired_; }

  /// Whether message `id` lies behind a seal, and is nobody's.
  [[nodiscard]] bool cut_off(message_id id) const noexcept {
    return end_of(lane_, id + 1) != id + 1;
  }

 protected:
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

  /// The number of a message that is committed at place `id`: each dropped one before it moved it
  /// up by one, and a name's messages may have begun in another lane.
  [[nodiscard]] message_id number_of(message_id id) const noexcept {
    if constexpr (renumbers<P>) {
      return id + shift_;
    } else {
      return id;
    }
  }
  /// Where message `id` stands in the lane; `next_`, where none is, when it is not in flight.
  [[nodiscard]] message_id place_of(message_id id) const noexcept {
    if constexpr (drops_oldest<P>) {
      std::uint32_t low = 0;
      for (std::uint32_t high = in_flight(); low < high;) {
        std::uint32_t const middle = low + (high - low) / 2;
        message_id const there = lane_.header(lane_.before(next_index_, in_flight() - middle)).id;
        if (there == id) { return retired_ + middle; }
        // numbers grow along the lane, and may wrap
        there - id > ~message_id{0} / 2 ? low = middle + 1 : high = middle;
      }
      return next_;
    } else if constexpr (P::named_producers) {
      return id - shift_;
    } else {
      return id;
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
    if constexpr (in_slab<P>) {
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

  /// A worker may be done with messages by their age before they are published: they are published
  /// before their slots are used again, so that what is pending always fits the lane.
  void catch_up() noexcept {
    if constexpr (defers<P>) {
      if (retired_ != published_ && retired_ - published_ <= next_ - published_) { publish(); }
    }
  }

  /// Frees the slots whose results nobody will take.
  void reclaim() noexcept {
    if constexpr (counts_credit<P>) {
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
  std::conditional_t<drops_oldest<P>, dropped_list, nothing> dropped_;
  std::conditional_t<renumbers<P>, message_id, nothing> shift_{};
  typename P::probe probe_;

 private:
  /// Takes the result of the message at `id`, its place in the lane.
  [[nodiscard]] errc take_at(message_id id, completion<reply>& out) noexcept {
    if (id - retired_ >= next_ - retired_ || is_abandoned(id)) { return errc::unknown_id; }
    std::uint32_t const index = lane_.before(next_index_, static_cast<std::uint32_t>(next_ - id));
    if (ahead_ != 0 && taken_[index] != 0) { return errc::unknown_id; }
    if constexpr (P::named_producers) {
      if (!answered(index, id) && cut_off(id)) { return errc::fenced; }
    }
    if (!answered(index, id) && !crew_.over()) { return errc::not_ready; }
    // looked at again: the last answers may have come between the two
    if (answered(index, id)) {
      read_answer<P>(lane_, index, out);
      // a caller with one message on its way would wait for it; who replays may look at records
      if (!retains && in_flight() > 1) {
        using record = typename lane_ref<P>::record;
        access::write(&lane_.record_at(index).status,
                      record::stride - offsetof(record_header, status), "record.own");
        lane_.own_record(index);
      }
    } else {
      out.status = status::unprocessed;
    }
    out.id = id;
    if constexpr (drops_oldest<P>) { out.id = lane_.header(index).id; }
    if constexpr (P::named_producers) { out.id = number_of(id); }
    retire(id, index);
    probe_.record(core::probe_event::taken, id);
    return errc::ok;
  }

  /// Messages of this lane that all its workers together can hold unanswered.
  [[nodiscard]] std::uint32_t at_once() const noexcept {
    std::uint64_t const workers = P::claims == claim_mode::pinned ? 1 : crew_.workers();
    std::uint64_t const held = workers * crew_.control().hold;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(lane_.capacity(), held));
  }
};

}  // namespace millrace::inline v0::queue::detail
