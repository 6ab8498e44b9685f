// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/merge_simd.hpp>
#include <millrace/delta/split.hpp>
#include <millrace/delta/stream_copy.hpp>
#include <millrace/memory/resource.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta {

/// Runs things on threads: `run(count, task)` calls task(0) ... task(count - 1), on as many threads
/// as it likes, and returns when they have ended; what they wrote is then the caller's to read.
/// merge_parallel is right also when some of them are never called, as long as task(0) is.
template <class E>
concept executor = requires(E& e, std::uint32_t count, void (&task)(std::uint32_t) noexcept) {
  { e.run(count, task) } noexcept -> std::same_as<void>;
};

/// Starts a thread for each call but the first, which the caller makes; where the system gives no
/// more threads, the remaining calls are left out.
/// @cost tens of microseconds a thread: keep a pool of your own for merges of less than 10^6 rows
struct fresh_threads {
  static constexpr std::uint32_t most = 64;

  template <class Task>
  void run(std::uint32_t count, Task&& task) noexcept {
    std::thread started[most];
    for (std::uint32_t i = 1; i < count && i < most; ++i) {
      try {
        started[i] = std::thread([&task, i] { task(i); });
      } catch (std::exception const&) { break; }
    }
    task(0);
    for (std::thread& each : started) {
      if (each.joinable()) { each.join(); }
    }
  }
};
static_assert(executor<fresh_threads>);

namespace detail {

template <class K, class... Vs>
inline constexpr std::size_t bytes_a_row = sizeof(K) + (std::size_t{0} + ... + sizeof(Vs));

/// Input rows of a part that a thread merges into its scratch. A part begins with cold streams, so
/// longer ones are better, as long as a thread has four to even out with the others.
template <class K, class... Vs>
[[nodiscard]] constexpr std::size_t rows_a_part(std::size_t rows, std::uint32_t threads) noexcept {
  constexpr std::size_t least =
      std::max((std::size_t{384} << 10) / bytes_a_row<K, Vs...>, std::size_t{64});
  return std::clamp(rows / (std::size_t{4} * threads), least, 2 * least);
}

/// What the threads of one merge share.
struct alignas(core::destructive_bytes) merge_turns {
  std::uint64_t claimed = 0;  ///< parts that some thread has taken, in their order
  alignas(core::destructive_bytes) std::uint64_t placed = 0;  ///< parts whose place is known
  std::uint64_t rows = 0;  ///< rows of those; the thread whose turn it is reads and writes it
};

/// Merges two runs in parts of some 10^4 to 10^5 rows. A part's place depends on how many rows the
/// parts before it come to, which is known when they have been merged: each thread takes the next
/// part, merges it within its cache, waits until the part before has its place, and copies. So the
/// keys are read once, and nothing is moved twice in memory.
template <core::access_policy A, class C, class K, class... Vs>
class shared_merge {
 public:
  using rows_type = change_set_ref<K, Vs...>;
  using space_type = change_space<K, Vs...>;

  /// @param part_rows input rows of a part, give or take one; the last may have fewer
  shared_merge(rows_type older, rows_type newer, space_type out, C const& combine,
               std::size_t part_rows, core::isa which) noexcept
      : older_{older},
        newer_{newer},
        out_{out},
        combine_{combine},
        which_{which},
        part_rows_{part_rows},
        parts_{(older.size() + newer.size() + part_rows - 1) / part_rows},
        past_caches_{(older.size() + newer.size()) * bytes_a_row<K, Vs...> >= far_bytes} {}

  [[nodiscard]] std::size_t rows() const noexcept { return static_cast<std::size_t>(turns_.rows); }

  /// What each thread does. @param scratch room for part_rows + 1 rows
  void work(space_type scratch) noexcept {
    split_point to;
    std::size_t inputs = 1, olders = 0;
    for (;;) {
      std::uint64_t const part =
          A::fetch_add(turns_.claimed, std::uint64_t{1}, core::relaxed, "merge.claim");
      if (part >= parts_) { break; }
      // sought where it lies if the runs go on mixed as in this thread's part before
      auto const cut = [&](std::size_t rows) {
        return split(older_, newer_, rows, to.older + (rows + 1 - to.rows()) * olders / inputs);
      };
      split_point const from = cut(static_cast<std::size_t>(part) * part_rows_);
      to = from;
      to = cut(static_cast<std::size_t>(part + 1) * part_rows_);
      // cuts of unsorted rows may lie behind one another in one run: no part is longer for that
      inputs = to.rows() - from.rows();
      std::size_t const ahead = to.older > from.older ? to.older - from.older : 0;
      olders = ahead < inputs ? ahead : inputs;
      auto const merged =
          merge(older_.slice(from.older, olders), newer_.slice(from.newer, inputs - olders),
                scratch, combine_, which_);
      MILLRACE_ASSERT(merged.has_value());
      std::size_t const rows = *merged;
      std::size_t const at = place(part, rows);
      announce(out_.from(at), rows, std::index_sequence_for<Vs...>{});
      if (past_caches_) {
        stream_rows(scratch.filled(rows), out_.from(at));
      } else {
        copy_rows(scratch.filled(rows), out_.from(at));
      }
    }
    end_stream();
  }

 private:
  /// Where the rows of a part go. Waits for the thread that has the part before.
  [[nodiscard]] std::size_t place(std::uint64_t part, std::size_t rows) noexcept {
    for (std::uint32_t looks = 0; A::load(turns_.placed, core::acquire, "merge.turn") != part;
         ++looks) {
      if (looks < 256) {
        core::relax();
      } else {
        core::yield_thread();
      }
    }
    A::write(&turns_.rows, sizeof(turns_.rows), "merge.count");
    std::uint64_t const at = turns_.rows;
    turns_.rows = at + rows;
    A::store(turns_.placed, part + 1, core::release, "merge.placed");
    return static_cast<std::size_t>(at);
  }

  template <std::size_t... Is>
  static void announce(space_type to, std::size_t rows, std::index_sequence<Is...>) noexcept {
    A::write(to.keys(), rows * sizeof(K), "merge.rows");
    (A::write(to.template values<Is>(), rows * sizeof(Vs), "merge.rows"), ...);
  }

  rows_type older_, newer_;
  space_type out_;
  C const& combine_;
  core::isa which_;
  std::size_t part_rows_;
  std::uint64_t parts_;
  bool past_caches_;
  merge_turns turns_;
};

}  // namespace detail

/// Merges two runs as `merge` does, on several threads: the same rows, bit for bit.
/// @param threads at most, 1 to 64; short runs are merged by the caller alone
/// @param run     calls the threads' parts; see executor
/// @param from    gives each thread its scratch, 0.4 to 0.8 MiB
/// @return rows written; what lies behind them in `out` is undefined
/// @error  errc::bad_argument: (3) out is too short for older.size() + newer.size() rows or
/// overlaps
///         an input, (5) threads; errc::out_of_memory: no scratch. Nothing is written
/// @cost   O(n + m), each input byte read and each output byte written once  @thread any
/// @source Green, McColl, Bader, "GPU Merge Path", ICS 2012; the chain of places: Merrill, Garland,
///         "Single-pass Parallel Prefix Scan with Decoupled Look-back", NVR-2016-002
template <class C, executor E = fresh_threads,
          memory::host_accessible_resource Scratch = memory::host_resource, change_key K,
          change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<std::size_t> merge_parallel(change_set_ref<K, Vs...> older,
                                                 change_set_ref<K, Vs...> newer,
                                                 change_space<K, Vs...> out, C const& combine,
                                                 std::uint32_t threads, E&& run = E{},
                                                 Scratch from = {},
                                                 core::isa which = core::best_isa()) noexcept {
  using words = core::direct_access<cuda::thread_scope_system>;
  using shared = detail::shared_merge<words, C, K, Vs...>;
  if (threads == 0 || threads > fresh_threads::most) { return core::fail(errc::bad_argument, 5); }
  std::size_t const rows = older.size() + newer.size();
  std::size_t const part_rows = detail::rows_a_part<K, Vs...>(rows, threads);
  if (threads == 1 || rows < 4 * part_rows) { return merge(older, newer, out, combine, which); }
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  if (out.capacity() < rows || detail::overlap(out, rows, older, columns, columns) ||
      detail::overlap(out, rows, newer, columns, columns)) {
    return core::fail(errc::bad_argument, 3);
  }
  using set = basic_change_set<Scratch, K, Vs...>;
  std::size_t const each = part_rows + 1;
  auto scratch = set::make(each * threads, from);
  if (!scratch) { return cuda::std::unexpected<error>(scratch.error()); }
  shared all(older, newer, out, combine, part_rows, which);
  auto const task = [&](std::uint32_t thread) noexcept {
    all.work(scratch->space().from(each * thread));
  };
  run.run(threads, task);
  return all.rows();
}

}  // namespace millrace::inline v0::delta
