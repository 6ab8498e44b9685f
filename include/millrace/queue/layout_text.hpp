// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/block_layout.hpp>

#include <cstddef>
#include <string>

namespace millrace::inline v0::queue {

/// Where a consumer of policy P keeps what in its memory, in words: strides, offsets and sizes in
/// bytes. Slots and records count from their own begin, a lane's parts from the lane, the block's
/// from the block, which is one allocation. The numbers are the ones that launch computes.
/// @error as launch_host for options that it refuses
template <consumer_policy P>
[[nodiscard]] result<std::string> layout_text(options const& with) {
  using lane = lane_ref<P>;
  auto const block = detail::block_layout<P>::make(with);
  if (!block) { return cuda::std::unexpected(block.error()); }
  auto const n = [](std::size_t number) { return std::to_string(number); };
  auto const several = [&](std::size_t number, char const* what) {
    return n(number) + ' ' + what + (number == 1 ? "" : "s");
  };

  std::string out = "slot: " + n(P::slot::stride) + " B, payload at " + n(P::slot::payload_offset) +
                    ", up to " + n(P::slot::payload_bytes) + " B\n";
  if constexpr (lane::has_records) {
    out += "record: " + n(lane::record::stride) + " B, reply at " +
           n(lane::record::payload_offset) + ", up to " + n(lane::record::payload_bytes) + " B\n";
  } else {
    out += "record: none\n";
  }
  out += "lane: " + several(with.capacity, "slot") + " at " + n(lane::slots_at());
  if constexpr (lane::has_records) { out += ", records at " + n(lane::records_at(with.capacity)); }
  if constexpr (detail::in_slab<P>) {
    out += ", arena of " + n(lane::arena_size(with.capacity, with.arena_bytes)) + " B at " +
           n(lane::arena_at(with.capacity)) + " for messages of up to " + n(P::message::capacity) +
           " B";
  }
  out += "; " + n(block->lane_bytes) + " B\n";
  out += "block: " + several(with.workers, "worker") + " at " + n(block->workers_at) + ", " +
         several(detail::lane_count<P>(with), "lane") + " at " + n(block->lanes_at) + "; " +
         n(block->bytes) + " B\n";
  return out;
}

}  // namespace millrace::inline v0::queue
