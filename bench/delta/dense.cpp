// SPDX-License-Identifier: Apache-2.0
// Change sets of a dense column: taken from two states of it, and applied to one.
#include "bench/delta/benches.hpp"
#include "bench/delta/inputs.hpp"
#include <millrace/delta/combine.hpp>
#include <millrace/delta/dense.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
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
using column = std::vector<value>;

struct inputs {
  column before, after, made;
  set changes, out;

  inputs(std::size_t size, unsigned percent)
      : before(size),
        after(size),
        made(size),
        changes{touched<key, value>(size)},
        out{touched<key, value>(size)} {
    core::splitmix_rng chance(percent);
    std::size_t count = 0;
    for (std::size_t i = 0; i < size; ++i) {
      before[i] = after[i] = static_cast<value>(chance.next() % 1000);
      if (chance.next() % 100 < percent) {
        after[i] += 1;
        changes.space().put(count++, static_cast<key>(i), after[i]);
      }
    }
    changes.set_size(count);
  }
};

[[gnu::noinline]] std::size_t diff(column const& a, column const& b, space out) {
  return delta::diff(cuda::std::span<value const>(a.data(), a.size()),
                     cuda::std::span<value const>(b.data(), b.size()), out, delta::last_writer{})
      .value_or(0);
}
[[gnu::noinline]] std::size_t diff_branch(column const& a, column const& b, space out) {
  std::size_t o = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!delta::same_bits(a[i], b[i])) { out.put(o++, static_cast<key>(i), b[i]); }
  }
  return o;
}
[[gnu::noinline]] std::size_t diff_branchless(column const& a, column const& b, space out) {
  std::size_t o = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    out.put(o, static_cast<key>(i), b[i]);
    std::uint32_t x, y;
    std::memcpy(&x, &a[i], sizeof x);
    std::memcpy(&y, &b[i], sizeof y);
    o += x != y ? 1 : 0;
  }
  return o;
}
[[gnu::noinline]] bool apply(rows changes, column& to) {
  return delta::apply(changes, cuda::std::span<value>(to.data(), to.size()), delta::add{})
      .has_value();
}
[[gnu::noinline]] bool apply_plain(rows changes, column& to) {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    value& at = to[changes.key(i)];
    at = delta::add{}(at, changes.value(i));
  }
  return true;
}

template <class Diff>
[[nodiscard]] contender taking(std::string name, std::shared_ptr<inputs> in, Diff of) {
  return guarded(std::move(name), [in, of]() -> measured {
    std::int64_t const start = now_ns();
    std::size_t const got = of(in->before, in->after, in->out.space());
    auto const ns = static_cast<double>(now_ns() - start);
    return {static_cast<double>(in->before.size()) * 1e9 / ns,
            differs(in->out.space().filled(got), in->changes.ref())};
  });
}
/// Reading both columns, and nothing else.
[[nodiscard]] contender comparing(std::shared_ptr<inputs> in) {
  return guarded("limit.memcmp", [in]() -> measured {
    in->made = in->before;
    std::int64_t const start = now_ns();
    int const differ = std::memcmp(in->before.data(), in->made.data(), in->made.size() * 4);
    auto const ns = static_cast<double>(now_ns() - start);
    return {static_cast<double>(in->before.size()) * 1e9 / ns,
            differ == 0 ? "" : "equal columns differ"};
  });
}
template <class Apply>
[[nodiscard]] contender applying(std::string name, std::shared_ptr<inputs> in, Apply to) {
  return guarded(std::move(name), [in, to]() -> measured {
    in->made = in->before;
    std::int64_t const start = now_ns();
    bool const done = to(in->changes.ref(), in->made);
    auto const ns = static_cast<double>(now_ns() - start);
    bool same = done;
    std::size_t i = 0;
    for (auto const& [at, change] : in->changes.ref()) {
      for (; i < at; ++i) { same = same && in->made[i] == in->before[i]; }
      same = same && in->made[i] == in->before[i] + change;
      ++i;
    }
    return {static_cast<double>(in->changes.size()) * 1e9 / ns, same ? "" : "the column is wrong"};
  });
}

}  // namespace

void dense_benches(session& out) {
  constexpr std::size_t size = 10'000'000;
  for (unsigned percent : {1u, 10u, 50u, 100u}) {
    std::string const number = std::to_string(percent);
    std::string const take = "delta.dense.diff." + number, put = "delta.dense.apply." + number;
    if (!out.wants(take) && !out.wants(put)) { continue; }
    auto const in = std::make_shared<inputs>(size, percent);
    out.run({.bench = take,
             .unit = "rows/s",
             .way = better::higher,
             .ours = taking("millrace", in, diff),
             .peers = {taking("scalar.branch", in, diff_branch),
                       taking("scalar.branchless", in, diff_branchless), comparing(in)}});
    out.run({.bench = put,
             .unit = "rows/s",
             .way = better::higher,
             .ours = applying("millrace", in, apply),
             .peers = {applying("scalar.branch", in, apply_plain)}});
  }
}

}  // namespace millrace::bench
