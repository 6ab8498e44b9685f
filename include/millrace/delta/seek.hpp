// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/key.hpp>

#include <cmath>
#include <cstddef>

namespace millrace::inline v0::delta {

/// A search in one sorted column, among others that go on at the same time.
template <change_key K>
struct seeking {
  K const* at = nullptr;  ///< before: the column; after: the first key that is not below
  std::size_t size = 0;   ///< before: of the column
  bool even = true;       ///< keys seem to be spread evenly
};

namespace detail {

/// Fewer keys than these are halved: they lie in a few lines of the cache.
inline constexpr std::size_t guess_from = 128;

/// Narrows a column to some 4 sqrt(n) keys around the place that the key would have if keys were
/// spread evenly between both ends: two looks at once, where halving takes half of log2 n, one
/// after another. Of keys drawn by chance, it is right nearly always; when it is wrong, the rest is
/// halved.
template <class K>
void guess(seeking<K>& of, K key) noexcept {
  K const low = of.at[0], high = of.at[of.size - 1];
  if (!(low < key)) {
    of.size = 0;
  } else if (high < key) {
    of.at += of.size;
    of.size = 0;
  } else {
    auto const share = static_cast<double>(key - low) / static_cast<double>(high - low);
    auto const place = static_cast<std::size_t>(share * static_cast<double>(of.size - 1));
    auto const slack = static_cast<std::size_t>(2 * std::sqrt(static_cast<double>(of.size)));
    std::size_t const last = of.size - 1;
    std::size_t const from = place > slack ? place - slack : 0;
    std::size_t const to = place < last - slack ? place + slack : last;
    bool const above = of.at[from] < key, below = !(of.at[to] < key);
    if (above && below) {  // the first key not below is in (from, to]
      of.at += from + 1;
      of.size = to - from;
    } else {
      of.at += above ? to + 1 : 0;
      of.size = above ? last - to : from + 1;
      of.even = false;
    }
  }
}

}  // namespace detail

/// Looks in several columns at once for the first key that is not below `key`: their misses of the
/// cache overlap.
/// @cost O(log n) looks at the largest of them; O(log log n) where keys are spread evenly
template <change_key K>
void seek(seeking<K>* columns, std::size_t count, K key) noexcept {
  for (bool again = true; again;) {
    again = false;
    for (std::size_t k = 0; k < count; ++k) {
      if (columns[k].even && columns[k].size >= detail::guess_from) {
        detail::guess(columns[k], key);
        again = true;
      }
    }
  }
  std::size_t most = 0;
  for (std::size_t k = 0; k < count; ++k) {
    most = columns[k].size > most ? columns[k].size : most;
  }
  for (; most > 1; most -= most / 2) {
    for (std::size_t k = 0; k < count; ++k) {
      std::size_t const half = columns[k].size / 2;
      if (half == 0) { continue; }
      // a mask: compilers make a branch of a choice, and every other look would mispredict it
      columns[k].at += half & (std::size_t{0} - (columns[k].at[half - 1] < key ? 1u : 0u));
      columns[k].size -= half;
    }
  }
  for (std::size_t k = 0; k < count; ++k) {
    columns[k].at += columns[k].size != 0 && *columns[k].at < key ? 1 : 0;
  }
}

}  // namespace millrace::inline v0::delta
