// SPDX-License-Identifier: Apache-2.0
// Change sets of rows in any order: sorted stably, and rows of one key folded.
#include "bench/delta/benches.hpp"
#include "bench/delta/inputs.hpp"
#include <millrace/delta/combine.hpp>
#include <millrace/delta/consolidate.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#if defined(MILLRACE_BENCH_VQSORT)
#include <hwy/contrib/sort/vqsort.h>
#endif

namespace millrace::bench {
namespace {

template <class K, class V>
struct pair {
  K key;
  V value;
};

/// Rows in arrival order: about one key in two comes twice or more.
template <class K, class V>
struct inputs {
  std::size_t size;
  std::size_t repeats;
  delta::change_set<K, V> rows, out, want;
  std::vector<pair<K, V>> pairs;

  explicit inputs(std::size_t count)
      : size{count},
        repeats{std::max<std::size_t>(1, 30'000 / count)},
        rows{touched<K, V>(count)},
        out{touched<K, V>(count)},
        want{touched<K, V>(count)},
        pairs(count) {
    core::splitmix_rng chance(count);
    // 64-bit keys over the whole of their range, 32-bit ones as dense as ids
    for (std::size_t i = 0; i < count; ++i) {
      std::uint64_t const id = chance.next() % (2 * count);
      K const key = static_cast<K>(sizeof(K) == 8 ? id * 0x9e37'79b9'7f4a'7c15u : id);
      rows.space().put(i, key, static_cast<V>(chance.next() % 1000) / V{8});
      pairs[i] = {key, rows.space().values()[i]};
    }
    rows.set_size(count);
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](auto const& a, auto const& b) { return a.key < b.key; });
    want.set_size(fold(pairs, want.space()));
  }

  [[nodiscard]] static std::size_t fold(std::vector<pair<K, V>> const& sorted,
                                        delta::change_space<K, V> to) {
    std::size_t o = 0;
    for (std::size_t i = 0; i < sorted.size();) {
      K const key = sorted[i].key;
      V sum = sorted[i].value;
      for (++i; i < sorted.size() && sorted[i].key == key; ++i) { sum += sorted[i].value; }
      to.put(o++, key, sum);
    }
    return o;
  }
};

template <class K, class V>
[[gnu::noinline]] std::size_t ours(inputs<K, V>& in) {
  return delta::consolidate(in.rows.ref(), in.out.space(), delta::add{}).value_or(0);
}
template <class K, class V>
[[gnu::noinline]] std::size_t stable_sort(inputs<K, V>& in) {
  for (std::size_t i = 0; i < in.size; ++i) {
    in.pairs[i] = {in.rows.ref().key(i), in.rows.ref().value(i)};
  }
  std::stable_sort(in.pairs.begin(), in.pairs.end(),
                   [](auto const& a, auto const& b) { return a.key < b.key; });
  return in.fold(in.pairs, in.out.space());
}

#if defined(MILLRACE_BENCH_VQSORT)
/// Not stable: the row's number goes with the key, in one number twice as wide.
template <class V>
[[gnu::noinline]] std::size_t vqsort(inputs<std::uint32_t, V>& in,
                                     std::vector<std::uint64_t>& numbers) {
  static hwy::Sorter sorter;
  auto const rows = in.rows.ref();
  numbers.resize(in.size);
  for (std::size_t i = 0; i < in.size; ++i) { numbers[i] = std::uint64_t{rows.key(i)} << 32 | i; }
  sorter(numbers.data(), numbers.size(), hwy::SortAscending());
  std::size_t o = 0;
  auto const out = in.out.space();
  for (std::size_t i = 0; i < in.size;) {
    auto const key = static_cast<std::uint32_t>(numbers[i] >> 32);
    V sum = rows.value(static_cast<std::uint32_t>(numbers[i]));
    for (++i; i < in.size && numbers[i] >> 32 == key; ++i) {
      sum += rows.value(static_cast<std::uint32_t>(numbers[i]));
    }
    out.put(o++, key, sum);
  }
  return o;
}
template <class V>
[[gnu::noinline]] std::size_t vqsort(inputs<std::uint64_t, V>& in,
                                     std::vector<hwy::uint128_t>& numbers) {
  static hwy::Sorter sorter;
  auto const rows = in.rows.ref();
  numbers.resize(in.size);
  for (std::size_t i = 0; i < in.size; ++i) {
    numbers[i].hi = rows.key(i);
    numbers[i].lo = i;
  }
  sorter(numbers.data(), numbers.size(), hwy::SortAscending());
  std::size_t o = 0;
  auto const out = in.out.space();
  for (std::size_t i = 0; i < in.size;) {
    auto const key = numbers[i].hi;
    V sum = rows.value(numbers[i].lo);
    for (++i; i < in.size && numbers[i].hi == key; ++i) { sum += rows.value(numbers[i].lo); }
    out.put(o++, key, sum);
  }
  return o;
}
#endif

template <class K, class V, class Build>
[[nodiscard]] contender building(std::string name, std::shared_ptr<inputs<K, V>> in, Build of) {
  return guarded(std::move(name), [in, of]() -> measured {
    std::size_t got = 0;
    std::int64_t const start = now_ns();
    for (std::size_t i = 0; i < in->repeats; ++i) { got = of(*in); }
    auto const ns = static_cast<double>(now_ns() - start) / static_cast<double>(in->repeats);
    return {static_cast<double>(in->size) * 1e9 / ns,
            differs(in->out.space().filled(got), in->want.ref())};
  });
}

template <class K, class V>
void build_benches(session& out, std::string const& types) {
  for (auto const& [name, size] :
       {std::pair{"1e3", 1'000u}, {"1e5", 100'000u}, {"1e7", 10'000'000u}}) {
    std::string const bench = "delta.build." + types + "." + name;
    if (!out.wants(bench)) { continue; }
    auto const in = std::make_shared<inputs<K, V>>(size);
    comparison row{.bench = bench,
                   .unit = "rows/s",
                   .way = better::higher,
                   .ours = building("millrace", in, ours<K, V>),
                   .peers = {building("std.stable_sort", in, stable_sort<K, V>)}};
#if defined(MILLRACE_BENCH_VQSORT)
    using number = std::conditional_t<sizeof(K) == 4, std::uint64_t, hwy::uint128_t>;
    auto const numbers = std::make_shared<std::vector<number>>(size);
    row.peers.push_back(building("highway.vqsort", in,
                                 [numbers](inputs<K, V>& of) { return vqsort(of, *numbers); }));
#endif
    out.run(row);
  }
}

}  // namespace

void build_benches(session& out) {
  build_benches<std::uint32_t, float>(out, "u32f32");
  build_benches<std::uint64_t, double>(out, "u64f64");
}

}  // namespace millrace::bench
