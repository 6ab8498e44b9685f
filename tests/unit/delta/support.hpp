// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/isa.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

/// Runs for tests: random ones, and every shape at which a merge could go wrong.
namespace millrace_test::delta {

using millrace::core::isa;
namespace core = millrace::core;
namespace delta = millrace::delta;

/// The instruction sets of this machine; says which it lacks.
inline std::vector<isa> isas() {
  std::vector<isa> here;
  for (isa const which : core::all_isas) {
    if (core::has_isa(which)) {
      here.push_back(which);
    } else {
      MESSAGE("skipped: this machine has no " << core::describe(which));
    }
  }
  return here;
}

/// A value whose bits are ordinary, or one of those at which arithmetic differs.
template <class V>
V value_of(core::xoshiro_rng& rng, [[maybe_unused]] bool odd) {
  if constexpr (std::is_floating_point_v<V>) {
    if (odd && core::below(rng, 3) == 0) {
      using B = std::conditional_t<sizeof(V) == 4, std::uint32_t, std::uint64_t>;
      using L = std::numeric_limits<V>;
      V const chosen[] = {
          V(0),
          V(-0.0),
          L::infinity(),
          -L::infinity(),
          L::denorm_min(),
          -L::denorm_min(),
          L::max(),
          L::lowest(),
          L::min(),
          L::quiet_NaN(),
          -L::quiet_NaN(),
          std::bit_cast<V>(static_cast<B>(std::bit_cast<B>(L::quiet_NaN()) | 0x1234))};
      return chosen[core::below(rng, std::size(chosen))];
    }
    return static_cast<V>(static_cast<double>(core::below(rng, 1u << 20)) / 64.0 - 4096.0);
  } else if constexpr (std::is_integral_v<V>) {
    if (odd && core::below(rng, 3) == 0) {
      V const chosen[] = {0, 1, static_cast<V>(-1), std::numeric_limits<V>::max(),
                          std::numeric_limits<V>::min()};
      return chosen[core::below(rng, std::size(chosen))];
    }
    return static_cast<V>(static_cast<std::int64_t>(core::below(rng, 64)) - 32);
  } else {
    V v{};
    unsigned char bytes[sizeof(V)];
    for (auto& b : bytes) { b = static_cast<unsigned char>(core::below(rng, 256)); }
    std::memcpy(static_cast<void*>(&v), bytes, sizeof(V));
    return v;
  }
}

/// A run of the host's, by its keys.
template <class K, class... Vs>
delta::change_set<K, Vs...> run_of(std::vector<K> const& keys, core::xoshiro_rng& rng,
                                   [[maybe_unused]] bool odd = true) {
  auto set = *delta::change_set<K, Vs...>::make(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    set.space().put(i, keys[i], value_of<Vs>(rng, odd)...);
  }
  set.set_size(keys.size());
  return set;
}

/// Two runs' keys, of at most the given sizes.
template <class K>
struct key_pair {
  std::string name;
  std::vector<K> older, newer;
};

/// Keys with gaps of 1 to `gap` of which about `equal` percent are in both.
template <class K>
key_pair<K> random_keys(core::xoshiro_rng& rng, std::size_t n, std::size_t m, std::uint64_t gap,
                        std::uint64_t equal) {
  key_pair<K> keys{"random", {}, {}};
  K key = static_cast<K>(core::below(rng, gap));
  while (keys.older.size() < n || keys.newer.size() < m) {
    bool const both = core::below(rng, 100) < equal;
    bool const first = core::below(rng, n + m) < n;
    if ((both || first) && keys.older.size() < n) { keys.older.push_back(key); }
    if ((both || !first) && keys.newer.size() < m) { keys.newer.push_back(key); }
    K const next = static_cast<K>(key + 1 + static_cast<K>(core::below(rng, gap)));
    if (next <= key) { break; }  // the keys are all used up
    key = next;
  }
  return keys;
}

/// Shapes at which merges go wrong, for sides of about `n` rows.
template <class K>
std::vector<key_pair<K>> adversarial_keys(std::size_t n) {
  constexpr K top = std::numeric_limits<K>::max();
  std::vector<K> up(n), even(n), odd(n), high(n), last(n), wide(n);
  for (std::size_t i = 0; i < n; ++i) {
    auto const k = static_cast<K>(i);
    up[i] = k;
    even[i] = static_cast<K>(2 * k);
    odd[i] = static_cast<K>(2 * k + 1);
    high[i] = static_cast<K>(k + static_cast<K>(n));
    last[i] = static_cast<K>(top - static_cast<K>(n - 1) + k);
    wide[i] = static_cast<K>(k * (top / static_cast<K>(n)));
  }
  std::vector<K> edges = up;
  for (std::size_t i = 0; i < n; ++i) { edges[i] = i < n / 2 ? up[i] : last[i]; }
  std::vector<key_pair<K>> all{{"all equal", up, up},         {"alternating", even, odd},
                               {"all older first", up, high}, {"all newer first", high, up},
                               {"maximal keys", last, last},  {"far apart", wide, odd},
                               {"low and high", edges, last}, {"half equal", even, up}};
  std::vector<K> blocks_a, blocks_b;
  for (std::size_t i = 0; i < n; ++i) {  // in turns of 16, some equal at the borders
    (i / 16 % 2 == 0 ? blocks_a : blocks_b).push_back(static_cast<K>(i));
    if (i % 16 == 15 && i % 3 == 0) {
      (i / 16 % 2 == 0 ? blocks_b : blocks_a).push_back(static_cast<K>(i));
    }
  }
  all.push_back({"in blocks", blocks_a, blocks_b});
  if (n > 0) {
    all.push_back({"one against many", {static_cast<K>(n / 2)}, up});
    all.push_back({"many against the last", up, {top}});
  }
  all.push_back({"nothing and many", {}, up});
  all.push_back({"many and nothing", up, {}});
  return all;
}

}  // namespace millrace_test::delta
