// SPDX-License-Identifier: Apache-2.0
// Keys inserted in batches of 1,000, and after each batch a read that must see it: some keys by
// themselves, and a short range. Values are small whole numbers, whose sums are exact, so that
// every contender gives the same bits whatever it adds first.
//
// Ours inserts all batches in every trial. The others are too slow for enough rounds of that: of
// them, a trial inserts some batches at each of some sizes from the middle of equal parts of the
// way up, and the figure is the mean, scaled to all batches. std::map's nodes come from a random
// order of keys, as they would; its batches are taken out again between trials.
#include "bench/delta/benches.hpp"
#include "bench/delta/inputs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/merge_many.hpp>
#include <millrace/delta/spine.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench {
namespace {

using key = std::uint32_t;
using value = float;
using rows = delta::change_set_ref<key, value>;
using set = delta::change_set<key, value>;
using tree = std::map<key, value>;
using ours = delta::spine<delta::change<key, value>, delta::add>;
constexpr delta::add sum{};

constexpr std::size_t batch_rows = 1000;
constexpr std::size_t probes = 4;       ///< keys that a read looks for
constexpr std::size_t range_keys = 16;  ///< about that many of its range at the end

/// What a read found, row by row in the order of the read.
class digest {
 public:
  void take(key k, value v) noexcept {
    hash_ = std::rotl(hash_, 7) * 0x9e37'79b9'7f4a'7c15u +
            (std::uint64_t{k} << 32 | std::bit_cast<std::uint32_t>(v));
  }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

 private:
  std::uint64_t hash_ = 1;
};

struct workload {
  struct read {
    std::array<key, probes> keys;
    key first, last;
    std::uint64_t want;  ///< its digest after its batch
  };
  std::vector<set> batches;
  std::vector<read> reads;

  explicit workload(std::size_t keys) {
    struct item {
      key k;
      std::uint32_t batch;
      value v;
    };
    core::splitmix_rng chance(keys);
    std::vector<item> all;
    all.reserve(keys);
    std::size_t const count = keys / batch_rows;
    std::vector<key> drawn;
    for (std::size_t b = 0; b < count; ++b) {
      do {  // a batch's keys are unique
        drawn.clear();
        for (std::size_t i = 0; i < batch_rows; ++i) {
          drawn.push_back(static_cast<key>(chance.next()));
        }
        std::sort(drawn.begin(), drawn.end());
      } while (std::adjacent_find(drawn.begin(), drawn.end()) != drawn.end());
      set made = touched<key, value>(batch_rows);
      for (std::size_t i = 0; i < batch_rows; ++i) {
        auto const v = static_cast<value>(1 + chance.next() % 1000);
        made.space().put(i, drawn[i], v);
        all.push_back({drawn[i], static_cast<std::uint32_t>(b), v});
      }
      made.set_size(batch_rows);
      batches.push_back(std::move(made));
    }
    std::sort(all.begin(), all.end(), [](item const& x, item const& y) {
      return x.k != y.k ? x.k < y.k : x.batch < y.batch;
    });
    auto const width = static_cast<key>((std::uint64_t{range_keys} << 32) / keys);
    for (std::size_t b = 0; b < count; ++b) {
      read next{};
      for (key& k : next.keys) {  // one that was inserted by now
        rows const from = batches[chance.next() % (b + 1)].ref();
        k = from.key(chance.next() % batch_rows);
      }
      next.first = static_cast<key>(chance.next());
      next.last = next.first + width < next.first ? ~key{0} : next.first + width;
      digest seen;
      auto const rows_until = [&](key first, key last) {
        auto at = std::lower_bound(all.begin(), all.end(), first,
                                   [](item const& x, key k) { return x.k < k; });
        while (at != all.end() && at->k < last) {
          key const k = at->k;
          value v = 0;
          bool there = false;
          for (; at != all.end() && at->k == k; ++at) {
            if (at->batch <= b) { v += at->v, there = true; }
          }
          if (there) { seen.take(k, v); }
        }
      };
      for (key const k : next.keys) { rows_until(k, k + 1); }
      rows_until(next.first, next.last);
      next.want = seen.hash();
      reads.push_back(next);
    }
  }
};

/// How many batches a trial takes at each stage, and how many stages.
struct sample {
  std::size_t stages, batches;
};

[[nodiscard]] std::string seen_wrong(std::size_t b) {
  return "the read after batch " + std::to_string(b) + " is wrong";
}

[[gnu::noinline]] bool insert_and_read(ours& into, rows batch, workload::read const& what) {
  if (!into.insert(batch)) { return false; }
  digest seen;
  for (key const k : what.keys) {
    if (auto const found = into.find(k)) { seen.take(k, cuda::std::get<1>(*found)); }
  }
  into.for_each(what.first, what.last, [&](key k, value v) { seen.take(k, v); });
  return seen.hash() == what.want;
}

[[gnu::noinline]] bool insert_and_read(tree& into, rows batch, workload::read const& what) {
  for (std::size_t i = 0; i < batch.size(); ++i) { into[batch.key(i)] += batch.value(i); }
  digest seen;
  for (key const k : what.keys) {
    if (auto const found = into.find(k); found != into.end()) { seen.take(k, found->second); }
  }
  for (auto at = into.lower_bound(what.first); at != into.end() && at->first < what.last; ++at) {
    seen.take(at->first, at->second);
  }
  return seen.hash() == what.want;
}

/// One large run and the batches that came since: every 100th batch, all of them are merged into
/// one with it, in the other of two blocks that are there from the start.
class remerge {
 public:
  static constexpr std::size_t period = 100;

  explicit remerge(std::size_t keys)
      : run_{touched<key, value>(keys)},
        spare_{touched<key, value>(keys)},
        together_{touched<key, value>(period * batch_rows)} {}

  /// The state after these batches, a multiple of the period.
  void begin(rows merged) {
    delta::copy_rows(merged, run_.space());
    run_.set_size(merged.size());
    pending_.clear();
  }
  [[nodiscard]] bool insert(rows batch) {
    pending_.push_back(batch);
    if (pending_.size() < period) { return true; }
    auto const all = delta::merge_many(pending_, together_.space(), sum);
    if (!all) { return false; }
    auto const merged =
        delta::merge(run_.ref(), together_.space().filled(*all), spare_.space(), sum);
    if (!merged) { return false; }
    spare_.set_size(*merged);
    std::swap(run_, spare_);
    pending_.clear();
    return true;
  }
  [[nodiscard]] value find(key k, bool& there) const {
    value v = 0;
    auto const look = [&](rows in) {
      std::size_t const at = in.find(k);
      if (at != in.size()) { v += in.value(at), there = true; }
    };
    look(run_.ref());
    for (rows const& batch : pending_) { look(batch); }
    return v;
  }
  template <class Visit>
  void range(key first, key last, Visit&& visit) {
    found_.clear();
    auto const look = [&](rows in) {
      for (std::size_t i = in.lower_bound(first); i < in.size() && in.key(i) < last; ++i) {
        found_.push_back({in.key(i), in.value(i)});
      }
    };
    look(run_.ref());
    for (rows const& batch : pending_) { look(batch); }
    std::sort(found_.begin(), found_.end());
    for (std::size_t i = 0; i < found_.size();) {
      auto [k, v] = found_[i++];
      for (; i < found_.size() && found_[i].first == k; ++i) { v += found_[i].second; }
      visit(k, v);
    }
  }

 private:
  set run_, spare_, together_;
  std::vector<rows> pending_;
  std::vector<std::pair<key, value>> found_;
};

[[gnu::noinline]] bool insert_and_read(remerge& into, rows batch, workload::read const& what) {
  if (!into.insert(batch)) { return false; }
  digest seen;
  for (key const k : what.keys) {
    bool there = false;
    value const v = into.find(k, there);
    if (there) { seen.take(k, v); }
  }
  into.range(what.first, what.last, [&](key k, value v) { seen.take(k, v); });
  return seen.hash() == what.want;
}

struct outcome {
  double ns = 0;  ///< per row
  std::size_t most_moved = 0, median_moved = 0;
  std::string problem = {};
};

[[nodiscard]] outcome run_ours(workload const& work) {
  outcome found;
  std::vector<std::size_t> moved(work.batches.size());
  ours into;
  std::int64_t const start = now_ns();
  for (std::size_t b = 0; b < work.batches.size(); ++b) {
    if (!insert_and_read(into, work.batches[b].ref(), work.reads[b])) {
      found.problem = seen_wrong(b);
      return found;
    }
    moved[b] = into.stats().last_moved;
  }
  found.ns =
      static_cast<double>(now_ns() - start) / static_cast<double>(work.batches.size() * batch_rows);
  std::sort(moved.begin(), moved.end());
  found.most_moved = moved.back();
  found.median_moved = moved[moved.size() / 2];
  return found;
}

/// std::map at each stage, kept from trial to trial.
class staged_maps {
 public:
  staged_maps(std::shared_ptr<workload> work, sample of) : work_(std::move(work)), of_(of) {
    std::size_t const all = work_->batches.size();
    for (std::size_t s = 0; s < of_.stages; ++s) {
      std::size_t const until = all * (2 * s + 1) / (2 * of_.stages);
      tree made;
      for (std::size_t b = 0; b < until; ++b) {
        rows const batch = work_->batches[b].ref();
        for (std::size_t i = 0; i < batch.size(); ++i) { made[batch.key(i)] += batch.value(i); }
      }
      stages_.push_back({std::move(made), until});
    }
  }
  [[nodiscard]] measured trial() {
    std::int64_t ns = 0;
    std::string problem;
    for (auto& [map, from] : stages_) {
      std::int64_t const start = now_ns();
      for (std::size_t b = from; b < from + of_.batches && problem.empty(); ++b) {
        if (!insert_and_read(map, work_->batches[b].ref(), work_->reads[b])) {
          problem = seen_wrong(b);
        }
      }
      ns += now_ns() - start;
      for (std::size_t b = from; b < from + of_.batches; ++b) {
        rows const batch = work_->batches[b].ref();
        for (std::size_t i = 0; i < batch.size(); ++i) {
          auto const at = map.find(batch.key(i));
          at->second -= batch.value(i);
          if (at->second == 0) { map.erase(at); }
        }
      }
    }
    return {static_cast<double>(ns) / static_cast<double>(of_.stages * of_.batches * batch_rows),
            problem};
  }

 private:
  struct stage {
    tree map;
    std::size_t from;
  };
  std::shared_ptr<workload> work_;
  sample of_;
  std::vector<stage> stages_;
};

/// The re-merging contender at each stage: one period, its merge among it.
class staged_remerge {
 public:
  staged_remerge(std::shared_ptr<workload> work, std::size_t stages)
      : work_(std::move(work)), into_(work_->batches.size() * batch_rows) {
    std::size_t const periods = work_->batches.size() / remerge::period;
    ours all;
    std::size_t b = 0;
    for (std::size_t s = 0; s < stages; ++s) {
      std::size_t const until = periods * (2 * s + 1) / (2 * stages) * remerge::period;
      for (; b < until; ++b) { static_cast<void>(all.insert(work_->batches[b].ref())); }
      stages_.push_back({core::value_or_throw(all.snapshot()), until});
    }
  }
  [[nodiscard]] measured trial() {
    std::int64_t ns = 0;
    for (auto const& [merged, from] : stages_) {
      into_.begin(merged.ref());
      std::int64_t const start = now_ns();
      for (std::size_t b = from; b < from + remerge::period; ++b) {
        if (!insert_and_read(into_, work_->batches[b].ref(), work_->reads[b])) {
          return {0, seen_wrong(b)};
        }
      }
      ns += now_ns() - start;
    }
    return {static_cast<double>(ns) /
                static_cast<double>(stages_.size() * remerge::period * batch_rows),
            {}};
  }

 private:
  struct stage {
    set merged;
    std::size_t from;
  };
  std::shared_ptr<workload> work_;
  remerge into_;
  std::vector<stage> stages_;
};

void spine_of(session& out, std::string const& name, std::size_t keys, sample maps) {
  std::string const moved = name + ".moved";
  bool const times = out.wants(name), moves = out.wants(moved);
  if (!times && !moves) { return; }
  auto const work = std::make_shared<workload>(keys);
  if (times) {
    comparison bench{.bench = name,
                     .unit = "ns",
                     .way = better::lower,
                     .ours = guarded("millrace",
                                     [work]() -> measured {
                                       outcome const found = run_ours(*work);
                                       return {found.ns, found.problem};
                                     }),
                     .peers = {}};
    auto const map = std::make_shared<staged_maps>(work, maps);
    bench.peers.push_back(guarded("std.map", [map] { return map->trial(); }));
    auto const again = std::make_shared<staged_remerge>(work, std::size_t{4});
    bench.peers.push_back(guarded("remerge.100", [again] { return again->trial(); }));
    out.run(bench);
  }
  if (moves) {  // rows that the worst insert moves, against 50 times the median's
    comparison bench{.bench = moved,
                     .unit = "rows",
                     .way = better::lower,
                     .ours = guarded("millrace",
                                     [work]() -> measured {
                                       outcome const found = run_ours(*work);
                                       return {static_cast<double>(found.most_moved),
                                               found.problem};
                                     }),
                     .peers = {}};
    bench.peers.push_back(guarded("limit.50_medians", [work]() -> measured {
      outcome const found = run_ours(*work);
      return {50.0 * static_cast<double>(found.median_moved), found.problem};
    }));
    out.run(bench);
  }
}

}  // namespace

void spine_benches(session& out) {
  spine_of(out, "delta.spine", 10'000'000, {4, 10});
  spine_of(out, "delta.spine.1e6", 1'000'000, {4, 10});
}

}  // namespace millrace::bench
