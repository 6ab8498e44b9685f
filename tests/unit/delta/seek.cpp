// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/delta/seek.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace core = millrace::core;
namespace delta = millrace::delta;
using std::size_t;
using std::uint32_t;
using std::uint64_t;

namespace {

template <class K>
using columns = std::vector<std::vector<K>>;

template <class K>
void finds_lower_bounds(columns<K> const& all, K key) {
  std::vector<delta::seeking<K>> looks;
  for (auto const& column : all) { looks.push_back({column.data(), column.size()}); }
  delta::seek(looks.data(), looks.size(), key);
  for (size_t k = 0; k < all.size(); ++k) {
    auto const want = std::lower_bound(all[k].begin(), all[k].end(), key) - all[k].begin();
    CAPTURE(k);
    CAPTURE(key);
    REQUIRE(looks[k].at - all[k].data() == want);
  }
}

/// Keys of several shapes: drawn evenly, in a line, in far clumps, in powers, all the same, few.
template <class K>
[[nodiscard]] columns<K> shapes() {
  core::xoshiro_rng rng(1);
  columns<K> all(8);
  for (int i = 0; i < 20'000; ++i) { all[0].push_back(static_cast<K>(rng.next())); }
  for (K i = 0; i < 3000; ++i) { all[1].push_back(static_cast<K>(i * 7)); }
  for (int i = 0; i < 5000; ++i) {
    K const clump = static_cast<K>(K{1} << (8 * (rng.next() % sizeof(K))));
    all[2].push_back(static_cast<K>(clump + rng.next() % 1000));
  }
  for (int i = 0; i < 1000; ++i) {
    all[3].push_back(static_cast<K>(static_cast<K>(~K{0}) >> (rng.next() % (8 * sizeof(K)))));
  }
  all[4].assign(500, 77);
  all[5] = {5};
  all[6] = {0, 0, static_cast<K>(~K{0}), static_cast<K>(~K{0})};
  for (auto& column : all) { std::sort(column.begin(), column.end()); }
  return all;  // the last is empty
}

template <class K>
void finds_all() {
  auto const all = shapes<K>();
  core::xoshiro_rng rng(2);
  finds_lower_bounds<K>(all, 0);
  finds_lower_bounds<K>(all, static_cast<K>(~K{0}));
  for (int i = 0; i < 500; ++i) {
    auto const& column = all[rng.next() % 7];
    K const there = column[rng.next() % column.size()];
    finds_lower_bounds<K>(all, there);
    finds_lower_bounds<K>(all, static_cast<K>(there - 1));
    finds_lower_bounds<K>(all, static_cast<K>(there + 1));
    finds_lower_bounds<K>(all, static_cast<K>(rng.next()));
  }
}

}  // namespace

TEST_CASE("seek: finds in every column what std::lower_bound finds, however keys are spread") {
  finds_all<uint32_t>();
  finds_all<uint64_t>();
}

TEST_CASE("seek: in no column, and in columns of every small size") {
  delta::seek<uint32_t>(nullptr, 0, 5);
  for (uint32_t size = 0; size < 300; ++size) {
    columns<uint32_t> all(2);
    for (uint32_t i = 0; i < size; ++i) {
      all[0].push_back(10 + 2 * i);
      all[1].push_back(i / 40 * 1000);
    }
    for (uint32_t key = 0; key < 30; ++key) { finds_lower_bounds(all, key * size / 10 + key); }
  }
}
