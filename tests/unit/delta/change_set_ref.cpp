// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/runs.hpp"
#include <millrace/delta/change_set_ref.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <ranges>
#include <vector>

namespace core = millrace::core;
namespace delta = millrace::delta;
using millrace::errc;
using millrace_test::random_run;
using millrace_test::same;
using millrace_test::table;
using rows = delta::change_set_ref<std::uint32_t, float, std::int64_t>;

static_assert(std::random_access_iterator<rows::iterator> &&
              std::ranges::random_access_range<rows>);

TEST_CASE("change_set_ref: columns of unlike length are refused by their number") {
  std::vector<std::uint32_t> keys(5);
  std::vector<float> prices(5), short_prices(4);
  std::vector<std::int64_t> sizes(5), long_sizes(6);
  auto const number = [](auto const& made) { return made ? 0 : made.error().native; };
  using space = delta::change_space<std::uint32_t, float, std::int64_t>;
  auto const span = [](auto& v) { return cuda::std::span(v.data(), v.size()); };
  CHECK(number(rows::make(span(keys), span(prices), span(sizes))) == 0);
  CHECK(number(rows::make(span(keys), span(short_prices), span(long_sizes))) == 2);
  CHECK(number(rows::make(span(keys), span(prices), span(long_sizes))) == 3);
  CHECK(number(space::make(span(keys), span(prices), span(sizes))) == 0);
  CHECK(number(space::make(span(keys), span(short_prices), span(sizes))) == 2);
  CHECK(rows::make(span(keys), span(short_prices), span(sizes)).error().code == errc::bad_argument);
}

TEST_CASE("change_set_ref: slices are clamped, and are slices of the same rows") {
  auto const all = random_run<std::uint32_t, float, std::int64_t>(20, 5, 1, 1);
  auto const ref = all.ref();
  CHECK(ref.slice(0).size() == 20);
  CHECK(ref.slice(5, 3).size() == 3);
  CHECK(ref.slice(18, 10).size() == 2);
  CHECK(ref.slice(20).empty());
  CHECK(ref.slice(1000, 1).empty());
  CHECK(ref.slice(3, std::numeric_limits<std::size_t>::max()).size() == 17);
  CHECK(ref.slice(5, 10).slice(2, 3) == ref.slice(7, 3));
  CHECK(ref.slice(5).key(0) == ref.key(5));
  CHECK(ref.slice(5).value<1>(2) == ref.value<1>(7));
  CHECK(rows{}.slice(0).empty());
  CHECK(rows{} == ref.slice(20));
}

TEST_CASE("change_set_ref: finds what std::lower_bound finds") {
  for (std::size_t size : {0u, 1u, 2u, 15u, 16u, 100u}) {
    auto const all = random_run<std::uint32_t>(size, 3, size);
    auto const ref = all.ref();
    for (std::uint32_t key = 0; key < 320; ++key) {
      auto const at = std::lower_bound(all.keys.begin(), all.keys.end(), key) - all.keys.begin();
      auto const want = static_cast<std::size_t>(at);
      CHECK(ref.lower_bound(key) == want);
      bool const there = want < size && all.keys[want] == key;
      CHECK(ref.find(key) == (there ? want : size));
    }
  }
  auto const top = random_run<std::uint64_t>(9, 4, 1, 0, true);
  CHECK(top.ref().find(std::numeric_limits<std::uint64_t>::max()) == 8);
}

TEST_CASE("change_set_ref: between takes from the first key up to the last, which it leaves out") {
  table<std::uint32_t> rows_;
  for (std::uint32_t key : {2u, 4u, 6u, 8u}) { rows_.push(key); }
  auto const ref = rows_.ref();
  CHECK(ref.between(4, 8) == ref.slice(1, 2));
  CHECK(ref.between(3, 9) == ref.slice(1, 3));
  CHECK(ref.between(0, 2).empty());
  CHECK(ref.between(8, 4).empty());
  CHECK(ref.between(9, 100).empty());
}

TEST_CASE("change_set_ref: iterates as a random access range of rows") {
  auto const all = random_run<std::uint32_t, float, std::int64_t>(50, 5, 1);
  auto const ref = all.ref();
  std::size_t i = 0;
  for (auto const& [key, price, size] : ref) {
    CHECK(key == ref.key(i));
    CHECK(delta::same_bits(price, ref.value<0>(i)));
    CHECK(size == ref.value<1>(i));
    ++i;
  }
  CHECK(i == 50);
  CHECK(std::ranges::distance(ref) == 50);
  auto const odd =
      std::ranges::count_if(ref, [](auto const& row) { return cuda::std::get<0>(row) % 2 == 1; });
  std::ptrdiff_t want = 0;
  for (std::uint32_t key : all.keys) { want += key % 2; }
  CHECK(odd == want);
  auto const last = ref.end() - 1;
  CHECK(cuda::std::get<0>(*last) == ref.key(49));
  CHECK(cuda::std::get<0>(ref.begin()[7]) == ref.key(7));
  CHECK((last - ref.begin() == 49 && ref.begin() < last && 3 + ref.begin() == ref.begin() + 3));
  auto at = std::ranges::lower_bound(ref, ref.key(30), {},
                                     [](auto const& row) { return cuda::std::get<0>(row); });
  CHECK(at - ref.begin() == 30);
  CHECK((at--) - ref.begin() == 30);
  CHECK((at++) - ref.begin() == 29);
}

TEST_CASE("change_set_ref: equal means the same bits in every column") {
  auto a = random_run<std::uint32_t, float, std::int64_t>(9, 5, 1);
  auto b = a;
  CHECK(a.ref() == b.ref());  // with the NaNs and zeros that are in it
  b.value<1>(8) ^= 1;
  CHECK_FALSE(a.ref() == b.ref());
  CHECK(a.ref().slice(0, 8) == b.ref().slice(0, 8));
  b = a;
  a.value<0>(3) = 0.0f;
  b.value<0>(3) = -0.0f;
  CHECK_FALSE(a.ref() == b.ref());
}

TEST_CASE("change_set_ref: rows move within their own columns, either way") {
  auto const all = random_run<std::uint32_t, float, std::int64_t>(30, 5, 1);
  for (std::size_t to : {0u, 3u, 10u}) {
    auto rows_ = all;
    delta::copy_rows(rows_.ref().slice(5, 20), rows_.space().from(to));
    CHECK(same(rows_.ref().slice(to, 20), all.ref().slice(5, 20)));
  }
  auto rows_ = all;
  CHECK(rows_.space().from(100).capacity() == 0);
  CHECK(rows_.space().from(7).capacity() == 23);
  rows_.space().put(4, 1u, 2.0f, 3);
  CHECK(rows_.ref()[4] == delta::change<std::uint32_t, float, std::int64_t>(1u, 2.0f, 3));
}
