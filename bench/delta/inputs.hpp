// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/merge_scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <utility>

namespace millrace::bench {

/// Room that has been written once, so that no trial pays for its pages, and that lies in huge
/// pages where the system offers them: for every contender the same.
template <class K, class... Vs>
[[nodiscard]] delta::change_set<K, Vs...> touched(std::size_t capacity) {
  auto set = core::value_or_throw(delta::change_set<K, Vs...>::make(capacity));
  auto const space = set.space();
  constexpr std::uintptr_t huge = std::uintptr_t{2} << 20;
  auto const begin = (reinterpret_cast<std::uintptr_t>(space.keys()) + huge - 1) / huge * huge;
  auto const end =
      (reinterpret_cast<std::uintptr_t>(space.keys()) + set.size_bytes()) / huge * huge;
  if (begin < end) { (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE); }
  std::memset(space.keys(), 0, capacity * sizeof(K));
  [&]<std::size_t... Is>(std::index_sequence<Is...>) {
    (std::memset(static_cast<void*>(space.template values<Is>()), 0, capacity * sizeof(Vs)), ...);
  }(std::index_sequence_for<Vs...>{});
  return set;
}

/// Two runs of `size` rows each of which `percent` of 100 keys of either are in the other too; keys
/// about 10 apart, values small whole numbers, whose sums are exact.
template <class K, class V>
struct two_runs {
  delta::change_set<K, V> older, newer;

  two_runs(std::size_t size, unsigned percent, std::uint64_t seed = 1)
      : older{touched<K, V>(size)}, newer{touched<K, V>(size)} {
    core::splitmix_rng chance(seed);
    K key = 0;
    std::size_t i = 0, j = 0;
    auto const value = [&] { return static_cast<V>(1 + chance.next() % 1000); };
    // of the distinct keys, this share is in both
    double const both = percent / (200.0 - percent);
    while (i < size || j < size) {
      key = static_cast<K>(key + 1 + chance.next() % 19);
      double const pick = static_cast<double>(chance.next() >> 11) * 0x1p-53;
      bool const pair = pick < both && i < size && j < size;
      bool const first = pair || (i < size && (j == size || pick < both + (1 - both) / 2));
      if (first) { older.space().put(i++, key, value()); }
      if (pair || !first) { newer.space().put(j++, key, value()); }
    }
    older.set_size(size);
    newer.set_size(size);
  }
};

/// A problem's words when two sets of rows are not the same bits.
template <class A>
[[nodiscard]] std::string differs(A const& got, A const& want) {
  return got == want ? std::string{} : std::string{"the rows differ from the reference's"};
}

}  // namespace millrace::bench
