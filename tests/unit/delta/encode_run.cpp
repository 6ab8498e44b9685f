// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/encoded_runs.hpp"
#include <millrace/delta/encode_run.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using namespace millrace_test;
namespace delta = millrace::delta;
using rows_ref = delta::change_set_ref<std::uint32_t, float>;
using encoder = delta::run_encoder<bytes_sink, std::uint32_t, float>;

[[nodiscard]] error bad(int argument) { return {errc::bad_argument, {}, argument}; }

TEST_CASE("encode: equal and falling keys are refused, in a block and between two") {
  std::vector<float> const values(600);
  exact_bytes const out(delta::max_encoded_bytes<std::uint32_t, float>(600));
  for (std::size_t const at : {1u, 7u, 255u, 256u, 257u, 599u}) {
    for (std::uint32_t const less : {1u, 2u}) {  // equal to the key before, and below it
      std::vector<std::uint32_t> keys(600);
      for (std::uint32_t i = 0; i < 600; ++i) { keys[i] = 10 + i - (i >= at ? less : 0); }
      rows_ref const rows(keys.data(), keys.size(), values.data());
      CHECK(delta::encode(rows, out.span()).error() == bad(1));
      CHECK(delta::encode_raw(rows, out.span()).error() == bad(1));
      std::vector<std::byte> sent;
      auto writer = millrace::core::value_or_throw(encoder::make(bytes_sink{&sent}));
      std::size_t const header = sent.size();
      CHECK(writer.append(rows).error() == bad(1));
      CHECK(sent.size() == header);
      CHECK(writer.rows() == 0);
      REQUIRE(writer.append(rows.slice(0, at)).has_value());
      CHECK(writer.append(rows.slice(at)).error() == bad(1));
      CHECK(writer.rows() == at);
    }
  }
}

TEST_CASE("encode: an output that is too short or overlaps the rows is refused") {
  exact_bytes const held(8'192);
  auto* const keys = reinterpret_cast<std::uint32_t*>(held.span().data());
  for (std::uint32_t i = 0; i < 300; ++i) { keys[i] = i; }
  std::vector<float> const values(300);
  rows_ref const rows(keys, 300, values.data());
  std::size_t const most = delta::max_encoded_bytes<std::uint32_t, float>(300);
  std::size_t const raw = delta::raw_bytes<std::uint32_t, float>(300);
  exact_bytes const out(most + raw);
  CHECK(delta::encode(rows, out.span().subspan(0, most - 1)).error() == bad(2));
  CHECK(delta::encode_raw(rows, out.span().subspan(0, raw - 1)).error() == bad(2));
  CHECK(delta::encode(rows, {}).error() == bad(2));
  for (std::size_t const begin : {std::size_t{0}, std::size_t{1'196}}) {
    CHECK(delta::encode(rows, held.span().subspan(begin)).error() == bad(2));
    CHECK(delta::encode_raw(rows, held.span().subspan(begin)).error() == bad(2));
  }
  CHECK(keys[299] == 299);
  CHECK(delta::encode(rows, held.span().subspan(1'200)).has_value());
}

TEST_CASE("encode: more rows than a run may have are refused before any is read") {
  rows_ref const endless(nullptr, delta::max_run_rows + 1, nullptr);
  exact_bytes const out(64);
  CHECK(delta::encode(endless, out.span()).error() == bad(1));
  std::vector<std::byte> sent;
  CHECK(encoder::make(bytes_sink{&sent}, delta::max_run_rows + 1).error() == bad(2));
  CHECK(sent.empty());
}

TEST_CASE(
    "run_encoder: rows in parts give the bytes of all at once, and other numbers are refused") {
  auto const rows = rows_of<std::uint32_t, float>(1'000, gaps::geometric, 1);
  auto const want = encoded(rows.ref());
  for (std::size_t const part : {1u, 100u, 256u, 300u, 1'000u}) {
    std::vector<std::byte> sent;
    auto writer = millrace::core::value_or_throw(encoder::make(bytes_sink{&sent}, 1'000));
    for (std::size_t at = 0; at < 1'000; at += part) {
      CHECK(writer.finish().error().code == errc::bad_argument);  // fewer than it was told
      REQUIRE(writer.append(rows.ref().slice(at, part)).has_value());
    }
    CHECK(writer.append(rows.ref().slice(999)).error() == bad(1));
    REQUIRE(writer.finish() == want.size());
    REQUIRE(std::equal(sent.begin(), sent.end(), want.bytes().begin(), want.bytes().end()));
    CHECK(writer.finish().error().code == errc::closed);
  }
}

TEST_CASE("run_encoder: after an error of its sink it takes no more") {
  auto const rows = rows_of<std::uint32_t, float>(600, gaps::wild, 1);
  std::vector<std::byte> sent;
  auto writer = millrace::core::value_or_throw(encoder::make(bytes_sink{&sent, 1'000}));
  CHECK(writer.append(rows.ref()).error().code == errc::native_failure);
  CHECK(writer.append(rows.ref()).error().code == errc::closed);
  CHECK(writer.finish().error().code == errc::closed);
}

TEST_CASE("encode: small runs stay small, gapless ones smaller, and no run exceeds its bound") {
  auto const bytes = [](std::size_t count, gaps how) {
    auto const keys = keys_of<std::uint32_t>(count, how, 3);
    return encoded(delta::change_set_ref<std::uint32_t>(keys.data(), keys.size())).size();
  };
  CHECK(bytes(0, gaps::dense) == 48);
  CHECK(bytes(1, gaps::dense) == 68);
  CHECK(bytes(50, gaps::dense) == 68);
  CHECK(bytes(50, gaps::geometric) <= 68 + 50 * 7 / 8);
  CHECK(bytes(256'000, gaps::dense) == 52 + 1'000 * 16);
  for (std::size_t const n : {1u, 8u, 255u, 256u, 257u, 2'000u}) {
    CHECK(bytes(n, gaps::wild) <= delta::max_encoded_bytes<std::uint32_t>(n));
  }
}

TEST_CASE("run_encoder: rows that do not belong are refused, and it goes on without them") {
  std::vector<std::byte> got;
  auto to = millrace::core::value_or_throw(
      delta::run_encoder<bytes_sink, std::uint32_t>::make(bytes_sink{&got}, 5));
  std::uint32_t const good[] = {1, 5, 9}, low[] = {9, 10}, torn[] = {12, 20, 20}, more[] = {30, 31};
  error const bad{errc::bad_argument, {}, 1};
  REQUIRE(to.append(delta::change_set_ref<std::uint32_t>(good, 3)).has_value());
  CHECK(to.append(delta::change_set_ref<std::uint32_t>(low, 2)).error() == bad);
  CHECK(to.append(delta::change_set_ref<std::uint32_t>(torn, 3)).error() == bad);
  CHECK(to.finish().error().code == errc::bad_argument);  // two rows are missing
  REQUIRE(to.append(delta::change_set_ref<std::uint32_t>(more, 2)).has_value());
  std::uint32_t const beyond = 40;
  CHECK(to.append(delta::change_set_ref<std::uint32_t>(&beyond, 1)).error() == bad);
  REQUIRE(to.finish().has_value());
  auto const back = delta::decode<std::uint32_t>({got.data(), got.size()});
  REQUIRE(back.has_value());
  std::uint32_t const want[] = {1, 5, 9, 30, 31};
  CHECK(back->ref() == delta::change_set_ref<std::uint32_t>(want, 5));
  CHECK(
      delta::run_encoder<bytes_sink, std::uint32_t>::make(bytes_sink{&got}, delta::max_run_rows + 1)
          .error() == error{errc::bad_argument, {}, 2});
}

}  // namespace
