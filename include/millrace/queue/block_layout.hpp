// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/buffer.hpp>
#include <millrace/queue/snapshot.hpp>
#include <millrace/queue/state.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::queue::detail {

/// Lanes, or one ring, that the workers look at.
template <consumer_policy P>
[[nodiscard]] std::uint32_t lane_count(options const& with) noexcept {
  return one_ring<P> ? 1 : with.lanes;
}

/// Where the parts of a consumer lie in one block of memory.
template <consumer_policy P>
struct block_layout {
  std::size_t lane_bytes = 0;
  std::size_t workers_at = 0;
  std::size_t snapshots_at = 0;
  std::size_t lanes_at = 0;
  std::size_t bytes = 0;
  static constexpr std::size_t alignment =
      larger(lane_ref<P>::alignment, snapshots_ref<P>::alignment);

  /// @error errc::bad_argument, native naming the field: 1 capacity, 2 lanes, 3 workers, 4 arena
  [[nodiscard]] static result<block_layout> make(options const& with) noexcept {
    if (with.lanes == 0 || with.lanes > 1u << 20) { return core::fail(errc::bad_argument, 2); }
    if (with.workers == 0 || with.workers > 1u << 20) { return core::fail(errc::bad_argument, 3); }
    auto const lane_bytes = lane_ref<P>::bytes(with.capacity, with.arena_bytes);
    if (!lane_bytes) { return cuda::std::unexpected(lane_bytes.error()); }
    block_layout out;
    out.lane_bytes = round_up(*lane_bytes, alignment);
    out.workers_at = round_up(sizeof(crew_control), alignment);
    out.snapshots_at = round_up(out.workers_at + with.workers * sizeof(worker_control), alignment);
    std::size_t const snapshots = snapshots_ref<P>::bytes(with.workers, with.lanes);
    out.lanes_at = round_up(out.snapshots_at + snapshots, alignment);
    std::uint32_t const lanes = lane_count<P>(with);
    if (out.lane_bytes > (memory::max_request_bytes - out.lanes_at) / lanes) {
      return core::fail(errc::out_of_memory);
    }
    out.bytes = out.lanes_at + lanes * out.lane_bytes;
    return out;
  }

  /// Of what an owner remembers of its messages.
  [[nodiscard]] static std::size_t notes_bytes(std::uint32_t capacity) noexcept {
    std::size_t const each = !one_ring<P> ? 1 : lane_ref<P>::has_records ? sizeof(message_id) : 0;
    return round_up(larger(capacity * each, 1), core::destructive_bytes);
  }

  /// Dropped messages that a lane remembers until their completions are taken.
  [[nodiscard]] static std::size_t dropped_count(std::uint32_t capacity) noexcept {
    return drops_oldest<P> && P::completions == completion_mode::records ? capacity : 0;
  }
  /// Of one lane's stage: no more than the lane itself could hold; a ring's producers have none.
  [[nodiscard]] static std::size_t stage_bytes(std::uint32_t capacity) noexcept {
    if (one_ring<P>) { return alignment; }
    std::size_t const all = std::size_t{capacity} * P::slot::stride;
    std::size_t const draft = drops_oldest<P> ? P::slot::stride : 0;
    return round_up(std::max(draft, std::min(all, lane_owner<P>::stage_bytes)), alignment);
  }

  /// Builds crew and lanes in `block`, and what `shared` needs to find them.
  /// @error errc::out_of_memory
  [[nodiscard]] result<void> build(std::byte* block, options const& with, state<P>& shared) const {
    format(block, with);
    return find(block, with, shared);
  }

  /// Makes crew, first snapshots and lanes of raw memory.
  void format(std::byte* block, options const& with) const noexcept {
    crew_control& control = place(block, crew_control{});
    control.version = layout_version;
    control.workers = with.workers;
    control.lanes = with.lanes;
    control.capacity = with.capacity;
    control.first = with.first_message;
    control.arena_bytes = with.arena_bytes;
    auto* const workers = reinterpret_cast<worker_control*>(block + workers_at);
    for (std::uint32_t w = 0; w < with.workers; ++w) { place(workers + w, worker_control{}); }
    if constexpr (retains<P>) {
      snapshots_ref<P> const snapshots(block + snapshots_at, with.lanes);
      for (std::uint32_t w = 0; w < with.workers; ++w) {
        place(&snapshots.of(w, 0), worker_state<typename P::state>{});
        for (std::uint32_t l = 0; l < with.lanes; ++l) {
          place(&snapshots.position(w, 0, l), with.first_message);
        }
      }
    }
    for (std::uint32_t l = 0; l < lane_count<P>(with); ++l) {
      static_cast<void>(lane_ref<P>::create(block + lanes_at + l * lane_bytes, with.capacity,
                                            with.first_message, with.arena_bytes));
    }
    P::access::store(control.magic, crew_control::ready, core::release, "crew.ready");
  }

  /// Finds crew and lanes in memory that was formatted, and prepares what producers need.
  /// @error errc::out_of_memory; errc::layout_mismatch
  [[nodiscard]] result<void> find(std::byte* block, options const& with, state<P>& shared) const {
    auto& control = *reinterpret_cast<crew_control*>(block);
    auto* const workers = reinterpret_cast<worker_control*>(block + workers_at);
    memory::any_resource const& from = with.resource;
    std::size_t const notes_stride = notes_bytes(with.capacity);
    auto notes = own_buffer<std::uint8_t>::make_zeroed(with.lanes * notes_stride, from,
                                                       core::destructive_bytes);
    auto lanes = own_buffer<lane_ref<P>>::make(lane_count<P>(with), from, core::destructive_bytes);
    std::size_t const stage_stride = stage_bytes(with.capacity);
    auto stages = own_buffer<std::byte>::make(with.lanes * stage_stride, from, alignment);
    if (!stages) { return cuda::std::unexpected(stages.error()); }
    shared.stages = std::move(*stages);
    if (!notes) { return cuda::std::unexpected(notes.error()); }
    std::size_t const dropped_stride = dropped_count(with.capacity);
    if (dropped_stride != 0) {
      auto dropped =
          own_buffer<message_id>::make(with.lanes * dropped_stride, from, core::destructive_bytes);
      if (!dropped) { return cuda::std::unexpected(dropped.error()); }
      shared.dropped = std::move(*dropped);
    }
    if (!lanes) { return cuda::std::unexpected(lanes.error()); }
    shared.notes = std::move(*notes);
    shared.lanes = std::move(*lanes);
    shared.built = with;
    shared.crew = crew_ref<P>(control, workers);
    shared.entries = own_vector<typename state<P>::lane_entry>(
        memory::allocator<typename state<P>::lane_entry, memory::any_resource>(from));
    shared.entries.reserve(with.lanes);
    for (std::uint32_t l = 0; l < lane_count<P>(with); ++l) {
      auto const lane =
          lane_ref<P>::attach(*reinterpret_cast<lane_control*>(block + lanes_at + l * lane_bytes));
      if (!lane) { return cuda::std::unexpected(lane.error()); }
      place(&shared.lanes[l], *lane);
    }
    for (std::uint32_t p = 0; p < with.lanes; ++p) {
      std::uint8_t* const mine = shared.notes.data() + p * notes_stride;
      if constexpr (one_ring<P>) {
        memory::buffer_ref<message_id> const messages(reinterpret_cast<message_id*>(mine),
                                                      notes_stride / sizeof(message_id));
        shared.entries.push_back({ring_owner<P>(shared.lanes[0], shared.crew, messages), false});
      } else {
        memory::buffer_ref<std::uint8_t> const taken(mine, with.capacity);
        memory::buffer_ref<std::byte> const stage(shared.stages.data() + p * stage_stride,
                                                  stage_stride);
        memory::buffer_ref<message_id> const dropped(
            shared.dropped.data() + (dropped_stride != 0 ? p * dropped_stride : 0), dropped_stride);
        shared.entries.push_back(
            {lane_owner<P>(shared.lanes[p], shared.crew, p, taken, stage, dropped), false});
      }
    }
    return {};
  }
};

/// How many cursors the workers need.
template <consumer_policy P>
[[nodiscard]] std::size_t cursor_count(options const& with) noexcept {
  std::size_t const lanes = lane_count<P>(with);
  return P::claims == claim_mode::pinned ? lanes : lanes * with.workers;
}

}  // namespace millrace::inline v0::queue::detail
