// SPDX-License-Identifier: Apache-2.0
// Arrays of cells, and random programs of them against an engine that looks at every element.
#include "tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/graph.hpp>

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace propagate = millrace::propagate;
using millrace::errc;
using millrace::error;
using millrace::result;
using word = std::uint32_t;

namespace {

template <class T>
[[nodiscard]] cuda::std::span<T const> span_of(std::vector<T> const& v) {
  return {v.data(), v.size()};
}
constexpr auto plus = [](auto a, auto b) { return a + b; };

/// As the tree adds, without one.
template <class T, class Op>
[[nodiscard]] T folded(std::vector<T> level, Op op, T identity) {
  if (level.empty()) { return identity; }
  while (level.size() > 1) {
    std::vector<T> next;
    for (std::size_t k = 0; k < level.size(); k += 2) {
      next.push_back(k + 1 == level.size() ? level[k] : op(level[k], level[k + 1]));
    }
    level = std::move(next);
  }
  return level[0];
}

}  // namespace

TEST_CASE("arrays: a write of an element runs what is computed from it, and nothing else") {
  auto g = propagate::graph::make().value();
  std::vector<double> start(1'000);
  for (std::size_t k = 0; k < start.size(); ++k) { start[k] = static_cast<double>(k); }
  auto const prices = g.input_array(span_of(start)).value();
  auto const amounts = g.input_array(1'000, 2.0).value();
  auto const rate = g.input(1.0).value();
  int runs = 0;
  auto const values = g.computed_each([&](double price, double amount,
                                          double r) { return ++runs, price * amount * r; },
                                      prices, amounts, rate)
                          .value();
  auto const sum = g.reduced(values, plus, 0.0).value();
  auto const seventh = g.element(values, 7).value();
  std::vector<std::uint32_t> changed;
  std::vector<double> sevenths;
  REQUIRE(g.observe_each(values, [&](propagate::array_changes<double> const& now) {
    changed.assign(now.indices().begin(), now.indices().end());
  }));
  REQUIRE(g.observe(seventh, [&](double v) { sevenths.push_back(v); }));
  CHECK(runs == 1'000);
  CHECK(changed.size() == 1'000);
  CHECK(g.read(sum).value() == 999'000);
  runs = 0;
  REQUIRE(g.write(prices, 7, 10));
  CHECK(runs == 1);
  CHECK(changed == std::vector<std::uint32_t>{7});
  CHECK(g.read(sum).value() == 999'006);
  auto batch = g.begin().value();
  REQUIRE(batch.write(prices, 900, 1));
  REQUIRE(batch.write(amounts, 900, 3));
  REQUIRE(batch.write(amounts, 12, 3));
  REQUIRE(batch.write(prices, 13, 13));  // as it is
  REQUIRE(batch.commit());
  CHECK(runs == 3);
  CHECK(changed == std::vector<std::uint32_t>{12, 900});
  CHECK(g.read(values, 900).value() == 3);
  std::vector<double> all(1'000);
  REQUIRE(g.read(values, cuda::std::span<double>(all.data(), all.size())));
  CHECK(all[12] == 36);
  CHECK(folded(all, plus, 0.0) == g.read(sum).value());
  CHECK(sevenths == std::vector<double>{14, 20});
  REQUIRE(g.write(rate, 2));
  CHECK(runs == 1'003);
  CHECK(changed.size() == 999);  // 0 stays 0
  {
    auto aborted = g.begin().value();
    REQUIRE(aborted.write(prices, 0, 5));
  }
  REQUIRE(g.write(prices, 1, 1));
  CHECK(runs == 1'003);
  CHECK(g.read(prices, 0).value() == 0);
}

TEST_CASE("arrays: a row that is written is taken block by block") {
  auto g = propagate::graph::make().value();
  auto const a = g.input_array(300, 0).value();
  std::vector<std::uint32_t> changed;
  REQUIRE(g.observe_each(a, [&](propagate::array_changes<int> const& now) {
    changed.assign(now.indices().begin(), now.indices().end());
    for (std::uint32_t k = 0; k < now.size(); ++k) {
      CHECK(now.value(k) == now.all()[now.indices()[k]]);
    }
  }));
  for (std::uint32_t first : {0u, 1u, 63u, 64u, 200u, 299u}) {
    for (std::uint32_t count : {0u, 1u, 64u, 65u, 99u}) {
      std::vector<int> const values(count, static_cast<int>(first * 1'000 + count));
      std::vector<int> before(300);
      REQUIRE(g.read(a, cuda::std::span<int>(before.data(), 300)));
      changed.clear();
      if (first + count > 300) {
        CHECK(g.write_range(a, first, span_of(values)).error() ==
              core::fail(errc::bad_argument, 2).error());
        continue;
      }
      REQUIRE(g.write_range(a, first, span_of(values)));
      std::vector<std::uint32_t> want;
      for (std::uint32_t k = first; k < first + count; ++k) {
        if (before[k] != values[0]) { want.push_back(k); }
      }
      CHECK(changed == want);
    }
  }
}

TEST_CASE("arrays: elements without a value are the array's failure until they have one") {
  auto g = propagate::graph::make().value();
  auto const a = g.input_array(200, 1).value();
  auto const roots = g.computed_each(
                          [](int x) -> result<int> {
                            if (x < 0) { return core::fail(errc::bad_argument, 77); }
                            if (x == 13) { throw std::runtime_error("13"); }
                            return x;
                          },
                          a)
                         .value();
  int runs = 0;
  auto const next = g.computed_each([&](int x) { return ++runs, x + 1; }, roots).value();
  auto const sum = g.reduced(next, plus, 0).value();
  int told = 0;
  REQUIRE(g.observe(sum, [&](int) { ++told; }));
  CHECK(g.read(sum).value() == 400);
  REQUIRE(g.write(a, 150, -1));
  CHECK(g.read(sum).error() == core::fail(errc::bad_argument, 150).error());
  CHECK(g.read(roots, 3).error() == core::fail(errc::bad_argument, 150).error());
  REQUIRE(g.write(a, 20, 13));
  CHECK(g.read(sum).error() == core::fail(errc::function_failed, 20).error());
  REQUIRE(g.write(a, 5, 7));
  REQUIRE(g.write(a, 150, 2));
  CHECK(g.read(sum).error() == core::fail(errc::function_failed, 20).error());
  CHECK(runs == 200);
  REQUIRE(g.write(a, 20, 1));  // the value that it had before it failed
  CHECK(g.read(sum).value() == 407);
  CHECK(runs == 202);
  CHECK(told == 2);
  CHECK(g.stats().failed == 0);
}

TEST_CASE("arrays: a fold that throws is made anew, with the bits of one that has not") {
  auto g = propagate::graph::make().value();
  std::vector<double> values(777);
  core::splitmix_rng chance(5);
  for (double& v : values) { v = static_cast<double>(chance.next() % 1'000) / 7; }
  auto const a = g.input_array(span_of(values)).value();
  bool throws = false;
  auto const sum = g.reduced(
                        a,
                        [&](double x, double y) {
                          if (throws && x > 1'000) { throw std::runtime_error("large"); }
                          return x + y;
                        },
                        0.0)
                       .value();
  REQUIRE(g.observe(sum, [](double) {}));
  for (int k = 0; k < 300; ++k) {
    throws = k % 10 == 7;
    for (int writes = 0; writes <= k % 3; ++writes) {
      std::size_t const i = chance.next() % values.size();
      values[i] = static_cast<double>(chance.next() % 1'000) / 7;
      auto const done = g.write(a, static_cast<std::uint32_t>(i), values[i]);
      REQUIRE(done);
    }
    auto const got = g.read(sum);
    if (throws) {
      REQUIRE(got.error().code == errc::function_failed);
    } else if (k % 10 != 8 || got) {
      REQUIRE(std::bit_cast<std::uint64_t>(got.value()) ==
              std::bit_cast<std::uint64_t>(folded(values, plus, 0.0)));
    }
  }
}

TEST_CASE("arrays: no elements, one, and wrong handles, sizes and indices") {
  auto g = propagate::graph::make().value();
  auto const none = g.input_array(0, 1.0).value();
  auto const one = g.input_array(1, 4.0).value();
  auto const twice = g.computed_each([](double x) { return 2 * x; }, none).value();
  CHECK(g.read(g.reduced(twice, plus, -1.0).value()).value() == -1);
  auto const single = g.reduced(one, plus, -1.0).value();
  CHECK(g.read(single).value() == 4);
  REQUIRE(g.write(one, 0, 5));
  CHECK(g.read(single).value() == 5);
  CHECK(g.read(twice, 0).error() == core::fail(errc::bad_argument, 2).error());
  CHECK(g.element(one, 1).error() == core::fail(errc::bad_argument, 2).error());
  CHECK(g.write(one, 1, 3).error() == core::fail(errc::bad_argument, 2).error());
  CHECK(g.computed_each([](double, double) { return 0; }, one, none).error() ==
        core::fail(errc::bad_argument, 2).error());
  CHECK(g.input_array(std::size_t{1} << 31, 0).error() ==
        core::fail(errc::bad_argument, 1).error());
  std::array<double, 2> two{};
  CHECK(g.read(one, cuda::std::span<double>(two.data(), 2)).error() ==
        core::fail(errc::bad_argument, 2).error());

  auto other = propagate::graph::make().value();
  auto const foreign = other.input_array(1, 4.0).value();
  CHECK(g.write(foreign, 0, 1).error().code == errc::unknown_id);
  CHECK(g.read(foreign, 0).error().code == errc::unknown_id);
  CHECK(g.reduced(foreign, plus, 0.0).error().code == errc::unknown_id);
  CHECK(g.element(foreign, 0).error().code == errc::unknown_id);
  CHECK(g.observe_each(foreign, [](propagate::array_changes<double> const&) {}).error().code ==
        errc::unknown_id);
  CHECK(g.computed_each([](double x, double) { return x; }, one, foreign).error() ==
        core::fail(errc::unknown_id, 2).error());
  propagate::array_input<double> const not_written(
      g.computed_each([](double x) { return x; }, one).value().id());
  CHECK(g.write(not_written, 0, 1).error().code == errc::unknown_id);
  CHECK(g.write(propagate::input<propagate::array<double>>(one.id()), {}).error().code ==
        errc::unknown_id);

  auto batch = g.begin().value();
  CHECK(batch.write(foreign, 0, 1).error().code == errc::unknown_id);
  CHECK(batch.write(one, 1, 1).error() == core::fail(errc::bad_argument, 2).error());
  CHECK(g.write(one, 0, 1).error().code == errc::busy);
  batch.abort();
  CHECK(batch.write(one, 0, 1).error().code == errc::closed);
}

TEST_CASE(
    "arrays: read as a whole by functions, tracking ones and observers; found by their names") {
  auto g = propagate::graph::make().value();
  auto const a = g.input_array(3, 1).value();
  REQUIRE(g.set_name(a, 70));
  auto const found = g.find<propagate::array<int>>(70).value();
  CHECK(found == a);
  auto const size =
      g.computed([](propagate::array<int> const& all) { return all.view().size(); }, found).value();
  auto const last = g.tracking([=](auto& read) { return read(found)[2]; }).value();
  std::vector<int> lasts, firsts;
  REQUIRE(g.observe(last, [&](int v) { lasts.push_back(v); }));
  REQUIRE(g.observe(found, [&](propagate::array<int> const& all) { firsts.push_back(all[0]); }));
  REQUIRE(g.write(a, 2, 5));
  REQUIRE(g.write(a, 0, 6));
  CHECK(lasts == std::vector<int>{1, 5});
  CHECK(firsts == std::vector<int>{1, 1, 6});
  CHECK(g.read(size).value() == 3);
}

namespace {
struct failing_arrays : propagate::default_graph {
  using resource = millrace::memory::failing_resource<>;
  static constexpr std::size_t small_bytes = 0;
};
}  // namespace

TEST_CASE("arrays: missing memory is an error, and nothing has changed") {
  millrace::memory::failure_plan plan;
  {
    using graph = propagate::basic_graph<failing_arrays>;
    auto g = graph::make(millrace::memory::failing_resource<>(plan)).value();
    /// Every allocation of each call fails in turn, until the call passes.
    auto const insist = [&](auto call) {
      for (std::uint64_t k = 1;; ++k) {
        auto const before = g.stats().nodes;
        plan.fail_at = plan.seen + k;
        auto made = call();
        plan.fail_at = 0;
        if (made) { return *made; }
        REQUIRE(made.error().code == errc::out_of_memory);
        REQUIRE(g.stats().nodes == before);
      }
    };
    auto const a = insist([&] { return g.input_array(100, 1); });
    auto const b = insist([&] { return g.computed_each([](int x) { return x + 1; }, a); });
    auto const sum = insist([&] { return g.reduced(b, plus, 0); });
    auto const fifth = insist([&] { return g.element(b, 5); });
    std::uint32_t changed = 0;
    insist([&] {
      return g.observe_each(
          b, [&](propagate::array_changes<int> const& now) { changed = now.size(); });
    });
    plan.fail_from = 1;  // all that a run needs is there
    REQUIRE(g.write(a, 5, 9));
    CHECK(changed == 1);
    CHECK(g.read(sum).value() == 208);
    CHECK(g.read(fifth).value() == 10);
    auto batch = g.begin().value();
    for (std::uint32_t k = 0; k < 100; ++k) { REQUIRE(batch.write(a, k, 2)); }
    REQUIRE(batch.commit());
    CHECK(g.read(sum).value() == 300);
    plan.fail_from = 0;
  }
}

namespace {

enum class form { scalar, input, each, fold, element, scalar_of_all, scalar_of_cell, told };

struct recipe {
  form is = form::input;
  std::vector<std::size_t> from;
  word modulus = 7;
  std::uint32_t at = 0;  // an element cell's
  bool fails = false;    // on some results

  [[nodiscard]] result<word> finish(word sum) const {
    if (fails && sum % 13 == 3) { return core::fail(errc::bad_argument); }
    return sum % modulus;
  }
};

/// Looks at every element of what it is asked for.
class oracle {
 public:
  struct node {
    recipe how;
    std::vector<word> values;
    std::vector<std::uint64_t> at;  // when each has changed
    std::vector<bool> failing;
    std::vector<std::vector<word>> tree;
    std::vector<std::uint32_t> told;
    error failure{};
    std::uint64_t changed = 0, ran = 0, seen = 0, runs = 0;
    std::uint64_t copies = 0;  // runs without a function of the program's
    bool has_run = false, gone = false, has_values = false;
  };
  std::vector<node> nodes;
  std::uint64_t pass = 1;

  [[nodiscard]] static bool is_array(recipe const& how) {
    return how.is == form::input || how.is == form::each;
  }
  void add(recipe how, std::vector<word> values) {
    node made;
    made.at.resize(values.size());
    made.failing.resize(values.size());
    made.values = std::move(values);
    made.has_run = how.is == form::input || how.is == form::scalar;
    made.how = std::move(how);
    nodes.push_back(std::move(made));
  }
  void write(std::size_t i, std::size_t element, word value) {
    node& n = nodes[i];
    if (n.values[element] == value) { return; }
    n.values[element] = value;
    n.at[element] = n.changed = pass;
  }
  node const& demand(std::size_t i) {
    node& n = nodes[i];
    if (n.how.is == form::input || n.how.is == form::scalar) { return n; }
    if (n.has_run && n.ran == pass) { return n; }
    bool stale = !n.has_run;
    for (std::size_t source : n.how.from) { stale = (demand(source).changed > n.ran) || stale; }
    if (stale) { run(n); }
    n.has_run = true;
    n.ran = pass;
    return n;
  }

 private:
  void run(node& n) {
    for (std::size_t source : n.how.from) {
      if (nodes[source].failure.code == errc::ok) { continue; }
      fail(n, nodes[source].failure);
      return;
    }
    bool const first = !n.has_values;
    bool differs = false;
    if (n.how.is == form::each) {
      for (std::size_t k = 0; k < n.values.size(); ++k) {
        word sum = 0;
        bool stale = first;
        for (std::size_t source : n.how.from) {
          node const& s = nodes[source];
          bool const row = is_array(s.how);
          stale = stale || (row ? s.at[k] : s.changed) > n.seen;
          sum = sum * 3 + s.values[row ? k : 0];
        }
        if (!stale) { continue; }
        ++n.runs;
        auto const got = n.how.finish(sum);
        n.failing[k] = !got;
        bool const changes = got && *got != n.values[k];
        if (got) { n.values[k] = *got; }
        if (!changes && !first) { continue; }
        differs = true;
        n.at[k] = pass;
      }
    } else if (n.how.is == form::fold) {
      differs = fold(n, first);
    } else if (n.how.is == form::told) {
      n.told.clear();
      node const& s = nodes[n.how.from[0]];
      for (std::uint32_t k = 0; k < s.values.size(); ++k) {
        if (first || s.at[k] > n.seen) { n.told.push_back(k); }
      }
      ++n.runs;
    } else {
      word got = 0;
      if (n.how.is == form::element) {
        got = nodes[n.how.from[0]].values[n.how.at];
        ++n.copies;
      } else if (n.how.is == form::scalar_of_cell) {
        got = (nodes[n.how.from[0]].values[0] * 3 + 1) % 17;
        ++n.runs;
      } else {
        for (word v : nodes[n.how.from[0]].values) { got = got * 5 + v; }
        ++n.runs;
      }
      differs = first || n.failure.code != errc::ok || n.values[0] != got;
      n.values[0] = got;
    }
    n.has_values = true;
    n.seen = pass;
    error failure{};
    for (std::size_t k = n.failing.size(); k-- > 0;) {
      if (n.failing[k]) { failure = {errc::bad_argument, {}, static_cast<std::int32_t>(k)}; }
    }
    fail(n, failure);
    if (differs && n.failure.code == errc::ok) { n.changed = pass; }
  }
  bool fold(node& n, bool first) {
    auto const below = nodes[n.how.from[0]];
    std::vector<word> level = below.values;
    std::vector<bool> dirty;
    for (std::uint64_t at : below.at) { dirty.push_back(first || at > n.seen); }
    for (std::size_t depth = 0; level.size() > 1; ++depth) {
      if (n.tree.size() <= depth) { n.tree.emplace_back((level.size() + 1) / 2); }
      std::vector<bool> above;
      for (std::size_t k = 0; k < level.size(); k += 2) {
        bool const alone = k + 1 == level.size();
        bool stale = dirty[k] || (!alone && dirty[k + 1]);
        if (stale) {
          n.runs += alone ? 0u : 1u;
          word const made = alone ? level[k] : level[k] * 3 + level[k + 1];
          stale = first || n.tree[depth][k / 2] != made;
          n.tree[depth][k / 2] = made;
        }
        above.push_back(stale);
      }
      dirty = std::move(above);
      level = n.tree[depth];
    }
    word const got = level.empty() ? 99 : level[0];
    bool const differs = first || n.failure.code != errc::ok || n.values[0] != got;
    n.values[0] = got;
    return differs;
  }
  void fail(node& n, error failure) {
    if (n.failure == failure) { return; }
    n.failure = failure;
    n.changed = pass;
  }
};

/// Makes a plan of every cell that can be in one, as soon as it can.
struct planned_graph : propagate::default_graph {
  static constexpr std::uint32_t plan_width = 1;
  static constexpr std::uint32_t plan_after = 0;
};

template <class P>
class program {
 public:
  explicit program(std::uint64_t seed)
      : chance_{seed}, g_{propagate::basic_graph<P>::make().value()} {
    std::uint32_t const sizes[] = {0, 1, 5, 64, 65, 130, 200};
    size_ = sizes[chance_.next() % 7];
  }

  void play(int steps) {
    add_input();
    add_scalar();
    add_each();
    for (int s = 0; s < steps; ++s) {
      switch (chance_.next() % 17) {
        case 0: add_input(); break;
        case 1: add_scalar(); break;
        case 2:
        case 3: add_each(); break;
        case 4: add_of_one(form::fold); break;
        case 5: add_of_one(form::element); break;
        case 6: add_of_one(form::scalar_of_all); break;
        case 7:
        case 8: observe(); break;
        case 9: remove(); break;
        case 16: add_of_cell(); break;
        case 10: same_read(any([](recipe const& r) { return r.is != form::told; })); break;
        default: write(); break;
      }
      compare();
    }
  }

 private:
  struct mine {
    propagate::array_cell<word> row;
    propagate::array_input<word> input;
    propagate::cell<word> cell;
    propagate::input<word> scalar;
    propagate::observer observer;
    std::uint64_t runs = 0;
    std::vector<std::uint32_t> told;
  };

  template <class Is>
  [[nodiscard]] std::size_t any(Is is) {
    for (;;) {
      std::size_t const i = chance_.next() % want_.nodes.size();
      if (!want_.nodes[i].gone && is(want_.nodes[i].how)) { return i; }
    }
  }
  [[nodiscard]] std::size_t any_array() { return any(oracle::is_array); }
  [[nodiscard]] std::size_t any_cell() {
    return any([](recipe const& r) { return r.is != form::told && !oracle::is_array(r); });
  }
  mine& append(recipe how, std::vector<word> values) {
    want_.add(std::move(how), std::move(values));
    mine_.push_back(std::make_unique<mine>());
    return *mine_.back();
  }
  [[nodiscard]] word small() { return static_cast<word>(chance_.next() % 10); }

  void add_input() {
    std::vector<word> values;
    for (std::uint32_t k = 0; k < size_; ++k) { values.push_back(small()); }
    mine& m = append({}, values);
    m.input = g_.input_array(span_of(values)).value();
    m.row = m.input;
  }
  void add_scalar() {
    word const value = small();
    recipe how;
    how.is = form::scalar;
    mine& m = append(how, {value});
    m.scalar = g_.input(value).value();
    m.cell = m.scalar;
  }
  void add_each() {
    recipe how;
    how.is = form::each;
    how.modulus = static_cast<word>(2 + chance_.next() % 30);
    how.fails = chance_.next() % 5 == 0;
    how.from.push_back(any_array());
    std::uint64_t const shape = chance_.next() % 4;
    if (shape == 1 || shape == 3) { how.from.push_back(any_array()); }
    if (shape >= 2) { how.from.push_back(any_cell()); }
    mine& m = append(how, std::vector<word>(size_));
    auto const& a = mine_[how.from[0]]->row;
    auto const two = [how, &m](word x, word y) { return ++m.runs, how.finish(x * 3 + y); };
    switch (shape) {
      case 0:
        if (how.fails) {
          m.row =
              g_.computed_each([how, &m](word x) { return ++m.runs, how.finish(x); }, a).value();
        } else {
          m.row =
              g_.computed_each([how, &m](word x) noexcept { return ++m.runs, x % how.modulus; }, a)
                  .value();
        }
        break;
      case 1: m.row = g_.computed_each(two, a, mine_[how.from[1]]->row).value(); break;
      case 2: m.row = g_.computed_each(two, a, mine_[how.from[1]]->cell).value(); break;
      default:
        m.row = g_.computed_each(
                      [how, &m](word x, word y, word z) {
                        return ++m.runs, how.finish((x * 3 + y) * 3 + z);
                      },
                      a, mine_[how.from[1]]->row, mine_[how.from[2]]->cell)
                    .value();
    }
  }
  void add_of_one(form is) {
    if (is == form::element && size_ == 0) { return; }
    recipe how;
    how.is = is;
    how.from = {any_array()};
    if (is == form::element) { how.at = static_cast<std::uint32_t>(chance_.next() % size_); }
    mine& m = append(how, {0});
    auto const& a = mine_[how.from[0]]->row;
    if (is == form::fold) {
      m.cell = g_.reduced(a, [&m](word x, word y) { return ++m.runs, x * 3 + y; }, 99).value();
    } else if (is == form::element) {
      m.cell = g_.element(a, how.at).value();
    } else {
      m.cell = g_.computed(
                     [&m](propagate::array<word> const& all) {
                       ++m.runs;
                       word got = 0;
                       for (word v : all.view()) { got = got * 5 + v; }
                       return got;
                     },
                     a)
                   .value();
    }
  }
  void add_of_cell() {
    recipe how;
    how.is = form::scalar_of_cell;
    how.from = {any_cell()};
    mine& m = append(how, {0});
    m.cell =
        g_.computed([&m](word x) { return ++m.runs, (x * 3 + 1) % 17; }, mine_[how.from[0]]->cell)
            .value();
  }
  void observe() {
    recipe how;
    how.is = form::told;
    bool const row = chance_.next() % 2 == 0;
    how.from = {row ? any_array() : any_cell()};
    mine& m = append(how, {});
    mine& from = *mine_[how.from[0]];
    if (row) {
      m.observer = g_.observe_each(from.row, [&m](propagate::array_changes<word> const& now) {
                       ++m.runs;
                       m.told.assign(now.indices().begin(), now.indices().end());
                     }).value();
    } else {
      m.observer = g_.observe(from.cell, [&m](word) {
                       ++m.runs;
                       m.told = {0};
                     }).value();
    }
  }
  void remove() {
    std::size_t const i = any([](recipe const& r) { return r.is == form::told; }, 8);
    if (i == want_.nodes.size()) { return; }
    REQUIRE(g_.remove(mine_[i]->observer.id()));
    want_.nodes[i].gone = true;
  }
  template <class Is>
  [[nodiscard]] std::size_t any(Is is, int tries) {
    while (tries-- != 0) {
      std::size_t const i = chance_.next() % want_.nodes.size();
      if (!want_.nodes[i].gone && is(want_.nodes[i].how)) { return i; }
    }
    return want_.nodes.size();
  }
  void write() {
    ++want_.pass;
    std::uint64_t const count = 1 + chance_.next() % 4;
    auto const written = [](recipe const& r) {
      return r.is == form::input || r.is == form::scalar;
    };
    if (chance_.next() % 3 == 0) {  // alone, a row of elements
      std::size_t const i = any(written);
      if (want_.nodes[i].how.is == form::scalar) {
        word const value = small();
        want_.write(i, 0, value);
        REQUIRE(g_.write(mine_[i]->scalar, value));
        return;
      }
      std::uint32_t const first = static_cast<std::uint32_t>(chance_.next() % (size_ + 1));
      std::vector<word> values(chance_.next() % (size_ - first + 1));
      for (std::size_t k = 0; k < values.size(); ++k) {
        values[k] = small();
        want_.write(i, first + k, values[k]);
      }
      REQUIRE(g_.write_range(mine_[i]->input, first, span_of(values)));
      return;
    }
    bool const aborts = chance_.next() % 8 == 0;
    auto batch = g_.begin().value();
    std::vector<std::tuple<std::size_t, std::size_t, word>> staged;
    for (std::uint64_t k = 0; k < count; ++k) {
      std::size_t const i = any(written);
      word const value = small();
      if (want_.nodes[i].how.is == form::scalar) {
        REQUIRE(batch.write(mine_[i]->scalar, value));
        staged.emplace_back(i, 0, value);
      } else if (size_ != 0) {
        auto const at = static_cast<std::uint32_t>(chance_.next() % size_);
        REQUIRE(batch.write(mine_[i]->input, at, value));
        staged.emplace_back(i, at, value);
      }
    }
    if (aborts) {
      batch.abort();
      return;
    }
    for (std::size_t k = 0; k < staged.size(); ++k) {
      auto const& [i, at, value] = staged[k];
      bool last = true;
      for (std::size_t l = k + 1; l < staged.size(); ++l) {
        last = last && (std::get<0>(staged[l]) != i || std::get<1>(staged[l]) != at);
      }
      if (last) { want_.write(i, at, value); }
    }
    REQUIRE(batch.commit());
  }
  void same_read(std::size_t i) {
    auto const& want = want_.demand(i);
    if (!oracle::is_array(want.how)) {
      auto const got = g_.read(mine_[i]->cell);
      REQUIRE((got ? error{} : got.error()) == want.failure);
      if (got) { REQUIRE(*got == want.values[0]); }
      return;
    }
    std::vector<word> all(size_);
    auto const got = g_.read(mine_[i]->row, cuda::std::span<word>(all.data(), all.size()));
    REQUIRE((got ? error{} : got.error()) == want.failure);
    if (got) { REQUIRE(all == want.values); }
  }
  void compare() {
    for (std::size_t i = 0; i < want_.nodes.size(); ++i) {
      if (want_.nodes[i].how.is == form::told && !want_.nodes[i].gone) { want_.demand(i); }
    }
    std::uint64_t runs = 0, told = 0;
    for (std::size_t i = 0; i < want_.nodes.size(); ++i) {
      INFO("node ", i);
      auto const& want = want_.nodes[i];
      REQUIRE(mine_[i]->runs == want.runs);
      (want.how.is == form::told ? told : runs) += want.runs + want.copies;
      if (want.how.is == form::told && oracle::is_array(want_.nodes[want.how.from[0]].how)) {
        REQUIRE(mine_[i]->told == want.told);
      }
    }
    REQUIRE(g_.stats().runs == runs);
    REQUIRE(g_.stats().told == told);
  }

  core::splitmix_rng chance_;
  propagate::basic_graph<P> g_;
  oracle want_;
  std::vector<std::unique_ptr<mine>> mine_;
  std::uint32_t size_ = 0;
};

}  // namespace

TEST_CASE("arrays: the values, failures, calls and runs of an engine that looks at all elements") {
  int const programs = millrace_test::long_tier() ? 100'000 : 1'000;
  for (int seed = 1; seed <= programs; ++seed) {
    INFO("seed ", seed);
    program<propagate::default_graph>(static_cast<std::uint64_t>(seed)).play(20 + seed % 100);
    program<planned_graph>(static_cast<std::uint64_t>(seed)).play(20 + seed % 100);
  }
}
