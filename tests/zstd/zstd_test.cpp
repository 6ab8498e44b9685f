// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/encoded_runs.hpp"
#include <millrace/delta/zstd.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace {

using namespace millrace_test;
using millrace::delta::change_set_ref;
namespace core = millrace::core;
namespace delta = millrace::delta;

[[nodiscard]] exact_bytes compressed(exact_bytes const& run, int level = 3) {
  exact_bytes const room(delta::max_compressed_bytes(run.size()));
  return room.first(core::value_or_throw(delta::compress_run(run.bytes(), room.span(), level)));
}
[[nodiscard]] bool same(cuda::std::span<std::byte const> a, cuda::std::span<std::byte const> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

TEST_CASE("zstd: runs come back byte for byte, packed and raw, at every kind of level") {
  for (std::size_t const n : {0u, 1u, 300u, 20'000u}) {
    auto const rows = rows_of<std::uint64_t, double>(n, gaps::geometric, n);
    for (exact_bytes const& run : {encoded(rows.ref()), encoded_raw(rows.ref())}) {
      for (int const level : {-3, 1, 3, 12}) {
        auto const cold = compressed(run, level);
        REQUIRE(delta::expanded_bytes(cold.bytes()) == run.size());
        exact_bytes const back(run.size());
        REQUIRE(delta::expand_run(cold.bytes(), back.span()) == run.size());
        REQUIRE(same(back.bytes(), run.bytes()));
        auto const own = delta::expand_run(cold.bytes(), run.size());
        REQUIRE(own.has_value());
        REQUIRE(same(own->span().first(run.size()), run.bytes()));
      }
    }
  }
}

TEST_CASE("zstd: a raw run of small numbers gets smaller, and is viewed where it was expanded") {
  auto const rows = rows_of<std::uint32_t, std::uint64_t>(5'000, gaps::geometric, 1);
  auto const run = encoded_raw(rows.ref());
  auto const cold = compressed(run);
  CHECK(cold.size() < run.size() * 2 / 3);
  auto const back = core::value_or_throw(delta::expand_run(cold.bytes(), run.size()));
  auto const view = delta::view_raw<std::uint32_t, std::uint64_t>({back.data(), run.size()});
  REQUIRE(view.has_value());
  CHECK(*view == rows.ref());
}

TEST_CASE("zstd: every flipped bit and every cut is found before zstd sees the frame") {
  auto const rows = rows_of<std::uint32_t, float>(40, gaps::geometric, 1);
  auto const run = encoded(rows.ref());
  auto const cold = compressed(run);
  exact_bytes const back(run.size());
  for (std::size_t cut = 0; cut < cold.size(); ++cut) {
    auto const got = delta::expand_run(cold.first(cut).bytes(), back.span());
    REQUIRE(got.error() == error{errc::corrupt, {}, static_cast<int>(cut)});
  }
  for (std::size_t bit = 0; bit < 8 * cold.size(); ++bit) {
    cold[bit / 8] ^= std::byte{1} << (bit % 8);
    auto const got = delta::expanded_bytes(cold.bytes());
    REQUIRE(!got.has_value());
    REQUIRE(got.error().native <= static_cast<int>(cold.size()));
    cold[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  CHECK(delta::expanded_bytes(cold.bytes()).has_value());
}

TEST_CASE("zstd: huge lengths with right checksums allocate nothing, and bad input is refused") {
  auto const rows = rows_of<std::uint32_t, float>(40, gaps::geometric, 1);
  auto const run = encoded(rows.ref());
  auto const cold = compressed(run);
  exact_bytes const room(delta::max_compressed_bytes(run.size()));
  CHECK(delta::expand_run(cold.bytes(), run.size() - 1).error().code == errc::payload_too_large);
  CHECK(delta::expand_run(cold.bytes(), room.span().first(run.size() - 1)).error() ==
        error{errc::bad_argument, {}, 2});
  CHECK(delta::compress_run(run.bytes(), room.span().subspan(1)).error() ==
        error{errc::bad_argument, {}, 2});
  CHECK(delta::compress_run(run.bytes(), room.span(), 1'000).error() ==
        error{errc::bad_argument, {}, 3});
  CHECK(delta::compress_run(cold.bytes(), exact_bytes(10'000).span()).error().code ==
        errc::corrupt);  // it is no run
  exact_bytes const lie(cold.bytes());
  for (std::uint64_t const bytes : {std::uint64_t{1} << 31, ~std::uint64_t{0}, std::uint64_t{1}}) {
    delta::detail::store(&lie[8], bytes);
    delta::detail::store(&lie[24], delta::crc32c(&lie[0], 24));
    CHECK(delta::expand_run(lie.bytes(), ~std::uint64_t{0}).error().code == errc::corrupt);
  }
}

}  // namespace
