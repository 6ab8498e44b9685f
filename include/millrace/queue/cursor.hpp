// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/platform.hpp>
#include <millrace/queue/policy.hpp>

#include <cstdint>

namespace millrace::inline v0::queue {

/// How far a worker, or a puller, has come in one lane. It outlives them, for those who come after.
struct alignas(core::destructive_bytes) lane_cursor {
  message_id position = 0;
  message_id limit = 0;  ///< messages before it may be taken although they are not published
  std::uint64_t dry_since_ns = 0;
  std::uint32_t index = 0;  ///< the slot of `position`
  std::uint32_t fresh = 0;  ///< done since the producer was last told
  bool dry = false;         ///< the last look found nothing, at dry_since_ns
};

namespace detail {

/// Member by member, and only those that the policy uses: nvcc copies the whole a byte at a time.
template <consumer_policy P>
MILLRACE_HD void copy_cursor(lane_cursor& to, lane_cursor const& from) noexcept {
  to.position = from.position;
  to.index = from.index;
  if constexpr (counts_credit<P>) { to.fresh = from.fresh; }
  if constexpr (defers<P>) {
    to.limit = from.limit;
    to.dry_since_ns = from.dry_since_ns;
    to.dry = from.dry;
  }
}

}  // namespace detail

}  // namespace millrace::inline v0::queue
