// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/run_format.hpp>
#include <millrace/memory/buffer.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <zstd.h>

/// \file
/// Runs for cold storage, compressed as a whole by zstd. Needs millrace::zstd; nothing else of
/// millrace includes this.
///
/// A compressed run is a header of 28 bytes and a frame of zstd. The header: "mrzs" (4 bytes),
/// version 1 (2), 0 (2), bytes of the run (8), bytes of the frame (4), CRC32C of the frame (4),
/// CRC32C of the 24 bytes before (4).

namespace millrace::inline v0::delta {

/// The first four bytes of a compressed run, "mrzs".
inline constexpr std::uint32_t cold_magic = 0x737A'726D;
/// Bytes before the frame.
inline constexpr std::size_t cold_header_bytes = 28;
/// Bytes of a run that may be compressed, at most: what zstd makes of them has a length of 32 bits.
inline constexpr std::uint64_t max_cold_bytes = std::uint64_t{1} << 31;

/// Bytes that compress_run may write for a run of so many, at most max_cold_bytes.
[[nodiscard]] inline std::uint64_t max_compressed_bytes(std::uint64_t run_bytes) noexcept {
  return cold_header_bytes + ZSTD_compressBound(run_bytes);
}

/// Compresses a run.
/// @param run   a run, packed or raw, whose header is looked at and nothing more
/// @param out   [>= max_compressed_bytes(run.size())], not overlapping it
/// @param level zstd's: 1 the fastest, 19 the smallest, below 0 faster still
/// @return bytes written
/// @error errc::bad_argument: 1 more than max_cold_bytes, 2 too short, 3 a level that zstd lacks;
///        errc::corrupt and errc::unsupported_version for a header that is none;
///        errc::out_of_memory
/// @cost that of zstd, which allocates   @thread any; one caller per out
[[nodiscard]] inline result<std::uint64_t> compress_run(cuda::std::span<std::byte const> run,
                                                        cuda::std::span<std::byte> out,
                                                        int level = 3) noexcept {
  if (run.size() > max_cold_bytes) { return core::fail(errc::bad_argument, 1); }
  if (out.size() < max_compressed_bytes(run.size())) { return core::fail(errc::bad_argument, 2); }
  if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) {
    return core::fail(errc::bad_argument, 3);
  }
  if (auto const header = read_header(run); !header) {
    return cuda::std::unexpected(header.error());
  }
  std::byte* const frame = out.data() + cold_header_bytes;
  std::size_t const bytes =
      ZSTD_compress(frame, out.size() - cold_header_bytes, run.data(), run.size(), level);
  if (ZSTD_isError(bytes) != 0) { return core::fail(errc::out_of_memory); }
  detail::store(out.data(), cold_magic);
  detail::store(out.data() + 4, std::uint32_t{1});  // version, and 0
  detail::store(out.data() + 8, std::uint64_t{run.size()});
  detail::store(out.data() + 16, static_cast<std::uint32_t>(bytes));
  detail::store(out.data() + 20, crc32c(frame, bytes));
  detail::store(out.data() + 24, crc32c(out.data(), cold_header_bytes - 4));
  return cold_header_bytes + bytes;
}

/// Bytes of the run in a compressed one, whose checksums have been looked at.
/// @param compressed the whole of it and nothing else
/// @error errc::corrupt with the offset of what is wrong, the length when it is cut;
///        errc::unsupported_version
[[nodiscard]] inline result<std::uint64_t> expanded_bytes(
    cuda::std::span<std::byte const> compressed) noexcept {
  std::byte const* const at = compressed.data();
  if (compressed.size() < cold_header_bytes) { return detail::corrupt(compressed.size()); }
  if (detail::load<std::uint32_t>(at) != cold_magic) { return detail::corrupt(0); }
  if (detail::load<std::uint16_t>(at + 4) != 1) { return core::fail(errc::unsupported_version, 4); }
  if (crc32c(at, cold_header_bytes - 4) != detail::load<std::uint32_t>(at + 24)) {
    return detail::corrupt(24);
  }
  auto const bytes = detail::load<std::uint64_t>(at + 8);
  if (detail::load<std::uint16_t>(at + 6) != 0) { return detail::corrupt(6); }
  if (bytes > max_cold_bytes) { return detail::corrupt(8); }
  std::size_t const frame = detail::load<std::uint32_t>(at + 16);
  std::size_t const there = compressed.size() - cold_header_bytes;
  if (frame != there) {
    return detail::corrupt(frame < there ? cold_header_bytes + frame : compressed.size());
  }
  if (crc32c(at + cold_header_bytes, frame) != detail::load<std::uint32_t>(at + 20) ||
      ZSTD_getFrameContentSize(at + cold_header_bytes, frame) != bytes) {
    return detail::corrupt(cold_header_bytes);
  }
  return bytes;
}

/// Expands a compressed run.
/// @param out [>= expanded_bytes(compressed)], not overlapping it; undefined after an error
/// @return bytes written
/// @error as expanded_bytes; errc::bad_argument (2) for too short an `out`
/// @cost that of zstd, which allocates   @thread any; one caller per out
[[nodiscard]] inline result<std::uint64_t> expand_run(cuda::std::span<std::byte const> compressed,
                                                      cuda::std::span<std::byte> out) noexcept {
  auto const bytes = expanded_bytes(compressed);
  if (!bytes) { return bytes; }
  if (out.size() < *bytes) { return core::fail(errc::bad_argument, 2); }
  std::size_t const got = ZSTD_decompress(out.data(), *bytes, compressed.data() + cold_header_bytes,
                                          compressed.size() - cold_header_bytes);
  if (ZSTD_isError(got) != 0 || got != *bytes) { return detail::corrupt(cold_header_bytes); }
  return bytes;
}

/// Expands a compressed run into 64-byte aligned memory of its own, where a raw run can be viewed.
/// @param most bytes that the caller is ready to hold
/// @error as expand_run; errc::payload_too_large for a run of more than `most` bytes, before
/// anything
///        is allocated; errc::out_of_memory
[[nodiscard]] inline result<memory::buffer<std::byte>> expand_run(
    cuda::std::span<std::byte const> compressed, std::uint64_t most) noexcept {
  auto const bytes = expanded_bytes(compressed);
  if (!bytes) { return cuda::std::unexpected(bytes.error()); }
  if (*bytes > most) { return core::fail(errc::payload_too_large); }
  auto made = memory::buffer<std::byte>::make(*bytes == 0 ? 1 : *bytes, {}, 64);
  if (!made) { return made; }
  if (auto const done = expand_run(compressed, made->span()); !done) {
    return cuda::std::unexpected(done.error());
  }
  return made;
}

}  // namespace millrace::inline v0::delta
