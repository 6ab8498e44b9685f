// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/sort.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace core = millrace::core;
namespace detail = millrace::delta::detail;

namespace {

template <class K>
using item = detail::sort_item<K, std::uint32_t>;

/// Sorts keys with their places, and compares with a stable sort of the same.
template <class K>
void check(std::vector<K> const& keys) {
  std::vector<item<K>> items, room(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    items.push_back({keys[i], static_cast<std::uint32_t>(i)});
  }
  auto want = items;
  std::stable_sort(want.begin(), want.end(),
                   [](auto const& a, auto const& b) { return a.key < b.key; });
  auto const* const got =
      detail::radix_sorter<item<K>>::sort(items.data(), room.data(), items.size());
  bool same = true;
  for (std::size_t i = 0; i < want.size(); ++i) {
    same = same && got[i].key == want[i].key && got[i].tag == want[i].tag;
  }
  CHECK(same);
}

template <class K, class Make>
void check_made(std::size_t size, Make const& make) {
  core::splitmix_rng chance(size);
  std::vector<K> keys;
  for (std::size_t i = 0; i < size; ++i) { keys.push_back(static_cast<K>(make(chance, i))); }
  CAPTURE(size);
  check(keys);
}

template <class K>
void check_shapes(std::size_t size) {
  using rng = core::splitmix_rng;
  check_made<K>(size, [](rng& chance, std::size_t) { return chance.next(); });
  check_made<K>(size, [](rng& chance, std::size_t) { return chance.next() % 3; });
  check_made<K>(size, [](rng& chance, std::size_t) { return chance.next() % 70'000; });
  check_made<K>(size, [](rng&, std::size_t) { return 42; });
  check_made<K>(size, [](rng&, std::size_t i) { return i; });
  check_made<K>(size, [size](rng&, std::size_t i) { return size - i; });
  check_made<K>(size, [](rng&, std::size_t i) { return ~std::uint64_t{0} - i % 5; });
  // only the highest and the lowest bits vary
  check_made<K>(size, [](rng& chance, std::size_t) {
    return (chance.next() << (sizeof(K) * 8 - 3)) | chance.next() % 4;
  });
  // nearly all alike in the highest bits: one pile, whose items differ at the low end
  check_made<K>(size, [](rng& chance, std::size_t i) {
    return i == 0 ? ~std::uint64_t{0} : chance.next() % 1024;
  });
  // powers of two: each pile half of the rest
  check_made<K>(size, [](rng& chance, std::size_t) {
    return std::uint64_t{1} << chance.next() % (sizeof(K) * 8);
  });
}

}  // namespace

TEST_CASE("sort: is stable and sorts, whatever the keys and however many") {
  for (std::size_t size : {0u, 1u, 2u, 23u, 24u, 25u, 100u, 1000u, 3000u, 40'000u}) {
    check_shapes<std::uint32_t>(size);
    check_shapes<std::uint64_t>(size);
  }
}

TEST_CASE("sort: more than a cache holds is dealt to piles, which may be as large as all") {
  std::size_t const size = millrace_test::long_tier() ? 3'000'000 : 150'000;
  check_shapes<std::uint32_t>(size);
  check_shapes<std::uint64_t>(size);
}
