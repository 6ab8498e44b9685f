// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/platform.hpp>
#include <millrace/queue/slot.hpp>

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

}  // namespace millrace::inline v0::queue
