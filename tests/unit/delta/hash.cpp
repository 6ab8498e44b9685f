// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/hash.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

namespace core = millrace::core;
namespace delta = millrace::delta;
using delta::run_hash;
using millrace_test::random_run;
using millrace_test::table;

namespace {

constexpr std::uint64_t prime = (std::uint64_t{1} << 61) - 1;

/// (a * b) modulo the prime by doubling: nothing of the header's arithmetic.
std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) { product = (product + a) % prime; }
    a = (a + a) % prime;
  }
  return product;
}

/// The 128-bit product's halves, xored: by four products of 32 bits.
std::uint64_t product_of_halves(std::uint64_t a, std::uint64_t b) {
  std::uint64_t const a0 = a & 0xFFFF'FFFF, a1 = a >> 32, b0 = b & 0xFFFF'FFFF, b1 = b >> 32;
  std::uint64_t const middle = a1 * b0 + (a0 * b0 >> 32);
  std::uint64_t const other = a0 * b1 + (middle & 0xFFFF'FFFF);
  std::uint64_t const high = a1 * b1 + (middle >> 32) + (other >> 32);
  return high ^ (a * b);
}

/// The text of run_hash's comment, read once more.
template <class K, class V>
run_hash as_documented(table<K, V>& rows) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<unsigned char> bytes(sizeof(K) + sizeof(V));
    std::memcpy(bytes.data(), &rows.key(i), sizeof(K));
    std::memcpy(bytes.data() + sizeof(K), &rows.value(i), sizeof(V));
    while (bytes.size() % 8 != 0) { bytes.push_back(0); }
    std::uint64_t h = 0x9E3779B97F4A7C15u;
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      std::uint64_t w = 0;
      for (std::size_t b = 8; b-- > 0;) { w = w << 8 | bytes[at + b]; }
      h = product_of_halves(h ^ w, 0xA0761D6478BD642Fu);
    }
    sum = (times(sum, 0x1A2F5C8D3B7E9461u) + (h & prime) % prime) % prime;
  }
  return {sum, rows.size()};
}

}  // namespace

TEST_CASE("hash: is what its comment says, for rows of one word, of two, and of one and a half") {
  for (std::size_t size : {0u, 1u, 2u, 3u, 4u, 5u, 8u, 31u, 100u}) {
    auto one = random_run<std::uint32_t, float>(size, 9, size, 1);
    CHECK(delta::hash(one.ref()) == as_documented(one));
    auto two = random_run<std::uint64_t, double>(size, 9, size, 0, true);
    CHECK(delta::hash(two.ref()) == as_documented(two));
    auto more = random_run<std::uint32_t, double>(size, 9, size);
    CHECK(delta::hash(more.ref()) == as_documented(more));
    auto odd = random_run<std::uint64_t, millrace_test::quote>(size, 9, size);
    CHECK(delta::hash(odd.ref()) == as_documented(odd));
  }
}

TEST_CASE("hash: figures that no version changes") {
  table<std::uint32_t, float> rows;
  CHECK(delta::hash(rows.ref()) == run_hash{0, 0});
  rows.push(1, 1.0f);
  CHECK(delta::hash(rows.ref()).sum == 0xD6527893A22F93Cu);
  rows.push(2, -0.0f);
  rows.push(0xFFFF'FFFF, 2.5f);
  CHECK(delta::hash(rows.ref()).sum == 0x118E90BF548D46Du);
  CHECK(delta::hash(rows.ref()).value() == 0xBAB1C6D82AA057F1u);
}

TEST_CASE("hash: slices joined anywhere give the hash of the whole") {
  auto const rows = random_run<std::uint32_t, double>(203, 4, 1);
  auto const whole = delta::hash(rows.ref());
  for (std::size_t at = 0; at <= 203; ++at) {
    auto const first = delta::hash(rows.ref().slice(0, at));
    auto const second = delta::hash(rows.ref().slice(at));
    CHECK(delta::joined(first, second) == whole);
    if (at != 0 && at != 203) { CHECK_FALSE(delta::joined(second, first) == whole); }
  }
}

TEST_CASE("hash: any bit of any row changes it, and so does the order of rows") {
  auto rows = random_run<std::uint64_t, float>(40, 4, 1);
  std::set<std::uint64_t> seen{delta::hash(rows.ref()).value()};
  std::size_t changes = 1;
  for (std::size_t i = 0; i < 40; ++i) {
    for (int bit = 0; bit < 64; ++bit, ++changes) {
      rows.key(i) ^= std::uint64_t{1} << bit;
      seen.insert(delta::hash(rows.ref()).value());
      rows.key(i) ^= std::uint64_t{1} << bit;
    }
    for (int bit = 0; bit < 32; ++bit, ++changes) {
      std::uint32_t bits;
      float const kept = rows.value(i);
      std::memcpy(&bits, &kept, 4);
      bits ^= std::uint32_t{1} << bit;
      std::memcpy(&rows.value(i), &bits, 4);
      seen.insert(delta::hash(rows.ref()).value());
      std::memcpy(&rows.value(i), &kept, 4);
    }
  }
  for (std::size_t i = 1; i < 40; ++i, ++changes) {
    std::swap(rows.key(i), rows.key(i - 1));
    seen.insert(delta::hash(rows.ref()).value());
    std::swap(rows.key(i), rows.key(i - 1));
  }
  CHECK(seen.size() == changes);
}

TEST_CASE("hash: short runs of small numbers do not collide") {
  std::set<std::uint64_t> seen;
  for (std::uint32_t a = 0; a < 30; ++a) {
    for (std::uint32_t b = a + 1; b < 31; ++b) {
      for (int v = 0; v < 10; ++v) {
        table<std::uint32_t, std::int32_t> rows;
        rows.push(a, v);
        rows.push(b, 10 - v);
        seen.insert(delta::hash(rows.ref()).value());
      }
    }
  }
  CHECK(seen.size() == 4650);
}

TEST_CASE("same_rows: says what operator== says, and sees every bit") {
  for (std::size_t size : {0u, 1u, 33u}) {
    auto const a = random_run<std::uint32_t, float, millrace_test::quote>(size, 4, 1, 1);
    auto b = random_run<std::uint32_t, float, millrace_test::quote>(size, 4, 1, 3);
    CHECK(delta::same_rows(a.ref(), b.ref()));
    CHECK(a.ref() == b.ref());
    if (size == 0) { continue; }
    CHECK_FALSE(delta::same_rows(a.ref(), b.ref().slice(1)));
    b.value<1>(size - 1).size ^= 1;
    CHECK_FALSE(delta::same_rows(a.ref(), b.ref()));
    CHECK_FALSE(a.ref() == b.ref());
  }
  table<std::uint32_t, float> plus, minus;
  plus.push(1, 0.0f);
  minus.push(1, -0.0f);
  CHECK_FALSE(delta::same_rows(plus.ref(), minus.ref()));
}
