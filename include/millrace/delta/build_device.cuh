// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/fold_tiles.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/launch_tiles.cuh>
#include <millrace/delta/overlap.hpp>
#include <millrace/delta/team.hpp>

#include <cub/device/device_radix_sort.cuh>
#include <cuda/atomic>
#include <cuda/std/span>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

/// \file
/// Makes a run of unsorted rows in a device's memory: CUB's stable radix sort of keys and row
/// numbers, then one pass that folds the rows of each key in the order in which they came. Only
/// keys and row numbers are sorted, so that rows may have any columns, which are read once.

namespace millrace::inline v0::delta {

namespace detail {

template <class Number>
struct number_args {
  Number* to;
  std::size_t count;
};
template <class Number>
MILLRACE_KERNEL void __launch_bounds__(tile_threads) number_kernel(number_args<Number> args) {
  std::size_t const i = std::size_t{core::grid_block()} * tile_threads + core::block_lane();
  if (i < args.count) { args.to[i] = static_cast<Number>(i); }
}

template <class C, class K, class... Vs>
MILLRACE_KERNEL void __launch_bounds__(tile_threads)
    fold_kernel(__grid_constant__ fold_args<C, K, Vs...> const args) {
  using team = block_team<tile_threads>;
  using within = core::direct_access<cuda::thread_scope_block>;
  __shared__ fold_space<team, Vs...> shared;
  fold_tile<device_words, within, team>(args, shared);
}

inline constexpr std::size_t fold_tile_rows = std::size_t{tile_threads} * fold_rows_per_thread;
inline constexpr std::size_t most_built_rows = 0xFFFF'FFFF;

/// What build_device puts into its scratch memory.
template <class K>
struct build_pieces {
  K* keys;
  std::uint32_t* came;
  std::uint32_t* order;
  std::uint64_t* words;
  std::byte* sort;
  std::size_t sort_bytes;
  std::size_t all_bytes;

  [[nodiscard]] static result<build_pieces> make(std::byte* scratch, std::size_t rows) noexcept {
    build_pieces made{};
    K const* const in = nullptr;
    auto const asked = core::cuda_check(cub::DeviceRadixSort::SortPairs(
        nullptr, made.sort_bytes, in, made.keys, static_cast<std::uint32_t const*>(made.came),
        made.order, rows));
    if (!asked) { return cuda::std::unexpected(asked.error()); }
    scratch_pieces pieces(scratch);
    made.keys = pieces.take<K>(rows);
    made.came = pieces.take<std::uint32_t>(rows);
    made.order = pieces.take<std::uint32_t>(rows);
    made.words = pieces.take<std::uint64_t>(1 + tiles_of(rows, fold_tile_rows));
    made.sort = pieces.take<std::byte>(made.sort_bytes);
    made.all_bytes = pieces.used_bytes();
    return made;
  }
};

}  // namespace detail

/// Bytes of scratch memory that build_device needs for so many rows on the current device.
/// @error errc::bad_argument (1): more than 2^32 - 1 rows; else what the runtime says
template <change_key K>
[[nodiscard]] result<std::size_t> build_device_bytes(std::size_t rows) noexcept {
  if (rows > detail::most_built_rows) { return core::fail(errc::bad_argument, 1); }
  auto const made = detail::build_pieces<K>::make(nullptr, rows);
  if (!made) { return cuda::std::unexpected(made.error()); }
  return made->all_bytes;
}

/// Makes a run of rows in any order, on a device. Rows of one key become one in the order in which
/// they are given, ((a b) c) d; one that the policy drops is gone, and the next of that key begins
/// anew: what merging the rows one after another would give, bit for bit.
/// @param rows, out in memory of the stream's device, which is current
/// @param rows    at most 2^32 - 1; their keys need not increase
/// @param out     room for rows.size() rows, sharing no bytes with them
/// @param size    in the device's memory or pinned: rows written, when the stream has come to it
/// @param scratch [build_device_bytes] of the device's memory, aligned to 256 bytes, unused by
///                others until the stream has come past
/// @error errc::bad_argument: 1, too many rows; 2, out is too short or overlaps them; 3; 5, scratch
///        is too short or misaligned; nothing was launched then. Else what the runtime says.
/// @cost  a radix sort of keys and 32-bit numbers; then each row is read once, or twice where the
///        policy may drop rows. A key's rows are folded by one thread, one after the other.
/// @thread any; one caller per out and scratch
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<void> build_device(change_set_ref<K, Vs...> rows, change_space<K, Vs...> out,
                                        std::size_t* size, C const& combine,
                                        cuda::std::span<std::byte> scratch,
                                        cudaStream_t stream) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  std::size_t const count = rows.size();
  if (count > detail::most_built_rows) { return core::fail(errc::bad_argument, 1); }
  if (out.capacity() < count || detail::overlap(out, count, rows, columns, columns)) {
    return core::fail(errc::bad_argument, 2);
  }
  if (size == nullptr) { return core::fail(errc::bad_argument, 3); }
  auto pieces = detail::build_pieces<K>::make(scratch.data(), count);
  if (!pieces) { return cuda::std::unexpected(pieces.error()); }
  if (!detail::serves_as_scratch(scratch.data(), scratch.size(), pieces->all_bytes)) {
    return core::fail(errc::bad_argument, 5);
  }
  std::size_t const tiles = detail::tiles_of(count, detail::fold_tile_rows);
  auto put = core::cuda_check(
      cudaMemsetAsync(pieces->words, 0, (1 + tiles) * sizeof(std::uint64_t), stream));
  if (put) { put = core::cuda_check(cudaMemsetAsync(size, 0, sizeof(*size), stream)); }
  if (put) {
    detail::number_args<std::uint32_t> const numbers{pieces->came, count};
    put = detail::launch_threads(&detail::number_kernel<std::uint32_t>, count, numbers, stream);
  }
  if (!put || count == 0) { return put; }
  put = core::cuda_check(cub::DeviceRadixSort::SortPairs(
      pieces->sort, pieces->sort_bytes, rows.keys().data(), pieces->keys,
      static_cast<std::uint32_t const*>(pieces->came), pieces->order, count, 0,
      static_cast<int>(8 * sizeof(K)), stream));
  if (!put) { return put; }
  detail::fold_args<C, K, Vs...> const args{rows, pieces->keys,      pieces->order, out,  combine,
                                            size, pieces->words + 1, pieces->words, tiles};
  return detail::launch_blocks(&detail::fold_kernel<C, K, Vs...>, tiles, args, stream);
}

}  // namespace millrace::inline v0::delta
