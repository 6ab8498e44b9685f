// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/isa.hpp>
#include <millrace/delta/bit_pack.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace {

using namespace millrace;
using millrace::delta::block_rows;

template <class U>
constexpr std::uint32_t width_of = sizeof(U) * 8;

/// `count` numbers below 2^bits, among them the largest and zero.
template <class U>
[[nodiscard]] std::vector<U> numbers(std::uint32_t count, std::uint32_t bits, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  U const most = bits == 0 ? U{0} : static_cast<U>(static_cast<U>(~U{0}) >> (width_of<U> - bits));
  std::vector<U> all(count);
  for (U& each : all) { each = static_cast<U>(random()) & most; }
  all[random() % count] = 0;
  all[random() % count] = most;
  return all;
}

/// The definition, bit by bit.
[[nodiscard]] std::vector<std::byte> packed_by_definition(std::vector<std::uint32_t> const& in,
                                                          std::uint32_t bits) {
  auto const count = static_cast<std::uint32_t>(in.size());
  std::vector<std::byte> out((std::size_t{count} * bits + 7) / 8);
  for (std::uint32_t i = 0; i < count; ++i) {
    for (std::uint32_t b = 0; b < bits; ++b) {
      std::uint32_t at = i * bits + b;  // of the bit
      if (count == block_rows) {
        std::uint32_t const in_lane = i / 8 * bits + b;
        at = (in_lane / 32 * 8 + i % 8) * 32 + in_lane % 32;
      }
      if ((in[i] >> b & 1) != 0) { out[at / 8] |= std::byte{1} << (at % 8); }
    }
  }
  return out;
}

TEST_CASE("bit_pack: numbers of 32 bits lie where the definition says") {
  for (std::uint32_t bits = 0; bits <= 32; ++bits) {
    for (std::uint32_t const count : {1u, 2u, 7u, 8u, 9u, 31u, 100u, 255u, 256u}) {
      auto const in = numbers<std::uint32_t>(count, bits, bits * 1000 + count);
      auto const want = packed_by_definition(in, bits);
      REQUIRE(delta::packed_bytes(count, bits) == want.size());
      for (core::isa const which : core::all_isas) {
        if (!core::has_isa(which)) { continue; }
        std::vector<std::byte> got(want.size());  // exactly: sanitizers see a byte too much
        delta::pack(in.data(), count, bits, got.data(), which);
        REQUIRE(got == want);
      }
    }
  }
}

TEST_CASE_TEMPLATE("bit_pack: every width and count comes back, plus the base, on each path", U,
                   std::uint32_t, std::uint64_t) {
  for (std::uint32_t bits = 0; bits <= width_of<U>; ++bits) {
    for (std::uint32_t count = 1; count <= block_rows;
         count += count < 20 || count > 250 ? 1 : 23) {
      auto const in = numbers<U>(count, bits, bits * 1000 + count);
      REQUIRE(delta::bits_needed(in.data(), count) == bits);
      for (core::isa const which : core::all_isas) {
        if (!core::has_isa(which)) { continue; }
        std::vector<std::byte> packed(delta::packed_bytes(count, bits));
        delta::pack(in.data(), count, bits, packed.data(), which);
        for (std::size_t const shift : {0u, 1u}) {
          std::vector<std::byte> moved(packed.size() + shift);
          if (!packed.empty()) { std::memcpy(moved.data() + shift, packed.data(), packed.size()); }
          U const base = static_cast<U>(0xFEDC'BA98'7654'3210u);
          std::vector<U> out(count), want = in;
          for (U& each : want) { each = static_cast<U>(each + base); }
          delta::unpack(moved.data() + shift, count, bits, base, out.data(), which);
          REQUIRE(out == want);
        }
      }
    }
  }
}

}  // namespace
