// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/encoded_runs.hpp"
#include <millrace/delta/encode_run.hpp>
#include <millrace/delta/read_run.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using namespace millrace_test;
using millrace::delta::change_set;
using millrace::delta::change_set_ref;
namespace core = millrace::core;
namespace delta = millrace::delta;

using keys_ref = change_set_ref<std::uint32_t>;

TEST_CASE("encode: what it cannot encode it refuses by the argument's number") {
  std::vector<std::uint32_t> keys = keys_of<std::uint32_t>(600, gaps::geometric, 1);
  auto const ref = [&] { return keys_ref(keys.data(), keys.size()); };
  exact_bytes const room(delta::max_encoded_bytes<std::uint32_t>(keys.size()));
  exact_bytes const raw_room(delta::raw_bytes<std::uint32_t>(keys.size()));
  error const bad_keys{errc::bad_argument, {}, 1}, bad_room{errc::bad_argument, {}, 2};

  for (std::size_t const at : {1u, 100u, 255u, 256u, 257u, 511u, 512u, 599u}) {
    std::uint32_t const right = keys[at];
    for (std::uint32_t const wrong : {keys[at - 1], keys[at - 1] - 1, 0u}) {
      keys[at] = wrong;
      for (core::isa const which : core::all_isas) {
        CHECK(delta::encode(ref(), room.span(), which).error() == bad_keys);
      }
      CHECK(delta::encode_raw(ref(), raw_room.span()).error() == bad_keys);
    }
    keys[at] = right;
  }
  CHECK(delta::encode(ref(), room.span().subspan(1)).error() == bad_room);
  CHECK(delta::encode_raw(ref(), raw_room.span().subspan(1)).error() == bad_room);
  CHECK(delta::encode(keys_ref{}, {}).error() == bad_room);

  exact_bytes const shared(delta::max_encoded_bytes<std::uint32_t>(8));
  std::memcpy(&shared[0], keys.data(), 32);
  keys_ref const inside(reinterpret_cast<std::uint32_t const*>(&shared[0]), 8);
  CHECK(delta::encode(inside, shared.span()).error() == bad_room);
  CHECK(delta::encode_raw(inside, shared.span()).error() == bad_room);
  CHECK(delta::encode(keys_ref(keys.data(), delta::max_run_rows + 1), room.span()).error() ==
        bad_keys);
  CHECK(delta::encode(keys_ref(keys.data(), delta::max_run_rows), room.span()).error() == bad_room);
  CHECK(delta::encode(ref(), room.span()).has_value());
}

TEST_CASE("encode: small runs stay small, gapless ones smaller, and no run exceeds its bound") {
  auto const bytes = [](std::size_t count, gaps how) {
    auto const keys = keys_of<std::uint32_t>(count, how, 3);
    return encoded(keys_ref(keys.data(), keys.size())).size();
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

template <class K, class... Vs>
using encoder_of = delta::run_encoder<bytes_sink, K, Vs...>;

TEST_CASE("run_encoder: rows in pieces of any size become the bytes of the rows at once") {
  for (std::size_t const n : {0u, 1u, 255u, 256u, 257u, 3'000u}) {
    auto const rows = rows_of<std::uint64_t, double, std::int32_t>(n, gaps::geometric, n);
    auto const want = encoded(rows.ref());
    for (std::size_t const piece : {1u, 7u, 256u, 300u, 5'000u}) {
      std::vector<std::byte> got;
      auto to = core::value_or_throw(
          encoder_of<std::uint64_t, double, std::int32_t>::make(bytes_sink{&got}, n));
      for (std::size_t at = 0; at < n; at += piece) {
        REQUIRE(to.append(rows.ref().slice(at, piece)).has_value());
      }
      REQUIRE(to.finish() == want.size());
      REQUIRE(std::equal(got.begin(), got.end(), want.bytes().begin(), want.bytes().end()));
      CHECK(to.append(rows.ref().slice(0, 0)).error().code == errc::closed);
      CHECK(to.finish().error().code == errc::closed);
    }
    std::vector<std::byte> got;  // without a word of how many rows will come
    auto to = core::value_or_throw(
        encoder_of<std::uint64_t, double, std::int32_t>::make(bytes_sink{&got}));
    REQUIRE(to.append(rows.ref()).has_value());
    REQUIRE(to.finish().has_value());
    auto const back = delta::decode<std::uint64_t, double, std::int32_t>({got.data(), got.size()});
    REQUIRE(back.has_value());
    CHECK(back->ref() == rows.ref());
  }
}

TEST_CASE("run_encoder: rows that do not belong are refused, and it goes on without them") {
  std::vector<std::byte> got;
  auto to = core::value_or_throw(encoder_of<std::uint32_t>::make(bytes_sink{&got}, 5));
  std::uint32_t const good[] = {1, 5, 9}, low[] = {9, 10}, torn[] = {12, 20, 20}, more[] = {30, 31};
  error const bad{errc::bad_argument, {}, 1};
  REQUIRE(to.append(keys_ref(good, 3)).has_value());
  CHECK(to.append(keys_ref(low, 2)).error() == bad);
  CHECK(to.append(keys_ref(torn, 3)).error() == bad);
  CHECK(to.finish().error().code == errc::bad_argument);  // two rows are missing
  REQUIRE(to.append(keys_ref(more, 2)).has_value());
  std::uint32_t const beyond = 40;
  CHECK(to.append(keys_ref(&beyond, 1)).error() == bad);
  REQUIRE(to.finish().has_value());
  auto const back = delta::decode<std::uint32_t>({got.data(), got.size()});
  REQUIRE(back.has_value());
  std::uint32_t const want[] = {1, 5, 9, 30, 31};
  CHECK(back->ref() == keys_ref(want, 5));
  CHECK(encoder_of<std::uint32_t>::make(bytes_sink{&got}, delta::max_run_rows + 1).error() ==
        error{errc::bad_argument, {}, 2});
}

TEST_CASE("run_encoder: a sink that fails closes it, and what the sink has is a run that was cut") {
  auto const rows = rows_of<std::uint32_t, float>(1'000, gaps::geometric, 1);
  std::size_t const whole = encoded(rows.ref()).size();
  for (std::size_t limit = 0; limit < whole; limit += 97) {
    std::vector<std::byte> got;
    auto to = encoder_of<std::uint32_t, float>::make(bytes_sink{&got, limit});
    error why{};
    if (!to) {
      why = to.error();
    } else {
      auto const added = to->append(rows.ref());
      auto const end = to->finish();
      REQUIRE(!end.has_value());
      why = added ? end.error() : added.error();
      CHECK(to->append(rows.ref()).error().code == errc::closed);
      CHECK(to->finish().error().code == errc::closed);
    }
    CHECK(why == error{errc::native_failure, core::origin::posix, 28});
    CHECK(delta::decode<std::uint32_t, float>({got.data(), got.size()}).error().code ==
          errc::corrupt);
  }
}

}  // namespace
