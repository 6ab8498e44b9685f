// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "unit/delta/encoded_runs.hpp"
#include <millrace/core/error.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/decode_run.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

namespace millrace_test {

/// One run, encoded, and decoded by `decode(run, its bytes, out)`, which says how many blocks were
/// good.
template <class Decode, class K, class... Vs>
void one_decode(Decode const& decode, millrace::delta::change_set_ref<K, Vs...> rows) {
  namespace delta = millrace::delta;
  auto const bytes = encoded(rows);
  auto const run =
      millrace::core::value_or_throw(delta::encoded_run_ref<K, Vs...>::make(bytes.bytes()));
  auto out = millrace::core::value_or_throw(delta::change_set<K, Vs...>::make(rows.size()));
  CAPTURE(rows.size());
  REQUIRE(decode(run, bytes.bytes().data(), out.space()) == run.blocks());
  out.set_size(rows.size());
  REQUIRE(out.ref() == rows);
}

/// Columns of every kind that the codec tells apart.
enum class column { decimals, exceptions, walk, ramp, repeats, few_changes, patches, bits, same };
inline constexpr column columns[] = {column::decimals, column::exceptions, column::walk,
                                     column::ramp,     column::repeats,    column::few_changes,
                                     column::patches,  column::bits,       column::same};

template <class V>
[[nodiscard]] std::vector<V> column_of(column kind, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<V> values(count);
  double level = 1000;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t const chance = random();
    switch (kind) {
      case column::decimals: level = static_cast<double>(chance % 100'000) / 100; break;
      case column::exceptions:
        level = chance % 20 == 0 ? 1 / (1 + static_cast<double>(chance % 1000)) : 12.5;
        break;
      case column::walk: level += static_cast<double>(chance % 21) / 100 - 0.1; break;
      case column::ramp: level = static_cast<double>(3 * i); break;
      case column::repeats: level += chance % 3 == 0 ? static_cast<double>(chance % 9) : 0; break;
      case column::few_changes: level += chance % 60 == 0 ? 1 : 0; break;
      case column::patches:
        level = static_cast<double>(chance % 50 == 0 ? chance % 100'000'000 : chance % 8);
        break;
      case column::same: break;
      case column::bits: break;
    }
    if (kind == column::bits) {
      std::memcpy(&values[i], &chance, sizeof(V));
    } else if constexpr (std::is_integral_v<V>) {
      values[i] = static_cast<V>(std::llround(level * 100));
    } else {
      values[i] = static_cast<V>(std::round(level * 100) / 100);
    }
    if constexpr (std::is_floating_point_v<V>) {
      if (kind == column::exceptions && chance % 64 == 1) { values[i] = -V{0}; }
      if (kind == column::exceptions && chance % 64 == 2) {
        values[i] = std::numeric_limits<V>::denorm_min();
      }
      if (kind == column::exceptions && chance % 64 == 3) {
        values[i] = std::numeric_limits<V>::quiet_NaN();
      }
    }
  }
  return values;
}

/// Runs of several lengths and types, with columns of every kind.
template <class Decode>
void every_decode(Decode const& decode) {
  namespace delta = millrace::delta;
  for (std::size_t const count : {0u, 1u, 31u, 32u, 33u, 255u, 256u, 257u, 512u, 1500u}) {
    std::uint64_t seed = count;
    for (gaps const how : {gaps::dense, gaps::geometric, gaps::wide}) {
      auto const keys32 = keys_of<std::uint32_t>(count, how, ++seed);
      auto const keys64 = keys_of<std::uint64_t>(count, how, ++seed);
      for (column const kind : columns) {
        CAPTURE(static_cast<int>(kind));
        auto const floats = column_of<float>(kind, count, ++seed);
        one_decode(decode, delta::change_set_ref<std::uint32_t, float>(keys32.data(), count,
                                                                       floats.data()));
        auto const doubles = column_of<double>(kind, count, ++seed);
        auto const longs = column_of<std::int64_t>(kind, count, ++seed);
        one_decode(decode, delta::change_set_ref<std::uint64_t, double, std::int64_t>(
                               keys64.data(), count, doubles.data(), longs.data()));
      }
      auto const quotes = values_of<quote>(count, ++seed);
      auto const ints = column_of<std::int32_t>(column::walk, count, ++seed);
      one_decode(decode, delta::change_set_ref<std::uint64_t, quote, std::int32_t>(
                             keys64.data(), count, quotes.data(), ints.data()));
    }
  }
}

}  // namespace millrace_test
