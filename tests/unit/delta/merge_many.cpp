// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/isa.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge_many.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/failing_resource.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace delta = millrace::delta;
namespace memory = millrace::memory;
using millrace::errc;
using std::int32_t;
using std::int64_t;
using std::size_t;
using std::uint32_t;
using std::uint64_t;

namespace {

template <class K, class... Vs>
using sets = std::vector<delta::change_set<K, Vs...>>;

template <class K, class... Vs>
[[nodiscard]] std::vector<delta::change_set_ref<K, Vs...>> refs_of(sets<K, Vs...> const& all) {
  std::vector<delta::change_set_ref<K, Vs...>> refs;
  for (auto const& each : all) { refs.push_back(each.ref()); }
  return refs;
}

/// merge(merge(a, b), c) ... by the reference.
template <class C, class K, class... Vs>
[[nodiscard]] delta::change_set<K, Vs...> one_by_one(
    std::vector<delta::change_set_ref<K, Vs...>> const& runs, C const& combine) {
  using set = delta::change_set<K, Vs...>;
  set so_far = core::value_or_throw(set::make(0));
  for (auto const& run : runs) {
    set next = core::value_or_throw(set::make(so_far.size() + run.size()));
    next.set_size(
        delta::merge_scalar<delta::keep::either>(so_far.ref(), run, next.space(), combine));
    so_far = std::move(next);
  }
  return so_far;
}

/// Values among which floating sums round, meet -0, infinities and NaN, and counts come to zero.
template <class V>
[[nodiscard]] V random_value(core::xoshiro_rng& rng) {
  uint64_t const draw = rng.next();
  if constexpr (std::is_floating_point_v<V>) {
    V const odd[] = {V(-0.0), std::numeric_limits<V>::infinity(),
                     -std::numeric_limits<V>::infinity(), std::numeric_limits<V>::quiet_NaN(),
                     std::numeric_limits<V>::denorm_min()};
    if (draw % 50 == 0) { return odd[(draw >> 32) % 5]; }
    return static_cast<V>(std::ldexp(static_cast<double>(static_cast<int64_t>(draw)),
                                     static_cast<int>(draw % 30) - 60));
  } else {
    return static_cast<V>(draw % 3 == 0 ? 1 : draw % 3 == 1 ? -1 : 2);
  }
}

template <class K, class... Vs>
[[nodiscard]] delta::change_set<K, Vs...> random_run(core::xoshiro_rng& rng, size_t size, K first,
                                                     uint64_t gap) {
  auto run = core::value_or_throw(delta::change_set<K, Vs...>::make(size));
  K key = first;
  for (size_t i = 0; i < size; ++i) {
    key = static_cast<K>(key + 1 + core::below(rng, gap));
    run.space().put(i, key, random_value<Vs>(rng)...);
  }
  run.set_size(size);
  return run;
}

template <class C, class K, class... Vs>
void equals_one_by_one(sets<K, Vs...> const& runs, C const& combine) {
  auto const refs = refs_of(runs);
  auto const want = one_by_one(refs, combine);
  size_t rows = 0;
  for (auto const& run : refs) { rows += run.size(); }
  for (core::isa const which : core::all_isas) {
    if (!core::has_isa(which)) {
      MESSAGE("skipped: this machine lacks ", core::describe(which));
      continue;
    }
    auto out = core::value_or_throw(delta::change_set<K, Vs...>::make(rows));
    auto const written = delta::merge_many(refs, out.space(), combine, {}, which);
    REQUIRE(written);
    out.set_size(*written);
    CHECK(out.ref() == want.ref());
  }
}

template <class K, class... Vs, class C>
void many_shapes(C const& combine) {
  core::xoshiro_rng rng(11);
  for (size_t const count : {0u, 1u, 2u, 3u, 5u, 16u, 70u}) {
    for (uint64_t const gap : {1u, 3u, 1000u}) {
      sets<K, Vs...> runs;
      for (size_t i = 0; i < count; ++i) {
        size_t const size = static_cast<size_t>(core::below(rng, i % 7 == 6 ? 3000 : 60));
        runs.push_back(random_run<K, Vs...>(rng, size, K{0}, gap));
      }
      equals_one_by_one(runs, combine);
    }
  }
}

struct keeps_first {
  static constexpr bool commutative = false;
  template <class V>
  [[nodiscard]] V operator()(V older, V) const noexcept {
    return older;
  }
};

}  // namespace

TEST_CASE("merge_many: equals merging one run after another, for every policy and every column") {
  many_shapes<uint32_t, float>(delta::add{});
  many_shapes<uint64_t, double>(delta::add{});
  many_shapes<uint32_t, int32_t>(delta::add{});
  many_shapes<uint32_t, float>(delta::last_writer{});
  many_shapes<uint64_t, double>(delta::minimum{});
  many_shapes<uint32_t, float>(delta::maximum{});
  many_shapes<uint64_t, int64_t>(delta::exclusive_or{});
  many_shapes<uint32_t, int64_t>(delta::count{});
  many_shapes<uint32_t, float>(keeps_first{});
  many_shapes<uint32_t, float, double>(delta::add{});
  many_shapes<uint64_t, int32_t, double>(delta::by_column<delta::count, delta::last_writer>{});
  many_shapes<uint32_t, int32_t, int64_t>(delta::by_column<delta::count, delta::count>{});
  many_shapes<uint32_t>(delta::add{});
}

TEST_CASE("merge_many: tiles of runs that are larger than one") {
  core::xoshiro_rng rng(5);
  SUBCASE("spread alike") {
    sets<uint32_t, float> runs;
    for (int i = 0; i < 9; ++i) { runs.push_back(random_run<uint32_t, float>(rng, 20'000, 0, 5)); }
    equals_one_by_one(runs, delta::add{});
    equals_one_by_one(runs, delta::maximum{});
  }
  SUBCASE("one after another, the newest with the smallest keys") {
    sets<uint32_t, float> runs;
    for (uint32_t i = 0; i < 9; ++i) {
      runs.push_back(random_run<uint32_t, float>(rng, 20'000, (8 - i) * 20'100, 1));
    }
    equals_one_by_one(runs, delta::add{});
    equals_one_by_one(runs, delta::last_writer{});
  }
  SUBCASE("in turns, some hundred rows at a time") {
    sets<uint32_t, int32_t> runs;
    for (uint32_t i = 0; i < 8; ++i) {
      auto run = core::value_or_throw(delta::change_set<uint32_t, int32_t>::make(20'000));
      for (uint32_t k = 0; k < 20'000; ++k) {
        run.space().put(k, (k / 300 * 8 + i) * 290 + k % 300, static_cast<int32_t>(k % 2) * 2 - 1);
      }
      run.set_size(20'000);
      runs.push_back(std::move(run));
    }
    equals_one_by_one(runs, delta::count{});
    equals_one_by_one(runs, delta::add{});
  }
  SUBCASE("a large one among small ones") {
    sets<uint64_t, double> runs;
    for (uint64_t i = 0; i < 30; ++i) {
      runs.push_back(
          random_run<uint64_t, double>(rng, i == 17 ? 100'000 : 10, i, i == 17 ? 2 : 9000));
    }
    equals_one_by_one(runs, delta::add{});
    equals_one_by_one(runs, delta::exclusive_or{});
  }
  SUBCASE("all of the same keys, the largest key among them") {
    sets<uint32_t, float> runs;
    for (uint32_t i = 0; i < 12; ++i) {
      auto run = core::value_or_throw(delta::change_set<uint32_t, float>::make(9000));
      for (uint32_t k = 0; k < 9000; ++k) {
        run.space().put(k, k - 9000, random_value<float>(rng));
      }
      run.set_size(9000);
      runs.push_back(std::move(run));
    }
    equals_one_by_one(runs, delta::add{});
    equals_one_by_one(runs, delta::minimum{});
  }
}

TEST_CASE("merge_many: a run may repeat a key where the policy keeps to the order of arrival") {
  // more rows of one key than a tile has
  std::vector<uint32_t> keys[3];
  std::vector<float> values[3];
  core::xoshiro_rng rng(3);
  std::vector<float> all_of[3];
  for (size_t run = 0; run < 3; ++run) {
    for (size_t i = 0; i < 60'000; ++i) {
      uint32_t const key = i < 5 ? 1 : i < 59'990 ? 2 : 3;
      keys[run].push_back(key);
      values[run].push_back(random_value<float>(rng));
    }
  }
  std::vector<delta::change_set_ref<uint32_t, float>> refs;
  float want[4] = {};
  bool begun[4] = {};
  for (size_t run = 0; run < 3; ++run) {
    refs.emplace_back(keys[run].data(), keys[run].size(), values[run].data());
    for (size_t i = 0; i < keys[run].size(); ++i) {
      uint32_t const key = keys[run][i];
      want[key] = begun[key] ? delta::add{}(want[key], values[run][i]) : values[run][i];
      begun[key] = true;
    }
  }
  auto out = core::value_or_throw(delta::change_set<uint32_t, float>::make(180'000));
  auto const written = delta::merge_many(refs, out.space(), delta::add{});
  REQUIRE(written);
  REQUIRE(*written == 3);
  for (uint32_t key = 1; key <= 3; ++key) {
    CHECK(out.space().keys()[key - 1] == key);
    CHECK(delta::same_bits(out.space().values()[key - 1], want[key]));
  }
}

TEST_CASE("merge_many: what it refuses, it leaves alone") {
  core::xoshiro_rng rng(1);
  sets<uint32_t, float> runs;
  for (int i = 0; i < 3; ++i) { runs.push_back(random_run<uint32_t, float>(rng, 10, 0, 4)); }
  auto const refs = refs_of(runs);
  auto out = core::value_or_throw(delta::change_set<uint32_t, float>::make(30));
  for (size_t i = 0; i < 30; ++i) { out.space().put(i, 77, 7.0f); }
  auto const untouched = [&] {
    for (size_t i = 0; i < 30; ++i) {
      if (out.space().keys()[i] != 77 || out.space().values()[i] != 7.0f) { return false; }
    }
    return true;
  };
  using room = delta::change_space<uint32_t, float>;
  auto const into = [&](room space, auto resource) {
    return delta::merge_many(refs, space, delta::add{}, resource);
  };

  auto const short_by_one =
      into(room(out.space().keys(), 29, out.space().values()), memory::host_resource{});
  REQUIRE_FALSE(short_by_one);
  CHECK(short_by_one.error().code == errc::bad_argument);
  CHECK(short_by_one.error().native == 2);

  std::vector<uint32_t> keys(40);
  auto* const inside = const_cast<float*>(refs[2].values().data());
  auto const overlapping = into(room(keys.data(), 40, inside - 29), memory::host_resource{});
  REQUIRE_FALSE(overlapping);
  CHECK(overlapping.error().code == errc::bad_argument);
  CHECK(overlapping.error().native == 2);

  memory::failure_plan plan;
  for (uint64_t nth = 1;; ++nth) {
    plan.seen = 0;
    plan.fail_at = nth;
    auto const made = into(out.space(), memory::failing_resource<>(plan));
    CHECK(plan.live_bytes == 0);
    if (made) {
      CHECK(nth > 2);
      CHECK_FALSE(untouched());
      break;
    }
    CHECK(made.error().code == errc::out_of_memory);
    CHECK(untouched());
  }
}

TEST_CASE("merge_many: unsorted runs give no good result, and no row beyond its room") {
  core::xoshiro_rng rng(2);
  for (int round = 0; round < 20; ++round) {
    sets<uint32_t, int32_t> runs;
    size_t rows = 0;
    for (int i = 0; i < 5; ++i) {
      auto run = core::value_or_throw(delta::change_set<uint32_t, int32_t>::make(12'000));
      for (size_t k = 0; k < 12'000; ++k) {
        run.space().put(k, static_cast<uint32_t>(rng.next() >> 50), 1);
      }
      run.set_size(12'000);
      rows += 12'000;
      runs.push_back(std::move(run));
    }
    std::vector<uint32_t> keys(rows);  // ASan sees their ends
    std::vector<int32_t> values(rows);
    delta::change_space<uint32_t, int32_t> const out(keys.data(), rows, values.data());
    auto const written = delta::merge_many(refs_of(runs), out, delta::add{});
    REQUIRE(written);
    CHECK(*written <= rows);
  }
}
