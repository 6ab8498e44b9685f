// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/encoded_runs.hpp"
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/read_run.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using namespace millrace_test;
using millrace::core::isa;
using millrace::delta::block_rows;
using millrace::delta::change_set;
using millrace::delta::change_set_ref;
using millrace::delta::encoded_run_ref;
namespace core = millrace::core;
namespace delta = millrace::delta;

template <class K, class... Vs>
struct types {
  using key = K;
  using ref = change_set_ref<K, Vs...>;
  using owner = change_set<K, Vs...>;
  using encoded = encoded_run_ref<K, Vs...>;

  [[nodiscard]] static owner rows(std::size_t count, gaps how, std::uint64_t seed) {
    return rows_of<K, Vs...>(count, how, seed);
  }
  [[nodiscard]] static result<owner> decode(cuda::std::span<std::byte const> run,
                                            isa which = core::best_isa()) {
    return delta::decode<K, Vs...>(run, which);
  }
  [[nodiscard]] static result<std::uint64_t> read(cuda::std::span<std::byte const> run,
                                                  std::vector<ref>& blocks,
                                                  std::vector<owner>& held) {
    auto from = delta::run_decoder<delta::span_source, K, Vs...>::make(delta::span_source(run));
    if (!from) { return cuda::std::unexpected(from.error()); }
    for (;;) {
      auto room = core::value_or_throw(owner::make(block_rows));
      auto const got = from->next(room.space());
      if (!got) { return cuda::std::unexpected(got.error()); }
      if (*got == 0) { return from->offset(); }
      room.set_size(*got);
      held.push_back(std::move(room));
      blocks.push_back(held.back().ref());
    }
  }
};

#define RUN_TYPES                                                                      \
  types<std::uint32_t>, types<std::uint64_t>, types<std::uint32_t, float>,             \
      types<std::uint64_t, double>, types<std::uint32_t, std::int32_t, std::uint64_t>, \
      types<std::uint64_t, stored_quote, std::int64_t, std::uint8_t>,                  \
      types<std::uint32_t, std::uint32_t, std::int16_t, std::uint16_t, std::int8_t>

TEST_CASE_TEMPLATE(
    "decode: rows come back from every size, gap and path, each path's bytes the same", T,
    RUN_TYPES) {
  std::vector<std::size_t> sizes = {1'000, 4'096, 10'001};
  for (std::size_t n = 0; n <= 600; n += n < 20 || (n > 250 && n < 260) ? 1 : 37) {
    sizes.push_back(n);
  }
  for (gaps const how : {gaps::dense, gaps::geometric, gaps::wide, gaps::wild}) {
    for (std::size_t const n : sizes) {
      auto const rows = T::rows(n, how, n + 1);
      auto const want = encoded(rows.ref(), isa::scalar);
      for (isa const which : core::all_isas) {
        if (!core::has_isa(which)) { continue; }
        auto const run = encoded(rows.ref(), which);
        REQUIRE(std::equal(run.bytes().begin(), run.bytes().end(), want.bytes().begin(),
                           want.bytes().end()));
        auto const back = T::decode(run.bytes(), which);
        REQUIRE(back.has_value());
        REQUIRE(back->ref() == rows.ref());
      }
    }
  }
}

TEST_CASE_TEMPLATE("decode: a raw run gives its rows, where they lie and copied from any address",
                   T, RUN_TYPES) {
  for (std::size_t const n : {0u, 1u, 3u, 16u, 255u, 256u, 257u, 3'000u}) {
    auto const rows = T::rows(n, gaps::wild, n);
    auto const run = encoded_raw(rows.ref());
    auto const back = T::decode(run.bytes());
    REQUIRE(back.has_value());
    REQUIRE(back->ref() == rows.ref());
    exact_bytes moved(run.size() + 1);
    std::memcpy(&moved[1], &run[0], run.size());
    auto const copied = T::decode(moved.bytes().subspan(1));
    REQUIRE(copied.has_value());
    REQUIRE(copied->ref() == rows.ref());
  }
}

TEST_CASE_TEMPLATE("run_decoder: blocks come one by one, and a cut run gives all that are whole", T,
                   RUN_TYPES) {
  for (std::size_t const n : {0u, 1u, 255u, 256u, 257u, 1'000u}) {
    auto const rows = T::rows(n, gaps::geometric, n);
    auto const run = encoded(rows.ref());
    auto const ref = core::value_or_throw(T::encoded::make(run.bytes()));
    for (std::size_t cut = 0; cut <= run.size(); cut += cut < 100 || run.size() < 2'000 ? 1 : 57) {
      std::vector<typename T::ref> blocks;
      std::vector<typename T::owner> held;
      auto const end = T::read(run.first(cut).bytes(), blocks, held);
      std::size_t whole = 0;
      while (whole < ref.blocks() && ref.index().block_offset(whole + 1) <= cut) { ++whole; }
      REQUIRE(blocks.size() == whole);
      for (std::size_t b = 0; b < whole; ++b) {
        REQUIRE(blocks[b] == rows.ref().slice(b * block_rows, block_rows));
      }
      if (cut == run.size()) {
        REQUIRE(end.has_value());
        REQUIRE(*end == run.size());
      } else {
        REQUIRE(!end.has_value());
        REQUIRE(end.error().code == errc::corrupt);
        if (cut >= ref.index().block_offset(0)) {
          REQUIRE(end.error().native == static_cast<int>(ref.index().block_offset(whole)));
        }
      }
    }
  }
}

/// That these bytes give these rows if they are right, else an error that says where, and nothing
/// else.
template <class T>
void rows_or_error(exact_bytes const& run, typename T::ref rows, bool right) {
  auto const back = T::decode(run.bytes());
  REQUIRE(back.has_value() == right);
  if (back) {
    REQUIRE(back->ref() == rows);
  } else {
    auto const code = back.error().code;
    REQUIRE((code == errc::corrupt || code == errc::unsupported_version ||
             code == errc::layout_mismatch));
    REQUIRE(back.error().native <= static_cast<int>(run.size()));
  }
  std::vector<typename T::ref> blocks;
  std::vector<typename T::owner> held;
  auto const end = T::read(run.bytes(), blocks, held);
  bool const raw = run.size() > 6 && run[6] == std::byte{1};  // no decoder takes those
  REQUIRE(end.has_value() == (right && !raw));
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    REQUIRE(blocks[b] == rows.slice(b * block_rows, block_rows));
  }
}

TEST_CASE_TEMPLATE("decode: every flipped bit and every truncation is found", T, RUN_TYPES) {
  for (std::size_t const n : {0u, 1u, 2u, 9u, 50u, 258u}) {
    for (bool const raw : {false, true}) {
      auto const rows = T::rows(n, n % 2 == 0 ? gaps::geometric : gaps::wild, n);
      exact_bytes const run = raw ? encoded_raw(rows.ref()) : encoded(rows.ref());
      for (std::size_t cut = 0; cut < run.size(); ++cut) {
        rows_or_error<T>(run.first(cut), rows.ref(), false);
      }
      std::size_t const step = run.size() < 600 ? 1 : 7;  // bits of longer ones
      for (std::size_t bit = 0; bit < run.size() * 8; bit += step) {
        run[bit / 8] ^= std::byte{1} << (bit % 8);
        rows_or_error<T>(run, rows.ref(), false);
        run[bit / 8] ^= std::byte{1} << (bit % 8);
      }
      rows_or_error<T>(run, rows.ref(), true);
    }
  }
}

TEST_CASE("encoded_run_ref: blocks, rows and keys are found without the others") {
  auto const rows = rows_of<std::uint64_t, double>(5'000, gaps::geometric, 1);
  auto const run = encoded(rows.ref());
  auto const ref = core::value_or_throw(encoded_run_ref<std::uint64_t, double>::make(run.bytes()));
  REQUIRE(ref.rows() == 5'000);
  REQUIRE(ref.blocks() == 20);
  CHECK(ref.last_key() == rows.ref().key(4'999));
  CHECK(ref.verify().has_value());
  for (std::uint64_t b = ref.blocks(); b-- > 0;) {
    auto room = core::value_or_throw(change_set<std::uint64_t, double>::make(ref.block_size(b)));
    REQUIRE(ref.decode_block(b, room.space()) == ref.block_size(b));
    CHECK(room.space().filled(ref.block_size(b)) == rows.ref().slice(b * block_rows, block_rows));
    CHECK(ref.first_key(b) == rows.ref().key(b * block_rows));
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    REQUIRE(ref.find(rows.ref().key(i)) == i);
    std::uint64_t const other = rows.ref().key(i) + 1;
    if (rows.ref().find(other) == rows.size()) { REQUIRE(ref.find(other) == ref.rows()); }
  }
  CHECK(ref.find(0) == (rows.ref().key(0) == 0 ? 0 : ref.rows()));
  CHECK(ref.find(~std::uint64_t{0}) == ref.rows());

  auto little = core::value_or_throw(change_set<std::uint64_t, double>::make(255));
  CHECK(ref.decode_block(0, little.space()).error() == error{errc::bad_argument, {}, 2});
  CHECK(ref.decode_block(20, little.space()).error() == error{errc::bad_argument, {}, 1});
  CHECK(ref.decode(little.space()).error() == error{errc::bad_argument, {}, 1});
}

TEST_CASE("decode: what it cannot do it says before it writes") {
  auto const rows = rows_of<std::uint32_t, float>(300, gaps::geometric, 1);
  auto const run = encoded(rows.ref());
  auto room = core::value_or_throw(change_set<std::uint32_t, float>::make(300));
  SUBCASE("too little room") {
    CHECK(delta::decode(run.bytes(), room.space().from(1)).error() ==
          error{errc::bad_argument, {}, 2});
  }
  SUBCASE("room inside the run") {
    delta::change_space<std::uint32_t, float> const inside(
        reinterpret_cast<std::uint32_t*>(&run[0]), 300, room.space().values());
    CHECK(delta::decode(run.bytes(), inside).error() == error{errc::bad_argument, {}, 2});
  }
  SUBCASE("other types") {
    CHECK(delta::decode<std::uint64_t, float>(run.bytes()).error().code == errc::layout_mismatch);
    CHECK(delta::decode<std::uint32_t>(run.bytes()).error().code == errc::layout_mismatch);
    CHECK(delta::decode<std::uint32_t, std::int32_t>(run.bytes()).error().code ==
          errc::layout_mismatch);
    CHECK(delta::view_raw<std::uint32_t, float>(run.bytes()).error().code == errc::layout_mismatch);
  }
  SUBCASE("bytes behind the run") {
    exact_bytes longer(run.size() + 8);
    std::memcpy(&longer[0], &run[0], run.size());
    CHECK(delta::decode<std::uint32_t, float>(longer.bytes()).error().code == errc::corrupt);
  }
  SUBCASE("no bytes") {
    CHECK(delta::decode<std::uint32_t, float>({}).error() == error{errc::corrupt, {}, 0});
  }
  CHECK(delta::decode(run.bytes(), room.space()) == 300);
}

/// Gives a run the checksums that it should have after a writer's mistake in a block.
void seal_block(std::byte* at) {
  std::size_t const bytes = std::size_t{delta::detail::load<std::uint16_t>(at + 4)} * 4;
  delta::detail::store(at, delta::crc32c(at + 4, bytes - 4));
}
void seal_header(std::byte* at, std::size_t bytes) {
  delta::detail::store(at + bytes - 4, delta::crc32c(at, bytes - 4));
}
void seal_footer(exact_bytes const& run, std::size_t offset) {
  std::byte* const at = &run[offset];
  delta::detail::store(at, delta::crc32c(at + 4, run.size() - offset - 4));
}

TEST_CASE(
    "decode: lies with right checksums are found, and none makes it allocate or read beyond") {
  using encoded_keys = encoded_run_ref<std::uint32_t>;
  std::vector<std::uint32_t> const keys = {0xFFFF'FF00, 0xFFFF'FF10, 0xFFFF'FFFE};
  auto const run = encoded(change_set_ref<std::uint32_t>(keys.data(), keys.size()));
  auto const ref = core::value_or_throw(encoded_keys::make(run.bytes()));
  std::size_t const block = ref.index().block_offset(0), footer = ref.index().offset();
  REQUIRE(block == 24);
  auto const code = [&](auto&& change) {
    exact_bytes const copy(run.bytes());
    change(copy);
    auto const got = delta::decode<std::uint32_t>(copy.bytes());
    REQUIRE(!got.has_value());
    delta::span_source source(copy.bytes());
    auto reader = delta::run_decoder<delta::span_source, std::uint32_t>::make(source);
    if (reader) {
      auto room = core::value_or_throw(change_set<std::uint32_t>::make(block_rows));
      auto step = reader->next(room.space());
      while (step && *step != 0) { step = reader->next(room.space()); }
      CHECK(!step.has_value());
      if (!step) { CHECK(reader->next(room.space()).error() == step.error()); }
    }
    return got.error();
  };
  using delta::detail::store;
  auto const in_block = [&](auto&& change) {
    return code([&](exact_bytes const& r) {
      change(&r[block]);
      seal_block(&r[block]);
    });
  };
  auto const in_header = [&](auto&& change) {
    return code([&](exact_bytes const& r) {
      change(&r[0]);
      seal_header(&r[0], 24);
    });
  };
  auto const in_footer = [&](auto&& change) {
    return code([&](exact_bytes const& r) {
      change(&r[footer]);
      seal_footer(r, footer);
    });
  };
  error const bad_block{errc::corrupt, {}, static_cast<int>(block)};
  error const bad_footer{errc::corrupt, {}, static_cast<int>(footer)};

  SUBCASE("keys that wrap") {
    CHECK(in_block([](std::byte* b) { store(b + 8, 0xFFFF'FF20u); }) == bad_block);
  }
  SUBCASE("a first number that is not 0") {
    CHECK(in_block([](std::byte* b) { b[12] |= std::byte{1}; }) == bad_block);
  }
  SUBCASE("other rows, wider keys, no bytes, more bytes than there are") {
    CHECK(in_block([](std::byte* b) { b[6] = std::byte{1}; }) == bad_block);
    CHECK(in_block([](std::byte* b) { b[7] = std::byte{33}; }) == bad_block);
    CHECK(in_block([](std::byte* b) { b[7] = std::byte{255}; }) == bad_block);
    CHECK(code([&](exact_bytes const& r) { store(&r[block + 4], std::uint16_t{0}); }) == bad_block);
    CHECK(code([&](exact_bytes const& r) { store(&r[block + 4], std::uint16_t{65535}); }) ==
          bad_block);
  }
  SUBCASE("padding that says something") {
    std::size_t const bytes = footer - block;
    CHECK(in_block([&](std::byte* b) { b[bytes - 1] |= std::byte{128}; }) == bad_block);
  }
  SUBCASE("an unknown version, kind, key, column and more columns than there may be") {
    CHECK(in_header([](std::byte* h) { store(h + 4, std::uint16_t{2}); }) ==
          error{errc::unsupported_version, {}, 4});
    CHECK(in_header([](std::byte* h) { h[6] = std::byte{2}; }) == error{errc::corrupt, {}, 6});
    CHECK(in_header([](std::byte* h) { h[7] = std::byte{12}; }) == error{errc::corrupt, {}, 7});
    CHECK(in_header([](std::byte* h) { store(h + 8, std::uint64_t{1} << 62); }) ==
          error{errc::corrupt, {}, 8});
    CHECK(in_header([](std::byte* h) { store(h + 16, std::uint16_t{512}); }) ==
          error{errc::corrupt, {}, 16});
    CHECK(in_header([](std::byte* h) { store(h + 18, std::uint16_t{33}); }) ==
          error{errc::corrupt, {}, 18});
  }
  SUBCASE("rows that are not those of the blocks") {
    CHECK(in_header([](std::byte* h) { store(h + 8, std::uint64_t{4}); }) == bad_footer);
    CHECK(in_footer([](std::byte* f) { store(f + 8, std::uint64_t{4}); }) == bad_footer);
    CHECK(in_footer([](std::byte* f) { store(f + 8, ~std::uint64_t{0}); }) == bad_footer);
    CHECK(in_footer([](std::byte* f) { store(f + 8, std::uint64_t{1} << 40); }) == bad_footer);
  }
  SUBCASE("an index that is not that of the blocks") {
    CHECK(in_footer([](std::byte* f) { store(f + 16, 0xFFFF'FFFFu); }) == bad_block);
    CHECK(in_footer([](std::byte* f) { store(f + 20, 7u); }) == bad_footer);
    CHECK(in_footer([](std::byte* f) { store(f + 20, 0xFFFF'FFFFu); }) == bad_footer);
    CHECK(in_footer([](std::byte* f) { store(f + 4, 1u); }) == bad_footer);
  }
  SUBCASE("a footer of another length") {
    error const where{errc::corrupt, {}, static_cast<int>(run.size()) - 8};
    CHECK(code([&](exact_bytes const& r) { store(&r[r.size() - 8], 0xFFFF'FFFFu); }) == where);
    CHECK(code([&](exact_bytes const& r) { store(&r[r.size() - 8], 0u); }) == where);
  }
}

/// A source that keeps in mind the most that it was asked for.
struct modest_source {
  delta::span_source from;
  std::size_t most = 0;

  [[nodiscard]] result<std::size_t> read(cuda::std::span<std::byte> room) noexcept {
    most = std::max(most, room.size());
    if (room.size() > 1'000'000) { return core::fail(errc::out_of_memory); }
    return from.read(room);
  }
};

TEST_CASE("run_decoder: a block that says it is shorter than its header is not read") {
  using decoder = delta::run_decoder<modest_source, std::uint32_t, float>;
  auto const rows = rows_of<std::uint32_t, float>(10'000, gaps::wild, 1);
  auto const run = encoded(rows.ref());
  constexpr std::size_t block = 28;
  for (std::uint16_t const words : {std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{3}}) {
    delta::detail::store(&run[block + 4], words);
    auto reader =
        core::value_or_throw(decoder::make(modest_source{delta::span_source(run.bytes())}));
    auto room = core::value_or_throw(change_set<std::uint32_t, float>::make(block_rows));
    CHECK(reader.next(room.space()).error() == error{errc::corrupt, {}, block});
    CHECK(reader.source().most <= 20);
  }
}

TEST_CASE("decode: values that say what they say in more bytes than raw ones are refused") {
  std::uint32_t const key = 7;
  float const value = 1;
  auto const right = encoded(change_set_ref<std::uint32_t, float>(&key, 1, &value));
  constexpr std::size_t begin = 28, values = begin + 16;
  std::size_t const footer = right.size() - 32;
  for (std::uint32_t const slope_bytes : {0u, 4u}) {
    // a pattern on a ramp: as many bytes for base and slope as it says
    std::size_t const bytes = 5 + slope_bytes, whole = (bytes + 3) / 4 * 4;
    exact_bytes const run(values + whole + 32);
    std::memset(&run[0], 0, run.size());
    std::memcpy(&run[0], &right[0], values);
    std::memcpy(&run[values + whole], &right[footer], 32);
    run[values] = std::byte{5};
    run[values + 2] = std::byte{3};
    run[values + 4] = static_cast<std::byte>(slope_bytes);
    delta::detail::store(&run[begin + 4], static_cast<std::uint16_t>((16 + whole) / 4));
    delta::detail::store(&run[begin + 12], static_cast<std::uint32_t>(bytes));
    seal_block(&run[begin]);
    auto const ref = encoded_run_ref<std::uint32_t, float>::make(run.bytes());
    REQUIRE(ref.has_value());
    auto room = core::value_or_throw(change_set<std::uint32_t, float>::make(block_rows));
    auto reader =
        core::value_or_throw(delta::run_decoder<delta::span_source, std::uint32_t, float>::make(
            delta::span_source(run.bytes())));
    bool const good = slope_bytes == 0;
    CHECK(ref->decode_block(0, room.space()).has_value() == good);
    CHECK(ref->verify().has_value() == good);
    CHECK(ref->find(7).has_value() == good);
    CHECK(delta::decode<std::uint32_t, float>(run.bytes()).has_value() == good);
    CHECK(reader.next(room.space()).has_value() == good);
  }
}

/// Keys of whole blocks whose numbers have these many bits, and of a part of one.
template <class K>
[[nodiscard]] std::vector<K> keys_of_widths(std::vector<std::uint32_t> const& widths,
                                            std::size_t more) {
  std::mt19937_64 random(7);
  std::vector<K> keys;
  K key = 11;
  for (std::size_t i = 0; i < widths.size() * block_rows + more; ++i) {
    std::size_t const b = i / block_rows;
    std::uint32_t const mask = delta::low_mask(b < widths.size() ? widths[b] : 5);
    auto gap = static_cast<std::uint32_t>(random()) & mask;
    if (i % block_rows == 77) { gap = mask; }
    keys.push_back(key = static_cast<K>(key + gap + 1));
  }
  return keys;
}

TEST_CASE_TEMPLATE("decode: blocks of keys of every width follow each other in any order", K,
                   std::uint32_t, std::uint64_t) {
  std::vector<std::vector<std::uint32_t>> const runs = {
      {1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1},
      {6, 0, 7, 9, 7, 7, 20, 0, 0, 8},
      {0, 1, 1},
      {12, 8},
      {8},
      {1}};
  for (auto const& widths : runs) {
    for (std::size_t const more : {0U, 1U, 100U, 255U}) {
      auto const keys = keys_of_widths<K>(widths, more);
      auto const run = encoded(change_set_ref<K>(keys.data(), keys.size()));
      for (isa const which : {isa::scalar, isa::avx2, isa::avx512}) {
        auto const got = core::value_or_throw(delta::decode<K>(run.bytes(), which));
        CHECK(std::vector<K>(got.ref().keys().begin(), got.ref().keys().end()) == keys);
      }
    }
  }
}

TEST_CASE_TEMPLATE("decode: a block of small numbers is refused as by the scalar decoder", K,
                   std::uint32_t, std::uint64_t) {
  auto const keys = keys_of_widths<K>({7, 6, 1, 8}, 40);
  auto const run = encoded(change_set_ref<K>(keys.data(), keys.size()));
  auto const ref = core::value_or_throw(encoded_run_ref<K>::make(run.bytes()));
  std::size_t refused = 0, taken = 0;
  auto const compare = [&](exact_bytes const& changed, int block) {
    auto const by_scalar = delta::decode<K>(changed.bytes(), isa::scalar);
    auto const got = delta::decode<K>(changed.bytes(), isa::avx512);
    REQUIRE(got.has_value() == by_scalar.has_value());
    if (!got) {
      REQUIRE(got.error() == by_scalar.error());
      REQUIRE(got.error().native >= block);  // or the next one, where this one now ends too high
      ++refused;
    } else {
      REQUIRE(std::ranges::equal(got->ref().keys(), by_scalar->ref().keys()));
      ++taken;
    }
  };
  for (std::uint64_t b = 0; b < ref.blocks(); ++b) {
    auto const begin = static_cast<std::size_t>(ref.index().block_offset(b));
    auto const end = static_cast<std::size_t>(ref.index().block_offset(b + 1));
    auto const number = static_cast<int>(begin);
    for (std::size_t at = begin; at < end; ++at) {
      for (std::byte const flip : {std::byte{1}, std::byte{0x80}}) {
        exact_bytes const damaged(run.bytes());
        damaged[at] ^= flip;
        compare(damaged, number);
        if (at < begin + 6) { continue; }
        seal_block(&damaged[begin]);  // as by a writer's mistake
        compare(damaged, number);
      }
    }
  }
  CHECK(refused > 0);
  CHECK(taken > 0);
}

TEST_CASE("decode: whole blocks in another order are found, though each is as it should be") {
  std::vector<std::uint32_t> keys(1'024);  // blocks of one length
  for (std::uint32_t i = 0; i < 1'024; ++i) { keys[i] = 5 * i; }
  auto const run = encoded(change_set_ref<std::uint32_t>(keys.data(), keys.size()));
  auto const ref = core::value_or_throw(encoded_run_ref<std::uint32_t>::make(run.bytes()));
  auto const at = [&](std::uint64_t b) {
    return static_cast<std::size_t>(ref.index().block_offset(b));
  };
  std::size_t const bytes = at(1) - at(0);
  REQUIRE(at(3) - at(2) == bytes);
  std::vector<std::byte> kept(&run[at(1)], &run[at(1)] + bytes);
  std::memcpy(&run[at(1)], &run[at(2)], bytes);
  error const third{errc::corrupt, {}, static_cast<int>(at(2))};
  for (bool const twice : {true, false}) {  // block 2 in place of 1 as well, then 1 in place of 2
    if (!twice) { std::memcpy(&run[at(2)], kept.data(), bytes); }
    auto const twisted = core::value_or_throw(encoded_run_ref<std::uint32_t>::make(run.bytes()));
    CHECK(delta::decode<std::uint32_t>(run.bytes()).error() == third);
    CHECK(twisted.verify().error() == third);
    auto reader = core::value_or_throw(delta::run_decoder<delta::span_source, std::uint32_t>::make(
        delta::span_source(run.bytes())));
    auto room = core::value_or_throw(change_set<std::uint32_t>::make(block_rows));
    CHECK(reader.next(room.space()) == block_rows);
    CHECK(reader.next(room.space()) == block_rows);
    CHECK(reader.next(room.space()).error() == third);
    for (std::uint32_t const key : keys) {  // never a row that has another key
      auto const row = twisted.find(key);
      if (!row || *row == twisted.rows()) { continue; }
      std::uint32_t found[block_rows];
      auto const b = *row / block_rows;
      REQUIRE(twisted.decode_keys(b, {found, block_rows}).has_value());
      CHECK(found[*row % block_rows] == key);
    }
  }
}

TEST_CASE("view_raw: columns are read where they lie") {
  auto const rows = rows_of<std::uint64_t, stored_quote, double>(1'000, gaps::geometric, 1);
  auto const run = encoded_raw(rows.ref());
  auto const view = delta::view_raw<std::uint64_t, stored_quote, double>(run.bytes());
  REQUIRE(view.has_value());
  CHECK(*view == rows.ref());
  CHECK(reinterpret_cast<std::byte const*>(view->keys().data()) == &run[64]);
  CHECK(reinterpret_cast<std::uintptr_t>(view->values<1>().data()) % 64 == 0);

  exact_bytes moved(run.size() + 4);
  std::memcpy(&moved[4], &run[0], run.size());
  CHECK(delta::view_raw<std::uint64_t, stored_quote, double>(moved.bytes().subspan(4)).error() ==
        error{errc::bad_argument, {}, 1});

  delta::detail::store(&run[64 + 8 * 500], delta::detail::load<std::uint64_t>(&run[64 + 8 * 499]));
  std::size_t const end = run.size() - 8, begin = 24 + 4 * 2;
  delta::detail::store(&run[end], delta::crc32c(&run[begin], end - begin));
  CHECK(delta::view_raw<std::uint64_t, stored_quote, double>(run.bytes()).error() ==
        error{errc::corrupt, {}, 64 + 8 * 500});
}

}  // namespace
