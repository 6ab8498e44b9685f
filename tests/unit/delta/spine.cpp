// SPDX-License-Identifier: Apache-2.0
#include "tests/tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/spine.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/failing_resource.hpp>

#include <cuda/std/tuple>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <type_traits>
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

using failing = memory::failing_resource<>;

template <class V>
[[nodiscard]] V random_value(core::xoshiro_rng& rng) {
  uint64_t const draw = rng.next();
  if constexpr (std::is_floating_point_v<V>) {
    V const odd[] = {V(-0.0), std::numeric_limits<V>::infinity(),
                     -std::numeric_limits<V>::infinity(), std::numeric_limits<V>::quiet_NaN()};
    if (draw % 64 == 0) { return odd[(draw >> 32) % 4]; }
    return static_cast<V>(std::ldexp(static_cast<double>(static_cast<int64_t>(draw)),
                                     static_cast<int>(draw % 30) - 60));
  } else {
    return static_cast<V>(draw % 2 == 0 ? 1 : -1);
  }
}

/// A spine beside a std::map that gets the same changes one by one.
template <class Combine, class K, class... Vs>
class twin {
 public:
  using spine = delta::spine<delta::change<K, Vs...>, Combine, failing>;
  using set = delta::change_set<K, Vs...>;

  explicit twin(uint64_t seed, Combine combine = {})
      : rng(seed), combine_{combine}, spine_(combine, failing(plan)) {}

  /// Strictly increasing keys below `keys` and random values.
  [[nodiscard]] set batch(size_t rows, uint64_t keys, K first = 0) {
    std::set<K> chosen;
    for (size_t i = 0; i < rows; ++i) {
      chosen.insert(static_cast<K>(first + static_cast<K>(core::below(rng, keys))));
    }
    return of({chosen.begin(), chosen.end()});
  }
  [[nodiscard]] set of(std::vector<K> const& keys) {
    set made = core::value_or_throw(set::make(keys.size()));
    for (size_t i = 0; i < keys.size(); ++i) {
      made.space().put(i, keys[i], random_value<Vs>(rng)...);
    }
    made.set_size(keys.size());
    return made;
  }

  /// @return whether the spine took it
  bool insert(set const& rows) {
    auto const before = spine_.stats();
    size_t const runs = spine_.runs();
    auto const done = spine_.insert(rows);
    auto const after = spine_.stats();
    if (!done) {
      CHECK(done.error().code == errc::out_of_memory);
      CHECK(after.rows == before.rows);
      CHECK(after.inserted == before.inserted);
      CHECK(after.bytes == before.bytes);
      return false;
    }
    for (size_t i = 0; i < rows.size(); ++i) { take(rows.ref()[i]); }
    CHECK(after.inserted == before.inserted + rows.size());
    CHECK(after.bytes == plan.live_bytes);
    if (!rows.empty()) {
      CHECK(after.last_moved >= rows.size());
      CHECK(after.last_moved <= rows.size() * (1 + spine::pace * (2 * runs + 2)) + 2 * runs + 2);
    }
    return true;
  }

  void check_key(K key) const {
    auto const found = spine_.find(key);
    auto const at = map_.find(key);
    REQUIRE(found.has_value() == (at != map_.end()));
    if (found) { CHECK(same(*found, cuda::std::tuple_cat(cuda::std::tuple(key), at->second))); }
  }
  /// Some keys that are there, and some that may not be.
  void check_keys(size_t count, uint64_t keys) {
    for (size_t i = 0; i < count; ++i) { check_key(static_cast<K>(core::below(rng, keys))); }
  }
  void check_all() {
    auto at = map_.begin();
    bool good = true;
    spine_.for_each([&](K key, Vs const&... values) {
      good = good && at != map_.end() &&
             same(delta::change<K, Vs...>(key, values...),
                  cuda::std::tuple_cat(cuda::std::tuple(at->first), at->second));
      at = good ? std::next(at) : at;
    });
    CHECK(good);
    CHECK((at == map_.end()));
  }
  void check_range(K first, K last) const {
    auto at = map_.lower_bound(first);
    bool good = true;
    spine_.for_each(first, last, [&](K key, Vs const&...) {
      good = good && at != map_.end() && at->first == key && first <= key && key < last;
      at = good ? std::next(at) : at;
    });
    CHECK(good);
    CHECK((at == map_.lower_bound(std::max(first, last))));
  }
  void check_snapshot() const {
    auto const made = spine_.snapshot();
    if (!made) {
      CHECK(made.error().code == errc::out_of_memory);
      return;
    }
    REQUIRE(made->size() == map_.size());
    size_t i = 0;
    bool good = true;
    for (auto const& [key, values] : map_) {
      good = good && same(made->ref()[i++], cuda::std::tuple_cat(cuda::std::tuple(key), values));
    }
    CHECK(good);
  }
  /// Idle time without end: one run, and no byte too many.
  void check_settles() {
    plan.fail_one_in = plan.fail_at = 0;
    spine_.work();
    auto const now = spine_.stats();
    CHECK(now.runs == (map_.empty() ? 0 : 1));
    CHECK(now.merges == 0);
    CHECK(now.rows == map_.size());
    size_t const row_bytes = sizeof(K) + (size_t{0} + ... + sizeof(Vs));
    CHECK(now.bytes <= map_.size() * row_bytes * 9 / 8 + 64 * (2 + sizeof...(Vs)));
    CHECK(spine_.work() == 0);
    check_all();
  }

  core::xoshiro_rng rng;
  memory::failure_plan plan{};
  [[nodiscard]] spine& tested() { return spine_; }

 private:
  [[nodiscard]] static bool same(delta::change<K, Vs...> const& a,
                                 delta::change<K, Vs...> const& b) {
    return same(a, b, std::index_sequence_for<Vs...>{});
  }
  template <size_t... Is>
  [[nodiscard]] static bool same(delta::change<K, Vs...> const& a, delta::change<K, Vs...> const& b,
                                 std::index_sequence<Is...>) {
    return cuda::std::get<0>(a) == cuda::std::get<0>(b) &&
           (delta::same_bits(cuda::std::get<Is + 1>(a), cuda::std::get<Is + 1>(b)) && ...);
  }
  void take(delta::change<K, Vs...> const& row) { take(row, std::index_sequence_for<Vs...>{}); }
  template <size_t... Is>
  void take(delta::change<K, Vs...> const& row, std::index_sequence<Is...>) {
    K const key = cuda::std::get<0>(row);
    auto const at = map_.find(key);
    if (at == map_.end()) {
      map_.emplace(key, cuda::std::tuple<Vs...>(cuda::std::get<Is + 1>(row)...));
      return;
    }
    ((cuda::std::get<Is>(at->second) = delta::detail::policy_of<Is>(combine_)(
          cuda::std::get<Is>(at->second), cuda::std::get<Is + 1>(row))),
     ...);
    if (delta::drops_row(combine_, cuda::std::get<Is>(at->second)...)) { map_.erase(at); }
  }

  Combine combine_;
  spine spine_;
  std::map<K, cuda::std::tuple<Vs...>> map_;
};

/// Random inserts, reads and idle time, memory failing now and then.
template <class Combine, class K, class... Vs>
void random_programs(Combine combine = {}) {
  uint64_t const programs = millrace_test::long_tier() ? 400 : 12;
  for (uint64_t seed = 1; seed <= programs; ++seed) {
    CAPTURE(seed);
    twin<Combine, K, Vs...> both(seed, combine);
    uint64_t const keys = seed % 3 == 0 ? 20 : seed % 3 == 1 ? 500 : 100'000;
    if (seed % 4 == 0) { both.plan.fail_one_in = 5; }
    for (int step = 0; step < 120; ++step) {
      switch (core::below(both.rng, 8)) {
        case 0: both.tested().work(static_cast<size_t>(core::below(both.rng, 300))); break;
        case 1: both.check_keys(20, keys); break;
        case 2: {
          K const first = static_cast<K>(core::below(both.rng, keys));
          both.check_range(first, static_cast<K>(first + core::below(both.rng, keys)));
          break;
        }
        case 3: both.insert(both.batch(1, keys)); break;
        default: both.insert(both.batch(static_cast<size_t>(core::below(both.rng, 150)), keys));
      }
      if (step % 40 == 7) {
        both.check_all();
        both.check_snapshot();
      }
    }
    both.check_all();
    both.check_settles();
  }
}

}  // namespace

TEST_CASE("spine: equals a std::map that takes the changes one by one, for every policy") {
  random_programs<delta::add, uint32_t, int32_t>();
  random_programs<delta::add, uint32_t, float>();
  random_programs<delta::add, uint64_t, double>();
  random_programs<delta::last_writer, uint32_t, float>();
  random_programs<delta::minimum, uint64_t, double>();
  random_programs<delta::maximum, uint32_t, float>();
  random_programs<delta::exclusive_or, uint64_t, int64_t>();
  random_programs<delta::count, uint32_t, int64_t>();
  random_programs<delta::by_column<delta::count, delta::last_writer>, uint32_t, int32_t, double>();
  random_programs<delta::by_column<delta::count, delta::add>, uint64_t, int32_t, float>();
  random_programs<delta::by_column<delta::count, delta::count>, uint32_t, int32_t, int64_t>();
}

TEST_CASE("spine: batches that are odd") {
  twin<delta::add, uint32_t, float> both(1);
  SUBCASE("empty ones change nothing") {
    CHECK(both.insert(both.of({})));
    CHECK(both.tested().runs() == 0);
    CHECK_FALSE(both.tested().find(0).has_value());
    both.check_all();
    both.check_snapshot();
    both.check_settles();
  }
  SUBCASE("one row at a time, descending to the smallest key and from the largest") {
    for (uint32_t i = 0; i < 300; ++i) { both.insert(both.of({~0u - 3 * i})); }
    for (uint32_t i = 0; i < 100; ++i) { both.insert(both.of({99 - i})); }
    both.check_all();
    both.check_key(~0u);
    both.check_key(0);
    both.check_range(0, ~0u);
    both.check_range(~0u, ~0u);
    both.check_range(~0u - 10, 5);
    both.check_settles();
    both.check_key(~0u);
  }
  SUBCASE("the same key always") {
    for (uint32_t i = 0; i < 500; ++i) { both.insert(both.of({7})); }
    both.check_all();
    CHECK(both.tested().rows() < 30);
    both.check_settles();
  }
  SUBCASE("the same keys always, under more keys that nobody changes") {
    both.insert(both.batch(5000, 1'000'000));
    std::vector<uint32_t> const hot{1, 1000, 5000, 9999, 500'000};
    for (uint32_t i = 0; i < 700; ++i) { both.insert(both.of(hot)); }
    for (uint32_t const key : hot) { both.check_key(key); }
    both.check_settles();
  }
  SUBCASE("descending blocks, and a large one over small ones") {
    for (uint32_t i = 0; i < 40; ++i) { both.insert(both.batch(50, 900, (40 - i) * 1000)); }
    both.insert(both.batch(3000, 50'000));
    both.check_all();
    both.check_settles();
  }
}

TEST_CASE("spine: a batch that is not a change set is refused with the row's index") {
  using spine = delta::spine<delta::change<uint32_t, int32_t>, delta::count>;
  spine tested;
  uint32_t const keys[] = {1, 5, 5, 9};
  int32_t const values[] = {1, 1, 1, 0};
  auto const repeated = tested.insert({keys, 4, values});
  REQUIRE_FALSE(repeated);
  CHECK(repeated.error().code == errc::bad_argument);
  CHECK(repeated.error().native == 2);
  auto const zero = tested.insert({keys + 2, 2, values + 2});
  REQUIRE_FALSE(zero);
  CHECK(zero.error().native == 1);
  CHECK(tested.runs() == 0);
  CHECK(tested.insert({keys, 2, values}));
}

TEST_CASE("spine: no insert moves more than its share, and runs stay few") {
  twin<delta::last_writer, uint32_t, float> both(3);
  auto& tested = both.tested();
  std::vector<uint64_t> moved;
  for (int i = 0; i < 1000; ++i) {
    both.insert(both.batch(40, 1u << 30));
    auto const now = tested.stats();
    moved.push_back(now.last_moved);
    // runs of like size in pairs at most, and their merges
    CHECK(now.runs <= 2 * static_cast<size_t>(std::bit_width(now.rows / 40)) + 2);
    CHECK(now.bytes <= 2 * (now.rows * 8 + now.runs * 256));
  }
  std::sort(moved.begin(), moved.end());
  CHECK(moved.back() <= 50 * moved[moved.size() / 2]);
  CHECK(tested.stats().most_moved == moved.back());
  // each row moves once a doubling
  CHECK(tested.stats().moved <= 40'000 * 13);
}

TEST_CASE("spine: idle work goes on where it stopped, and memory falls to one run") {
  twin<delta::add, uint32_t, double> both(4);
  for (int i = 0; i < 200; ++i) { both.insert(both.batch(100, 1u << 20)); }
  auto const before = both.tested().stats();
  size_t calls = 0;
  while (both.tested().work(500) != 0) {
    if (++calls % 16 == 0) { both.check_keys(3, 1u << 20); }
    if (calls % 64 == 5) { both.insert(both.batch(3, 1u << 20)); }
    REQUIRE(calls < 10'000);
  }
  both.check_settles();
  CHECK(both.tested().stats().bytes < before.bytes);
}

TEST_CASE("spine: an insert that finds no memory is refused, a merge that finds none waits") {
  // each allocation of an insert in turn
  for (uint64_t nth = 1; nth <= 8; ++nth) {
    twin<delta::add, uint32_t, float> both(9);
    for (int i = 0; i < 63; ++i) { both.insert(both.batch(20, 1000)); }
    both.plan.fail_at = both.plan.seen + nth;
    bool const taken = both.insert(both.batch(20, 1000));
    CHECK(taken == (nth != 1));
    both.check_all();
    both.plan.fail_at = 0;
    both.insert(both.batch(20, 1000));
    both.check_all();
    both.check_settles();
  }
  // none at all for merges: runs become as many as may be, then inserts are refused, and with
  // memory back everything goes on
  twin<delta::add, uint32_t, float> both(10);
  size_t taken = 0;
  for (int i = 0; i < 200; ++i) {
    both.plan.fail_at = both.plan.seen + 2;
    auto const rows = both.batch(5, 1000);
    both.plan.fail_from = both.plan.seen + (both.tested().runs() < 64 ? 2 : 1);
    taken += both.insert(rows) ? 1 : 0;
    both.plan.fail_from = 0;
  }
  CHECK(taken == 64);
  CHECK(both.tested().runs() == 64);
  CHECK(both.tested().stats().postponed > 64);
  both.plan.fail_at = 0;
  both.check_all();
  CHECK(both.insert(both.batch(5, 1000)));
  CHECK(both.tested().runs() < 64);
  both.check_all();
  both.check_settles();
}

TEST_CASE("spine: a visit that returns false ends the walk, and clear forgets") {
  twin<delta::add, uint32_t, int32_t> both(2);
  for (int i = 0; i < 10; ++i) { both.insert(both.batch(30, 500)); }
  int seen = 0;
  both.tested().for_each([&](uint32_t, int32_t) { return ++seen < 5; });
  CHECK(seen == 5);
  auto moved = std::move(both.tested());
  CHECK(both.tested().runs() == 0);
  CHECK(moved.rows() > 0);
  moved.clear();
  CHECK(moved.stats().bytes == 0);
  CHECK(both.plan.live_bytes == 0);
}
