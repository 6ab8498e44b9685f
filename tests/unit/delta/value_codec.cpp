// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/isa.hpp>
#include <millrace/delta/value_codec.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace millrace;

/// A struct of several fields, some of which stay the same from row to row.
struct tick {
  std::uint32_t size;
  std::uint16_t venue;
  std::uint8_t flags[2];
  double price;
};

template <class V>
[[nodiscard]] bool same_bits(V const* a, V const* b, std::size_t n) {
  return std::memcmp(a, b, n * sizeof(V)) == 0;
}

/// Encodes with every instruction set, checks that all write the same, decodes with every one from
/// and into memory that ends where the block ends.
/// @return bytes of the block
template <class V>
std::size_t round_trip(std::vector<V> const& values) {
  auto const n = static_cast<std::uint32_t>(values.size());
  std::vector<std::byte> block;
  for (core::isa const which : core::all_isas) {
    if (!core::has_isa(which)) { continue; }
    auto const room = std::make_unique<std::byte[]>(delta::max_value_bytes<V>(n));
    std::size_t const bytes = delta::encode_values(values.data(), n, room.get(), which);
    REQUIRE(bytes <= delta::max_value_bytes<V>(n));
    std::vector<std::byte> const found(room.get(), room.get() + bytes);
    if (which == core::isa::scalar) { block = found; }
    REQUIRE(found == block);
  }
  auto const exact = std::make_unique<std::byte[]>(block.size());
  std::memcpy(exact.get(), block.data(), block.size());
  for (core::isa const which : core::all_isas) {
    if (!core::has_isa(which)) { continue; }
    CAPTURE(core::describe(which));
    auto const out = std::make_unique<V[]>(n);
    REQUIRE(delta::decode_values(exact.get(), block.size(), out.get(), n, which));
    REQUIRE(same_bits(out.get(), values.data(), n));
  }
  return block.size();
}

/// The value in every length from 1 to 256 and some orders of magnitude of lengths.
template <class V, class Make>
void all_lengths(Make make) {
  for (std::uint32_t n = 1; n <= 256; ++n) {
    std::vector<V> values(n);
    for (std::uint32_t i = 0; i < n; ++i) { values[i] = make(i); }
    CAPTURE(n);
    round_trip(values);
  }
}

template <class V>
[[nodiscard]] V of_bits(std::uint64_t bits) {
  delta::value_word<V> word = static_cast<delta::value_word<V>>(bits);
  return std::bit_cast<V>(word);
}

template <class V>
[[nodiscard]] std::vector<V> odd_floats() {
  using limits = std::numeric_limits<V>;
  std::vector<V> odd = {V{0},
                        -V{0},
                        limits::infinity(),
                        -limits::infinity(),
                        limits::quiet_NaN(),
                        limits::signaling_NaN(),
                        limits::denorm_min(),
                        -limits::denorm_min(),
                        limits::min(),
                        limits::max(),
                        limits::lowest(),
                        limits::epsilon(),
                        V(0.1),
                        V(-0.1),
                        V(1) / V(3)};
  if constexpr (sizeof(V) == 8) {
    for (std::uint64_t const bits : {0x7ff0000000000001ull, 0xfff8dead'beef0001ull,
                                     0x7fffffff'ffffffffull, 0x000fffff'ffffffffull}) {
      odd.push_back(std::bit_cast<double>(bits));
    }
    for (double const v : {0x1p49, 0x1p50, 0x1p51, 0x1p52, 0x1p53, 0x1p63, -0x1p50, 0x1p50 - 1}) {
      odd.push_back(static_cast<V>(v));
    }
  } else {
    for (std::uint32_t const bits : {0x7f800001u, 0xffc0dea0u, 0x7fffffffu, 0x007fffffu}) {
      odd.push_back(std::bit_cast<float>(bits));
    }
    for (float const v : {0x1p22f, 0x1p23f, 0x1p24f, 0x1p31f, -0x1p23f, 0x1p23f - 1}) {
      odd.push_back(static_cast<V>(v));
    }
  }
  return odd;
}

template <class V>
[[nodiscard]] std::vector<V> odd_integers() {
  using limits = std::numeric_limits<V>;
  std::vector<V> odd = {V{0},
                        V{1},
                        limits::max(),
                        limits::min(),
                        static_cast<V>(limits::max() / 2),
                        static_cast<V>(limits::min() / 2),
                        static_cast<V>(V{0} - V{1})};
  for (std::uint32_t b = 0; b < sizeof(V) * 8; ++b) {
    odd.push_back(static_cast<V>(std::uint64_t{1} << b));
    odd.push_back(static_cast<V>((std::uint64_t{1} << b) - 1));
  }
  return odd;
}

}  // namespace

TEST_CASE_TEMPLATE("value codec: random bits come back", V, float, double, std::int32_t,
                   std::uint32_t, std::int64_t, std::uint64_t) {
  std::mt19937_64 random(1);
  all_lengths<V>([&](std::uint32_t) { return of_bits<V>(random()); });
  // narrower and narrower: every width of a stream
  for (std::uint32_t bits = 0; bits < sizeof(V) * 8; ++bits) {
    for (std::uint32_t const n : {256u, 255u, 200u, 65u, 17u, 16u, 9u, 8u, 3u}) {
      std::uint64_t const frame = random();
      std::vector<V> values(n);
      for (V& each : values) { each = of_bits<V>(frame + (random() & delta::low_mask64(bits))); }
      CAPTURE(bits);
      std::size_t const bytes = round_trip(values);
      if (n == 256 && bits < sizeof(V) * 8 - 8) { CHECK(bytes <= 16 + n * (bits + 2) / 8); }
    }
  }
}

TEST_CASE_TEMPLATE("value codec: odd floats come back, alone and among others", V, float, double) {
  std::vector<V> const odd = odd_floats<V>();
  std::mt19937_64 random(2);
  all_lengths<V>([&](std::uint32_t i) { return odd[i % odd.size()]; });
  all_lengths<V>([&](std::uint32_t) { return odd[random() % odd.size()]; });
  for (V const each : odd) {
    CHECK(round_trip(std::vector<V>(256, each)) <= 2 + 3 + sizeof(V));
    round_trip(std::vector<V>(1, each));
    for (std::uint32_t const at : {0u, 1u, 100u, 255u}) {
      std::vector<V> values(256);
      for (std::uint32_t i = 0; i < 256; ++i) {
        values[i] = static_cast<V>(static_cast<double>(18'000 + random() % 100) / 100);
      }
      values[at] = each;
      CHECK(round_trip(values) <= 256 + 3 + 3 + 3 + 2 + sizeof(V));
    }
  }
}

TEST_CASE_TEMPLATE("value codec: odd integers come back, alone and among others", V, std::int32_t,
                   std::uint32_t, std::int64_t, std::uint64_t) {
  std::vector<V> const odd = odd_integers<V>();
  std::mt19937_64 random(3);
  all_lengths<V>([&](std::uint32_t i) { return odd[i % odd.size()]; });
  all_lengths<V>([&](std::uint32_t) { return odd[random() % odd.size()]; });
  for (V const each : odd) {
    CHECK(round_trip(std::vector<V>(256, each)) <= 3 + sizeof(V));
    std::vector<V> values(256);
    for (std::uint32_t i = 0; i < 256; ++i) { values[i] = static_cast<V>(random() % 16); }
    values[random() % 256] = each;
    // one far below moves the frame to it: then steps are stored, of a bit more, and two patches
    CHECK(round_trip(values) <= 4 + 160 + 2 + 2 * (1 + sizeof(V)));
  }
}

TEST_CASE_TEMPLATE("value codec: decimals of every number of digits come back small", V, float,
                   double) {
  std::mt19937_64 random(4);
  std::uint32_t const most = sizeof(V) == 4 ? 6 : 14;
  for (std::uint32_t digits = 0; digits <= most; ++digits) {
    double const power = delta::power_of_ten(digits);
    for (std::int64_t const range : {10, 1'000, 100'000, 4'000'000}) {
      for (std::uint32_t const n : {256u, 255u, 100u, 7u, 1u}) {
        std::vector<V> values(n);
        for (V& each : values) {
          auto const integer =
              static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(range)) - range / 2;
          each = static_cast<V>(static_cast<double>(integer) / power);
        }
        CAPTURE(digits);
        CAPTURE(range);
        std::size_t const bytes = round_trip(values);
        std::uint32_t const width =
            delta::bits_needed(std::array{static_cast<std::uint64_t>(range)}.data(), 1);
        if (n == 256) { CHECK(bytes <= 12 + n * width / 8); }
      }
    }
  }
}

TEST_CASE("value codec: walks of doubles come back, in 32 bits and beyond") {
  std::mt19937_64 random(5);
  for (std::int64_t const step :
       {std::int64_t{1}, std::int64_t{1'000}, std::int64_t{1} << 22, std::int64_t{1} << 30,
        std::int64_t{1} << 34, std::int64_t{1} << 40}) {
    for (std::uint32_t const repeats : {0u, 1u, 5u, 60u}) {
      std::vector<double> values(256);
      std::vector<std::int64_t> integers(256);
      std::int64_t at = 1'234'567;
      for (std::uint32_t i = 0; i < 256; ++i) {
        if (repeats == 0 || random() % (repeats + 1) == 0) {
          at +=
              static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(2 * step + 1)) - step;
        }
        integers[i] = at;
        values[i] = static_cast<double>(at) / 1e4;
      }
      CAPTURE(step);
      CAPTURE(repeats);
      std::size_t const bytes = round_trip(values);
      CHECK(bytes <= round_trip(integers) + 2);
      for (std::uint32_t const i : {3u, 77u, 200u}) { values[i] = 1.0 / 3; }
      // three exceptions, and up to four larger steps about them, as patches or a bit in every row
      CHECK(round_trip(values) <= bytes + 1 + 3 * 9 + 40);
    }
  }
}

TEST_CASE_TEMPLATE("value codec: ramps and constants take a few bytes", V, std::int32_t,
                   std::uint32_t, std::int64_t, std::uint64_t, float, double) {
  all_lengths<V>([](std::uint32_t) { return static_cast<V>(7); });
  all_lengths<V>([](std::uint32_t i) { return static_cast<V>(i * 60); });
  all_lengths<V>([](std::uint32_t i) { return static_cast<V>(i % 2 * 100); });
  CHECK(round_trip(std::vector<V>(256, static_cast<V>(7))) <= 5);
  std::vector<V> ramp(256);
  for (std::uint32_t i = 0; i < 256; ++i) { ramp[i] = static_cast<V>(1'000 + i * 600); }
  CHECK(round_trip(ramp) <= 9);
  for (std::uint32_t i = 0; i < 256; ++i) { ramp[i] = static_cast<V>(i < 200 ? 1 : 2); }
  CHECK(round_trip(ramp) <= 8);
}

TEST_CASE("value codec: ramps of large steps come back") {
  for (std::int64_t const slope : {std::int64_t{1'000'000'000}, -(std::int64_t{1} << 62),
                                   std::numeric_limits<std::int64_t>::min()}) {
    std::vector<std::int64_t> values(256);
    std::uint64_t at = 42;
    for (auto& each : values) {
      each = static_cast<std::int64_t>(at);
      at += static_cast<std::uint64_t>(slope);
    }
    CHECK(round_trip(values) <= 256);
  }
}

TEST_CASE_TEMPLATE("value codec: true floats lose the bits that they share", V, float, double) {
  std::mt19937_64 random(6);
  std::normal_distribution<V> normal(0, 1);
  std::uniform_real_distribution<V> uniform(1, 2);
  all_lengths<V>([&](std::uint32_t) { return normal(random); });
  all_lengths<V>([&](std::uint32_t) { return uniform(random); });
  std::vector<V> values(256);
  for (V& each : values) { each = uniform(random); }
  CHECK(round_trip(values) <= 256 * (sizeof(V) - 1) + 16);
  V walk = V(1.1);
  for (V& each : values) { each = walk += uniform(random) / 10'000; }
  CHECK(round_trip(values) < 256 * sizeof(V) * 3 / 4 + 16);
  // floats widened to doubles have 29 zero bits
  if constexpr (sizeof(V) == 8) {
    for (V& each : values) { each = static_cast<V>(static_cast<float>(normal(random))); }
    CHECK(round_trip(values) < 256 * 5);
  }
}

TEST_CASE("value codec: structs drop the bytes that stay the same") {
  std::mt19937_64 random(7);
  for (std::uint32_t n = 1; n <= 256; ++n) {
    std::vector<tick> values(n);
    for (tick& each : values) {
      each = {static_cast<std::uint32_t>(random() % 256),
              7,
              {1, 2},
              static_cast<double>(random() % 1'000)};
    }
    std::size_t const bytes = round_trip(values);
    if (n == 256) { CHECK(bytes < 256 * sizeof(tick) / 2); }
    round_trip(std::vector<tick>(n, values[0]));
    for (tick& each : values) {
      each = {static_cast<std::uint32_t>(random()),
              static_cast<std::uint16_t>(random()),
              {static_cast<std::uint8_t>(random()), static_cast<std::uint8_t>(random())},
              of_bits<double>(random())};
    }
    round_trip(values);
  }
  CHECK(round_trip(std::vector<tick>(256, tick{1, 2, {3, 4}, 5})) == 1 + sizeof(tick));
}

namespace {

/// Decodes with every instruction set from memory that ends where the bytes end; all agree.
template <class V>
void decode_any(std::vector<std::byte> const& bytes, std::uint32_t n) {
  auto const exact = std::make_unique<std::byte[]>(bytes.size());
  if (!bytes.empty()) { std::memcpy(exact.get(), bytes.data(), bytes.size()); }
  auto const want = std::make_unique<V[]>(n), out = std::make_unique<V[]>(n);
  auto const scalar =
      delta::decode_values(exact.get(), bytes.size(), want.get(), n, core::isa::scalar);
  for (core::isa const which : {core::isa::avx2, core::isa::avx512}) {
    if (!core::has_isa(which)) { continue; }
    auto const found = delta::decode_values(exact.get(), bytes.size(), out.get(), n, which);
    REQUIRE(found.has_value() == scalar.has_value());
    if (!found) { CHECK(found.error().code == errc::corrupt); }
    if (found) { REQUIRE(same_bits(out.get(), want.get(), n)); }
  }
}

/// Every truncation, every flipped bit, wrong lengths and rows, on a few blocks of each scheme.
template <class V, class Make>
void damage(std::uint32_t n, Make make) {
  std::vector<V> values(n);
  for (std::uint32_t i = 0; i < n; ++i) { values[i] = make(i); }
  std::vector<std::byte> block(delta::max_value_bytes<V>(n));
  block.resize(delta::encode_values(values.data(), n, block.data()));
  for (std::size_t length = 0; length < block.size(); ++length) {
    auto const out = std::make_unique<V[]>(n);
    auto const cut = std::make_unique<std::byte[]>(length);
    std::memcpy(cut.get(), block.data(), length);
    for (core::isa const which : core::all_isas) {
      if (!core::has_isa(which)) { continue; }
      REQUIRE_FALSE(delta::decode_values(cut.get(), length, out.get(), n, which));
    }
  }
  for (std::size_t bit = 0; bit < block.size() * 8; ++bit) {
    auto flipped = block;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    decode_any<V>(flipped, n);
  }
  auto longer = block;
  longer.push_back(std::byte{0});
  auto const out = std::make_unique<V[]>(n);
  CHECK_FALSE(delta::decode_values(longer.data(), longer.size(), out.get(), n));
  for (std::uint32_t const rows : {n - 1, n + 1, 1u, 256u}) {
    if (rows >= 1 && rows <= 256) { decode_any<V>(block, rows); }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("value codec: damaged blocks are refused or give as many values", V, float,
                   double, std::int32_t, std::uint64_t) {
  std::mt19937_64 random(8);
  for (std::uint32_t const n : {1u, 2u, 9u, 60u, 256u}) {
    damage<V>(n, [](std::uint32_t i) { return static_cast<V>(i * i); });
    damage<V>(n, [](std::uint32_t) { return static_cast<V>(3); });
    damage<V>(n, [](std::uint32_t i) { return static_cast<V>(i / 7 % 3); });
    damage<V>(n, [](std::uint32_t i) { return static_cast<V>(i / 60); });
    damage<V>(n, [](std::uint32_t i) { return static_cast<V>(i % 50 == 9 ? 1'000'000 : i % 3); });
    damage<V>(
        n, [&](std::uint32_t) { return static_cast<V>(static_cast<double>(random() % 100) / 10); });
    damage<V>(n, [&](std::uint32_t i) {
      return i % 40 == 3 ? of_bits<V>(random())
                         : static_cast<V>(static_cast<double>(random() % 9) / 4);
    });
    damage<V>(n, [&](std::uint32_t) { return of_bits<V>(random() | random()); });
    damage<V>(n, [](std::uint32_t i) { return static_cast<V>(1.0 / (i + 3.0)); });
  }
}

TEST_CASE("value codec: random bytes are refused or give as many values") {
  std::mt19937_64 random(9);
  for (int round = 0; round < 60'000; ++round) {
    std::vector<std::byte> bytes(random() % 90);
    for (std::byte& each : bytes) { each = static_cast<std::byte>(random()); }
    std::uint32_t const n = 1 + static_cast<std::uint32_t>(random() % 256);
    if (bytes.size() > 4) {  // likelier to be well-formed
      bytes[0] = static_cast<std::byte>(random() % 7 | (round % 3 == 0 ? 16 : 0));
      bytes[1] &= std::byte{0x3f};
      bytes[2] = static_cast<std::byte>(random() % 5 | (round % 2 == 0 ? 128 : 0));
    }
    decode_any<double>(bytes, n);
    decode_any<float>(bytes, n);
    decode_any<std::int64_t>(bytes, n);
    decode_any<std::uint32_t>(bytes, n);
    decode_any<tick>(bytes, n);
  }
}

TEST_CASE("value codec: quotients by every power of ten are those of a division") {
  std::mt19937_64 random(10);
  for (std::uint32_t exponent = 0; exponent <= delta::most_exponent; ++exponent) {
    for (std::uint32_t const width : {7u, 25u, 31u, 33u, 50u}) {
      for (int round = 0; round < 40; ++round) {
        bool const wide = width > 32;
        // the frame: at times so that sums have one of 32 bits more or less
        auto const frame = static_cast<std::int64_t>(random() >> (round % 2 == 0 ? 16 : 33)) -
                           (std::int64_t{1} << (round % 2 == 0 ? 47 : 30));
        std::vector<std::uint64_t> stored(256);
        for (auto& each : stored) { each = random() & delta::low_mask64(width); }
        std::vector<std::byte> block(11 + delta::packed_bytes(256, width));
        block[0] = static_cast<std::byte>(3 | exponent << 3);
        block[1] = std::byte{7 << 5};  // a frame of 8 bytes
        block[2] = static_cast<std::byte>(width | (wide ? 128u : 0u));
        delta::store_bytes(&block[3], delta::to_zigzag(static_cast<std::uint64_t>(frame)), 8);
        REQUIRE(delta::write_stream(stored.data(), 256, width, &block[11]) + 11 == block.size());
        CAPTURE(exponent);
        CAPTURE(width);
        for (core::isa const which : core::all_isas) {
          if (!core::has_isa(which)) { continue; }
          std::vector<double> out(256);
          REQUIRE(delta::decode_values(block.data(), block.size(), out.data(), 256, which));
          for (std::uint32_t i = 0; i < 256; ++i) {
            auto const number = frame + static_cast<std::int64_t>(stored[i]);
            double const want = static_cast<double>(number) / delta::power_of_ten(exponent);
            REQUIRE(same_bits(&out[i], &want, 1));
          }
        }
      }
    }
  }
}

TEST_CASE("value codec: the worked example of the specification") {
  double const nan = std::bit_cast<double>(0x7ff8000000000000u);
  std::vector<double> const values = {181.25, 181.25, 181.26, 181.24, 181.24, 181.24,
                                      181.30, nan,    181.30, 181.30, 181.30, 181.30};
  std::uint8_t const bytes[] = {0x14, 0x44, 0x03, 0x98, 0x8d, 0x4c, 0x00, 0x11, 0x0c, 0x01,
                                0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x7f};
  std::vector<std::byte> block(delta::max_value_bytes<double>(12));
  block.resize(delta::encode_values(values.data(), 12, block.data()));
  REQUIRE(block.size() == sizeof(bytes));
  CHECK(std::memcmp(block.data(), bytes, sizeof(bytes)) == 0);
  std::vector<double> out(12);
  REQUIRE(delta::decode_values(block.data(), block.size(), out.data(), 12));
  CHECK(same_bits(out.data(), values.data(), 12));
}

TEST_CASE("value codec: a row is found by its stored number where rows do not sum up") {
  std::mt19937_64 random(11);
  for (std::uint32_t const often : {1u, 3u, 40u}) {
    std::vector<double> values(256);
    double last = 0;
    for (double& each : values) {
      if (random() % often == 0) { last = static_cast<double>(random() % 900) / 100; }
      each = last;
    }
    std::vector<std::byte> block(delta::max_value_bytes<double>(256));
    block.resize(delta::encode_values(values.data(), 256, block.data()));
    auto const layout = delta::parse_values<double>(block.data(), block.size(), 256);
    REQUIRE(layout);
    REQUIRE(layout->step == delta::value_step::none);
    double const power = delta::power_of_ten(layout->exponent);
    for (std::uint32_t row = 0; row < 256; ++row) {
      std::uint32_t const at = delta::stored_of_row(block.data(), *layout, row);
      std::uint64_t const number = layout->base + delta::stored_number(block.data(), *layout, at);
      double const found = delta::value_of_number<double>(*layout, power, number);
      REQUIRE(same_bits(&found, &values[row], 1));
    }
  }
}

TEST_CASE(
    "value codec: steps of every size come back, also where they sum up to more than 31 bits") {
  auto const back = [](std::vector<std::int64_t> const& values) {
    auto const n = static_cast<std::uint32_t>(values.size());
    std::vector<std::byte> block(delta::max_value_bytes<std::int64_t>(n));
    block.resize(delta::encode_values(values.data(), n, block.data()));
    for (core::isa const which : core::all_isas) {
      std::vector<std::int64_t> out(n);
      if (!delta::decode_values(block.data(), block.size(), out.data(), n, which)) { return false; }
      if (out != values) { return false; }
    }
    return true;
  };
  for (std::int64_t const step : {0x3FFF'FFFFll, 0x4000'0000ll, 0x4700'0000ll, 0x7FFF'FFFFll}) {
    for (std::int64_t const sign : {1, -1}) {
      CHECK(back({5, 5, 5 + sign * step}));
      CHECK(back({5, 5 + sign * step}));
      CHECK(back({5, 5 + sign * step, 5 + sign * step}));
    }
  }
  std::mt19937_64 random(13);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::int64_t> values(1 + random() % 6);
    int const shift = static_cast<int>(random() % 63);
    std::uint64_t const step = random() >> shift;
    std::uint64_t number = random();
    for (std::int64_t& each : values) {
      std::uint64_t const kind = random() % 4;
      number += kind == 0 ? 0 : kind == 1 ? step : kind == 2 ? 0 - step : random() >> shift;
      each = static_cast<std::int64_t>(number);
    }
    REQUIRE(back(values));
  }
}

TEST_CASE("value codec: no rows and too many rows are refused") {
  std::byte const block[] = {std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};
  std::vector<float> out(257);
  for (std::uint32_t const rows : {0u, 257u, ~0u}) {
    auto const found = delta::decode_values(block, sizeof(block), out.data(), rows);
    REQUIRE_FALSE(found);
    CHECK(found.error().code == errc::corrupt);
  }
  CHECK(delta::decode_values(block, sizeof(block), out.data(), 256));
}
