// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/memory/size_classes.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::memory {

/// What a stream-ordered pool knows of streams: work that is submitted to one runs in that order,
/// later. Handles are plain values; any thread may name a stream that `admit` takes. Events are
/// made and dropped by the pool, each used for one record at a time.
/// - `admit(s)`: nothing, or why a pool cannot serve this stream
/// - `id(s)`: below 2^64 - 2; no other stream has it, nor had it
/// - `runs(s)`: whether work that is submitted now runs; asked at every call, so no result. If not:
/// - `capturing(s)`: whether such work is recorded into a graph instead, or why nobody knows
/// - `record(e, s)`: e is done once all that was submitted to s so far is
/// - `done(e)`: whether it is
/// - `order(s, e)`: what is submitted to s from now on runs after e
/// - `now_ns()`, `pause()`: for waits with an end
template <class M>
concept stream_model = requires(M const& m, typename M::stream s, typename M::event e) {
  requires std::copyable<M>;
  requires std::is_trivially_copyable_v<typename M::stream>;
  requires std::is_trivially_copyable_v<typename M::event>;
  { m.admit(s) } noexcept -> std::same_as<result<void>>;
  { m.id(s) } noexcept -> std::same_as<result<std::uint64_t>>;
  { m.runs(s) } noexcept -> std::same_as<bool>;
  { m.capturing(s) } noexcept -> std::same_as<result<bool>>;
  { m.make_event() } noexcept -> std::same_as<result<typename M::event>>;
  { m.drop_event(e) } noexcept -> std::same_as<void>;
  { m.record(e, s) } noexcept -> std::same_as<result<void>>;
  { m.done(e) } noexcept -> std::same_as<result<bool>>;
  { m.order(s, e) } noexcept -> std::same_as<result<void>>;
  { m.now_ns() } noexcept -> std::same_as<std::uint64_t>;
  { m.pause() } noexcept -> std::same_as<void>;
};

/// What a stream pool is made of. Derive from default_stream_pool, override what differs.
template <class P>
concept stream_pool_policy = requires {
  requires core::access_policy<typename P::access>;
  requires size_class_policy<typename P::classes>;
  requires P::most_streams >= 1 && P::most_streams <= 4096;
  requires P::magazine_bytes >= 16 && P::frees_an_event >= 1 && P::frees_an_event <= 65536;
  requires is_alignment(P::least_span_bytes) && is_alignment(P::most_span_bytes);
  requires P::least_span_bytes >= 256 && P::most_span_bytes >= P::least_span_bytes;
  requires P::most_span_bytes >= P::classes::largest;
  { bool{P::watches_capture} };
  { bool{P::checks_frees} };
};

/// The values that fit most programs.
struct default_stream_pool {
  using access = core::direct_access<cuda::thread_scope_system>;
  /// Larger requests are runs of their own, straight from upstream.
  using classes = four_an_octave<(std::size_t{256} << 10)>;
  /// Streams at a time.
  static constexpr std::uint32_t most_streams = 64;
  /// Free blocks of a class that a stream keeps for itself: so many bytes, 2 to 64 blocks.
  static constexpr std::size_t magazine_bytes = std::size_t{1} << 20;
  /// What is asked of upstream for blocks: 64 of them, within these.
  static constexpr std::size_t least_span_bytes = std::size_t{16} << 10;
  static constexpr std::size_t most_span_bytes = std::size_t{2} << 20;
  /// Frees beyond a stream's magazines that share an event; four runs share one.
  static constexpr std::uint32_t frees_an_event = 32;
  /// Whether each call asks if its stream captures. Without it a program must not call a pool with
  /// a stream that does.
  static constexpr bool watches_capture = true;
  /// Whether a free of what is no live block, or of another size class, is refused and changes
  /// nothing. Costs a lock that all streams share and a search at each call.
  static constexpr bool checks_frees = false;
};
static_assert(stream_pool_policy<default_stream_pool>);

/// For finding wrong frees.
struct checked_stream_pool : default_stream_pool {
  static constexpr bool checks_frees = true;
};
static_assert(stream_pool_policy<checked_stream_pool>);

/// How a stream pool behaves beyond its policy.
struct stream_pool_options {
  /// Free bytes above which whole spans and runs go back to upstream as frees go on.
  std::uint64_t release_threshold_bytes = ~std::uint64_t{0};
  /// Bytes of free runs that are kept, at most, once their work is done.
  std::uint64_t most_run_bytes = std::uint64_t{1} << 30;
  /// Out of memory: take blocks whose work is not done, and let the stream wait for it. No host
  /// thread waits, but a stream may then wait for one that it has nothing to do with.
  bool order_after_others = false;
  /// Out of memory: how long the calling thread waits for work of other streams. 0: not at all.
  std::uint64_t wait_ns = 0;
};

/// What one stream of a pool, or all together, did. Bytes are those of blocks, not of requests.
struct stream_counts {
  std::uint64_t allocations = 0;
  std::uint64_t allocated_bytes = 0;
  std::uint64_t frees = 0;  ///< in this stream's order, whichever the block was allocated for
  std::uint64_t freed_bytes = 0;
  std::uint64_t refused_frees = 0;  ///< through a handle, which cannot say so
  std::uint64_t cached_bytes = 0;   ///< free, in its order or done
  std::uint64_t stolen = 0;         ///< blocks that came from other streams, whose work was done
  std::uint64_t ordered = 0;        ///< blocks that came from others by a wait of the stream
  std::uint64_t events_recorded = 0;
  std::uint64_t events_looked_at = 0;
  std::uint64_t event_failures = 0;  ///< each made blocks wait for a later event

  void add(stream_counts const& other) noexcept {
    allocations += other.allocations;
    allocated_bytes += other.allocated_bytes;
    frees += other.frees;
    freed_bytes += other.freed_bytes;
    refused_frees += other.refused_frees;
    cached_bytes += other.cached_bytes;
    stolen += other.stolen;
    ordered += other.ordered;
    events_recorded += other.events_recorded;
    events_looked_at += other.events_looked_at;
    event_failures += other.event_failures;
  }
};

/// The same of a whole pool, and what it has from upstream.
struct stream_pool_counts {
  stream_counts all;
  /// Allocations not yet freed. Of a pool at work a call made meanwhile may be in it or not.
  std::uint64_t live = 0;
  std::uint64_t live_bytes = 0;
  std::uint64_t peak_bytes = 0;  ///< of live_bytes; may be short by 64 KiB a stream
  std::uint64_t reserved_bytes = 0;
  std::uint64_t peak_reserved_bytes = 0;
  std::uint32_t streams = 0;  ///< bound now
};

}  // namespace millrace::inline v0::memory
