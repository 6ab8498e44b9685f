// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/decode_tiles.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/launch_tiles.cuh>
#include <millrace/delta/run_format.hpp>
#include <millrace/delta/team.hpp>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

/// \file
/// Decodes packed runs in a device's memory, a warp a block. Each block's checksum is looked at
/// there, before anything else of it: nothing has to go over the bytes on a host.

namespace millrace::inline v0::delta {

namespace detail {

template <class K, class... Vs>
MILLRACE_KERNEL void __launch_bounds__(tile_threads)
    decode_kernel(__grid_constant__ decode_args<K, Vs...> const args) {
  constexpr std::uint32_t warps = tile_threads / 32;
  __shared__ team_crc32c_tables tables;
  __shared__ decode_space<warp_team> spaces[warps];
  auto const* const from = reinterpret_cast<std::uint32_t const*>(&args.tables);
  auto* const to = reinterpret_cast<std::uint32_t*>(&tables);
  for (std::uint32_t i = core::block_lane(); i < sizeof(tables) / 4; i += tile_threads) {
    to[i] = from[i];
  }
  core::sync_block();
  std::uint32_t const warp = core::block_lane() / 32;
  decode_some<device_words, warp_team>(args, std::uint64_t{core::grid_block()} * warps + warp,
                                       tables, spaces[warp]);
}

template <class Args>
MILLRACE_KERNEL void __launch_bounds__(tile_threads)
    begin_decode_kernel(__grid_constant__ Args const args) {
  if (core::grid_block() == 0 && core::block_lane() == 0) { *args.good = args.blocks; }
}

}  // namespace detail

/// Decodes a packed run on a device: the rows that decode gives, bit for bit.
/// @param run       the run, whose header and index have been checked, in the host's memory
/// @param on_device the same bytes in memory of the stream's device, which is current; a multiple
///                  of 4
/// @param out       room for run.rows() rows of the device's memory, not overlapping the run
/// @param good      in the device's memory or pinned: run.blocks(), when the stream has come to it;
///                  or the first block that is damaged, and its rows and those of others that are
///                  damaged are undefined. A block that is damaged in the device's memory alone is
///                  found as well.
/// @error errc::bad_argument with the number of what is wrong; nothing was launched then. Else what
///        the runtime says.
/// @cost  reads the encoded bytes, mostly once, and writes the rows  @thread any; one caller per
/// out
template <change_key K, run_value... Vs>
[[nodiscard]] result<void> decode_device(encoded_run_ref<K, Vs...> const& run,
                                         std::byte const* on_device, change_space<K, Vs...> out,
                                         std::uint64_t* good, cudaStream_t stream) noexcept {
  std::size_t const warps = detail::tiles_of(run.blocks(), detail::blocks_per_team);
  std::size_t const grid = detail::tiles_of(warps, detail::tile_threads / 32);
  if (grid > detail::most_blocks) { return core::fail(errc::bad_argument, 1); }
  if (on_device == nullptr || reinterpret_cast<std::uintptr_t>(on_device) % word_bytes != 0) {
    return core::fail(errc::bad_argument, 2);
  }
  if (out.capacity() < run.rows()) { return core::fail(errc::bad_argument, 3); }
  if (good == nullptr) { return core::fail(errc::bad_argument, 4); }
  auto const args = detail::decode_args_of(run.index(), on_device, out, good);
  auto const put =
      detail::launch_blocks(&detail::begin_decode_kernel<decltype(args)>, 1, args, stream);
  if (!put) { return put; }
  return detail::launch_blocks(&detail::decode_kernel<K, Vs...>, grid, args, stream);
}

}  // namespace millrace::inline v0::delta
