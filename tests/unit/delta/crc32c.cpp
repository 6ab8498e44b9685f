// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/isa.hpp>
#include <millrace/delta/crc32c.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

namespace {

using namespace millrace;

/// The definition, bit by bit.
[[nodiscard]] std::uint32_t by_definition(std::vector<std::byte> const& data) {
  std::uint32_t crc = 0xFFFF'FFFF;
  for (std::byte const each : data) {
    crc ^= static_cast<std::uint32_t>(each);
    for (int bit = 0; bit < 8; ++bit) { crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82F6'3B78u : crc >> 1; }
  }
  return ~crc;
}

template <class Make>
[[nodiscard]] std::vector<std::byte> bytes_of(std::size_t count, Make make) {
  std::vector<std::byte> made(count);
  for (std::size_t i = 0; i < count; ++i) { made[i] = static_cast<std::byte>(make(i)); }
  return made;
}

TEST_CASE("crc32c: the published vectors come out on each path") {
  struct vector {
    std::vector<std::byte> data;
    std::uint32_t crc;
  };
  std::string_view const digits = "123456789";
  vector const all[] = {
      {bytes_of(9, [&](std::size_t i) { return digits[i]; }), 0xE306'9283},
      {bytes_of(32, [](std::size_t) { return 0; }), 0x8A91'36AA},  // RFC 3720, B.4
      {bytes_of(32, [](std::size_t) { return 255; }), 0x62A8'AB43},
      {bytes_of(32, [](std::size_t i) { return i; }), 0x46DD'794E},
      {bytes_of(32, [](std::size_t i) { return 31 - i; }), 0x113F'DB5C},
      {{}, 0},
  };
  for (vector const& each : all) {
    CHECK(by_definition(each.data) == each.crc);
    for (core::isa const which : core::all_isas) {
      CHECK(delta::crc32c(each.data.data(), each.data.size(), 0, which) == each.crc);
    }
  }
}

TEST_CASE("crc32c: every length equals the definition, at once and in two parts, at any address") {
  std::mt19937_64 random(7);
  std::vector<std::size_t> lengths = {3'071, 3'072, 3'073, 4'096, 6'143, 6'151, 10'007};
  for (std::size_t n = 0; n <= 400; ++n) { lengths.push_back(n); }
  for (std::size_t const n : lengths) {
    auto const data = bytes_of(n, [&](std::size_t) { return random() & 255; });
    std::uint32_t const want = by_definition(data);
    for (core::isa const which : core::all_isas) {
      REQUIRE(delta::crc32c(data.data(), n, 0, which) == want);
      std::size_t const cut = n == 0 ? 0 : random() % n;
      std::uint32_t const first = delta::crc32c(data.data(), cut, 0, which);
      REQUIRE(delta::crc32c(data.data() + cut, n - cut, first, which) == want);
    }
  }
}

#if defined(__x86_64__)
TEST_CASE("crc32c: beside other work it is the same, for every length that is taken") {
  if (!core::has_isa(core::isa::avx2)) {
    MESSAGE("skipped: this machine has no AVX2");
    return;
  }
  using padded = delta::detail::avx2::crc32c_padded;
  std::mt19937_64 random(8);
  auto const data = bytes_of(40 + padded::most_bytes, [&](std::size_t) { return random() & 255; });
  for (std::size_t n = padded::fewest_bytes; n <= padded::most_bytes; n += n < 400 ? 1 : 29) {
    padded beside(data.data() + 40, n);
    for (std::uint32_t i = 0; i < padded::fewest_steps; ++i) { beside.step(i); }
    REQUIRE(beside.finish(padded::fewest_steps, n) == delta::crc32c(data.data() + 40, n));
  }
}
#endif

}  // namespace
