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
