// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/platform.hpp>
#include <millrace/queue/message.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::queue {

/// Where a functor leaves further messages for its own consumer. The worker that called it does
/// them, in order, before it takes another message from a lane: a full lane cannot keep them out,
/// and nobody waits. They have no completion; their replies go nowhere.
/// @thread the functor's, during its call; of a group, the leader, whose rank is 0
template <message_type Message>
class follow_up {
 public:
  using slot = default_slot<Message>;

  follow_up() noexcept = default;
  /// @param entries  room + 1 slots: the message that is being done keeps its own
  MILLRACE_HD follow_up(std::byte* entries, std::uint32_t room, bool leader) noexcept
      : entries_(entries), room_(leader ? room : 0), slots_(room + 1) {}

  /// Adds a message. Its number is that of the message from a lane that it follows from.
  /// @return false when the worker has no room for it, and for members that do not lead
  [[nodiscard]] MILLRACE_HD bool submit(Message const& what, std::uint8_t kind = 0) noexcept
    requires(!detail::is_inline_bytes<Message>)
  {
    std::byte* const payload = add(slot::payload_bytes, kind);
    if (payload == nullptr) { return false; }
    *reinterpret_cast<Message*>(payload) = what;
    return true;
  }
  /// Adds a message of bytes.
  /// @return false also when they are more than the slot carries
  [[nodiscard]] MILLRACE_HD bool submit(cuda::std::span<std::byte const> what,
                                        std::uint8_t kind = 0) noexcept
    requires(detail::is_inline_bytes<Message>)
  {
    if (what.size() > slot::payload_bytes) { return false; }
    std::byte* const payload = add(what.size(), kind);
    if (payload == nullptr) { return false; }
    for (std::size_t i = 0; i < what.size(); ++i) { payload[i] = what[i]; }
    return true;
  }
  /// Messages that can be added now; 0 for members that do not lead.
  [[nodiscard]] MILLRACE_HD std::uint32_t room() const noexcept {
    return count_ < room_ ? room_ - count_ : 0;
  }

  /// @internal The worker's side: every member of its group steps alike.
  struct worker_side {
    /// Messages that wait; the leader's count is the true one.
    [[nodiscard]] static MILLRACE_HD std::uint32_t& count(follow_up& of) noexcept {
      return of.count_;
    }
    /// The number that messages added from now on get.
    [[nodiscard]] static MILLRACE_HD message_id& root(follow_up& of) noexcept { return of.root_; }
    /// Messages added so far.
    [[nodiscard]] static MILLRACE_HD std::uint64_t& accepted(follow_up& of) noexcept {
      return of.accepted_;
    }
    /// Takes the oldest one; its slot stays as it is until the next one is taken.
    [[nodiscard]] static MILLRACE_HD message_view<Message> take(follow_up& of) noexcept {
      std::byte* const at = of.entries_ + std::size_t{of.first_} * slot::stride;
      of.first_ = of.first_ + 1 < of.slots_ ? of.first_ + 1 : 0;
      --of.count_;
      return {*reinterpret_cast<slot_header*>(at), at + slot::payload_offset};
    }
  };

 private:
  [[nodiscard]] MILLRACE_HD std::byte* add(std::size_t length, std::uint8_t kind) noexcept {
    if (room() == 0) { return nullptr; }
    std::uint64_t const sum = std::uint64_t{first_} + count_;
    std::byte* const at = entries_ + (sum < slots_ ? sum : sum - slots_) * slot::stride;
    slot_header const header{0, static_cast<std::uint16_t>(length), kind, 0, root_};
    *reinterpret_cast<slot_header*>(at) = header;
    ++count_;
    ++accepted_;
    return at + slot::payload_offset;
  }

  std::byte* entries_ = nullptr;
  std::uint32_t room_ = 0;
  std::uint32_t slots_ = 1;
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
  message_id root_ = 0;
  std::uint64_t accepted_ = 0;
};

namespace detail {

/// One worker's follow-ups in memory: where their replies go, then the slots.
template <class Message, class Reply, std::uint32_t Room>
struct follow_layout {
  using slot = default_slot<Message>;
  static constexpr std::size_t alignment =
      larger(core::destructive_bytes, larger(slot::alignment, record_layout<Reply>::alignment));
  static constexpr std::size_t slots_at =
      round_up(larger(record_layout<Reply>::payload_bytes, 1), slot::alignment);
  static constexpr std::size_t bytes =
      Room == 0 ? 0 : round_up(slots_at + (std::size_t{Room} + 1) * slot::stride, alignment);
};

/// Stands where a policy has no use for what others keep.
struct nothing {};

}  // namespace detail

}  // namespace millrace::inline v0::queue
