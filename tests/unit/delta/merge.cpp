// SPDX-License-Identifier: Apache-2.0
#include "tier.hpp"
#include "unit/delta/runs.hpp"
#include <millrace/core/isa.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/merge_scalar.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

using namespace millrace;
using millrace_test::awkward;
using millrace_test::table;

namespace {

/// Two runs' keys, of at most the given sizes.
template <class K>
struct key_pair {
  std::string name;
  std::vector<K> older, newer;
};

/// Keys with gaps of 1 to `gap` of which about `equal` percent are in both.
template <class K>
key_pair<K> random_keys(core::splitmix_rng& rng, std::size_t n, std::size_t m, std::uint64_t gap,
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

/// A run with these keys, its columns at the beginnings of lines; awkward values.
template <class K, class... Vs>
delta::change_set<K, Vs...> run_of(std::vector<K> const& keys, core::splitmix_rng& chance) {
  auto set = *delta::change_set<K, Vs...>::make(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    set.space().put(i, keys[i], awkward<Vs>(chance)...);
  }
  set.set_size(keys.size());
  return set;
}

struct point {
  float x, y;
  friend bool operator==(point, point) = default;
};
struct wide_value {
  std::int64_t a, b;
  std::int64_t c;  // no padding: a copy need not keep it
};

/// A user's policy: neither commutative nor one that lanes know, and it drops.
struct halve {
  static constexpr bool commutative = false;
  template <class V>
  MILLRACE_HD V operator()(V const& older, V const& newer) const noexcept {
    if constexpr (std::is_integral_v<V>) {
      return static_cast<V>(older ^ (newer >> 1));
    } else {
      V mixed = newer;
      unsigned char first;
      std::memcpy(&first, &older, 1);
      std::memcpy(static_cast<void*>(&mixed), &first, 1);
      return mixed;
    }
  }
  template <class V>
    requires std::is_integral_v<V>
  MILLRACE_HD bool drops(V value) const noexcept {
    return value == V(2);
  }
};

template <class K, class V1, class C>
struct one_column {
  using key = K;
  using policy = C;
  using set = delta::change_set<K, V1>;
  static set make(std::vector<K> const& keys, core::splitmix_rng& rng) {
    return run_of<K, V1>(keys, rng);
  }
};
template <class K, class V1, class V2, class C>
struct two_columns {
  using key = K;
  using policy = C;
  using set = delta::change_set<K, V1, V2>;
  static set make(std::vector<K> const& keys, core::splitmix_rng& rng) {
    return run_of<K, V1, V2>(keys, rng);
  }
};
template <class K>
struct keys_alone {
  using key = K;
  using policy = delta::add;
  using set = delta::change_set<K>;
  static set make(std::vector<K> const& keys, core::splitmix_rng& rng) {
    return run_of<K>(keys, rng);
  }
};

/// With Others, the operations beside the merge as well.
template <class T, bool Others>
void check_pair(key_pair<typename T::key> const& keys, core::splitmix_rng& rng) {
  auto const older = T::make(keys.older, rng), newer = T::make(keys.newer, rng);
  std::size_t const room = older.size() + newer.size();
  auto want = *T::set::make(room), got = *T::set::make(room);
  auto const a = older.ref(), b = newer.ref();
  typename T::policy const combine{};
  auto const expect = [&](std::size_t rows, result<std::size_t> found, char const* what,
                          core::isa which) {
    std::string const doing = std::string(what) + " by " + core::describe(which) + " of " +
                              keys.name + ", " + std::to_string(a.size()) + " and " +
                              std::to_string(b.size());
    INFO(doing);
    REQUIRE(found.has_value());
    want.set_size(rows);
    got.set_size(*found);
    CHECK(got.ref() == want.ref());
  };
  for (core::isa const which : core::all_isas) {
    expect(delta::merge_scalar<delta::keep::either>(a, b, want.space(), combine),
           delta::merge(a, b, got.space(), combine, which), "merge", which);
    if constexpr (Others) {
      expect(delta::merge_scalar<delta::keep::both>(a, b, want.space(), combine),
             delta::intersect(a, b, got.space(), combine, which), "intersect", which);
      expect(delta::merge_scalar<delta::keep::older_only>(a, b, want.space(), combine),
             delta::subtract(a, b, got.space(), which), "subtract", which);
      expect(delta::merge_scalar<delta::keep::all>(a, b, want.space(), combine),
             delta::interleave(a, b, got.space(), which), "interleave", which);
    }
  }
}

template <class T, bool Others>
void check_all() {
  using K = typename T::key;
  core::splitmix_rng rng{11};
  for (core::isa const which : core::all_isas) {
    if (!core::has_isa(which)) { MESSAGE("skipped: this machine lacks " << core::describe(which)); }
  }
  for (std::size_t const n : {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 257, 1000}) {
    for (auto const& keys : adversarial_keys<K>(n)) { check_pair<T, Others>(keys, rng); }
  }
  int const rounds = millrace_test::long_tier() ? 2000 : 60;
  for (int round = 0; round < rounds; ++round) {
    std::size_t const n = core::below(rng, 700), m = core::below(rng, round % 4 == 0 ? 9 : 700);
    std::uint64_t const gap = std::uint64_t{1} << core::below(rng, 22);
    check_pair<T, Others>(random_keys<K>(rng, n, m, gap, core::below(rng, 101)), rng);
  }
  // several tiles
  check_pair<T, Others>(random_keys<K>(rng, 9000, 11000, 16, 30), rng);
  check_pair<T, Others>(
      random_keys<K>(rng, 9000, 9000, sizeof(K) == 4 ? 1 << 17 : std::uint64_t{1} << 50, 50), rng);
}

}  // namespace

TEST_CASE_TEMPLATE(
    "merge: every instruction set gives the rows of the reference, bit for bit", T,
    one_column<std::uint32_t, float, delta::add>, one_column<std::uint64_t, double, delta::minimum>,
    one_column<std::uint64_t, float, delta::maximum>,
    one_column<std::uint64_t, wide_value, delta::last_writer>,
    two_columns<std::uint64_t, std::int32_t, std::int64_t, delta::by_column<delta::count, halve>>) {
  check_all<T, false>();
}

TEST_CASE_TEMPLATE(
    "merge: so do intersection, difference and interleaving", T, keys_alone<std::uint32_t>,
    keys_alone<std::uint64_t>, one_column<std::uint32_t, std::int32_t, delta::count>,
    one_column<std::uint32_t, point, delta::last_writer>,
    two_columns<std::uint32_t, float, double, delta::by_column<delta::exclusive_or, delta::add>>) {
  check_all<T, true>();
}

TEST_CASE("merge: what is too large for the caches is the same") {
  core::splitmix_rng rng{5};
  std::size_t const n = millrace_test::long_tier() ? 10'000'000 : 300'000;
  using wide = two_columns<std::uint64_t, double, double, delta::add>;
  check_pair<wide, false>(random_keys<std::uint64_t>(rng, n, n, 64, 20), rng);
  check_pair<keys_alone<std::uint32_t>, true>(random_keys<std::uint32_t>(rng, 4 * n, 4 * n, 64, 20),
                                              rng);
}

TEST_CASE("merge: columns at any address are the same") {
  core::splitmix_rng rng{6};
  auto const keys = random_keys<std::uint32_t>(rng, 500, 480, 8, 40);
  auto const older = run_of<std::uint32_t, double>(keys.older, rng);
  auto const newer = run_of<std::uint32_t, double>(keys.newer, rng);
  std::vector<std::uint32_t> out_keys(1001), want_keys(1001);
  std::vector<double> out_values(1001), want_values(1001);
  for (std::size_t shift = 0; shift < 2; ++shift) {
    delta::change_space<std::uint32_t, double> const out(out_keys.data() + shift, 980,
                                                         out_values.data() + 1 - shift);
    delta::change_space<std::uint32_t, double> const want(want_keys.data(), 980,
                                                          want_values.data());
    auto const a = older.ref().slice(3), b = newer.ref().slice(1);
    std::size_t const rows = delta::merge_scalar<delta::keep::either>(a, b, want, delta::add{});
    for (core::isa const which : core::all_isas) {
      auto const got = delta::merge(a, b, out, delta::add{}, which);
      REQUIRE(got == rows);
      CHECK(out.filled(rows) == want.filled(rows));
    }
  }
}

TEST_CASE("merge: output that is too short or shares bytes with an input is refused") {
  core::splitmix_rng rng{7};
  auto const older = run_of<std::uint32_t, float>({1, 2, 3}, rng);
  auto const newer = run_of<std::uint32_t, float>({2, 5}, rng);
  auto out = *delta::change_set<std::uint32_t, float>::make(4);
  auto const refused = [](result<std::size_t> r) {
    return !r && r.error() == error{errc::bad_argument, core::origin::millrace, 3};
  };
  CHECK(refused(delta::merge(older.ref(), newer.ref(), out.space(), delta::add{})));
  CHECK(refused(delta::interleave(older.ref(), newer.ref(), out.space())));
  CHECK(delta::intersect(older.ref(), newer.ref(), out.space(), delta::add{}) == 1);
  CHECK(delta::subtract(older.ref(), newer.ref(), out.space()) == 2);
  auto roomy = *delta::change_set<std::uint32_t, float>::make(20);
  auto const shared = roomy.space();
  for (std::size_t i = 0; i < 5; ++i) { shared.put(i, static_cast<std::uint32_t>(i), 1.0f); }
  delta::change_set_ref<std::uint32_t, float> const inside(shared.keys() + 4, 3,
                                                           older.ref().values().data());
  CHECK(refused(delta::merge(inside, newer.ref(), shared, delta::add{})));
  CHECK(refused(delta::merge(newer.ref(), inside, shared, delta::add{})));
  CHECK(refused(delta::subtract(newer.ref(), inside, shared.from(3))));
  delta::change_set_ref<std::uint32_t, float> const values_inside(older.ref().keys().data(), 3,
                                                                  shared.values() + 4);
  CHECK(refused(delta::merge(values_inside, newer.ref(), shared, delta::add{})));
  // what lies behind the rows that could be written is not touched
  CHECK(delta::merge(inside.slice(0, 1), newer.ref(), shared, delta::add{}) == 3);
}

TEST_CASE_TEMPLATE("merge: unsorted runs give no good result, and no row beyond the room", K,
                   std::uint32_t, std::uint64_t) {
  core::splitmix_rng chance(8);
  for (int round = 0; round < 300; ++round) {
    std::size_t const n = chance.next() % 3000, m = round % 5 == 0 ? n / 40 : chance.next() % 3000;
    std::uint64_t const range = std::uint64_t{2} << chance.next() % 31;
    table<K, float> older(n), newer(m);
    for (auto* run : {&older, &newer}) {
      bool const in_stretches = chance.next() % 2 == 0;
      for (K& key : run->keys) { key = static_cast<K>(chance.next() % range); }
      if (in_stretches) { std::sort(run->keys.begin(), run->keys.begin() + run->size() / 2); }
    }
    auto const a = older.ref(), b = newer.ref();
    table<K, float> all(n + m), smaller(std::min(n, m)), left(n);  // ASan sees their ends
    for (core::isa const which : core::all_isas) {
      CHECK(delta::merge(a, b, all.space(), delta::add{}, which).value() <= n + m);
      CHECK(delta::intersect(a, b, smaller.space(), delta::add{}, which).value() <= smaller.size());
      CHECK(delta::subtract(a, b, left.space(), which).value() <= n);
      CHECK(delta::interleave(a, b, all.space(), which) == n + m);
    }
  }
}
