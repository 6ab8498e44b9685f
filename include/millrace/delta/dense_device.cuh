// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/dense.hpp>
#include <millrace/delta/dense_tiles.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/launch_tiles.cuh>
#include <millrace/delta/team.hpp>

#include <cuda/std/span>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

/// \file
/// Change sets and dense columns in a device's memory. Kernels go into a stream; nothing is
/// allocated, and nothing waits. What is written is the same bits as on a host.

namespace millrace::inline v0::delta {

namespace detail {

template <class C, class K, class... Vs>
MILLRACE_KERNEL void __launch_bounds__(tile_threads)
    apply_kernel(__grid_constant__ apply_args<C, K, Vs...> const args) {
  apply_one(args, std::size_t{core::grid_block()} * tile_threads + core::block_lane());
}

template <class C, class K, class... Vs>
MILLRACE_KERNEL void __launch_bounds__(tile_threads)
    diff_kernel(__grid_constant__ diff_args<C, K, Vs...> const args) {
  using team = block_team<tile_threads>;
  __shared__ diff_space<team> shared;
  diff_tile<device_words, team>(args, shared);
}

inline constexpr std::size_t diff_tile_rows = std::size_t{tile_threads} * diff_rows_per_thread;

}  // namespace detail

/// Combines each row into dense columns on a device: see apply.
/// @param rows, to in memory of the stream's device, which is current, sharing no bytes
/// @param good in the device's memory or pinned: rows.size(), when the stream has come to it; or
///             the first row whose key is not below to.size(), and nothing was written
/// @error errc::bad_argument: 1, too many rows; 2, the rows share bytes with the columns; 3;
/// nothing
///        was launched then. Else what the runtime says.
/// @thread any; one caller per column
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<void> apply_device(change_set_ref<K, Vs...> rows,
                                        std::type_identity_t<dense_ref<Vs...>> to,
                                        std::size_t* good, C const& combine,
                                        cudaStream_t stream) noexcept {
  if (rows.size() / detail::tile_threads >= detail::most_blocks) {
    return core::fail(errc::bad_argument, 1);
  }
  if (detail::overlaps_dense(rows, to, std::index_sequence_for<Vs...>{})) {
    return core::fail(errc::bad_argument, 2);
  }
  if (good == nullptr) { return core::fail(errc::bad_argument, 3); }
  detail::apply_args<C, K, Vs...> const args{rows, to, combine, good};
  return detail::launch_threads(&detail::apply_kernel<C, K, Vs...>, rows.empty() ? 1 : rows.size(),
                                args, stream);
}

/// Bytes of scratch memory that diff_device needs for tables of so many rows.
[[nodiscard]] inline std::size_t diff_device_bytes(std::size_t rows) noexcept {
  detail::scratch_pieces pieces;
  static_cast<void>(pieces.take<std::uint64_t>(1 + detail::tiles_of(rows, detail::diff_tile_rows)));
  return pieces.used_bytes();
}

/// The changes that make `after` of `before`, on a device: see diff. Where room is short, those
/// that there is room for.
/// @param before, after, out in memory of the stream's device, which is current
/// @param out     room for the rows, sharing no bytes with the tables
/// @param size    in the device's memory or pinned: rows that differ, when the stream has come to
///                it; the caller compares it with out.capacity()
/// @param scratch [diff_device_bytes] of the device's memory, aligned to 256 bytes, unused by
/// others
///                until the stream has come past
/// @error errc::bad_argument: (2) the tables' lengths differ, or the last index is no key, (3) out
///        overlaps a table, 4, (6) scratch is too short or misaligned; nothing was launched then.
///        Else what the runtime says.
/// @thread any; one caller per out and scratch
template <class C, change_key K, change_value... Vs>
  requires invertible_policy<C, Vs...> && (sizeof...(Vs) > 0)
[[nodiscard]] result<void> diff_device(std::type_identity_t<dense_ref<Vs const...>> before,
                                       std::type_identity_t<dense_ref<Vs const...>> after,
                                       change_space<K, Vs...> out, std::size_t* size,
                                       C const& combine, cuda::std::span<std::byte> scratch,
                                       cudaStream_t stream) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  std::size_t const rows = before.size();
  std::size_t const tiles = detail::tiles_of(rows, detail::diff_tile_rows);
  if (after.size() != rows || !detail::indexes<K>(rows) || tiles > detail::most_blocks) {
    return core::fail(errc::bad_argument, 2);
  }
  if (detail::overlaps_dense(out, before, columns) || detail::overlaps_dense(out, after, columns)) {
    return core::fail(errc::bad_argument, 3);
  }
  if (size == nullptr) { return core::fail(errc::bad_argument, 4); }
  if (!detail::serves_as_scratch(scratch.data(), scratch.size(), diff_device_bytes(rows))) {
    return core::fail(errc::bad_argument, 6);
  }
  auto* const words = detail::scratch_pieces(scratch.data()).take<std::uint64_t>(1 + tiles);
  auto put = core::cuda_check(cudaMemsetAsync(words, 0, (1 + tiles) * sizeof(*words), stream));
  if (put) { put = core::cuda_check(cudaMemsetAsync(size, 0, sizeof(*size), stream)); }
  if (!put) { return put; }
  detail::diff_args<C, K, Vs...> const args{before, after,     out,   combine,
                                            size,   words + 1, words, tiles};
  return detail::launch_blocks(&detail::diff_kernel<C, K, Vs...>, tiles, args, stream);
}

}  // namespace millrace::inline v0::delta
