// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

namespace millrace::bench::suite {

/// Small fast counter, 32 bits: the stream that draws the suite's graphs.
/// @source C. Doty-Humphrey, PractRand, sfc32
class small_fast_counter {
 public:
  explicit small_fast_counter(std::array<std::uint32_t, 4> const& seed) noexcept : s_(seed) {}

  /// The next number, in [0, 1).
  [[nodiscard]] double operator()() noexcept {
    auto& [a, b, c, count] = s_;
    ++count;
    std::uint32_t const drawn = a + b + count;
    a = b ^ b >> 9;
    b = c * 9;  // c + (c << 3)
    c = drawn + std::rotl(c, 21);
    return static_cast<double>(drawn) / 0x1p32;
  }

 private:
  std::array<std::uint32_t, 4> s_;
};

/// The stream that a text seeds: each byte is mixed in as a block of its own, and the state is
/// finished four times over.
/// @source A. Appleby, MurmurHash3
[[nodiscard]] inline small_fast_counter seeded_by(std::string_view text) noexcept {
  std::uint32_t state = 2'166'136'261u;
  for (char const letter : text) {
    std::uint32_t block = static_cast<unsigned char>(letter) * 3'432'918'353u;
    block = std::rotl(block, 15) * 461'845'907u;
    state = std::rotl(state ^ block, 13) * 5 + 3'864'292'196u;
  }
  state ^= static_cast<std::uint32_t>(text.size());
  std::array<std::uint32_t, 4> seed{};
  for (std::uint32_t& word : seed) {
    state = (state ^ state >> 16) * 2'246'822'507u;
    state = (state ^ state >> 13) * 3'266'489'909u;
    state ^= state >> 16;
    word = state;
  }
  return small_fast_counter(seed);
}

}  // namespace millrace::bench::suite
