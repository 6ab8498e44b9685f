// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/crew.hpp>
#include <millrace/queue/cursor.hpp>
#include <millrace/queue/lane.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// Carries published messages from a lane in the producer's memory to its ring in the workers'
/// memory. Slot i goes to slot i: whoever may write the one may write the other, so the ring needs
/// no room of its own to be counted. One group carries one lane.
template <consumer_policy P, core::access_policy A, class Group>
class puller {
  using access = typename P::access;
  using slot = typename P::slot;
  /// Whether workers find what is carried by a cursor, not slot by slot.
  static constexpr bool tells_cursor = !Group::alone && P::gang == width::block;
  /// Messages carried between two looks at the producer.
  static constexpr std::uint32_t batch =
      tells_cursor ? static_cast<std::uint32_t>(P::threads_per_block) : 64;

 public:
  MILLRACE_HD puller(lane_ref<P> from, lane_ref<P, A> to, crew_ref<P> crew, lane_cursor& at,
                     Group group) noexcept
      : from_(from), to_(to), crew_(crew), at_(at), group_(group) {
    position_ = at.position;
    index_ = at.index;
  }

  /// Carries until the consumer closes and the lane is dry, or until it parks or stops; notes how
  /// far it came, so that another puller goes on from there.
  /// @return the phase that ended it
  MILLRACE_HD phase run() noexcept {
    phase const ended = carry_all();
    group_.sync();
    if (group_.rank() == 0) {
      at_.position = position_;
      at_.index = index_;
    }
    return ended;
  }

 private:
  MILLRACE_HD phase carry_all() noexcept {
    std::conditional_t<P::backoff::blocks, exponential_backoff<20, 256>, typename P::backoff> wait;
    for (;;) {
      phase now = phase::running;
      if (hint_ !=
          phase::running) {  // read before polling, or the last message before a close is lost
        now = static_cast<phase>(
            lead([&]() noexcept { return static_cast<std::uint32_t>(crew_.phase()); }));
      }
      if (leaves_work(now)) { return now; }
      closing_ = now == phase::closing;
      std::uint32_t const count = available();
      if (count != 0) {
        carry(count);
        dry_ = false;
        wait.reset(count);
      } else if (now == phase::closing) {
        return now;
      } else {
        wait.pause();
      }
    }
  }

  template <class F>
  [[nodiscard]] MILLRACE_HD auto lead(F f) noexcept {
    return group_.broadcast(group_.rank() == 0 ? f() : decltype(f()){});
  }

  [[nodiscard]] MILLRACE_HD std::uint32_t available() noexcept {
    std::uint32_t const found = lead([&]() noexcept {
      auto const& words = from_.control().producer;
      // a hint alone: it crosses the bus beside the poll that follows it
      auto const seen = static_cast<std::uint32_t>(crew_.phase(core::relaxed));
      message_id end = access::load(words.published, core::acquire, "lane.pull");
      if constexpr (detail::defers<P>) {
        if (end - position_ == 0 || end - position_ > from_.capacity()) { end = look_behind(); }
      }
      // after a look behind, `published` may trail what was carried already
      message_id ahead = end - position_;
      if (ahead > from_.capacity()) { ahead = 0; }
      auto const count = static_cast<std::uint32_t>(ahead < batch ? ahead : batch);
      return count << 8 | seen;  // one word: a shuffle carries four bytes
    });
    hint_ = static_cast<phase>(found & 0xffu);
    return found >> 8;
  }

  /// Messages that a silent producer wrote and did not publish, once they are old enough.
  [[nodiscard]] MILLRACE_HD message_id look_behind() noexcept {
    std::uint64_t const now_ns = typename P::clock{}.now_ns();
    if (!dry_) {
      dry_ = true;
      dry_since_ns_ = now_ns;
    }
    bool const young = now_ns - dry_since_ns_ < P::publish_age_ns;
    if (young && !closing_) { return position_; }  // after a close no company comes
    return access::load(from_.control().producer.reserved, core::acquire, "lane.look_behind");
  }

  /// One 16-byte word: the widest access that both sides of the bus keep whole.
  struct [[gnu::may_alias]] alignas(16) word {
    std::uint64_t low, high;
  };
  static_assert(slot::stride % sizeof(word) == 0 && slot::alignment % sizeof(word) == 0);
  static constexpr std::uint32_t payload_words = slot::stride / sizeof(word) - 1;
  /// Words that a member asks for before it stores the first: a read takes about a microsecond
  /// across the bus, and only reads in flight together fill it.
  static constexpr std::uint32_t in_flight = 8;

  MILLRACE_HD void carry(std::uint32_t count) noexcept {
    std::uint32_t const rank = group_.rank();
    slot_header first{};  // asked for now, so that it crosses the bus beside the payloads
    if (rank < count) { read_header(rank, first); }
    if constexpr (payload_words != 0) {
      carry_payloads(count);
      group_.sync();
    }
    for (std::uint32_t i = rank; i < count; i += group_.size()) {
      slot_header header = first;
      if (i != rank) { read_header(i, header); }
      slot_header& target = to_.header(to_.after(index_, i));
      A::write(&target.length, sizeof(slot_header) - offsetof(slot_header, length), "slot.stage");
      target.length = header.length;
      target.kind = header.kind;
      target.flags = header.flags;
      target.id = header.id;
      A::store(target.seq, sequence_of(position_ + i), tells_cursor ? core::relaxed : core::release,
               "slot.publish_staged");
    }
    position_ += count;
    if constexpr (tells_cursor) {
      group_.sync();
      if (group_.rank() == 0) {
        A::store(to_.control().producer.published, position_, core::release, "lane.publish_staged");
      }
    }
    index_ = to_.after(index_, count);
  }

  /// All but the sequence number, which the producer of an unpublished message may be writing.
  MILLRACE_HD void read_header(std::uint32_t ahead, slot_header& into) const noexcept {
    slot_header const& source = from_.header(from_.after(index_, ahead));
    access::read(&source.length, sizeof(slot_header) - offsetof(slot_header, length), "slot.pull");
    into.length = source.length;
    into.kind = source.kind;
    into.flags = source.flags;
    into.id = source.id;
  }

  /// Copies the slots' words behind the headers, neighbours by neighbours.
  MILLRACE_HD void carry_payloads(std::uint32_t count) noexcept {
    std::uint32_t const all = count * payload_words;
    std::uint32_t const step = group_.size();
    if (all <= step) {  // a few messages, on their own: nothing to keep in flight together
      if (std::uint32_t const at = group_.rank(); at < all) { carry_word(at); }
      return;
    }
    for (std::uint32_t i = group_.rank(); i < all; i += in_flight * step) {
      word held[in_flight];
      for (std::uint32_t k = 0; k < in_flight; ++k) {
        if (std::uint32_t const at = i + k * step; at < all) {
          word const& source = word_at(from_, at);
          access::read(&source, sizeof(word), "slot.pull");
          held[k] = source;
        }
      }
      for (std::uint32_t k = 0; k < in_flight; ++k) {
        if (std::uint32_t const at = i + k * step; at < all) {
          word& target = word_at(to_, at);
          A::write(&target, sizeof(word), "slot.stage");
          target = held[k];
        }
      }
    }
  }

  MILLRACE_HD void carry_word(std::uint32_t at) noexcept {
    word const& source = word_at(from_, at);
    word& target = word_at(to_, at);
    access::read(&source, sizeof(word), "slot.pull");
    A::write(&target, sizeof(word), "slot.stage");
    target = source;
  }

  template <class Lane>
  [[nodiscard]] MILLRACE_HD word& word_at(Lane const& lane, std::uint32_t at) const noexcept {
    std::uint32_t const index = lane.after(index_, at / payload_words);
    return reinterpret_cast<word*>(&lane.header(index))[1 + at % payload_words];
  }

  lane_ref<P> from_;
  lane_ref<P, A> to_;
  crew_ref<P> crew_;
  lane_cursor& at_;
  Group group_;
  message_id position_;
  std::uint32_t index_ = 0;
  bool dry_ = false;
  bool closing_ = false;
  phase hint_ = phase::running;
  std::uint64_t dry_since_ns_ = 0;
};

/// Carries one lane until its consumer ends.
template <consumer_policy P, core::access_policy A, class Group>
MILLRACE_HD phase pull(lane_ref<P> from, lane_ref<P, A> to, crew_ref<P> crew, lane_cursor& at,
                       Group group) noexcept {
  return puller<P, A, Group>(from, to, crew, at, group).run();
}

}  // namespace millrace::inline v0::queue
