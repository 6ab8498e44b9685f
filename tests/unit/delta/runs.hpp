// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge_scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace_test {

namespace delta = millrace::delta;

/// Three numbers and no padding: a value that no arithmetic policy takes.
struct quote {
  std::int32_t bid = 0, ask = 0, size = 0;
};

/// Rows in vectors of their own, each behind `shift` elements, so that columns are misaligned.
template <class K, class... Vs>
struct table {
  std::vector<K> keys;
  std::tuple<std::vector<Vs>...> columns;
  std::size_t shift = 0;

  explicit table(std::size_t size = 0, std::size_t behind = 0)
      : keys(size + behind), columns{std::vector<Vs>(size + behind)...}, shift{behind} {}

  [[nodiscard]] std::size_t size() const { return keys.size() - shift; }
  [[nodiscard]] K& key(std::size_t i) { return keys[i + shift]; }
  template <std::size_t I = 0>
  [[nodiscard]] auto& value(std::size_t i) {
    return std::get<I>(columns)[i + shift];
  }
  void push(K key, Vs... values) {
    keys.push_back(key);
    push(std::index_sequence_for<Vs...>{}, values...);
  }
  [[nodiscard]] delta::change_set_ref<K, Vs...> ref() const {
    return ref(std::index_sequence_for<Vs...>{});
  }
  [[nodiscard]] delta::change_space<K, Vs...> space() {
    return space(std::index_sequence_for<Vs...>{});
  }

 private:
  template <std::size_t... Is>
  void push(std::index_sequence<Is...>, Vs... values) {
    (std::get<Is>(columns).push_back(values), ...);
  }
  template <std::size_t... Is>
  [[nodiscard]] auto ref(std::index_sequence<Is...>) const {
    return delta::change_set_ref<K, Vs...>(keys.data() + shift, size(),
                                           std::get<Is>(columns).data() + shift...);
  }
  template <std::size_t... Is>
  [[nodiscard]] auto space(std::index_sequence<Is...>) {
    return delta::change_space<K, Vs...>(keys.data() + shift, size(),
                                         std::get<Is>(columns).data() + shift...);
  }
};

/// A value drawn from those that arithmetic treats apart (infinities, NaNs with payloads, both
/// zeros, denormals, the extremes) and from ordinary ones.
template <class V>
[[nodiscard]] V awkward(millrace::core::splitmix_rng& chance) {
  std::uint64_t const bits = chance.next();
  if constexpr (std::is_floating_point_v<V>) {
    using L = std::numeric_limits<V>;
    switch (bits % 32) {
      case 0: return L::infinity();
      case 1: return -L::infinity();
      case 2: return L::quiet_NaN();
      case 3: return V{-0.0};
      case 4: return V{0.0};
      case 5: return L::denorm_min();
      case 6: return -L::denorm_min();
      case 7: return L::max();
      case 8: return L::lowest();
      case 9: return L::min();
      case 10: return -L::quiet_NaN();
      case 11: {
        V any;
        std::memcpy(&any, &bits, sizeof any);
        return any;
      }
      default: return static_cast<V>(static_cast<std::int64_t>(bits) >> 40) / V{16};
    }
  } else if constexpr (std::is_integral_v<V>) {
    switch (bits % 8) {
      case 0: return std::numeric_limits<V>::max();
      case 1: return std::numeric_limits<V>::min();
      default: return static_cast<V>(static_cast<std::int64_t>((bits >> 8) % 7) - 3);
    }
  } else {
    V value;
    auto* const bytes = reinterpret_cast<unsigned char*>(&value);
    for (std::size_t i = 0; i < sizeof value; ++i) {
      bytes[i] = static_cast<unsigned char>(chance.next() >> 56);
    }
    return value;
  }
}

template <std::size_t I, class K, class... Vs>
void fill_column(table<K, Vs...>& rows, millrace::core::splitmix_rng& chance) {
  using V = std::tuple_element_t<I, std::tuple<Vs...>>;
  for (std::size_t i = 0; i < rows.size(); ++i) { rows.template value<I>(i) = awkward<V>(chance); }
}
template <class K, class... Vs, std::size_t... Is>
void fill_columns(table<K, Vs...>& rows, millrace::core::splitmix_rng& chance,
                  std::index_sequence<Is...>) {
  (fill_column<Is>(rows, chance), ...);
}

/// A run of `size` rows whose keys are 1 to `gap` apart, the last one the largest there is when
/// `to_the_end`; with awkward values, none of them zero where `count` would drop it.
template <class K, class... Vs>
[[nodiscard]] table<K, Vs...> random_run(std::size_t size, std::uint64_t gap, std::uint64_t seed,
                                         std::size_t shift = 0, bool to_the_end = false) {
  millrace::core::splitmix_rng chance(seed);
  table<K, Vs...> rows(size, shift);
  K key = static_cast<K>(chance.next() % gap);
  for (std::size_t i = 0; i < size; ++i) {
    rows.key(i) = key;
    key = static_cast<K>(key + 1 + chance.next() % gap);
  }
  if (to_the_end && size > 0) {
    K const up = static_cast<K>(std::numeric_limits<K>::max() - rows.key(size - 1));
    for (std::size_t i = 0; i < size; ++i) { rows.key(i) = static_cast<K>(rows.key(i) + up); }
  }
  fill_columns(rows, chance, std::index_sequence_for<Vs...>{});
  return rows;
}

/// Makes every zero of a column of integers a one.
template <std::size_t I = 0, class K, class... Vs>
void without_zeros(table<K, Vs...>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.template value<I>(i) == 0) { rows.template value<I>(i) = 1; }
  }
}

/// What the reference makes of two runs.
template <delta::keep Keep, class C, class K, class... Vs, class Newer>
[[nodiscard]] table<K, Vs...> merged(delta::change_set_ref<K, Vs...> older, Newer newer,
                                     C const& combine) {
  table<K, Vs...> room(older.size() + newer.size());
  std::size_t const size = delta::merge_scalar<Keep>(older, newer, room.space(), combine);
  room.keys.resize(size);
  std::apply([size](auto&... columns) { (columns.resize(size), ...); }, room.columns);
  return room;
}

/// Whether rows are the same bits, column by column.
template <class K, class... Vs>
[[nodiscard]] bool same(delta::change_set_ref<K, Vs...> a, delta::change_set_ref<K, Vs...> b) {
  if (a.size() != b.size()) { return false; }
  return [&]<std::size_t... Is>(std::index_sequence<Is...>) {
    bool all =
        a.empty() || std::memcmp(a.keys().data(), b.keys().data(), a.size() * sizeof(K)) == 0;
    ((all = all &&
            (a.empty() || std::memcmp(a.template values<Is>().data(),
                                      b.template values<Is>().data(), a.size() * sizeof(Vs)) == 0)),
     ...);
    return all;
  }(std::index_sequence_for<Vs...>{});
}

}  // namespace millrace_test
