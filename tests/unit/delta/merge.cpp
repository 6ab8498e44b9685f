// SPDX-License-Identifier: Apache-2.0
#include "tier.hpp"
#include "unit/delta/support.hpp"
#include <millrace/core/isa.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace millrace;
using namespace millrace_test::delta;

namespace {

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
    return value == V(16);
  }
};

template <class K, class V1, class C>
struct one_column {
  using key = K;
  using policy = C;
  using set = delta::change_set<K, V1>;
  static set make(std::vector<K> const& keys, core::xoshiro_rng& rng) {
    return run_of<K, V1>(keys, rng);
  }
};
template <class K, class V1, class V2, class C>
struct two_columns {
  using key = K;
  using policy = C;
  using set = delta::change_set<K, V1, V2>;
  static set make(std::vector<K> const& keys, core::xoshiro_rng& rng) {
    return run_of<K, V1, V2>(keys, rng);
  }
};
template <class K>
struct keys_alone {
  using key = K;
  using policy = delta::add;
  using set = delta::change_set<K>;
  static set make(std::vector<K> const& keys, core::xoshiro_rng& rng) {
    return run_of<K>(keys, rng);
  }
};

/// With Others, the operations beside the merge as well.
template <class T, bool Others>
void check_pair(key_pair<typename T::key> const& keys, core::xoshiro_rng& rng) {
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
  core::xoshiro_rng rng{11};
  static_cast<void>(isas());
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
  core::xoshiro_rng rng{5};
  std::size_t const n = millrace_test::long_tier() ? 10'000'000 : 300'000;
  using wide = two_columns<std::uint64_t, double, double, delta::add>;
  check_pair<wide, false>(random_keys<std::uint64_t>(rng, n, n, 64, 20), rng);
  check_pair<keys_alone<std::uint32_t>, true>(random_keys<std::uint32_t>(rng, 4 * n, 4 * n, 64, 20),
                                              rng);
}

TEST_CASE("merge: columns at any address are the same") {
  core::xoshiro_rng rng{6};
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
  core::xoshiro_rng rng{7};
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
