// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/parking.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/journal.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::propagate {

/// What transactions that run at the same time may not see of each other.
enum class isolation : std::uint8_t {
  serializable,  ///< as if they had run one after the other: what one has read must still be so
  snapshot       ///< what one has written must not have been written since its epoch
};

/// How large a store may grow, and how far back it can be read.
struct store_options {
  std::uint32_t most_pins = 128;        ///< transactions and snapshots that are open at once
  std::uint64_t kept_epochs = 0;        ///< before the newest, which at() can read
  std::size_t version_bytes = 1 << 30;  ///< of all versions; beyond it commits are refused
};

/// What a store has done and holds.
struct store_stats {
  std::uint64_t epoch = 0;          ///< the newest
  std::uint64_t oldest_pinned = 0;  ///< what a transaction or snapshot still reads
  std::uint64_t oldest_kept = 0;    ///< before it nothing can be read
  std::uint64_t commits = 0;
  std::uint64_t conflicts = 0;
  std::uint64_t versions = 0;
  std::uint64_t version_bytes = 0;
  std::uint64_t spare_bytes = 0;  ///< of versions to come, as of the last commit: one for each
                                  ///< cell, or up to twice as many and 128 of each type
  std::uint64_t undelivered = 0;  ///< times that a mailbox has not taken what it was given
};

/// What a store is made of. Derive from default_store, override what differs.
template <class P>
concept store_policy = requires {
  requires graph_policy<typename P::graph_policy>;
  requires journal<typename P::journal>;
  requires core::access_policy<typename P::access>;
  requires core::parking_policy<typename P::parking>;
  { P::level } -> std::convertible_to<isolation>;
};

struct default_store {
  /// Its resource is drawn on by all threads at once.
  using graph_policy = default_graph;
  using journal = null_journal;
  using access = core::direct_access<cuda::thread_scope_system>;
  using parking = core::futex_parking;
  static constexpr isolation level = isolation::serializable;
};
static_assert(store_policy<default_store>);

template <store_policy P>
class basic_store;

}  // namespace millrace::inline v0::propagate
