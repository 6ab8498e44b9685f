// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/slot.hpp>

namespace millrace::inline v0::queue {

/// How a message ended. A functor returns one; from `user` on the values are the caller's own.
/// Values are frozen: they cross the C ABI and the wire.
enum class status : std::uint16_t {
  ok = 0,
  failed = 1,        ///< the functor says that it could not do the work
  unprocessed = 2,   ///< the consumer stopped before any worker took the message
  unknown_kind = 3,  ///< no functor of `by_kind` has the message's kind
  dropped = 4,       ///< its producer gave it up for newer ones before any worker took it
  cancelled = 5,     ///< its producer cancelled it before a worker began
  expired = 6,       ///< its time had passed before a worker began
  user = 256,
};

/// A message as the functor sees it: in place, read only, valid during the call.
template <class Message>
class message_view {
 public:
  MILLRACE_HD message_view(slot_header const& header, std::byte const* payload) noexcept
      : header_(&header), payload_(payload) {}

  [[nodiscard]] MILLRACE_HD message_id id() const noexcept { return header_->id; }
  [[nodiscard]] MILLRACE_HD std::uint8_t kind() const noexcept { return header_->kind; }
  /// Payload bytes.
  [[nodiscard]] MILLRACE_HD std::size_t size() const noexcept { return header_->length; }
  [[nodiscard]] MILLRACE_HD cuda::std::span<std::byte const> bytes() const noexcept {
    return {payload_, header_->length};
  }
  /// The message itself, for slots that hold one type.
  [[nodiscard]] MILLRACE_HD Message const& value() const noexcept
    requires(!detail::is_inline_bytes<Message>)
  {
    return *reinterpret_cast<Message const*>(payload_);
  }

 private:
  slot_header const* header_;
  std::byte const* payload_;
};

/// A message that lies in the lane's arena: in place, read only, valid during the call.
template <std::size_t Max>
class message_view<slab_bytes<Max>> {
 public:
  /// @param arena  the lane's own, wherever this thread sees it
  MILLRACE_HD message_view(slot_header const& header, slab_descriptor const& where,
                           std::byte const* arena) noexcept
      : header_(&header),
        bytes_(arena + where.offset),
        size_(static_cast<std::size_t>(where.length)) {}

  [[nodiscard]] MILLRACE_HD message_id id() const noexcept { return header_->id; }
  [[nodiscard]] MILLRACE_HD std::uint8_t kind() const noexcept { return header_->kind; }
  [[nodiscard]] MILLRACE_HD std::size_t size() const noexcept { return size_; }
  /// They begin at a multiple of 64. On a device each read of them crosses the bus.
  [[nodiscard]] MILLRACE_HD cuda::std::span<std::byte const> bytes() const noexcept {
    return {bytes_, size_};
  }

 private:
  slot_header const* header_;
  std::byte const* bytes_;
  std::size_t size_;
};

/// What stands before every reply. Record i answers slot i.
struct record_header {
  std::uint32_t seq = 0;  ///< as in slot_header, once the message is done
  std::uint16_t status = 0;
  std::uint16_t length = 0;  ///< reply bytes
};
static_assert(sizeof(record_header) == 8);

/// Where replies of type R lie. In a lane that retains its messages the header is followed by the
/// worker's turn, the order in which its messages are done again.
template <class R, bool Turned = false>
struct record_layout {
  static constexpr std::size_t payload_bytes = detail::payload_bytes<R>();
  static constexpr std::size_t alignment =
      detail::larger(sizeof(record_header), detail::payload_alignment<R>());
  static constexpr std::size_t turn_offset = sizeof(record_header);
  static constexpr std::size_t payload_offset =
      detail::round_up(sizeof(record_header) + (Turned ? sizeof(std::uint64_t) : 0), alignment);
  static constexpr std::size_t stride = detail::round_up(payload_offset + payload_bytes, alignment);
};
static_assert(record_layout<std::uint64_t>::stride == 16);

/// Writes the reply in place. A functor that writes nothing sends a reply of length 0.
/// For block- and warp-wide functors the leader, whose rank is 0, writes.
template <class R>
class reply_writer {
 public:
  MILLRACE_HD reply_writer(std::byte* payload, std::uint16_t& length) noexcept
      : payload_(payload), length_(&length) {}

  MILLRACE_HD void write(R const& reply) noexcept
    requires(!detail::is_inline_bytes<R>)
  {
    if constexpr (record_layout<R>::payload_bytes != 0) {
      *reinterpret_cast<R*>(payload_) = reply;
      *length_ = static_cast<std::uint16_t>(sizeof(R));
    }
  }

  /// The whole room for the reply; `resize` says how much of it counts.
  [[nodiscard]] MILLRACE_HD cuda::std::span<std::byte> bytes() const noexcept
    requires(detail::is_inline_bytes<R>)
  {
    return {payload_, R::capacity};
  }
  /// Sets the reply's length; more than the record holds is cut to what it holds.
  MILLRACE_HD void resize(std::size_t bytes) noexcept
    requires(detail::is_inline_bytes<R>)
  {
    *length_ = static_cast<std::uint16_t>(bytes < R::capacity ? bytes : R::capacity);
  }

 private:
  std::byte* payload_;
  std::uint16_t* length_;
};

/// What the caller gets back for one message.
template <class R>
struct completion {
  message_id id = 0;
  queue::status status = queue::status::ok;
  std::uint16_t length = 0;  ///< reply bytes written; 0 when the functor wrote none
  R reply{};                 ///< value-initialised when length is 0
};

}  // namespace millrace::inline v0::queue
