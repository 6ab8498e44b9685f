// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/crew.hpp>
#include <millrace/queue/cursor.hpp>
#include <millrace/queue/lane.hpp>
#include <millrace/queue/snapshot.hpp>

#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// What a worker needs: trivially copyable, so that a kernel takes it by value.
template <consumer_policy P, core::access_policy A = typename P::access>
struct drain_args {
  lane_ref<P, A>* lanes = nullptr;
  lane_cursor* cursors = nullptr;  ///< [lanes] for pinned claims, else [workers][lanes]
  std::uint32_t lane_count = 0;
  crew_ref<P> crew;
  typename P::processor process;
  typename P::probe probe;
  worker_state<typename P::state>* states = nullptr;  ///< [workers], of policies with state
  snapshots_ref<P> snapshots{};                       ///< of policies that take them
  /// Each worker's `follow_layout`, one after the other, in the workers' memory.
  std::conditional_t<detail::follows<P>, std::byte*, detail::nothing> follow_ups{};
};

}  // namespace millrace::inline v0::queue
