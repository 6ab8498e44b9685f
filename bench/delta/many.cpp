// SPDX-License-Identifier: Apache-2.0
// Many runs of random keys into one; of ten rows about one has its key in another run as well. Sums
// of floating numbers that round, so that every contender must add them from the oldest on.
#include "bench/delta/benches.hpp"
#include "bench/delta/inputs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge_many.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench {
namespace {

constexpr delta::add sum{};

template <class K, class V>
struct many_runs {
  using ref = delta::change_set_ref<K, V>;
  std::vector<delta::change_set<K, V>> sets;
  std::vector<ref> runs;
  std::size_t rows = 0;
  delta::change_set<K, V> out, want;

  many_runs(std::size_t count, std::size_t size) {
    struct item {
      K key;
      std::uint32_t run;
      V value;
    };
    core::splitmix_rng chance(count);
    K const range = static_cast<K>(10 * count * size);
    std::vector<item> all;
    std::vector<K> keys(size);
    for (std::size_t r = 0; r < count; ++r) {
      for (K& key : keys) { key = static_cast<K>(core::below(chance, range)); }
      std::sort(keys.begin(), keys.end());
      auto const end = std::unique(keys.begin(), keys.end());
      auto set = touched<K, V>(static_cast<std::size_t>(end - keys.begin()));
      for (auto key = keys.begin(); key != end; ++key) {
        V const value = static_cast<V>(static_cast<std::int64_t>(chance.next())) * V{0x1p-60};
        set.space().put(static_cast<std::size_t>(key - keys.begin()), *key, value);
        all.push_back({*key, static_cast<std::uint32_t>(r), value});
      }
      set.set_size(set.capacity());
      rows += set.size();
      sets.push_back(std::move(set));
    }
    for (auto const& set : sets) { runs.push_back(set.ref()); }
    out = touched<K, V>(rows);
    want = touched<K, V>(rows);
    std::sort(all.begin(), all.end(), [](item const& a, item const& b) {
      return a.key != b.key ? a.key < b.key : a.run < b.run;
    });
    std::size_t n = 0;
    for (item const& each : all) {
      bool const same = n != 0 && want.space().keys()[n - 1] == each.key;
      V const value = same ? sum(want.space().values()[n - 1], each.value) : each.value;
      n -= same ? 1 : 0;
      want.space().put(n++, each.key, value);
    }
    want.set_size(n);
  }
};

/// Rows that come in order of (key, run), equal keys summed.
template <class K, class V>
class summing {
 public:
  explicit summing(delta::change_space<K, V> to) : keys_(to.keys()), values_(to.values()) {}
  void put(K key, V value) {
    if (n_ != 0 && keys_[n_ - 1] == key) {
      values_[n_ - 1] = sum(values_[n_ - 1], value);
    } else {
      keys_[n_] = key;
      values_[n_++] = value;
    }
  }
  [[nodiscard]] std::size_t size() const { return n_; }

 private:
  K* keys_;
  V* values_;
  std::size_t n_ = 0;
};

template <class K, class V>
[[gnu::noinline]] std::size_t tiled(many_runs<K, V> const& in, delta::change_space<K, V> to) {
  return delta::merge_many(in.runs, to, sum).value_or(0);
}

/// std::priority_queue of the runs' heads, the run's number deciding between equal keys.
template <class K, class V>
[[gnu::noinline]] std::size_t heap_of_iterators(many_runs<K, V> const& in,
                                                delta::change_space<K, V> to) {
  struct head {
    K key;
    std::uint32_t run;
    K const* keys;
    K const* end;
    V const* values;
  };
  struct later {
    bool operator()(head const& a, head const& b) const {
      return a.key != b.key ? a.key > b.key : a.run > b.run;
    }
  };
  std::vector<head> heads;
  for (std::size_t r = 0; r < in.runs.size(); ++r) {
    auto const& run = in.runs[r];
    if (run.empty()) { continue; }
    heads.push_back({run.key(0), static_cast<std::uint32_t>(r), run.keys().data(),
                     run.keys().data() + run.size(), run.values().data()});
  }
  std::priority_queue<head, std::vector<head>, later> heap(later{}, std::move(heads));
  summing<K, V> out(to);
  while (!heap.empty()) {
    head next = heap.top();
    heap.pop();
    out.put(next.key, *next.values);
    if (++next.keys != next.end) {
      next.key = *next.keys;
      ++next.values;
      heap.push(next);
    }
  }
  return out.size();
}

/// Knuth's tree of losers: one path from leaf to root for each row.
template <class K, class V>
[[gnu::noinline]] std::size_t tree_of_losers(many_runs<K, V> const& in,
                                             delta::change_space<K, V> to) {
  struct head {
    K key;
    std::uint32_t run;  // `none` above all: ended
  };
  constexpr std::uint32_t none = 1u << 31;
  struct cursor {
    K const* keys;
    K const* end;
    V const* values;
  };
  auto const before = [](head const& a, head const& b) {
    return a.key < b.key || (a.key == b.key && a.run < b.run);
  };
  std::size_t leaves = 1;
  while (leaves < in.runs.size()) { leaves *= 2; }
  std::vector<cursor> cursors(leaves);
  std::vector<head> losers(leaves), winners(2 * leaves);
  for (std::size_t r = 0; r < leaves; ++r) {
    bool const there = r < in.runs.size() && !in.runs[r].empty();
    if (there) {
      auto const& run = in.runs[r];
      cursors[r] = {run.keys().data(), run.keys().data() + run.size(), run.values().data()};
    }
    winners[leaves + r] = {there ? in.runs[r].key(0) : static_cast<K>(~K{0}),
                           static_cast<std::uint32_t>(r) | (there ? 0 : none)};
  }
  for (std::size_t n = leaves - 1; n > 0; --n) {
    bool const left = before(winners[2 * n], winners[2 * n + 1]);
    winners[n] = winners[2 * n + (left ? 0 : 1)];
    losers[n] = winners[2 * n + (left ? 1 : 0)];
  }
  head best = winners[1];
  summing<K, V> out(to);
  while ((best.run & none) == 0) {
    std::size_t const r = best.run;
    cursor& at = cursors[r];
    out.put(best.key, *at.values);
    ++at.values;
    if (++at.keys != at.end) {
      best.key = *at.keys;
    } else {
      best = {static_cast<K>(~K{0}), best.run | none};
    }
    for (std::size_t n = (leaves + r) / 2; n > 0; n /= 2) {
      head const other = losers[n];
      bool const lost = before(other, best);
      losers[n] = lost ? best : other;
      best = lost ? other : best;
    }
  }
  return out.size();
}

template <class K, class V, class Merge>
[[nodiscard]] contender merging(std::string name, std::shared_ptr<many_runs<K, V>> in, Merge of) {
  return guarded(std::move(name), [in, of]() -> measured {
    std::int64_t const start = now_ns();
    std::size_t const got = of(*in, in->out.space());
    auto const ns = static_cast<double>(now_ns() - start);
    return {static_cast<double>(in->rows) * 1e9 / ns,
            differs(in->out.space().filled(got), in->want.ref())};
  });
}

template <class K, class V>
void kway(session& out, std::size_t count, std::string const& types) {
  std::string const name = "delta.kway." + std::to_string(count) + "." + types;
  if (!out.wants(name)) { return; }
  auto const in = std::make_shared<many_runs<K, V>>(count, std::size_t{100'000});
  comparison bench{.bench = name,
                   .unit = "rows/s",
                   .way = better::higher,
                   .ours = merging("millrace", in, tiled<K, V>),
                   .peers = {}};
  bench.peers.push_back(merging("heap.iterators", in, heap_of_iterators<K, V>));
  bench.peers.push_back(merging("scalar.loser_tree", in, tree_of_losers<K, V>));
  out.run(bench);
}

}  // namespace

void kway_benches(session& out) {
  for (std::size_t const count : {64u, 16u, 4u}) {
    kway<std::uint32_t, float>(out, count, "u32f32");
    kway<std::uint64_t, double>(out, count, "u64f64");
  }
}

}  // namespace millrace::bench
