// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/launch_tiles.cuh>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/merge_tiles.hpp>
#include <millrace/delta/overlap.hpp>
#include <millrace/delta/team.hpp>

#include <cuda/std/span>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

/// \file
/// Merges of runs in a device's memory. Each puts two kernels into a stream and returns: nothing is
/// allocated, and nothing waits. Results are the same bits as on a host: two values of a key are
/// combined once, older and newer in that order, whichever block does it, and in kernels as on
/// hosts nothing is there to be contracted with the one sum. (-ftz=true, of -use_fast_math, would
/// lose denormal sums: compile without it.)

namespace millrace::inline v0::delta {

namespace detail {

template <keep Keep, class C, class Newer, class K, class... Vs>
MILLRACE_KERNEL void __launch_bounds__(tile_threads)
    prepare_kernel(__grid_constant__ merge_tiles_args<Keep, C, Newer, K, Vs...> const args) {
  prepare_tile(args, std::size_t{core::grid_block()} * tile_threads + core::block_lane());
}

template <keep Keep, class C, class Newer, class K, class... Vs>
MILLRACE_KERNEL void __launch_bounds__(tile_threads)
    merge_kernel(__grid_constant__ merge_tiles_args<Keep, C, Newer, K, Vs...> const args) {
  using team = block_team<tile_threads>;
  __shared__ merge_tile_space<team, K> shared;
  merge_tile<device_words, team>(args, shared);
}

template <class K>
inline constexpr std::size_t merge_stride = merge_space<block_team<tile_threads>, K>::stride;

}  // namespace detail

/// Bytes of scratch memory that a merge of runs with `rows` rows together needs: less than 24 for
/// each 2047.
template <change_key K>
[[nodiscard]] std::size_t merge_device_bytes(std::size_t rows) noexcept {
  std::size_t const tiles = detail::tiles_of(rows, detail::merge_stride<K>);
  detail::scratch_pieces pieces;
  static_cast<void>(pieces.take<split_point>(tiles + 1));
  static_cast<void>(pieces.take<std::uint64_t>(tiles));
  static_cast<void>(pieces.take<std::uint64_t>(1));
  return pieces.used_bytes();
}

namespace detail {

template <keep Keep, class C, change_key K, class Newer, change_value... Vs>
[[nodiscard]] result<void> merge_on_device(change_set_ref<K, Vs...> older, Newer newer,
                                           change_space<K, Vs...> out, std::size_t* size,
                                           C const& combine, cuda::std::span<std::byte> scratch,
                                           std::int32_t scratch_number,
                                           cudaStream_t stream) noexcept {
  std::size_t const rows = older.size() + newer.size();
  std::size_t const tiles = tiles_of(rows, merge_stride<K>);
  if (tiles > most_blocks) { return core::fail(errc::bad_argument, 2); }
  if (!has_room<Keep>(out, older, newer)) { return core::fail(errc::bad_argument, 3); }
  if (size == nullptr) { return core::fail(errc::bad_argument, 4); }
  if (!serves_as_scratch(scratch.data(), scratch.size(), merge_device_bytes<K>(rows))) {
    return core::fail(errc::bad_argument, scratch_number);
  }
  scratch_pieces pieces(scratch.data());
  auto* const cuts = pieces.take<split_point>(tiles + 1);
  auto* const states = pieces.take<std::uint64_t>(tiles);
  auto* const next = pieces.take<std::uint64_t>(1);
  merge_tiles_args<Keep, C, Newer, K, Vs...> const args{
      older, newer, out, combine, size, cuts, states, next, tiles, merge_stride<K>};
  auto const put =
      launch_threads(&prepare_kernel<Keep, C, Newer, K, Vs...>, tiles + 1, args, stream);
  if (!put) { return put; }
  return launch_blocks(&merge_kernel<Keep, C, Newer, K, Vs...>, tiles, args, stream);
}

}  // namespace detail

/// Merges two runs on a device: see merge, whose rows it writes, bit for bit. One pass: each row is
/// read once and written once; where tiles meet is found before, and where they write is passed on
/// from tile to tile.
/// @param older, newer, out in memory of the stream's device, which is current
/// @param out     room for older.size() + newer.size() rows, sharing no bytes with the inputs
/// @param size    in the device's memory or pinned: rows written, when the stream has come to it
/// @param scratch [merge_device_bytes] of the device's memory, aligned to 256 bytes, unused by
///                others until the stream has come past
/// @error errc::bad_argument with the number of what is wrong: 2, too many rows; 3, out is too
///        short or overlaps an input; 4; 6, scratch is too short or misaligned; nothing was
///        launched then. Else what the runtime says.
/// @thread any; one caller per out and scratch
/// @source Green, McColl, Bader, "GPU Merge Path", ICS 2012; Merrill, Garland, "Single-pass
///         Parallel Prefix Scan with Decoupled Look-back", 2016
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<void> merge_device(change_set_ref<K, Vs...> older,
                                        change_set_ref<K, Vs...> newer, change_space<K, Vs...> out,
                                        std::size_t* size, C const& combine,
                                        cuda::std::span<std::byte> scratch,
                                        cudaStream_t stream) noexcept {
  return detail::merge_on_device<keep::either>(older, newer, out, size, combine, scratch, 6,
                                               stream);
}

/// The rows whose key both runs have, combined, on a device: see intersect and merge_device.
/// @param out room for the smaller run's rows; the rest as for merge_device
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<void> intersect_device(change_set_ref<K, Vs...> older,
                                            change_set_ref<K, Vs...> newer,
                                            change_space<K, Vs...> out, std::size_t* size,
                                            C const& combine, cuda::std::span<std::byte> scratch,
                                            cudaStream_t stream) noexcept {
  return detail::merge_on_device<keep::both>(older, newer, out, size, combine, scratch, 6, stream);
}

/// The rows of `older` whose key `newer` lacks, on a device: see subtract and merge_device.
/// @param out   room for older's rows; the rest as for merge_device
/// @error       as for merge_device; scratch is argument 5
template <change_key K, change_value... Vs, change_value... Ws>
[[nodiscard]] result<void> subtract_device(change_set_ref<K, Vs...> older,
                                           change_set_ref<K, Ws...> newer,
                                           change_space<K, Vs...> out, std::size_t* size,
                                           cuda::std::span<std::byte> scratch,
                                           cudaStream_t stream) noexcept {
  return detail::merge_on_device<keep::older_only>(older, newer, out, size, last_writer{}, scratch,
                                                   5, stream);
}

/// Every row of both runs, equal keys side by side, older's first, on a device: see interleave and
/// merge_device.
/// @error as for merge_device; scratch is argument 5
template <change_key K, change_value... Vs>
[[nodiscard]] result<void> interleave_device(change_set_ref<K, Vs...> older,
                                             change_set_ref<K, Vs...> newer,
                                             change_space<K, Vs...> out, std::size_t* size,
                                             cuda::std::span<std::byte> scratch,
                                             cudaStream_t stream) noexcept {
  return detail::merge_on_device<keep::all>(older, newer, out, size, last_writer{}, scratch, 5,
                                            stream);
}

}  // namespace millrace::inline v0::delta
