// SPDX-License-Identifier: Apache-2.0
// Plans: the values and runs of cells that are run from flat arrays, by one thread and by several,
// and what leaves a plan.
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/graph.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace core = millrace::core;
namespace propagate = millrace::propagate;
using millrace::errc;
using millrace::result;

namespace {

struct planned_graph : propagate::default_graph {
  static constexpr std::uint32_t plan_width = 64;
  static constexpr std::uint32_t plan_after = 0;
};
/// What leaves a plan stays out of it for some batches.
struct lasting_graph : planned_graph {
  static constexpr std::uint32_t plan_after = 1;
};
/// Each word of 64 cells is a task of a team.
struct shared_graph : planned_graph {
  static constexpr std::uint32_t task_ns = 0;
};
/// One thread and a team, as their times say.
struct measured_graph : planned_graph {
  static constexpr std::uint32_t task_ns = 1;
};
template <class P>
[[nodiscard]] propagate::team* team_of() {
  static propagate::team three = propagate::team::make(3).value();
  return P::task_ns == planned_graph::task_ns ? nullptr : &three;
}

/// Layers of sums of neighbours, p and p + `reach`, round the end; each write is looked at.
template <class P>
struct sums {
  static constexpr std::size_t width = 200, layers = 4;

  explicit sums(std::size_t reach) : sums(reach, typename P::resource{}) {
    write(0, 1);
    write(0, 2);
    CHECK(g.stats().planned == layers * width);
  }
  /// Without a plan yet.
  sums(std::size_t reach, typename P::resource from)
      : reach_{reach}, g{propagate::basic_graph<P>::make(from).value()}, values(width) {
    REQUIRE(g.use(team_of<P>()));
    for (std::size_t p = 0; p < width; ++p) {
      values[p] = static_cast<int>(p);
      inputs.push_back(g.input(values[p]).value());
      cells.push_back(inputs.back());
    }
    for (std::size_t i = 0; i < layers * width; ++i) {
      std::size_t const p = i % width, before = i / width * width;
      cells.push_back(g.computed([this](int a, int b) { return ++runs, (a + b) % 1000; },
                                 cells[before + p], cells[before + other(p)])
                          .value());
    }
    cuda::std::span<propagate::cell<int> const> const last(&cells[layers * width], width);
    REQUIRE(g.keep(last));
  }
  [[nodiscard]] std::size_t other(std::size_t p) const { return (p * reach_ + 1) % width; }

  void write(std::size_t p, int value) {
    std::vector<int> const before = answer();
    values[p] = value;
    std::vector<int> const after = answer();
    std::uint64_t want = 0;
    for (std::size_t i = width; i < after.size(); ++i) {
      std::size_t const from = (i / width - 1) * width, left = from + i % width;
      std::size_t const right = from + other(i % width);
      want += before[left] != after[left] || before[right] != after[right] ? 1u : 0u;
    }
    runs = 0;
    REQUIRE(g.write(inputs[p], value));
    CHECK(runs == want);
    for (std::size_t i = 0; i < after.size(); ++i) {
      REQUIRE(g.read(cells[i]).value() == after[i]);
    }
  }
  [[nodiscard]] std::vector<int> answer() const {
    std::vector<int> all = values;
    for (std::size_t i = 0; i < layers * width; ++i) {
      std::size_t const from = i / width * width;
      all.push_back((all[from + i % width] + all[from + other(i % width)]) % 1000);
    }
    return all;
  }

  std::size_t reach_;
  propagate::basic_graph<P> g;
  std::vector<propagate::input<int>> inputs;
  std::vector<propagate::cell<int>> cells;
  std::vector<int> values;
  std::atomic<std::uint64_t> runs = 0;
};

}  // namespace

TEST_CASE_TEMPLATE("plan: values and runs of near and of scattered dependencies", P, planned_graph,
                   shared_graph, measured_graph) {
  for (std::size_t const reach : {std::size_t{1}, std::size_t{67}}) {
    sums<P> s(reach);
    for (std::size_t p = 0; p < sums<P>::width; p += 7) { s.write(p, static_cast<int>(1000 - p)); }
  }
}

TEST_CASE_TEMPLATE("plan: cells that come, are observed, replaced and removed", P, planned_graph,
                   shared_graph) {
  using sums = ::sums<P>;
  sums s(1);
  propagate::cell<int> const in_plan = s.cells[2 * sums::width + 5];
  int told = 0;
  auto const observer = s.g.observe(in_plan, [&](int value) { told = value; }).value();
  auto const twice = s.g.computed([](int a) { return 2 * a; }, in_plan).value();
  s.write(5, 77);
  CHECK(told == s.g.read(in_plan).value());
  CHECK(s.g.read(twice).value() == 2 * told);
  REQUIRE(s.g.remove(observer.id()));
  s.write(6, 78);
  CHECK(s.g.read(twice).value() == 2 * s.g.read(in_plan).value());
  REQUIRE(s.g.replace(in_plan, [](int a) { return a + 1; }, propagate::cell<int>(s.inputs[9])));
  REQUIRE(s.g.write(s.inputs[9], 41));
  CHECK(s.g.read(in_plan).value() == 42);
  CHECK(s.g.read(s.cells[3 * sums::width + 5]).value() ==
        (42 + s.g.read(s.cells[2 * sums::width + 6]).value()) % 1000);
}

TEST_CASE_TEMPLATE("plan: a tracking cell goes from one planned cell to another", P, planned_graph,
                   shared_graph) {
  using sums = ::sums<P>;
  sums s(67);
  auto const which = s.g.input(0).value();
  auto const base = 3 * sums::width;
  auto const t = s.g.tracking([&](auto& read) {
                      return read(s.cells[base + static_cast<std::size_t>(read(which))]);
                    })
                     .value();
  int told = -1;
  REQUIRE(s.g.observe(t, [&](int value) { told = value; }));
  for (int k = 0; k < 8; ++k) {
    REQUIRE(s.g.write(which, k * 20));
    CHECK(told == s.g.read(s.cells[base + static_cast<std::size_t>(k) * 20]).value());
    s.write(static_cast<std::size_t>(k) * 20, 500 + k);
    CHECK(told == s.g.read(s.cells[base + static_cast<std::size_t>(k) * 20]).value());
  }
}

TEST_CASE_TEMPLATE("plan: functions that fail and throw", P, planned_graph, shared_graph) {
  auto g = propagate::basic_graph<P>::make().value();
  REQUIRE(g.use(team_of<P>()));
  static constexpr int width = 128;
  std::vector<propagate::input<int>> in;
  std::vector<propagate::cell<int>> first, second;
  for (int p = 0; p < width; ++p) {
    in.push_back(g.input(p).value());
    first.push_back(g.computed(
                         [](int a) -> result<int> {
                           if (a == 1000) { return core::fail(errc::bad_argument, 7); }
                           return a + 1;
                         },
                         propagate::cell<int>(in.back()))
                        .value());
    second.push_back(
        g.computed([](int a) { return a == 2001 ? throw 1 : 2 * a; }, first.back()).value());
  }
  REQUIRE(g.keep(cuda::std::span<propagate::cell<int> const>(second.data(), second.size())));
  REQUIRE(g.write(in[0], 5));
  CHECK(g.stats().planned == 2 * width);
  auto batch = g.begin().value();
  for (int p = 0; p < width; ++p) {
    REQUIRE(batch.write(in[static_cast<std::size_t>(p)], p == 40 ? 1000 : p == 50 ? 2000 : p + 10));
  }
  REQUIRE(batch.commit());
  for (std::size_t p = 0; p < width; ++p) {
    auto const got = g.read(second[p]);
    if (p == 40) {
      CHECK(got.error().native == 7);
    } else if (p == 50) {
      CHECK(got.error().code == errc::function_failed);
    } else {
      CHECK(got.value() == 2 * (static_cast<int>(p) + 11));
    }
  }
  CHECK(g.stats().failed == 3);
  REQUIRE(g.write(in[40], 1));
  REQUIRE(g.write(in[50], 2));
  CHECK(g.stats().failed == 0);
  CHECK(g.read(second[40]).value() == 4);
  CHECK(g.read(second[50]).value() == 6);
}

namespace {

/// Cells each of the one before it, above any cell; each write is looked at.
template <class P>
struct line {
  static constexpr std::size_t length = 300;
  /// What a cell gives is one more, `most` at most; of `bad` it fails.
  struct rule {
    int most = 1'000'000, bad = -1;
  };

  line(propagate::basic_graph<P>& of, propagate::cell<int> from) : g{of}, rules(length) {
    for (rule& each : rules) {
      from = g.computed([this, &each](int a) { return ++runs, apply(each, a); }, from).value();
      cells.push_back(from);
    }
    REQUIRE(g.keep(cuda::std::span<propagate::cell<int> const>(&cells.back(), 1)));
  }
  [[nodiscard]] static result<int> apply(rule const& by, int a) {
    if (a == by.bad) { return core::fail(errc::bad_argument, a); }
    return std::min(a + 1, by.most);
  }
  /// Of what the first depends on.
  [[nodiscard]] std::vector<result<int>> answer(int first) const {
    std::vector<result<int>> all{first};
    for (rule const& each : rules) {
      all.push_back(all.back() ? apply(each, *all.back()) : all.back());
    }
    return all;
  }
  void start(int first) {
    is = answer(first);
    runs = 0;
  }
  /// After what the first depends on is another, or the same.
  void check(int first) {
    auto const was = std::exchange(is, answer(first));
    std::uint64_t want = 0;
    for (std::size_t k = 0; k < length; ++k) {
      want += is[k].has_value() && is[k] != was[k] ? 1u : 0u;
      auto const got = g.read(cells[k]);
      REQUIRE(got == is[k + 1]);
    }
    CHECK(runs.exchange(0) == want);
  }

  propagate::basic_graph<P>& g;
  std::vector<rule> rules;
  std::vector<result<int>> is;
  std::vector<propagate::cell<int>> cells;
  std::atomic<std::uint64_t> runs = 0;
};

/// One above an input, planned.
template <class P>
struct lone_line {
  lone_line() : all(g, in) {
    REQUIRE(g.use(team_of<P>()));
    int now = 0;
    while (g.stats().planned == 0 && now < 5) { REQUIRE(g.write(in, ++now)); }
    REQUIRE(g.stats().planned == line<P>::length);
    all.start(now);
  }
  void write(int next) {
    REQUIRE(g.write(in, next));
    all.check(next);
  }

  propagate::basic_graph<P> g = propagate::basic_graph<P>::make().value();
  propagate::input<int> in = g.input(0).value();
  line<P> all;
};

}  // namespace

TEST_CASE_TEMPLATE("plan: a chain, as far as its values change", P, planned_graph, lasting_graph,
                   shared_graph) {
  lone_line<P> s;
  s.write(10);
  s.all.rules[150].most = 1'000;
  s.write(2'000);
  s.write(2'001);  // as far as the cell that gives 1,000 again
  s.write(3);
  s.write(3);
  for (std::size_t const k : {std::size_t{0}, std::size_t{63}, std::size_t{64}, std::size_t{299}}) {
    s.all.rules[k].most = 0;
    s.write(20);
    s.write(21);
    s.all.rules[k].most = 1'000;
    s.write(22);
  }
  CHECK(s.g.stats().planned == line<P>::length);
}

TEST_CASE_TEMPLATE("plan: a cell of a chain fails, and does no more", P, planned_graph,
                   lasting_graph, shared_graph) {
  lone_line<P> s;
  for (std::size_t const k :
       {std::size_t{0}, std::size_t{63}, std::size_t{64}, std::size_t{130}, line<P>::length - 1}) {
    s.all.rules[k].bad = 50 + static_cast<int>(k);
    s.write(50);
    CHECK(s.g.stats().failed == line<P>::length - k);
    s.all.rules[k].bad = -1;
    s.write(51);
    CHECK(s.g.stats().failed == 0);
    s.write(52);
  }
}

TEST_CASE_TEMPLATE("plan: cells of a chain that are observed, read, replaced and removed", P,
                   planned_graph, lasting_graph, shared_graph) {
  lone_line<P> s;
  int told = 0;
  auto const observer = s.g.observe(s.all.cells[100], [&](int value) { told = value; }).value();
  s.write(2);
  CHECK(told == 103);
  REQUIRE(s.g.remove(observer.id()));
  auto const twice = s.g.computed([](int a) { return 2 * a; }, s.all.cells[50]).value();
  s.write(3);
  CHECK(s.g.read(twice).value() == 108);
  REQUIRE(s.g.keep(cuda::std::span<propagate::cell<int> const>(&twice, 1)));
  s.write(4);
  CHECK(s.g.read(twice).value() == 110);

  // two places at which one batch begins
  int replaced = 0;
  auto const other = s.g.input(0).value();
  auto const replace = [&](std::size_t k) {
    REQUIRE(s.g.replace(
        s.all.cells[k], [&replaced](int a, int b) { return ++replaced, a + 1 + b; },
        s.all.cells[k - 1], other));
  };
  replace(70);
  CHECK(replaced == 1);
  for (int k = 1; k < 4; ++k) {
    replaced = 0;
    s.all.runs = 0;
    auto batch = s.g.begin().value();
    REQUIRE(batch.write(s.in, 100 * k));
    REQUIRE(batch.write(other, k));
    REQUIRE(batch.commit());
    CHECK(replaced == 1);
    CHECK(s.all.runs == line<P>::length - 1);
    CHECK(s.g.read(s.all.cells[69]).value() == 100 * k + 70);
    CHECK(s.g.read(s.all.cells.back()).value() == 100 * k + 300 + k);
    REQUIRE(s.g.write(other, 10 * k));
    CHECK(replaced == 2);
    CHECK(s.g.read(s.all.cells.back()).value() == 100 * k + 300 + 10 * k);
  }
}

TEST_CASE("plan: a chain of which each cell is looked at is none any more") {
  using line = ::line<lasting_graph>;
  lone_line<lasting_graph> s;
  std::vector<int> told(line::length);
  for (std::size_t k = 0; k < line::length; ++k) {
    REQUIRE(s.g.observe(s.all.cells[k], [&told, k](int value) { told[k] = value; }));
    if (k % 7 == 0) { s.write(static_cast<int>(100 + k)); }
  }
  for (int k = 0; k < 20; ++k) {
    s.write(k);
    for (std::size_t c = 0; c < line::length; ++c) {
      REQUIRE(told[c] == k + static_cast<int>(c) + 1);
    }
  }
  CHECK(s.g.stats().planned == 0);
}

TEST_CASE("plan: a tracking cell goes on to a cell of a chain that comes after it") {
  lone_line<lasting_graph> s;
  auto const which = s.g.input(0).value();
  std::vector<propagate::cell<int>> const cells = s.all.cells;
  auto const early = s.g.tracking([&](auto& read) {
                          int const k = read(which);
                          return k < 0 ? -1 : read(cells[static_cast<std::size_t>(k)]);
                        })
                         .value();
  auto const late = s.g.computed([](int a) { return -a; }, early).value();
  REQUIRE(s.g.keep(cuda::std::span<propagate::cell<int> const>(&late, 1)));
  int input = 100;
  for (int const k : {10, 200, 63, 299, -1, 64}) {
    REQUIRE(s.g.write(which, k));
    for (int times = 0; times < 3; ++times) {
      s.write(++input);
      CHECK(s.g.read(late).value() == (k < 0 ? 1 : -(input + k + 1)));
    }
  }
}

TEST_CASE("plan: the end of a chain is removed, and its graph goes on") {
  propagate::basic_graph<planned_graph> g = propagate::basic_graph<planned_graph>::make().value();
  auto const in = g.input(0).value();
  int runs = 0, told = 0;
  std::vector<propagate::cell<int>> cells{in};
  for (int k = 0; k < 200; ++k) {
    cells.push_back(g.computed([&](int a) { return ++runs, a + 1; }, cells.back()).value());
  }
  auto const observer = g.observe(cells.back(), [&](int value) { told = value; }).value();
  REQUIRE(g.observe(cells[100], [&](int value) { told += value; }));
  REQUIRE(g.write(in, 1));
  CHECK(g.stats().planned == 200);
  REQUIRE(g.remove(observer.id()));
  REQUIRE(g.remove(cells.back().id()));
  runs = told = 0;
  REQUIRE(g.write(in, 2));
  CHECK(runs == 100);
  CHECK(told == 102);
  CHECK(g.read(cells[199]).value() == 201);
}

TEST_CASE_TEMPLATE("plan: a chain above a wide level and below another", P, planned_graph,
                   shared_graph) {
  static constexpr std::size_t width = 100;
  auto g = propagate::basic_graph<P>::make().value();
  REQUIRE(g.use(team_of<P>()));
  std::vector<propagate::input<int>> in;
  std::vector<propagate::cell<int>> below, above;
  for (std::size_t p = 0; p < width; ++p) {
    in.push_back(g.input(static_cast<int>(p)).value());
    below.push_back(
        g.computed([](int a) { return a / 2; }, propagate::cell<int>(in.back())).value());
  }
  line<P> all(g, below[40]);
  std::atomic<std::uint64_t> runs = 0;
  for (std::size_t p = 0; p < width; ++p) {
    above.push_back(
        g.computed([&](int a, int b) { return ++runs, a + b; }, all.cells.back(), below[p])
            .value());
  }
  REQUIRE(g.keep(cuda::std::span<propagate::cell<int> const>(above.data(), above.size())));
  REQUIRE(g.write(in[0], 2));
  CHECK(g.stats().planned == 2 * width + line<P>::length);
  all.start(20);
  runs = 0;
  REQUIRE(g.write(in[40], 41));  // its half is the same
  CHECK(runs == 0);
  all.check(20);
  REQUIRE(g.write(in[40], 90));
  all.check(45);
  CHECK(runs == width);
  for (std::size_t p = 0; p < width; ++p) {
    CHECK(g.read(above[p]).value() == 345 + g.read(below[p]).value());
  }
  REQUIRE(g.write(in[7], 90));
  CHECK(runs == width + 1);
  all.check(45);
}

TEST_CASE("plan: a team is given while nothing runs") {
  auto g = propagate::graph::make().value();
  auto const in = g.input(1).value();
  millrace::result<void> inside;
  REQUIRE(g.observe(propagate::cell<int>(in), [&](int) { inside = g.use(nullptr); }));
  CHECK(inside.error().code == errc::busy);
  CHECK(g.use(nullptr));
}

TEST_CASE("plan: the time that runs take decides who makes them") {
  propagate::detail::measured_choice choice;
  static constexpr std::uint32_t nodes = 1000, task_ns = 100;
  auto const by_team = [&](std::uint32_t of) { return choice.decide(of, task_ns).by_team; };
  auto const often = [&] {
    int count = 0;
    for (int i = 0; i < 640; ++i) { count += by_team(nodes) ? 1 : 0; }
    return count;
  };
  CHECK(choice.decide(nodes, task_ns).timed);  // nothing is known
  choice.note(false, nodes, 90);
  CHECK(often() == 0);  // less than a task
  CHECK_FALSE(choice.decide(nodes, task_ns).timed);
  for (int i = 0; i < 60; ++i) { choice.note(false, nodes, 10'000); }
  CHECK(choice.tasks(nodes, task_ns) >= 90);
  choice.note(true, nodes, 6'000);
  CHECK(often() == 630);
  choice.note(true, nodes, 1'000'000);  // an interruption counts for little
  CHECK(often() == 630);
  for (int i = 0; i < 40; ++i) { choice.note(true, nodes, 20'000); }
  CHECK(often() == 10);
  static constexpr std::uint32_t more = 4 * nodes;  // another size: each is tried four times
  int shared = 0;
  for (std::uint32_t i = 0; i < propagate::detail::measured_choice::early; ++i) {
    shared += by_team(more) ? 1 : 0;
    choice.note(by_team(more), more, i == 0 ? 1'000'000 : 10'000 + (by_team(more) ? 500 : 0));
  }
  CHECK(shared == 4);
  CHECK_FALSE(by_team(more));
}

TEST_CASE("plan: none of narrow graphs") {
  propagate::graph g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const b = g.computed([](int x) { return x + 1; }, propagate::cell<int>(a)).value();
  REQUIRE(g.keep(cuda::std::span<propagate::cell<int> const>(&b, 1)));
  for (int k = 0; k < 10'000; ++k) { REQUIRE(g.write(a, k)); }
  CHECK(g.stats().planned == 0);
  CHECK(g.read(b).value() == 10'000);
}

namespace {
struct failing_graph : planned_graph {
  using resource = millrace::memory::failing_resource<>;
};
}  // namespace

TEST_CASE("plan: a chain for which there is no memory stays as it is") {
  millrace::memory::failure_plan memory;
  std::uint64_t k = 0;
  for (bool passed = false; !passed;) {
    ++k;
    CAPTURE(k);
    auto const from = failing_graph::resource(memory);
    auto g = propagate::basic_graph<failing_graph>::make(from).value();
    auto const in = g.input(0).value();
    line<failing_graph> all(g, in);
    memory.fail_at = memory.seen + k;
    REQUIRE(g.write(in, 1));
    memory.fail_at = 0;
    passed = g.stats().planned != 0;
    CHECK(passed == (memory.failed == 0));
    memory.failed = 0;
    all.start(1);
    REQUIRE(g.write(in, 2));
    all.check(2);
    CHECK(g.stats().planned == line<failing_graph>::length);
  }
  CHECK(k > 20);
}

TEST_CASE("plan: missing memory while one is made leaves the graph and its plan as they are") {
  using sums = ::sums<failing_graph>;
  millrace::memory::failure_plan memory;
  std::uint64_t k = 0;
  for (bool over = false; !over;) {
    ++k;
    CAPTURE(k);
    over = true;
    sums s(67, failing_graph::resource(memory));
    for (bool const again : {false, true}) {  // a first plan, and one that would replace it
      CAPTURE(again);
      std::uint64_t const failed = memory.failed;
      memory.fail_at = memory.seen + k;
      s.write(0, 1 + again);
      memory.fail_at = 0;
      bool const passed = memory.failed == failed;
      over = over && passed;
      if (!again) { CHECK((s.g.stats().planned != 0) == passed); }
      s.write(5, 2);  // with the plan that there is, and one is made after it
      CHECK(s.g.stats().planned == sums::layers * sums::width);
    }
    s.write(7, 3);
  }
  CHECK(k > 20);
}
