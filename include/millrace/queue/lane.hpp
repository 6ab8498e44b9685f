// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/queue/arena.hpp>
#include <millrace/queue/identity.hpp>
#include <millrace/queue/policy.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace millrace::inline v0::queue {

/// The version of every control block in this module.
inline constexpr std::uint32_t layout_version = 4;

/// The words of one lane that threads share. It holds offsets from itself, never pointers, so that
/// it means the same wherever it is mapped. Each group of words has one writer and a line of its
/// own.
struct lane_control {
  std::uint32_t version = layout_version;
  std::uint32_t capacity = 0;       ///< slots, and records
  std::uint32_t slot_stride = 0;    ///< bytes
  std::uint32_t record_stride = 0;  ///< bytes
  std::uint64_t slots_offset = 0;   ///< bytes from this block
  std::uint64_t records_offset = 0;
  message_id first = 0;            ///< the number of the lane's first message, in slot 0
  std::uint64_t arena_offset = 0;  ///< where the bytes of slab messages lie, behind the records
  std::uint64_t arena_bytes = 0;

  /// Written by the producer; of a ring, by whichever producer draws numbers.
  struct alignas(core::destructive_bytes) {
    message_id published = 0;    ///< every message before it is visible to workers
    message_id reserved = 0;     ///< every message before it is written; of a ring: has a producer
    std::uint64_t rejected = 0;  ///< messages refused for want of room
    std::uint64_t dropped = 0;   ///< messages given up for newer ones
  } producer;
  /// Written by the lane's worker, for lanes whose room is counted by credit.
  struct alignas(core::destructive_bytes) {
    message_id consumed = 0;  ///< every message before it is done
  } worker;
  /// Written by whichever worker takes messages.
  struct alignas(core::destructive_bytes) {
    message_id claimed = 0;  ///< every message before it has a worker
  } claim;
};
static_assert(std::is_trivially_copyable_v<lane_control> &&
              std::is_standard_layout_v<lane_control>);

namespace detail {

/// What the claim word shows beside a position while the producer holds the unclaimed messages: a
/// position that no worker's cursor comes near.
inline constexpr message_id withheld_mark = message_id{1} << 63;

/// Whether the claim word that was read by a worker at `position` carries the mark.
[[nodiscard]] MILLRACE_HD constexpr bool is_withheld(message_id claimed,
                                                     message_id position) noexcept {
  return (claimed - position + (withheld_mark >> 1)) >> 63 != 0;
}

}  // namespace detail

/// A lane without its ownership: goes into kernels and threads by value. A (the access policy) is
/// the scope of slots and control words; records and credit, which the producer reads, always go
/// through the policy's own.
template <consumer_policy P, core::access_policy A = typename P::access>
class lane_ref {
 public:
  using slot = typename P::slot;
  using record = record_layout<typename P::reply, detail::retains<P>>;

  /// A lane whose room is counted by credit has none, nor has a ring that nobody asks for results.
  static constexpr bool has_records = P::completions == completion_mode::records ||
                                      (!detail::counts_credit<P> && !detail::one_ring<P>);
  /// A ring with records says for each slot whether its producer left without the result.
  static constexpr bool has_orphans = detail::one_ring<P> && has_records;

  lane_ref() noexcept = default;

  /// Bytes of a lane: the control block, then slots, then records and orphans, or then the words of
  /// cancelled messages and the arena.
  /// @param arena_bytes  for slab messages, 0 for as many as `default_arena_bytes` says
  /// @error errc::bad_argument when capacity is 0 (1) or above 2^31 - 1 (1), when the arena is less
  ///        than the largest message or nobody's (4); errc::out_of_memory
  [[nodiscard]] static result<std::size_t> bytes(std::uint32_t capacity,
                                                 std::size_t arena_bytes = 0) noexcept {
    if (capacity == 0 || capacity > max_capacity) { return core::fail(errc::bad_argument, 1); }
    if (arena_bytes != 0 && arena_bytes < least_arena()) {
      return core::fail(errc::bad_argument, 4);
    }
    if (arena_bytes > max_arena_bytes) { return core::fail(errc::out_of_memory); }
    return arena_at(capacity) + arena_size(capacity, arena_bytes) +
           (has_orphans ? capacity * sizeof(message_id) : 0);
  }

  /// Makes a lane of raw memory: `memory` has `bytes(capacity, arena_bytes)` bytes and `alignment`.
  /// Its first message will be `first`, which may be any number.
  static lane_ref create(std::byte* memory, std::uint32_t capacity, message_id first,
                         std::size_t arena_bytes = 0) noexcept {
    lane_control& control = detail::place(memory, lane_control{});
    control.capacity = capacity;
    control.slot_stride = slot::stride;
    control.record_stride = record::stride;
    control.slots_offset = slots_at();
    control.records_offset = records_at(capacity);
    control.first = first;
    control.arena_offset = arena_at(capacity);
    control.arena_bytes = arena_size(capacity, arena_bytes);
    control.producer.published = control.producer.reserved = first;
    control.worker = {first};
    control.claim = {first};
    lane_ref lane{&control};
    if constexpr (P::named_producers) { detail::place(&lane.identity(), lane_identity{}); }
    lane.clear(first);
    return lane;
  }

  /// The lane that `control` describes.
  /// @error errc::layout_mismatch when the block is of another version or another policy's shape
  [[nodiscard]] static result<lane_ref> attach(lane_control& control) noexcept {
    bool const same = control.version == layout_version && control.slot_stride == slot::stride &&
                      control.record_stride == record::stride && control.capacity != 0 &&
                      control.slots_offset == slots_at() &&
                      control.records_offset == records_at(control.capacity) &&
                      control.arena_offset == arena_at(control.capacity) &&
                      (!detail::in_slab<P> || control.arena_bytes >= least_arena());
    if (!same) { return core::fail(errc::layout_mismatch); }
    return lane_ref{&control};
  }

  /// The same lane with its slots and control words elsewhere: the ring in device memory whose
  /// records and credit stay where the producer reads them.
  template <core::access_policy B>
  [[nodiscard]] lane_ref<P, B> staged(lane_control* control, std::byte* slots) const noexcept {
    return {control, slots, records_, credit_, capacity_};
  }

  MILLRACE_HD lane_ref(lane_control* control, std::byte* slots, std::byte* records,
                       message_id* credit, std::uint32_t capacity) noexcept
      : control_(control), slots_(slots), records_(records), credit_(credit), capacity_(capacity) {}

  [[nodiscard]] MILLRACE_HD std::uint32_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] MILLRACE_HD lane_control& control() const noexcept { return *control_; }
  /// Where the producer reads how far the lane is consumed.
  [[nodiscard]] MILLRACE_HD message_id& credit() const noexcept { return *credit_; }

  [[nodiscard]] MILLRACE_HD slot_header& header(std::uint32_t index) const noexcept {
    return *reinterpret_cast<slot_header*>(slots_ + std::size_t{index} * slot::stride);
  }
  [[nodiscard]] MILLRACE_HD std::byte* payload(std::uint32_t index) const noexcept {
    return slots_ + std::size_t{index} * slot::stride + slot::payload_offset;
  }
  [[nodiscard]] MILLRACE_HD record_header& record_at(std::uint32_t index) const noexcept {
    return *reinterpret_cast<record_header*>(records_ + std::size_t{index} * record::stride);
  }
  [[nodiscard]] MILLRACE_HD std::byte* reply(std::uint32_t index) const noexcept {
    return records_ + std::size_t{index} * record::stride + record::payload_offset;
  }

  /// The worker's turn at which the message was done, in lanes that retain.
  [[nodiscard]] MILLRACE_HD std::uint64_t& turn(std::uint32_t index) const noexcept {
    return *reinterpret_cast<std::uint64_t*>(records_ + std::size_t{index} * record::stride +
                                             record::turn_offset);
  }
  /// The message of slot `index` that its producer does not want any more: its number, written by
  /// the producer alone. It lies with the records, where the producer is.
  [[nodiscard]] MILLRACE_HD message_id& cancel_word(std::uint32_t index) const noexcept
    requires(P::cancellable)
  {
    return reinterpret_cast<message_id*>(records_ + records_size(capacity_))[index];
  }
  /// Whose the lane is; behind the control block.
  [[nodiscard]] MILLRACE_HD lane_identity& identity() const noexcept
    requires(P::named_producers)
  {
    return *reinterpret_cast<lane_identity*>(control_ + 1);
  }
  /// When the message of slot `index` expires.
  [[nodiscard]] MILLRACE_HD std::uint64_t& deadline(std::uint32_t index) const noexcept
    requires(P::expires)
  {
    return *reinterpret_cast<std::uint64_t*>(slots_ + std::size_t{index} * slot::stride +
                                             slot::deadline_offset);
  }

  /// The last message of slot `index` whose producer left without the result.
  [[nodiscard]] message_id& orphan(std::uint32_t index) const noexcept
    requires has_orphans
  {
    return reinterpret_cast<message_id*>(records_ + records_size(capacity_))[index];
  }
  /// Where the bytes of slab messages lie: with the producer, whose memory the records are in too.
  [[nodiscard]] MILLRACE_HD std::byte* arena() const noexcept {
    return records_ + records_size(capacity_) + cancels_size(capacity_);
  }
  /// The message in the slot at `index`, for a functor.
  [[nodiscard]] MILLRACE_HD message_view<typename P::message> view(
      std::uint32_t index) const noexcept {
    if constexpr (detail::in_slab<P>) {
      return {header(index), *reinterpret_cast<slab_descriptor const*>(payload(index)), arena()};
    } else {
      return {header(index), payload(index)};
    }
  }

  /// The slot `distance` behind `index`; distance is at most the capacity.
  [[nodiscard]] MILLRACE_HD std::uint32_t after(std::uint32_t index,
                                                std::uint32_t distance) const noexcept {
    std::uint32_t const sum = index + distance;  // both are below 2^31
    return sum < capacity_ ? sum : sum - capacity_;
  }
  [[nodiscard]] MILLRACE_HD std::uint32_t before(std::uint32_t index,
                                                 std::uint32_t distance) const noexcept {
    return index >= distance ? index - distance : index + (capacity_ - distance);
  }

  /// Asks for a later slot's lines, to write them: they lie in the cache of the worker that read
  /// them last, and cross while the producer writes the slot at `index`.
  MILLRACE_HD void fetch_slot_after(std::uint32_t index) const noexcept {
    fetch_after<slot::stride>(slots_, index);
  }
  /// The same for a later record, which lies with the producer that took it.
  MILLRACE_HD void fetch_record_after(std::uint32_t index) const noexcept {
    fetch_after<record::stride>(records_, index);
  }

  /// Takes over the lines of the message in slot `index`, which is read: see core::own_lines.
  void own_message(std::uint32_t index) const noexcept {
    // the last word of a line is never a sequence number, which others may look at
    core::own_lines(slots_ + std::size_t{index} * slot::stride, slot::stride);
    if constexpr (detail::in_slab<P>) {
      auto const where = *reinterpret_cast<slab_descriptor const*>(payload(index));
      core::own_lines(arena() + where.offset, byte_ring::span_of(where.length));
    }
  }
  /// The same for the record at `index`.
  void own_record(std::uint32_t index) const noexcept {
    core::own_lines(records_ + std::size_t{index} * record::stride, record::stride);
  }

  /// The most slots: indices and their sums stay in 32 bits.
  static constexpr std::uint32_t max_capacity = 0x7fff'ffffu;
  /// Of a lane's memory.
  static constexpr std::size_t alignment =
      detail::larger(core::destructive_bytes, detail::larger(slot::alignment, record::alignment));

  /// Far more than there is, and far from what 64 bits hold.
  static constexpr std::size_t max_arena_bytes = std::size_t{1} << 62;

  /// Where slots, records and the arena begin, bytes from the control block.
  [[nodiscard]] static constexpr std::size_t slots_at() noexcept {
    return detail::round_up(sizeof(lane_control) + (P::named_producers ? sizeof(lane_identity) : 0),
                            alignment);
  }
  [[nodiscard]] static constexpr std::size_t records_at(std::uint32_t capacity) noexcept {
    return slots_at() + detail::round_up(capacity * slot::stride, alignment);
  }
  [[nodiscard]] static constexpr std::size_t arena_at(std::uint32_t capacity) noexcept {
    return records_at(capacity) + records_size(capacity) + cancels_size(capacity);
  }
  /// Bytes of the arena that `arena_bytes`, which `bytes` admits, asks for.
  [[nodiscard]] static constexpr std::size_t arena_size(std::uint32_t capacity,
                                                        std::size_t arena_bytes) noexcept {
    if constexpr (detail::in_slab<P>) {
      std::size_t const asked =
          arena_bytes != 0 ? arena_bytes : default_arena_bytes(capacity, P::message::capacity);
      return detail::round_up(asked, byte_ring::line);
    } else {
      return 0;
    }
  }

 private:
  explicit lane_ref(lane_control* control) noexcept
      : control_(control),
        slots_(reinterpret_cast<std::byte*>(control) + control->slots_offset),
        records_(reinterpret_cast<std::byte*>(control) + control->records_offset),
        credit_(&control->worker.consumed),
        capacity_(control->capacity) {}

  [[nodiscard]] static consteval std::size_t least_arena() noexcept {
    if constexpr (detail::in_slab<P>) {
      return byte_ring::span_of(P::message::capacity);
    } else {
      return ~std::size_t{0};  // of no use to anybody
    }
  }
  [[nodiscard]] static MILLRACE_HD constexpr std::size_t records_size(
      std::uint32_t capacity) noexcept {
    return has_records ? detail::round_up(capacity * record::stride, alignment) : 0;
  }

  [[nodiscard]] static MILLRACE_HD constexpr std::size_t cancels_size(
      std::uint32_t capacity) noexcept {
    return P::cancellable ? detail::round_up(capacity * sizeof(message_id), alignment) : 0;
  }

  template <std::size_t Stride>
  MILLRACE_HD void fetch_after(std::byte const* all, std::uint32_t index) const noexcept {
    constexpr auto distance = static_cast<std::uint32_t>((512 + Stride - 1) / Stride);
    if (capacity_ <= 2 * distance) { return; }
    std::byte const* const later = all + std::size_t{after(index, distance)} * Stride;
    for (std::size_t at = 0; at < Stride; at += core::line_bytes) {
      core::prefetch_write(later + at);
    }
  }

  /// Every slot and record looks as if the lap before `first` had passed through it; the slots of a
  /// ring that marks them wait for the first lap.
  void clear(message_id first) noexcept {
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      std::uint32_t const last_lap = sequence_of(first + i - capacity_);
      std::uint32_t const seq = detail::marks_free<P> ? queue::free_for(first + i) : last_lap;
      detail::place(&header(i), slot_header{seq, 0, 0, 0, 0});
      if constexpr (has_records) { detail::place(&record_at(i), record_header{last_lap, 0, 0}); }
      if constexpr (has_orphans) { detail::place(&orphan(i), first + i - capacity_); }
      if constexpr (P::cancellable) { detail::place(&cancel_word(i), first + i - capacity_); }
    }
  }

  lane_control* control_ = nullptr;
  std::byte* slots_ = nullptr;
  std::byte* records_ = nullptr;
  message_id* credit_ = nullptr;
  std::uint32_t capacity_ = 0;
};

namespace detail {

/// The end of a lane's messages: what its producer has published, as far as no seal cuts it off.
/// @param published  read before this
template <consumer_policy P>
[[nodiscard]] message_id end_of(lane_ref<P> const& lane, message_id published) noexcept {
  if constexpr (P::named_producers) {
    return end_of<typename P::access>(lane.identity(), published);
  } else {
    return published;
  }
}

/// Whether message `id`, whose record is the one at `index`, is answered.
template <consumer_policy P>
[[nodiscard]] bool answered(lane_ref<P> const& lane, std::uint32_t index, message_id id) noexcept {
  return P::access::load(lane.record_at(index).seq, core::acquire, "record.take") ==
         sequence_of(id);
}

/// Copies the answer at `index` into `out`, all but its number.
template <consumer_policy P>
void read_answer(lane_ref<P> const& lane, std::uint32_t index,
                 completion<typename P::reply>& out) noexcept {
  using reply = typename P::reply;
  using record = typename lane_ref<P>::record;
  record_header const& answer = lane.record_at(index);
  P::access::read(&answer.status, record::stride - offsetof(record_header, status), "record.read");
  out.status = static_cast<status>(answer.status);
  out.length = answer.length;
  if constexpr (is_inline_bytes<reply>) {
    out.reply.length = answer.length;
    std::memcpy(out.reply.data, lane.reply(index), answer.length);
  } else if constexpr (record::payload_bytes != 0) {
    if (answer.length != 0) { std::memcpy(&out.reply, lane.reply(index), sizeof(reply)); }
  }
}

/// A worker's last look before sleep: whether the slot of the message at `position` holds what it
/// held a lap ago, or waits. Anything else is that message, or a sign that the cursor is stale.
template <consumer_policy P, core::access_policy A>
[[nodiscard]] MILLRACE_HD bool is_quiet(lane_ref<P, A> const& lane, std::uint32_t index,
                                        message_id position) noexcept {
  std::uint32_t const seq = A::load(lane.header(index).seq, core::seq_cst, "slot.last_look");
  return seq == sequence_of(position - lane.capacity()) ||
         (marks_free<P> && seq == free_for(position));
}

/// Gives slot `index`, whose message `id` is over, to the message a lap behind.
template <consumer_policy P, core::access_policy A>
MILLRACE_HD void free_slot(lane_ref<P, A> const& ring, std::uint32_t index,
                           message_id id) noexcept {
  A::store(ring.header(index).seq, free_for(id + ring.capacity()), core::release, "slot.free");
}

/// The worker's part of a number that its producer gave up: nobody asks for its result.
template <consumer_policy P, core::access_policy A>
MILLRACE_HD status step_over(lane_ref<P, A> const& ring, std::uint32_t index,
                             message_id id) noexcept {
  if constexpr (lane_ref<P, A>::has_records) {
    P::access::store(ring.record_at(index).seq, sequence_of(id), core::release, "record.publish");
  }
  if constexpr (marks_free<P>) { free_slot(ring, index, id); }
  return status::ok;
}

/// Whether a ring that looks dry at `position` holds numbers that were drawn and are not published
/// yet: messages behind them may have been published before a close. Relaxed: the close, which the
/// worker has seen, is after those draws.
template <consumer_policy P, core::access_policy A>
[[nodiscard]] MILLRACE_HD bool holds_gap(lane_ref<P, A> const& ring, message_id position) noexcept {
  return A::load(ring.control().producer.reserved, core::relaxed, "ring.awaited") != position;
}

/// Whether message `id` in slot `index` of a ring without records is done, for a caller who has
/// acquired that the number was drawn.
template <consumer_policy P>
[[nodiscard]] bool ended(lane_ref<P> const& ring, std::uint32_t index, message_id id) noexcept {
  std::uint32_t const seq =
      P::access::load(ring.header(index).seq, core::acquire, "slot.look_free");
  return seq != sequence_of(id) && seq != free_for(id);
}

}  // namespace detail

}  // namespace millrace::inline v0::queue
