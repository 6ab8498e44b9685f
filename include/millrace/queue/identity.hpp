// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/queue/slot.hpp>

#include <cstdint>
#include <optional>

namespace millrace::inline v0::queue {

/// What a producer calls itself, so that whoever comes after it under the same name goes on where
/// it was. 0 is nobody's name.
enum class producer_name : std::uint64_t {};

/// Whose a lane is, and until where: words that only lanes of named producers have. Each group has
/// one writer at a time and a line of its own.
struct lane_identity {
  /// Written by whoever opens the lane, under the lock of names.
  struct alignas(core::destructive_bytes) {
    std::uint64_t name = 0;  ///< 0: nobody's
    std::uint64_t epoch = 0;
    message_id begin = 0;  ///< the place of the name's first message in this lane
    message_id shift = 0;  ///< what a message's number is above its place
  } owner;
  /// Written by the lane's producer.
  struct alignas(core::destructive_bytes) {
    std::uint64_t duplicate = 0;  ///< messages refused because they had been accepted
  } producer;
  /// Written by whoever opens another lane under the name, under the lock of names.
  struct alignas(core::destructive_bytes) {
    std::uint64_t seal = 0;  ///< not 0: the lane's worker is to take nothing more from it
  } successor;
  /// Written by the lane's worker.
  struct alignas(core::destructive_bytes) {
    message_id stopped = 0;          ///< no message from this place on is ever taken
    std::uint64_t acknowledged = 0;  ///< the last seal for which that holds
  } worker;
};

namespace detail {

/// Whether a successor wants the lane's producer out of the way.
template <core::access_policy A>
[[nodiscard]] bool is_fenced(lane_identity const& words) noexcept {
  return A::load(words.successor.seal, core::relaxed, "lane.fenced") != 0;
}

/// The place where the worker of a sealed lane stopped for good, once it has said so.
template <core::access_policy A>
[[nodiscard]] std::optional<message_id> stopped_at(lane_identity const& words) noexcept {
  std::uint64_t const seal = A::load(words.successor.seal, core::relaxed, "lane.sealed");
  if (seal == 0 || A::load(words.worker.acknowledged, core::acquire, "lane.acknowledged") != seal) {
    return std::nullopt;
  }
  return A::load(words.worker.stopped, core::relaxed, "lane.stopped");
}

/// The end of a lane's messages, `published` being what its producer says: no more than the place
/// at which a sealed lane ends. `published` is read first.
template <core::access_policy A>
[[nodiscard]] message_id end_of(lane_identity const& words, message_id published) noexcept {
  auto const stopped = stopped_at<A>(words);
  return stopped && published - *stopped <= ~message_id{0} / 2 ? *stopped : published;
}

}  // namespace detail

}  // namespace millrace::inline v0::queue
