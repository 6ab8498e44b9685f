// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "unit/delta/decoded_runs.hpp"
#include "unit/delta/encoded_runs.hpp"
#include <millrace/core/access.hpp>
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/decode_tiles.hpp>
#include <millrace/delta/team.hpp>

#include <cuda/atomic>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace delta = millrace::delta;
using namespace millrace_test;
using delta::stepped_team;

namespace team_decode_test {

using shared_words = millrace::core::direct_access<cuda::thread_scope_system>;

/// What a launch does, by a warp that is one thread.
struct by_warps {
  template <class K, class... Vs>
  std::uint64_t operator()(delta::encoded_run_ref<K, Vs...> const& run, std::byte const* bytes,
                           delta::change_space<K, Vs...> out) const {
    std::uint64_t good = run.blocks();
    auto const args = delta::detail::decode_args_of(run.index(), bytes, out, &good);
    auto const shared = std::make_unique<delta::detail::decode_space<stepped_team<32>>>();
    std::uint64_t const each = delta::detail::blocks_per_team;
    for (std::uint64_t warp = 0; warp <= run.blocks() / each; ++warp) {
      delta::detail::decode_some<shared_words, stepped_team<32>>(args, warp, args.tables, *shared);
    }
    return good;
  }
};

/// Says of a block, whose checksum is made right, the same as decode_block does: whether it is
/// good, and its rows.
template <class K, class... Vs>
void same_verdict(std::vector<std::uint32_t>& block, std::uint32_t rows) {
  auto* const bytes = reinterpret_cast<std::byte*>(block.data());
  std::size_t const size = block.size() * 4;
  std::uint32_t const sum = delta::crc32c(bytes + 4, size - 4);
  std::memcpy(bytes, &sum, 4);
  delta::block_header header;
  bool const checked = delta::check_block<K, Vs...>(bytes, size, header);
  auto want = millrace::core::value_or_throw(delta::change_set<K, Vs...>::make(256));
  auto got = millrace::core::value_or_throw(delta::change_set<K, Vs...>::make(256));
  bool const wanted = checked && header.bytes == size && header.rows == rows &&
                      delta::decode_block(bytes, header, want.space());
  auto const shared = std::make_unique<delta::detail::decode_space<stepped_team<32>>>();
  K last = 0;
  bool const found = delta::detail::decode_block_of<stepped_team<32>>(
      delta::detail::block_place{block.data(), size, rows}, got.space(), last,
      delta::detail::team_crc32c_table, *shared, std::index_sequence_for<Vs...>{});
  REQUIRE(found == wanted);
  if (!wanted) { return; }
  want.set_size(rows);
  got.set_size(rows);
  REQUIRE(got.ref() == want.ref());
  REQUIRE(last == want.ref().key(rows - 1));
}

/// Blocks with a few wrong bytes behind the header, the checksum made right again.
template <class K, class... Vs>
void damaged(gaps how, std::uint64_t seed, int turns) {
  std::mt19937_64 random(seed);
  for (int turn = 0; turn < turns; ++turn) {
    std::size_t const count = turn % 3 == 0 ? 256 : 1 + random() % 256;
    auto const rows = rows_of<K, Vs...>(count, how, random());
    std::vector<std::byte> room(delta::max_block_bytes<K, Vs...>());
    std::size_t const size = delta::encode_block(rows.ref(), room.data());
    std::vector<std::uint32_t> block(size / 4);
    std::memcpy(block.data(), room.data(), size);
    auto* const bytes = reinterpret_cast<std::byte*>(block.data());
    std::uint64_t const wrong = random() % 4;
    for (std::uint64_t i = 0; i < wrong; ++i) {
      std::size_t const begin = 6,
                        range = random() % 2 == 0 ? std::min<std::size_t>(size, 60) : size;
      bytes[begin + random() % (range - begin)] ^= static_cast<std::byte>(1u << random() % 8);
    }
    same_verdict<K, Vs...>(block, static_cast<std::uint32_t>(count));
  }
}

}  // namespace team_decode_test
using namespace team_decode_test;

TEST_CASE("team_decode: a warp gives the rows that a host gives") { every_decode(by_warps{}); }

TEST_CASE("team_decode: a block of the largest keys, and one whose gaps need more than 32 bits") {
  for (std::size_t const count : {1u, 2u, 255u, 256u, 300u}) {
    one_decode(by_warps{}, rows_of<std::uint32_t, float>(count, gaps::wild, count).ref());
    one_decode(by_warps{}, rows_of<std::uint64_t>(count, gaps::wild, count).ref());
  }
}

TEST_CASE("team_decode: every flipped bit is found, in the block that has it") {
  auto const rows = rows_of<std::uint32_t, float>(700, gaps::geometric, 3);
  auto const right = encoded(rows.ref());
  auto const run = millrace::core::value_or_throw(
      delta::encoded_run_ref<std::uint32_t, float>::make(right.bytes()));
  auto const copy = right.first(right.size());
  auto out = millrace::core::value_or_throw(delta::change_set<std::uint32_t, float>::make(700));
  for (std::uint64_t b = 0; b < run.blocks(); ++b) {
    for (std::uint64_t i = run.index().block_offset(b); i < run.index().block_offset(b + 1); ++i) {
      std::byte const kept = copy[i];
      copy[i] ^= static_cast<std::byte>(1u << i % 8);
      REQUIRE(by_warps{}(run, copy.bytes().data(), out.space()) == b);
      copy[i] = kept;
    }
  }
  CHECK(by_warps{}(run, copy.bytes().data(), out.space()) == run.blocks());
}

TEST_CASE("team_decode: of bytes that no encoder writes it says what a host says") {
  damaged<std::uint32_t, float>(gaps::geometric, 1, 2000);
  damaged<std::uint64_t, double, std::int64_t>(gaps::wide, 2, 2000);
  damaged<std::uint64_t, stored_quote, std::int32_t>(gaps::wild, 3, 1000);
}

TEST_CASE("team_decode: a column of more bytes than raw values have is refused, as by a host") {
  // one row of a float: a pattern on a ramp, whose slope needs no bytes and may have four
  for (std::uint32_t const slope_bytes : {0u, 4u}) {
    std::uint32_t const bytes = 5 + slope_bytes, whole = (bytes + 3) / 4;
    std::vector<std::uint32_t> block(4 + whole);
    block[1] = 4 + whole;  // words; one row, keys of no bits
    block[2] = 7;          // the key
    block[3] = bytes;
    block[4] = 0x0003'0005;
    block[5] = slope_bytes;
    same_verdict<std::uint32_t, float>(block, 1);
    delta::block_header header;
    CHECK(delta::check_block<std::uint32_t, float>(reinterpret_cast<std::byte*>(block.data()),
                                                   block.size() * 4, header) == (slope_bytes == 0));
  }
}

TEST_CASE("team_crc32c: is the CRC32C of as many words as there are") {
  std::mt19937_64 random(1);
  std::vector<std::uint32_t> words(200);
  for (auto& word : words) { word = static_cast<std::uint32_t>(random()); }
  for (std::uint32_t count = 1; count <= 200; ++count) {
    std::uint32_t const sum =
        delta::crc32c(reinterpret_cast<std::byte const*>(words.data()), std::size_t{count} * 4);
    std::uint32_t shared[32];
    auto const is = [&](std::uint32_t wanted) {
      return delta::detail::team_crc32c_is<stepped_team<32>>(
          wanted, words.data(), count, delta::detail::team_crc32c_table, shared);
    };
    CHECK(is(sum));
    CHECK_FALSE(is(sum ^ 1));
  }
}
