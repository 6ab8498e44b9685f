// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/team.hpp>

#include <cstdint>

/// \file
/// The CRC32C of words by the 32 members of a warp. A remainder is linear in its message: member l
/// takes every 32nd word so that its last one is followed by 31 - l others, and multiplies what it
/// has by x^1024 from one to the next, by tables; in the end each part is multiplied by the power
/// that its last word still lacks, and the parts are added.

namespace millrace::inline v0::delta {

namespace detail {

/// The product of two remainders.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t crc32c_product(std::uint32_t a,
                                                                 std::uint32_t b) noexcept {
  std::uint32_t product = 0;
  for (int bit = 31; bit >= 0; --bit) {
    product ^= (b >> bit & 1) != 0 ? a : 0;
    a = crc32c_times_x(a);
  }
  return product;
}

struct team_crc32c_tables {
  std::uint32_t step[4][256];  ///< step[k][b]: byte b in place k, times x^1024
  std::uint32_t rest[32];      ///< x^(32 (32 - l)): the words that follow member l's last, and 32
};
[[nodiscard]] constexpr team_crc32c_tables make_team_crc32c_tables() noexcept {
  team_crc32c_tables made{};
  std::uint32_t power = 0x8000'0000;  // x^0
  for (int l = 31; l >= 0; --l) {
    for (int bit = 0; bit < 32; ++bit) { power = crc32c_times_x(power); }
    made.rest[l] = power;
  }
  for (int k = 0; k < 4; ++k) {  // linear in b: from its bits
    for (std::uint32_t bit = 1; bit < 256; bit *= 2) {
      std::uint32_t const alone = crc32c_product(bit << (8 * k), power);
      for (std::uint32_t b = 0; b < bit; ++b) { made.step[k][bit + b] = made.step[k][b] ^ alone; }
    }
  }
  return made;
}
inline constexpr team_crc32c_tables team_crc32c_table = make_team_crc32c_tables();

/// Whether `sum` is the CRC32C of `count` words.
/// @param shared [32] untouched by others until the next barrier
/// @return the same in every member
template <team Team>
[[nodiscard]] MILLRACE_HD bool team_crc32c_is(std::uint32_t sum, std::uint32_t const* words,
                                              std::uint32_t count, team_crc32c_tables const& tables,
                                              std::uint32_t* shared) noexcept {
  static_assert(Team::size == 32);
  Team::each([&](std::uint32_t rank) {
    std::uint32_t part = 0;
    for (std::uint32_t i = (count + rank) % 32; i < count; i += 32) {
      part = tables.step[0][part & 255] ^ tables.step[1][part >> 8 & 255] ^
             tables.step[2][part >> 16 & 255] ^ tables.step[3][part >> 24] ^ words[i] ^
             (i == 0 ? ~std::uint32_t{0} : 0);
    }
    shared[rank] = crc32c_product(part, tables.rest[rank]);
  });
  Team::sync();
  std::uint32_t found = 0;
  Team::each([&](std::uint32_t rank) {
    std::uint32_t all = 0;
    for (std::uint32_t i = 0; i < 32; ++i) { all ^= shared[i]; }
    static_cast<void>(rank);
    found = ~all;
  });
  return found == sum;
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
