// SPDX-License-Identifier: Apache-2.0
// Two runs of which one is much the shorter.
#include "bench/delta/benches.hpp"
#include "bench/delta/inputs.hpp"
#include <millrace/delta/accumulate.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/gallop.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/merge_scalar.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

namespace millrace::bench {
namespace {

using key = std::uint32_t;
using value = float;
using rows = delta::change_set_ref<key, value>;
using space = delta::change_space<key, value>;
using set = delta::change_set<key, value>;
struct pair {
  key k;
  value v;
};

struct inputs {
  two_runs<key, value> of;
  rows longer, shorter;
  set few, out, want;
  std::vector<pair> longer_pairs, shorter_pairs, out_pairs;

  inputs(std::size_t size, std::size_t ratio)
      : of{size, 50},
        longer{of.older.ref()},
        few{touched<key, value>(size / ratio)},
        out{touched<key, value>(size + size / ratio)},
        want{touched<key, value>(size + size / ratio)},
        out_pairs(size + size / ratio) {
    core::splitmix_rng chance(7);
    for (std::size_t i = 0; i < size / ratio; ++i) {  // one of each `ratio` rows, any of them
      std::size_t const at = i * ratio + chance.next() % ratio;
      few.space().put(i, of.newer.ref().key(at), of.newer.ref().value(at));
    }
    few.set_size(size / ratio);
    shorter = few.ref();
    want.set_size(delta::merge_scalar<delta::keep::either>(longer, shorter, want.space(),
                                                           delta::last_writer{}));
    for (auto const& [k, v] : longer) { longer_pairs.push_back({k, v}); }
    for (auto const& [k, v] : shorter) { shorter_pairs.push_back({k, v}); }
  }
};

[[gnu::noinline]] std::size_t gallop(rows a, rows b, space to) {
  return delta::detail::merge_gallop<delta::keep::either>(a, b, to, delta::last_writer{});
}
[[gnu::noinline]] std::size_t scalar(rows a, rows b, space to) {
  return delta::merge_scalar<delta::keep::either>(a, b, to, delta::last_writer{});
}
[[gnu::noinline]] std::size_t merge(rows a, rows b, space to) {
  return delta::merge(a, b, to, delta::last_writer{}).value_or(0);
}

/// Times per trial so that one takes about a millisecond.
constexpr int repeats = 10;

template <class Merge>
[[nodiscard]] contender merging(std::string name, std::shared_ptr<inputs> in, Merge of) {
  return guarded(std::move(name), [in, of]() -> measured {
    std::size_t got = 0;
    std::int64_t const start = now_ns();
    for (int i = 0; i < repeats; ++i) { got = of(in->longer, in->shorter, in->out.space()); }
    auto const ns = static_cast<double>(now_ns() - start) / repeats;
    return {static_cast<double>(in->longer.size() + in->shorter.size()) * 1e9 / ns,
            differs(in->out.space().filled(got), in->want.ref())};
  });
}

[[gnu::noinline]] std::size_t std_union(inputs& in) {
  auto const less = [](pair const& a, pair const& b) { return a.k < b.k; };
  auto const end =
      std::set_union(in.shorter_pairs.begin(), in.shorter_pairs.end(), in.longer_pairs.begin(),
                     in.longer_pairs.end(), in.out_pairs.begin(), less);
  return static_cast<std::size_t>(end - in.out_pairs.begin());
}
[[nodiscard]] contender uniting(std::shared_ptr<inputs> in) {
  return guarded("std.set_union", [in]() -> measured {
    std::size_t got = 0;
    std::int64_t const start = now_ns();
    for (int i = 0; i < repeats; ++i) { got = std_union(*in); }
    auto const ns = static_cast<double>(now_ns() - start) / repeats;
    bool same = got == in->want.size();
    for (std::size_t i = 0; same && i < got; ++i) {
      same = in->out_pairs[i].k == in->want.ref().key(i) &&
             in->out_pairs[i].v == in->want.ref().value(i);
    }
    return {static_cast<double>(in->longer.size() + in->shorter.size()) * 1e9 / ns,
            same ? std::string{} : std::string{"the pairs differ"}};
  });
}

[[gnu::noinline]] bool accumulate(set& into, rows newer) {
  return delta::accumulate(into, newer, delta::last_writer{}).has_value();
}
/// In its own room: the long run is put back, untimed, before each time.
[[nodiscard]] contender accumulating(std::shared_ptr<inputs> in) {
  return guarded("millrace", [in]() -> measured {
    double ns = 0;
    for (int i = 0; i < repeats; ++i) {
      delta::copy_rows(in->longer, in->out.space());
      in->out.set_size(in->longer.size());
      std::int64_t const start = now_ns();
      if (!accumulate(in->out, in->shorter)) { return {0, "no room"}; }
      ns += static_cast<double>(now_ns() - start) / repeats;
    }
    return {static_cast<double>(in->longer.size() + in->shorter.size()) * 1e9 / ns,
            differs(in->out.ref(), in->want.ref())};
  });
}

}  // namespace

void skewed_benches(session& out) {
  constexpr std::size_t size = 100'000;
  for (std::size_t ratio : {16u, 64u, 256u, 1024u}) {
    std::string const name = "delta.gallop." + std::to_string(ratio);
    if (!out.wants(name)) { continue; }
    auto const in = std::make_shared<inputs>(size, ratio);
    out.run({.bench = name,
             .unit = "rows/s",
             .way = better::higher,
             .ours = merging("millrace", in, gallop),
             .peers = {merging("scalar.branch", in, scalar), merging("millrace.merge", in, merge),
                       uniting(in)}});
  }
  for (std::size_t ratio : {256u, 1024u}) {
    std::string const name = "delta.accumulate." + std::to_string(ratio);
    if (!out.wants(name)) { continue; }
    auto const in = std::make_shared<inputs>(size, ratio);
    out.run({.bench = name,
             .unit = "rows/s",
             .way = better::higher,
             .ours = accumulating(in),
             .peers = {merging("millrace.gallop", in, gallop)}});
  }
}

}  // namespace millrace::bench
