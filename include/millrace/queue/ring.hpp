// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/queue/crew.hpp>
#include <millrace/queue/lane.hpp>
#include <millrace/queue/owner.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::queue {

/// One producer's end of a ring that several share: it draws numbers, writes their messages and
/// takes their results. The face of `lane_owner`, but for one promise: between `admit` and
/// `publish` or `cancel` the numbers drawn hold up everybody's later ones.
/// @thread one at a time for each owner; the owners of one ring at once
template <consumer_policy P>
class ring_owner {
  using access = typename P::access;
  static constexpr bool answers = P::completions == completion_mode::records;
  static constexpr std::uint32_t nowhere = ~std::uint32_t{0};

 public:
  using message = typename P::message;
  using reply = typename P::reply;

  /// @param mine  [capacity] that outlive the owner: its messages in flight; none without records
  ring_owner(lane_ref<P> ring, crew_ref<P> crew, memory::buffer_ref<message_id> mine) noexcept
      : ring_(ring),
        crew_(crew),
        seen_(ring.control().first),
        next_(seen_),
        end_(seen_),
        credit_(seen_),
        mine_(mine) {}

  /// Slots free for further messages, whoever submits them.
  /// @cost a look at each free slot, but for rings whose room is counted by credit
  [[nodiscard]] std::uint32_t room() noexcept {
    catch_up();
    if constexpr (detail::counts_credit<P>) {
      take_credit();
      message_id const used = seen_ - credit_;
      return used < ring_.capacity() ? ring_.capacity() - static_cast<std::uint32_t>(used) : 0;
    } else {
      std::uint32_t free = 0;
      while (free < ring_.capacity() && is_free(free)) { ++free; }
      return free;
    }
  }
  /// Messages of this owner that are written, and not yet answered and taken. Without records: of
  /// all owners, from the oldest that is not done up to this owner's last.
  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    if constexpr (answers) {
      return in_flight_;
    } else {
      message_id id = oldest();
      while (id != end_ && done(id)) { ++id; }
      return static_cast<std::uint32_t>(end_ - id);
    }
  }
  /// The number after this owner's last message.
  [[nodiscard]] message_id next() const noexcept { return end_; }

  /// Draws `count` numbers in a row: errc::ok when their slots are free. Never waits for anybody.
  /// @error errc::closed; errc::full; errc::bad_argument when the ring could never hold so many
  [[nodiscard]] errc admit(std::uint32_t count) noexcept {
    if (count == 0 || count > ring_.capacity()) { return errc::bad_argument; }
    if (!takes_messages(crew_.phase(core::relaxed))) { return errc::closed; }
    catch_up();
    for (;;) {
      message_id drawn = seen_;
      if (!are_free(count)) {
        catch_up();
        if (seen_ == drawn) { return errc::full; }
        continue;  // the slots were full because others have drawn their numbers
      }
      // whoever knows a number knows that its slot was free: `drain` looks at others' slots
      if (access::compare_exchange(ring_.control().producer.reserved, drawn, seen_ + count,
                                   core::acq_rel, core::relaxed, "ring.draw")) {
        break;
      }
      move_to(drawn);
    }
    next_ = seen_;
    next_index_ = seen_index_;
    move_to(seen_ + count);
    return errc::ok;
  }

  /// The payload of the next message drawn.
  [[nodiscard]] std::byte* payload() noexcept {
    access::write(&ring_.header(next_index_).length,
                  P::slot::stride - offsetof(slot_header, length), "slot.write");
    ring_.fetch_slot_after(next_index_);
    return ring_.payload(next_index_);
  }

  /// Commits the next message, whose payload is written. It stays invisible until `publish`.
  message_id commit(std::size_t length, std::uint8_t kind,
                    std::uint64_t expires_ns = never_expires) noexcept {
    message_id const id = write_header(length, kind, 0, expires_ns);
    if constexpr (answers) { remember(id); }
    return id;
  }

  /// Commits `count` admitted messages of full length, each built by `build(i, payload)` in its
  /// slot: other producers may be looking at the slots' numbers, so no wide copy may touch them.
  template <class Build>
  message_id commit_batch(std::uint32_t count, std::uint8_t kind, Build build,
                          std::uint64_t expires_ns = never_expires) noexcept {
    message_id const first = next_;
    for (std::uint32_t i = 0; i < count; ++i) {
      build(i, payload());
      commit(P::slot::payload_bytes, kind, expires_ns);
    }
    return first;
  }

  /// Gives the message that was admitted, and not committed, up. Its number stays drawn: a worker
  /// steps over it.
  void cancel() noexcept {
    write_header(0, 0, given_up, never_expires);
    publish();
  }

  /// Counts messages that were refused for want of room.
  void reject(std::uint32_t count) noexcept {
    access::fetch_add(ring_.control().producer.rejected, std::uint64_t{count}, core::relaxed,
                      "ring.tally");
  }

  /// Nothing is ever held back: later numbers wait for it.
  void offer() noexcept { publish(); }

  /// Makes every committed message visible to the workers.
  void publish() noexcept {
    if (pending_ == 0) { return; }
    message_id const first = next_ - pending_;
    slot_header& header = ring_.header(ring_.before(next_index_, pending_));
    access::store(header.seq, sequence_of(first), detail::publish_order<P>, "slot.publish");
    probe_.record(core::probe_event::published, first);
    pending_ = 0;
    if constexpr (P::backoff::blocks) {
      // others' later messages may have waited for this one, and their wakers come and gone
      message_id const drawn =
          access::load(ring_.control().producer.reserved, core::relaxed, "ring.look");
      crew_.wake_for(0, static_cast<std::uint32_t>(drawn - first));
    }
  }

  /// Takes the result of message `id` into `out` and frees its slot.
  /// @error errc::unknown_id when no such message of this owner is in flight; errc::not_ready
  [[nodiscard]] errc take(message_id id, completion<reply>& out) noexcept
    requires(answers)
  {
    std::uint32_t const place = find(id);
    return place == nowhere ? errc::unknown_id : take_at(place, out);
  }

  /// Takes every result there is, oldest message first, and calls `use(completion)` for each;
  /// `use` must not touch the ring. Returns how many.
  template <class Use>
  std::uint32_t take_all(Use use) noexcept
    requires(answers)
  {
    // numbers are claimed in order: as in lane_owner
    std::uint32_t patience = at_once();
    std::uint32_t count = 0;
    for (std::uint32_t place = 0; place < size_ && patience != 0;) {
      if (is_taken(place)) {
        ++place;
        continue;
      }
      completion<reply> got;
      if (take_at(place, got) != errc::ok) {
        --patience;
        ++place;
        continue;
      }
      ++count;
      use(std::as_const(got));
    }
    return count;
  }

  /// Whether the message, which has a number, is done, or is another owner's that takes results.
  [[nodiscard]] bool done(message_id id) const noexcept {
    if constexpr (detail::counts_credit<P>) {
      message_id const consumed = access::load(ring_.credit(), core::acquire, "lane.take_credit");
      return consumed - id - 1 <= ~message_id{0} / 2;
    } else if constexpr (answers) {
      return find(id) == nowhere || detail::answered<P>(ring_, index_of(id), id);
    } else {
      return seen_ - id > ring_.capacity() || detail::ended<P>(ring_, index_of(id), id);
    }
  }
  /// What may not be done begins here.
  [[nodiscard]] message_id oldest() const noexcept {
    if constexpr (answers) {
      return size_ == 0 ? end_ : id_at(0);
    } else {
      message_id const begun = end_ - ring_.control().first;
      return end_ - std::min<message_id>(begun, ring_.capacity());
    }
  }

  /// From now on nobody asks for the results of this owner's messages in flight. Whoever draws the
  /// next number of such a slot finds it free once the message is answered.
  void abandon() noexcept {
    publish();
    if constexpr (answers) {
      for (std::uint32_t place = 0; place < size_; ++place) {
        if (is_taken(place)) { continue; }
        message_id const id = id_at(place);
        std::uint32_t const index = index_of(id);
        access::store(ring_.orphan(index), id, core::relaxed, "ring.leave");
      }
      oldest_ = size_ = in_flight_ = 0;
    }
  }

 private:
  /// Learns which number comes next.
  void catch_up() noexcept {
    move_to(access::load(ring_.control().producer.reserved, core::relaxed, "ring.look"));
  }
  void move_to(message_id number) noexcept {
    message_id const distance = number - seen_;
    seen_index_ =
        ring_.after(seen_index_, distance <= ring_.capacity()
                                     ? static_cast<std::uint32_t>(distance)
                                     : static_cast<std::uint32_t>(distance % ring_.capacity()));
    seen_ = number;
  }

  /// Whether the slots of the next `count` numbers are free.
  [[nodiscard]] bool are_free(std::uint32_t count) noexcept {
    if constexpr (detail::counts_credit<P>) {
      if (seen_ - credit_ <= ring_.capacity() - count) { return true; }
      take_credit();
      return seen_ - credit_ <= ring_.capacity() - count;
    } else {
      for (std::uint32_t i = 0; i < count; ++i) {
        if (!is_free(i)) { return false; }
      }
      return true;
    }
  }
  void take_credit() noexcept {
    credit_ = access::load(ring_.credit(), core::acquire, "lane.take_credit");
  }

  [[nodiscard]] bool is_free(std::uint32_t ahead) const noexcept {
    message_id const id = seen_ + ahead;
    std::uint32_t const index = ring_.after(seen_index_, ahead);
    std::uint32_t const seq =
        access::load(ring_.header(index).seq, core::acquire, "slot.look_free");
    if (seq == free_for(id)) { return true; }
    if constexpr (answers) {
      message_id const old = id - ring_.capacity();
      // a mark without data behind it: what the slot's last worker did comes with the record
      return seq == sequence_of(old) &&
             access::load(ring_.orphan(index), core::relaxed, "ring.left") == old &&
             detail::answered<P>(ring_, index, old);
    }
    return false;
  }

  /// @return the message's number
  message_id write_header(std::size_t length, std::uint8_t kind, std::uint8_t flags,
                          std::uint64_t expires_ns) noexcept {
    message_id const id = next_;
    slot_header& header = ring_.header(next_index_);
    if constexpr (P::expires) { ring_.deadline(next_index_) = expires_ns; }
    header.length = static_cast<std::uint16_t>(length);
    header.kind = kind;
    header.flags = flags;
    header.id = id;
    // the batch's first slot is published last, and no worker gets past it before
    if (pending_ != 0) {
      access::store(header.seq, sequence_of(id), core::release, "slot.publish_rest");
    }
    ++pending_;
    next_ = end_ = id + 1;
    next_index_ = ring_.after(next_index_, 1);
    probe_.record(core::probe_event::reserved, id);
    return id;
  }

  [[nodiscard]] errc take_at(std::uint32_t place, completion<reply>& out) noexcept {
    message_id const id = id_at(place);
    std::uint32_t const index = index_of(id);
    if (!detail::answered<P>(ring_, index, id) && !crew_.over()) { return errc::not_ready; }
    // looked at again: the last answers may have come between the two
    if (detail::answered<P>(ring_, index, id)) {
      detail::read_answer<P>(ring_, index, out);
      detail::free_slot(ring_, index, id);
    } else {
      out.status = status::unprocessed;
    }
    out.id = id;
    forget(place);
    probe_.record(core::probe_event::taken, id);
    return errc::ok;
  }

  /// The slot of a message in flight: no older than a lap.
  [[nodiscard]] std::uint32_t index_of(message_id id) const noexcept {
    return ring_.before(seen_index_, static_cast<std::uint32_t>(seen_ - id));
  }

  // The messages in flight, oldest first, as twice their distance from the ring's first, plus one
  // for those whose result was taken early. The oldest one holds its slot, so all are within a lap.
  [[nodiscard]] message_id& entry(std::uint32_t place) const noexcept {
    return mine_[ring_.after(oldest_, place)];
  }
  [[nodiscard]] message_id id_at(std::uint32_t place) const noexcept {
    return ring_.control().first + entry(place) / 2;
  }
  [[nodiscard]] bool is_taken(std::uint32_t place) const noexcept { return entry(place) % 2 != 0; }
  void remember(message_id id) noexcept {
    entry(size_) = 2 * (id - ring_.control().first);
    ++size_;
    ++in_flight_;
  }
  void forget(std::uint32_t place) noexcept {
    entry(place) |= 1;
    --in_flight_;
    while (size_ != 0 && is_taken(0)) {
      oldest_ = ring_.after(oldest_, 1);
      --size_;
    }
  }
  /// Where the untaken message `id` of this owner is, or `nowhere`.
  [[nodiscard]] std::uint32_t find(message_id id) const noexcept {
    message_id const distance = id - ring_.control().first;
    if (size_ == 0 || distance < entry(0) / 2) { return nowhere; }
    // no later than where it would be if all since the oldest were this owner's, as they often are
    message_id const latest = std::min<message_id>(distance - entry(0) / 2, size_ - 1);
    auto place = static_cast<std::uint32_t>(latest);
    if (entry(place) / 2 > distance) {
      for (std::uint32_t low = 0; low < place;) {
        std::uint32_t const middle = low + (place - low) / 2;
        if (entry(middle) / 2 < distance) {
          low = middle + 1;
        } else {
          place = middle;
        }
      }
    }
    return entry(place) / 2 == distance && !is_taken(place) ? place : nowhere;
  }

  /// Messages of this ring that all its workers together can hold unanswered.
  [[nodiscard]] std::uint32_t at_once() const noexcept {
    std::uint64_t const workers = P::claims == claim_mode::pinned ? 1 : crew_.workers();
    std::uint64_t const held = workers * crew_.control().hold;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(ring_.capacity(), held));
  }

  lane_ref<P> ring_;
  crew_ref<P> crew_;
  message_id seen_;  ///< the number that came next when this owner last looked
  message_id next_;  ///< drawn, to be committed next
  message_id end_;   ///< the number after the last one committed
  std::uint32_t seen_index_ = 0;
  std::uint32_t next_index_ = 0;
  std::uint32_t pending_ = 0;  ///< committed and not published
  message_id credit_;
  memory::buffer_ref<message_id> mine_;
  std::uint32_t oldest_ = 0;
  std::uint32_t size_ = 0;
  std::uint32_t in_flight_ = 0;
  typename P::probe probe_;
};

/// The producer's end that a policy's order asks for.
template <consumer_policy P>
using owner_for = std::conditional_t<P::order == order_mode::total, ring_owner<P>, lane_owner<P>>;

}  // namespace millrace::inline v0::queue
