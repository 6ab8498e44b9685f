// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace millrace::inline v0::queue {

/// A message's number in its lane; it is also the number of its completion.
using message_id = std::uint64_t;

/// What stands before every payload. `seq` is written last and says whose turn the slot is.
struct slot_header {
  std::uint32_t seq = 0;     ///< low bits of the message's number + 1, once it is published
  std::uint16_t length = 0;  ///< payload bytes
  std::uint8_t kind = 0;     ///< the caller's own tag
  std::uint8_t flags = 0;    ///< 0, or `given_up`
  message_id id = 0;
};
static_assert(sizeof(slot_header) == 16 && std::is_trivially_copyable_v<slot_header>);

/// The sequence number that marks message `id` in a slot or a record.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t sequence_of(message_id id) noexcept {
  return static_cast<std::uint32_t>(id + 1);
}

/// The sequence number of a ring's slot that waits for its message `id`: never that of a message
/// of this slot, since those of two laps in a row are less than 2^31 apart.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t free_for(message_id id) noexcept {
  return sequence_of(id) ^ 0x8000'0000u;
}

/// slot_header::flags of a number whose producer gave it up: no functor sees it.
inline constexpr std::uint8_t given_up = 1;

/// The most payload bytes a slot or a reply may carry.
inline constexpr std::size_t max_payload_bytes = 65'504;

/// Up to N bytes of a message or a reply whose length varies.
template <std::size_t N>
  requires(0 < N && N <= max_payload_bytes)
struct inline_bytes {
  static constexpr std::size_t capacity = N;

  std::uint16_t length = 0;
  std::byte data[N];

  /// The bytes in use, at most N.
  [[nodiscard]] MILLRACE_HD cuda::std::span<std::byte const> bytes() const noexcept {
    return {data, length};
  }
};

/// The most bytes of one message that lies beside its slot.
inline constexpr std::size_t max_slab_bytes = std::size_t{1} << 30;

/// Up to Max bytes of a message that lies beside its slot, in the lane's arena: for messages whose
/// lengths differ much, or exceed what a slot carries. Messages only; it has no value of its own.
template <std::size_t Max>
  requires(0 < Max && Max <= max_slab_bytes)
struct slab_bytes {
  static constexpr std::size_t capacity = Max;
};

/// What the slot of such a message holds.
struct slab_descriptor {
  std::uint64_t offset = 0;  ///< bytes from the lane's arena
  std::uint64_t length = 0;  ///< bytes
};
static_assert(sizeof(slab_descriptor) == 16 && std::is_trivially_copyable_v<slab_descriptor>);

/// The reply of a functor that returns a status and nothing else.
struct no_reply {};

namespace detail {

template <class T>
inline constexpr bool is_inline_bytes = false;
template <std::size_t N>
inline constexpr bool is_inline_bytes<inline_bytes<N>> = true;

template <class T>
inline constexpr bool is_slab_bytes = false;
template <std::size_t Max>
inline constexpr bool is_slab_bytes<slab_bytes<Max>> = true;
/// Whether a message's length varies.
template <class T>
inline constexpr bool is_bytes = is_inline_bytes<T> || is_slab_bytes<T>;

/// Of T in a slot or a record.
template <class T>
[[nodiscard]] consteval std::size_t payload_bytes() {
  if constexpr (is_inline_bytes<T>) {
    return T::capacity;
  } else if constexpr (is_slab_bytes<T>) {
    return sizeof(slab_descriptor);
  } else if constexpr (std::is_empty_v<T>) {
    return 0;
  } else {
    return sizeof(T);
  }
}

template <class T>
[[nodiscard]] consteval std::size_t payload_alignment() {
  return is_inline_bytes<T> ? 1 : alignof(T);
}

[[nodiscard]] MILLRACE_HD constexpr std::size_t larger(std::size_t a, std::size_t b) noexcept {
  return a < b ? b : a;
}

[[nodiscard]] MILLRACE_HD constexpr std::size_t round_up(std::size_t n, std::size_t step) noexcept {
  return (n + step - 1) / step * step;
}

/// Starts an object's life in raw memory that may be another processor's: by its bytes.
template <class T>
  requires std::is_trivially_copyable_v<T>
T& place(void* at, T const& value) noexcept {
  std::memcpy(at, &value, sizeof(T));
  return *static_cast<T*>(at);
}

}  // namespace detail

/// Copied byte by byte between memories that may belong to different processors.
template <class T>
concept message_type = std::is_trivially_copyable_v<T> && std::is_object_v<T> &&
                       (detail::payload_bytes<T>() <= max_payload_bytes);

/// How messages lie in a lane: a header, then the payload, packed at the least stride that keeps
/// both aligned. Packed slots move fewer cache lines than padded ones.
template <class S>
concept slot_layout = requires {
  typename S::message;
  requires S::alignment >= alignof(slot_header);
  requires S::payload_offset >= sizeof(slot_header);
  requires S::payload_bytes <= max_payload_bytes;
  requires S::stride >= S::payload_offset + S::payload_bytes;
  requires S::stride % S::alignment == 0;
};

/// A slot that holds one T.
template <message_type T>
struct typed_slot {
  using message = T;
  static constexpr std::size_t alignment = detail::larger(sizeof(slot_header), alignof(T));
  static constexpr std::size_t payload_offset = detail::larger(sizeof(slot_header), alignof(T));
  static constexpr std::size_t payload_bytes = detail::payload_bytes<T>();
  static constexpr std::size_t stride = detail::round_up(payload_offset + payload_bytes, alignment);
};

/// A slot that holds up to N bytes.
template <std::size_t N>
struct inline_slot {
  using message = inline_bytes<N>;
  static constexpr std::size_t alignment = 16;
  static constexpr std::size_t payload_offset = sizeof(slot_header);
  static constexpr std::size_t payload_bytes = N;
  static constexpr std::size_t stride = detail::round_up(payload_offset + N, alignment);
};

/// A slot that says where up to Max bytes lie.
template <std::size_t Max>
struct descriptor_slot {
  using message = slab_bytes<Max>;
  static constexpr std::size_t alignment = 16;
  static constexpr std::size_t payload_offset = sizeof(slot_header);
  static constexpr std::size_t payload_bytes = sizeof(slab_descriptor);
  static constexpr std::size_t stride = payload_offset + payload_bytes;
};
static_assert(slot_layout<typed_slot<int>> && slot_layout<inline_slot<240>>);
static_assert(slot_layout<descriptor_slot<65'536>> && descriptor_slot<65'536>::stride == 32);
static_assert(inline_slot<240>::stride == 256);

/// `Slot` with room for a deadline between header and payload, for policies whose messages expire.
template <slot_layout Slot>
struct timed_slot {
  using message = typename Slot::message;
  static constexpr std::size_t alignment = Slot::alignment;
  static constexpr std::size_t deadline_offset = sizeof(slot_header);
  static constexpr std::size_t payload_offset = detail::round_up(
      detail::larger(Slot::payload_offset, deadline_offset + sizeof(std::uint64_t)),
      detail::payload_alignment<message>());
  static constexpr std::size_t payload_bytes = Slot::payload_bytes;
  static constexpr std::size_t stride = detail::round_up(payload_offset + payload_bytes, alignment);
};
template <class S>
concept timed_layout = slot_layout<S> && S::deadline_offset >= sizeof(slot_header) &&
                       S::deadline_offset % sizeof(std::uint64_t) == 0 &&
                       S::payload_offset >= S::deadline_offset + sizeof(std::uint64_t);
static_assert(timed_layout<timed_slot<typed_slot<int>>> && !timed_layout<typed_slot<int>>);

/// The deadline of a message that does not expire.
inline constexpr std::uint64_t never_expires = ~std::uint64_t{0};

namespace detail {

template <class Message>
struct slot_for {
  using type = typed_slot<Message>;
};
template <std::size_t N>
struct slot_for<inline_bytes<N>> {
  using type = inline_slot<N>;
};
template <std::size_t Max>
struct slot_for<slab_bytes<Max>> {
  using type = descriptor_slot<Max>;
};

}  // namespace detail

/// The layout a message gets when the policy names none.
template <class Message>
using default_slot = typename detail::slot_for<Message>::type;

}  // namespace millrace::inline v0::queue
