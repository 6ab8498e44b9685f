// SPDX-License-Identifier: Apache-2.0
// Two runs into one: sums of values by key, and keys alone. A trial goes over several pairs of runs
// where they are short, so that no contender's branches are learnt by heart.
#include "bench/delta/benches.hpp"
#include "bench/delta/inputs.hpp"
#include "bench/delta/thrust_peer.hpp"
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/merge_scalar.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <immintrin.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench {
namespace {

constexpr delta::add sum{};

template <class K, class V>
using rows_of = delta::change_set_ref<K, V>;
template <class K, class V>
using room_of = delta::change_space<K, V>;

template <class K, class V>
[[gnu::noinline]] std::size_t merge_ours(rows_of<K, V> a, rows_of<K, V> b, room_of<K, V> out) {
  return delta::merge(a, b, out, sum).value_or(0);
}

/// The loop with a branch a comparison.
template <class K, class V>
[[gnu::noinline]] std::size_t merge_branch(rows_of<K, V> a, rows_of<K, V> b, room_of<K, V> out) {
  K const *const ak = a.keys().data(), *const bk = b.keys().data();
  V const *const av = a.values().data(), *const bv = b.values().data();
  K* const ok = out.keys();
  V* const ov = out.values();
  std::size_t i = 0, j = 0, o = 0;
  while (i < a.size() && j < b.size()) {
    if (ak[i] < bk[j]) {
      ok[o] = ak[i];
      ov[o++] = av[i++];
    } else if (bk[j] < ak[i]) {
      ok[o] = bk[j];
      ov[o++] = bv[j++];
    } else {
      ok[o] = ak[i];
      ov[o++] = av[i++] + bv[j++];
    }
  }
  for (; i < a.size(); ++i) {
    ok[o] = ak[i];
    ov[o++] = av[i];
  }
  for (; j < b.size(); ++j) {
    ok[o] = bk[j];
    ov[o++] = bv[j];
  }
  return o;
}

/// The loop without one.
template <class K, class V>
[[gnu::noinline]] std::size_t merge_branchless(rows_of<K, V> a, rows_of<K, V> b,
                                               room_of<K, V> out) {
  K const *const ak = a.keys().data(), *const bk = b.keys().data();
  V const *const av = a.values().data(), *const bv = b.values().data();
  K* const ok = out.keys();
  V* const ov = out.values();
  std::size_t i = 0, j = 0, o = 0;
  while (i < a.size() && j < b.size()) {
    K const x = ak[i], y = bk[j];
    V const v = av[i], w = bv[j];
    bool const from_a = x <= y, from_b = y <= x;
    ok[o] = from_a ? x : y;
    V const both = v + w;
    V const one = from_a ? v : w;
    ov[o] = from_a && from_b ? both : one;
    i += from_a ? 1 : 0;
    j += from_b ? 1 : 0;
    ++o;
  }
  for (; i < a.size(); ++i) {
    ok[o] = ak[i];
    ov[o++] = av[i];
  }
  for (; j < b.size(); ++j) {
    ok[o] = bk[j];
    ov[o++] = bv[j];
  }
  return o;
}

template <class K, class V>
struct pair_row {
  K key;
  V value;
};

/// Pairs of runs, in columns and, for std::merge, as rows.
template <class K, class V>
struct pairs {
  std::vector<two_runs<K, V>> runs;
  std::vector<std::vector<pair_row<K, V>>> older, newer;
  std::vector<pair_row<K, V>> merged;
  std::vector<K> merged_keys;
  std::vector<V> merged_values;
  std::vector<delta::change_set<K, V>> want;
  delta::change_set<K, V> out;
  std::size_t rounds;
  std::size_t rows = 0;  ///< of input, in one round

  pairs(std::size_t size, std::size_t count, unsigned percent)
      : merged(2 * size),
        merged_keys(2 * size),
        merged_values(2 * size),
        out{touched<K, V>(2 * size)},
        rounds{std::max<std::size_t>(1, 400'000 / (count * size))} {
    for (std::size_t p = 0; p < count; ++p) {
      runs.emplace_back(size, percent, p + 1);
      auto const& [a, b] = runs.back();
      want.push_back(touched<K, V>(2 * size));
      want.back().set_size(
          delta::merge_scalar<delta::keep::either>(a.ref(), b.ref(), want.back().space(), sum));
      rows += a.size() + b.size();
      for (auto const* const side : {&a, &b}) {
        std::vector<pair_row<K, V>> as_rows;
        for (auto const& [key, value] : side->ref()) { as_rows.push_back({key, value}); }
        (side == &a ? older : newer).push_back(std::move(as_rows));
      }
    }
  }
};

/// std::merge of rows, then one pass that adds equal keys up.
template <class K, class V>
[[gnu::noinline]] std::size_t merge_std(pairs<K, V>& in, std::size_t p) {
  auto const& a = in.older[p];
  auto const& b = in.newer[p];
  std::merge(a.begin(), a.end(), b.begin(), b.end(), in.merged.begin(),
             [](auto const& x, auto const& y) { return x.key < y.key; });
  K* const keys = in.out.space().keys();
  V* const values = in.out.space().values();
  std::size_t o = 0;
  for (std::size_t i = 0; i < a.size() + b.size(); ++i) {
    if (o != 0 && keys[o - 1] == in.merged[i].key) {
      values[o - 1] += in.merged[i].value;
    } else {
      keys[o] = in.merged[i].key;
      values[o++] = in.merged[i].value;
    }
  }
  return o;
}

/// Copies both runs past the caches: what no merge is faster than.
template <class T>
void copy_past(T const* from, T* to, std::size_t count) {
  auto const* source = reinterpret_cast<__m128i const*>(from);
  auto* target = reinterpret_cast<__m128i*>(to);
  std::size_t const whole = count * sizeof(T) / sizeof(__m128i);
  for (std::size_t i = 0; i < whole; ++i) {
    _mm_stream_si128(target + i, _mm_loadu_si128(source + i));
  }
  std::memcpy(static_cast<void*>(to + whole * sizeof(__m128i) / sizeof(T)),
              from + whole * sizeof(__m128i) / sizeof(T), count * sizeof(T) % sizeof(__m128i));
}
template <class K, class V>
[[gnu::noinline]] std::size_t copy_rows_past(rows_of<K, V> a, rows_of<K, V> b, room_of<K, V> out) {
  std::size_t const half = out.capacity() / 2;  // a whole number of lines
  copy_past(a.keys().data(), out.keys(), a.size());
  copy_past(a.values().data(), out.values(), a.size());
  copy_past(b.keys().data(), out.keys() + half / 16 * 16, b.size() - b.size() % 16);
  copy_past(b.values().data(), out.values() + half / 16 * 16, b.size() - b.size() % 16);
  _mm_sfence();
  return a.size() + b.size();
}

/// Nanoseconds per row of input; `checked`: whether the rows are a merge's.
template <class K, class V, class Merge>
[[nodiscard]] measured trial(pairs<K, V>& in, bool checked, Merge const& merge) {
  std::int64_t const start = now_ns();
  std::size_t got = 0;
  for (std::size_t r = 0; r < in.rounds; ++r) {
    for (std::size_t p = 0; p < in.runs.size(); ++p) { got = merge(p); }
  }
  double const ns =
      static_cast<double>(now_ns() - start) / static_cast<double>(in.rounds * in.rows);
  if (!checked) { return {ns, {}}; }
  std::string problem = differs(in.out.space().filled(got), in.want.back().ref());
  for (std::size_t p = 0; p < std::min<std::size_t>(in.runs.size(), 4) && problem.empty(); ++p) {
    got = merge(p);
    problem = differs(in.out.space().filled(got), in.want[p].ref());
  }
  return {ns, problem};
}

template <class K, class V>
void add_rows(session& out, char const* types, char const* size_name, std::size_t size,
              std::size_t count) {
  for (unsigned const percent : {10u, 50u, 90u}) {
    std::string const name =
        std::string("delta.add.") + types + "." + size_name + "." + std::to_string(percent);
    if (!out.wants(name)) { continue; }
    auto const in = std::make_shared<pairs<K, V>>(size, count, percent);
    auto const of = [in](auto const& merge, bool checked = true) {
      return [in, merge, checked] {
        return trial(*in, checked, [&](std::size_t p) {
          auto const& [a, b] = in->runs[p];
          return merge(a.ref(), b.ref(), in->out.space());
        });
      };
    };
    comparison row{.bench = name,
                   .unit = "ns/row",
                   .way = better::lower,
                   .ours = guarded("millrace", of(&merge_ours<K, V>)),
                   .peers = {guarded("scalar.branch", of(&merge_branch<K, V>)),
                             guarded("scalar.branchless", of(&merge_branchless<K, V>)),
                             guarded("std.merge+reduce",
                                     [in] {
                                       return trial(*in, true, [&](std::size_t p) {
                                         return merge_std(*in, p);
                                       });
                                     }),
                             guarded("limit.copy", of(&copy_rows_past<K, V>, false))}};
#if defined(MILLRACE_BENCH_THRUST)
    row.peers.push_back(guarded("thrust.cpp", [in] {
      return trial(*in, true, [&](std::size_t p) {
        auto const& [a, b] = in->runs[p];
        return thrust_merge_and_reduce(a.ref().keys().data(), a.ref().values().data(), a.size(),
                                       b.ref().keys().data(), b.ref().values().data(), b.size(),
                                       in->merged_keys.data(), in->merged_values.data(),
                                       in->out.space().keys(), in->out.space().values());
      });
    }));
#endif
    out.run(row);
  }
}

using key = std::uint32_t;
using keys_ref = delta::change_set_ref<key>;

/// Pairs of runs of keys.
struct key_pairs {
  std::vector<std::pair<delta::change_set<key>, delta::change_set<key>>> runs;
  std::vector<std::vector<key>> want;
  delta::change_set<key> out;
  std::size_t rounds;
  std::size_t rows = 0;

  /// Of `size` keys a side, gaps 1 to 64 or `percent` in both.
  key_pairs(std::size_t size, std::size_t count, unsigned percent, bool all)
      : out{touched<key>(2 * size)}, rounds{std::max<std::size_t>(1, 800'000 / (count * size))} {
    for (std::size_t p = 0; p < count; ++p) {
      auto older = touched<key>(size), newer = touched<key>(size);
      if (all) {
        core::splitmix_rng chance(p + 1);
        for (auto* const side : {&older, &newer}) {
          key next = 0;
          for (std::size_t i = 0; i < size; ++i) {
            next += 1 + static_cast<key>(chance.next() % 64);
            side->space().put(i, next);
          }
        }
      } else {
        two_runs<key, float> const both(size, percent, p + 1);
        std::memcpy(older.space().keys(), both.older.ref().keys().data(), size * sizeof(key));
        std::memcpy(newer.space().keys(), both.newer.ref().keys().data(), size * sizeof(key));
      }
      older.set_size(size);
      newer.set_size(size);
      std::vector<key> merged(2 * size);
      auto const a = older.ref().keys(), b = newer.ref().keys();
      auto const end = all ? std::merge(a.begin(), a.end(), b.begin(), b.end(), merged.begin())
                           : std::set_union(a.begin(), a.end(), b.begin(), b.end(), merged.begin());
      merged.erase(end, merged.end());
      want.push_back(std::move(merged));
      runs.emplace_back(std::move(older), std::move(newer));
      rows += 2 * size;
    }
  }
};

[[gnu::noinline]] std::size_t keys_merge(keys_ref a, keys_ref b, delta::change_space<key> out) {
  return delta::interleave(a, b, out).value_or(0);
}
[[gnu::noinline]] std::size_t keys_union(keys_ref a, keys_ref b, delta::change_space<key> out) {
  return delta::merge(a, b, out, delta::last_writer{}).value_or(0);
}
[[gnu::noinline]] std::size_t keys_std_merge(keys_ref a, keys_ref b, delta::change_space<key> out) {
  auto const x = a.keys(), y = b.keys();
  return static_cast<std::size_t>(std::merge(x.begin(), x.end(), y.begin(), y.end(), out.keys()) -
                                  out.keys());
}
[[gnu::noinline]] std::size_t keys_std_union(keys_ref a, keys_ref b, delta::change_space<key> out) {
  auto const x = a.keys(), y = b.keys();
  return static_cast<std::size_t>(
      std::set_union(x.begin(), x.end(), y.begin(), y.end(), out.keys()) - out.keys());
}
[[gnu::noinline]] std::size_t keys_copy(keys_ref a, keys_ref b, delta::change_space<key> out) {
  std::memcpy(out.keys(), a.keys().data(), a.size() * sizeof(key));
  std::memcpy(out.keys() + a.size(), b.keys().data(), b.size() * sizeof(key));
  return a.size() + b.size();
}

using key_pass = std::size_t (*)(keys_ref, keys_ref, delta::change_space<key>);

[[nodiscard]] measured key_trial(key_pairs const& in, bool checked, key_pass pass) {
  std::int64_t const start = now_ns();
  std::size_t got = 0;
  for (std::size_t r = 0; r < in.rounds; ++r) {
    for (auto const& [a, b] : in.runs) { got = pass(a.ref(), b.ref(), in.out.space()); }
  }
  double const ns =
      static_cast<double>(now_ns() - start) / static_cast<double>(in.rounds * in.rows);
  if (!checked) { return {ns, {}}; }
  bool same = got == in.want.back().size() &&
              std::memcmp(in.out.space().keys(), in.want.back().data(), got * sizeof(key)) == 0;
  return {ns, same ? std::string{} : std::string{"the keys are wrong"}};
}

void key_rows(session& out, std::string const& name, std::size_t size, std::size_t count,
              unsigned percent, bool all) {
  if (!out.wants(name)) { return; }
  auto const in = std::make_shared<key_pairs>(size, count, percent, all);
  auto const of = [in](key_pass pass, bool checked = true) {
    return [in, pass, checked] { return key_trial(*in, checked, pass); };
  };
  out.run({.bench = name,
           .unit = "ns/key",
           .way = better::lower,
           .ours = guarded("millrace", of(all ? &keys_merge : &keys_union)),
           .peers = {guarded(all ? "std.merge" : "std.set_union",
                             of(all ? &keys_std_merge : &keys_std_union)),
                     guarded("limit.memcpy", of(&keys_copy, false))}});
}

}  // namespace

void merge_benches(session& out) {
  add_rows<std::uint32_t, float>(out, "u32f32", "1e3", 1'000, 128);
  add_rows<std::uint32_t, float>(out, "u32f32", "1e5", 100'000, 2);
  add_rows<std::uint32_t, float>(out, "u32f32", "1e7", 10'000'000, 1);
  add_rows<std::uint64_t, double>(out, "u64f64", "1e3", 1'000, 128);
  add_rows<std::uint64_t, double>(out, "u64f64", "1e5", 100'000, 2);
  add_rows<std::uint64_t, double>(out, "u64f64", "1e7", 10'000'000, 1);
  key_rows(out, "delta.keys.merge.16k", 1 << 14, 32, 0, true);
  key_rows(out, "delta.keys.merge.1m", 1 << 20, 1, 0, true);
  key_rows(out, "delta.keys.merge.16m", 1 << 24, 1, 0, true);
  key_rows(out, "delta.keys.union.10", 1 << 20, 1, 10, false);
  key_rows(out, "delta.keys.union.50", 1 << 20, 1, 50, false);
}

}  // namespace millrace::bench
