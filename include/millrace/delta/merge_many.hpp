// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/fold_equal.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {

/// A tile's rows, one of three times: as inputs, and in either buffer of the tree. Half of a
/// second-level cache, which the streams from and to memory pass through as well.
inline constexpr std::size_t tile_bytes = std::size_t{192} << 10;

/// Cuts sorted runs into tiles of neighbouring keys, and merges each tile by a tree of two-way
/// merges whose inner rows never leave the cache: every row is read from memory and written to it
/// once, however many runs there are.
template <class C, class K, class... Vs>
class tiled_merge {
  using ref = change_set_ref<K, Vs...>;
  using space = change_space<K, Vs...>;
  /// Whether equal keys may be combined where they meet, or travel side by side to the last pass.
  static constexpr bool at_once = associates<C, Vs...>;

 public:
  /// What the merge knows of one run.
  struct cursor {
    ref rest;               ///< rows not taken yet
    std::size_t took = 1;   ///< rows of the tile before
    std::size_t reach = 0;  ///< rows that the tile may take at most
  };
  /// One run's part of a tile.
  struct part {
    ref rows;
    std::size_t rows_before = 0;  ///< of the tile, in older runs
  };

  /// @param cursors [n], rest set: oldest first  @param parts [n + 1]
  /// @param near, far room for tile_rows + n each
  tiled_merge(cuda::std::span<cursor> cursors, cuda::std::span<part> parts, space near, space far,
              std::size_t tile_rows, C const& combine, core::isa which) noexcept
      : cursors_{cursors},
        parts_{parts},
        near_{near},
        far_{far},
        tile_rows_{tile_rows},
        combine_{combine},
        which_{which} {}

  /// @return rows written
  [[nodiscard]] std::size_t run(space out) noexcept {
    std::size_t done = 0;
    while (cut()) {
      std::size_t const rows = parts_[count_].rows_before;
      std::size_t const written = merge_tile(out.from(done));
      if constexpr (at_once) {
        done += written;
      } else {
        MILLRACE_ASSERT(written == rows);
        done = fold_equal(out, done, done, done + rows, combine_);
      }
    }
    return done;
  }

 private:
  /// Takes the next tile off the runs: all rows before a bound in the order of (key, run, row).
  /// Half of the tile is shared out evenly, the other half as the tile before was made up, so that
  /// runs with many rows hereabouts have the longer reach; the bound is the first reach's end.
  /// @return false when no rows are left
  [[nodiscard]] bool cut() noexcept {
    std::size_t took = 0, running = 0;
    for (cursor const& each : cursors_) {
      took += each.took;
      running += each.rest.empty() ? 0 : 1;
    }
    if (running == 0) { return false; }
    std::size_t const even = tile_rows_ / (2 * running);
    auto const scale = static_cast<double>(tile_rows_ - even * running) / static_cast<double>(took);
    std::size_t const all = cursors_.size();
    std::size_t first = all;  // the run whose reach ends first
    K bound{};
    for (std::size_t i = 0; i < all; ++i) {
      cursor& each = cursors_[i];
      each.reach = 1 + even + static_cast<std::size_t>(static_cast<double>(each.took) * scale);
      if (each.reach < each.rest.size()) {
        K const end = each.rest.key(each.reach);
        if (first == all || end < bound) {
          first = i;
          bound = end;
        }
      }
    }
    count_ = 0;
    std::size_t rows = 0;
    for (std::size_t i = 0; i < all; ++i) {
      cursor& each = cursors_[i];
      each.took = i == first ? each.reach : taken(each, i < first, first == all, bound);
      if (each.took != 0) {
        parts_[count_++] = {each.rest.slice(0, each.took), rows};
        rows += each.took;
        each.rest = each.rest.slice(each.took);
      }
    }
    parts_[count_].rows_before = rows;
    return true;
  }

  /// Never looks beyond the reach, so that no input, sorted or not, takes more than a tile holds.
  [[nodiscard]] static std::size_t taken(cursor const& each, bool older, bool everything,
                                         K bound) noexcept {
    ref const within = each.rest.slice(0, each.reach);
    if (everything) { return within.size(); }
    if (at_once || !older) { return within.lower_bound(bound); }
    K const beyond = static_cast<K>(bound + 1);  // of this key, what is older comes first
    return beyond == 0 ? within.size() : within.lower_bound(beyond);
  }

  [[nodiscard]] std::size_t rows_of(std::size_t from, std::size_t to) const noexcept {
    return parts_[to].rows_before - parts_[from].rows_before;
  }

  /// Where parts [from, to) are halved by rows.
  [[nodiscard]] std::size_t middle(std::size_t from, std::size_t to) const noexcept {
    std::size_t const half = parts_[from].rows_before + rows_of(from, to) / 2;
    std::size_t low = from + 1, high = to - 1;
    while (low < high) {
      std::size_t const mid = low + (high - low) / 2;
      // the border nearer to the half
      if (parts_[mid].rows_before + parts_[mid + 1].rows_before < 2 * half) {
        low = mid + 1;
      } else {
        high = mid;
      }
    }
    return low;
  }

  [[nodiscard]] std::size_t join(ref older, ref newer, space into) noexcept {
    auto const written = at_once ? merge(older, newer, into, combine_, which_)
                                 : interleave(older, newer, into, which_);
    MILLRACE_ASSERT(written.has_value());
    return *written;
  }

  /// Parts [from, to) merged, in `into` unless it is a single one. Both spaces have room for all
  /// rows of these parts at their beginning.
  [[nodiscard]] ref subtree(std::size_t from, std::size_t to, space into, space other) noexcept {
    if (to - from == 1) { return parts_[from].rows; }
    return into.filled(node(from, to, into, other, into));
  }

  [[nodiscard]] std::size_t node(std::size_t from, std::size_t to, space into, space near,
                                 space far) noexcept {
    std::size_t const mid = middle(from, to), left_rows = rows_of(from, mid);
    ref const left = subtree(from, mid, near, far);
    ref const right = subtree(mid, to, near.from(left_rows), far.from(left_rows));
    return join(left, right, into);
  }

  [[nodiscard]] std::size_t merge_tile(space out) noexcept {
    if (count_ == 1) {
      copy_rows(parts_[0].rows, out);
      return parts_[0].rows.size();
    }
    return node(0, count_, out, near_, far_);
  }

  cuda::std::span<cursor> cursors_;
  cuda::std::span<part> parts_;
  space near_, far_;
  std::size_t tile_rows_;
  std::size_t count_ = 0;  ///< parts of the tile at hand
  C combine_;
  core::isa which_;
};

template <class C, class K, class... Vs, class Resource>
[[nodiscard]] result<std::size_t> merge_tiled(cuda::std::span<change_set_ref<K, Vs...> const> runs,
                                              std::size_t rows, change_space<K, Vs...> out,
                                              C const& combine, Resource scratch,
                                              core::isa which) noexcept {
  using merger = tiled_merge<C, K, Vs...>;
  using scratch_set = basic_change_set<Resource, K, Vs...>;
  constexpr std::size_t row_bytes = sizeof(K) + (std::size_t{0} + ... + sizeof(Vs));
  std::size_t tile_rows = tile_bytes / row_bytes + 1;
  if (tile_rows < 16 * runs.size()) { tile_rows = 16 * runs.size(); }
  if (tile_rows > rows) { tile_rows = rows; }
  auto cursors = memory::buffer<typename merger::cursor, Resource>::make(runs.size(), scratch);
  if (!cursors) { return cuda::std::unexpected<error>(cursors.error()); }
  auto parts = memory::buffer<typename merger::part, Resource>::make(runs.size() + 1, scratch);
  if (!parts) { return cuda::std::unexpected<error>(parts.error()); }
  auto near = scratch_set::make(tile_rows + runs.size(), scratch);
  if (!near) { return cuda::std::unexpected<error>(near.error()); }
  auto far = scratch_set::make(tile_rows + runs.size(), scratch);
  if (!far) { return cuda::std::unexpected<error>(far.error()); }
  for (std::size_t i = 0; i < runs.size(); ++i) { (*cursors)[i] = {runs[i]}; }
  return merger(cursors->span(), parts->span(), near->space(), far->space(), tile_rows, combine,
                which)
      .run(out);
}

}  // namespace detail

/// Merges any number of runs into one: the union of their keys, and of a key that several have, one
/// row. The result is that of merging the runs one after another, merge(merge(merge(a, b), c), d),
/// in every bit: values of a key are combined from the oldest on, ((a b) c) d, and a row that the
/// policy drops leaves nothing behind. That holds however many runs there are, and for floating
/// sums, whose rows travel side by side through the tree and are folded in its last pass.
/// @param runs    oldest first. Where the policy does not associate, a run may hold a key several
///                times, oldest first
/// @param out     room for the rows of all runs, sharing no bytes with any of them
/// @param scratch two tiles, some 400 KB, and some 100 bytes a run; given back on return
/// @return rows written; what lies behind them in `out` is undefined
/// @error  errc::bad_argument (2): out is too short or overlaps a run; errc::out_of_memory;
///         errc::bad_argument (4): scratch of an alignment below 64. Nothing is written
/// @cost   O(n log k): one pass through memory, log2 k passes in a second-level cache
/// @thread any; one caller per out
template <class C, change_key K, change_value... Vs,
          memory::host_accessible_resource Resource = memory::host_resource>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<std::size_t> merge_many(
    std::type_identity_t<cuda::std::span<change_set_ref<K, Vs...> const>> runs,
    change_space<K, Vs...> out, C const& combine, Resource scratch = {},
    core::isa which = core::best_isa()) noexcept {
  std::size_t rows = 0;
  for (auto const& run : runs) {
    if (run.size() > out.capacity() - rows) { return core::fail(errc::bad_argument, 2); }
    rows += run.size();
  }
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  for (auto const& run : runs) {
    if (detail::overlap(out, rows, run, columns, columns)) {
      return core::fail(errc::bad_argument, 2);
    }
  }
  if (rows == 0) { return std::size_t{0}; }
  if constexpr (associates<C, Vs...>) {
    if (runs.size() <= 2) {
      change_set_ref<K, Vs...> const newer =
          runs.size() == 2 ? runs[1] : change_set_ref<K, Vs...>{};
      return merge(runs[0], newer, out, combine, which);
    }
  }
  auto const merged = detail::merge_tiled(runs, rows, out, combine, scratch, which);
  if (!merged && merged.error().code == errc::bad_argument) {
    return core::fail(errc::bad_argument, 4);
  }
  return merged;
}

}  // namespace millrace::inline v0::delta
