// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/fold_equal.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace core = millrace::core;
namespace delta = millrace::delta;
using std::int32_t;
using std::size_t;
using std::uint32_t;

namespace {

template <class V>
struct rows_of {
  std::vector<uint32_t> keys;
  std::vector<V> values;

  [[nodiscard]] delta::change_space<uint32_t, V> space() {
    return {keys.data(), keys.size(), values.data()};
  }
  [[nodiscard]] delta::change_set_ref<uint32_t, V> ref() const {
    return {keys.data(), keys.size(), values.data()};
  }
  void put(uint32_t key, V value) {
    keys.push_back(key);
    values.push_back(value);
  }
  void cut(size_t size) {
    keys.resize(size);
    values.resize(size);
  }
};

/// One row after another, as merges of single rows would.
template <class V, class C>
[[nodiscard]] rows_of<V> folded(rows_of<V> const& in, C const& combine) {
  rows_of<V> out;
  for (size_t i = 0; i < in.keys.size(); ++i) {
    if (out.keys.empty() || out.keys.back() != in.keys[i]) {
      out.put(in.keys[i], in.values[i]);
      continue;
    }
    V const value = combine(out.values.back(), in.values[i]);
    if (delta::drops_row(combine, value)) {
      out.cut(out.keys.size() - 1);
    } else {
      out.values.back() = value;
    }
  }
  return out;
}

/// Sorted, each key `most` times at most.
template <class V>
[[nodiscard]] rows_of<V> random_rows(core::xoshiro_rng& rng, size_t size, std::uint64_t most) {
  rows_of<V> made;
  uint32_t key = 0;
  while (made.keys.size() < size) {
    key += 1 + static_cast<uint32_t>(core::below(rng, 3));
    for (std::uint64_t n = 1 + core::below(rng, most); n > 0 && made.keys.size() < size; --n) {
      std::uint64_t const draw = core::below(rng, 5);
      made.put(key, static_cast<V>(static_cast<int>(draw < 2 ? draw + 1 : 0 - (draw - 1))));
    }
  }
  return made;
}

template <class V, class C>
void folds_as_one_by_one(C const& combine) {
  core::xoshiro_rng rng(7);
  for (size_t const size : {0u, 1u, 2u, 15u, 16u, 17u, 33u, 100u, 1000u}) {
    for (std::uint64_t const most : {1u, 2u, 5u, 400u}) {
      rows_of<V> rows = random_rows<V>(rng, size, most);
      auto const want = folded(rows, combine);
      // all at once, and in pieces that part rows of one key
      rows_of<V> whole = rows;
      whole.cut(delta::fold_equal(whole.space(), 0, 0, size, combine));
      CHECK(whole.ref() == want.ref());
      size_t done = 0;
      for (size_t begin = 0; begin < size;) {
        size_t const end = begin + 1 + static_cast<size_t>(core::below(rng, size - begin));
        done = delta::fold_equal(rows.space(), done, begin, end, combine);
        begin = end;
      }
      rows.cut(done);
      CHECK(rows.ref() == want.ref());
    }
  }
}

}  // namespace

TEST_CASE("fold_equal: neighbours of one key become what merging them one by one would give") {
  folds_as_one_by_one<float>(delta::add{});
  folds_as_one_by_one<double>(delta::last_writer{});
  folds_as_one_by_one<int32_t>(delta::add{});
  folds_as_one_by_one<int32_t>(delta::count{});
}

TEST_CASE("fold_equal: floating sums are taken from the left") {
  rows_of<float> rows;
  for (float const value : {1e8f, 1.0f, -1e8f, 1.0f}) { rows.put(5, value); }
  rows.cut(delta::fold_equal(rows.space(), 0, 0, 4, delta::add{}));
  REQUIRE(rows.keys.size() == 1);
  CHECK(rows.values[0] == ((1e8f + 1.0f) + -1e8f) + 1.0f);
}

TEST_CASE("fold_equal: a dropped row leaves its key to begin anew") {
  rows_of<int32_t> rows;
  for (int32_t const value : {2, -2, 3, -3, 4}) { rows.put(9, value); }
  rows.put(~0u, 1);
  rows.put(~0u, -1);
  rows.cut(delta::fold_equal(rows.space(), 0, 0, 7, delta::count{}));
  REQUIRE(rows.keys.size() == 1);
  CHECK(rows.keys[0] == 9);
  CHECK(rows.values[0] == 4);
}

TEST_CASE("fold_equal: keys alone lose their repetitions") {
  std::vector<uint32_t> keys{1, 1, 2, 3, 3, 3, 7};
  delta::change_space<uint32_t> const space(keys.data(), keys.size());
  CHECK(delta::fold_equal(space, 0, 0, keys.size(), delta::add{}) == 4);
  keys.resize(4);
  CHECK(keys == std::vector<uint32_t>{1, 2, 3, 7});
}
