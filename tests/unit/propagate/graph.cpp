// SPDX-License-Identifier: Apache-2.0
#include "tier.hpp"
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/graph.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace propagate = millrace::propagate;
namespace core = millrace::core;
using millrace::errc;
using millrace::result;

TEST_CASE("graph: a write runs what depends on it, once, after all that it reads") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1.0).value();
  int runs = 0;
  auto const left = g.computed([&](double x) { return ++runs, x + 1; }, a).value();
  auto const right = g.computed([&](double x) { return ++runs, 2 * x; }, a).value();
  auto const sum =
      g.computed([&](double x, double y) { return ++runs, x * 100 + y; }, left, right).value();
  CHECK(runs == 0);  // nobody needs them
  std::vector<double> told;
  auto const seen = g.observe(sum, [&](double v) { told.push_back(v); }).value();
  CHECK(told == std::vector<double>{202});
  CHECK(runs == 3);
  REQUIRE(g.write(a, 3));
  CHECK(told == std::vector<double>{202, 406});
  CHECK(runs == 6);
  REQUIRE(g.write(a, 3));  // no change
  CHECK(runs == 6);
  CHECK(g.read(sum).value() == 406);
  REQUIRE(g.remove(seen.id()));
  REQUIRE(g.write(a, 4));
  CHECK(runs == 6);
  CHECK(g.read(sum).value() == 508);
  CHECK(runs == 9);
  CHECK(g.read(sum).value() == 508);
  CHECK(runs == 9);
  REQUIRE(g.write(a, 4));
  CHECK(g.read(sum).value() == 508);
  CHECK(runs == 9);
}

TEST_CASE("graph: a tracking cell depends on what its last run has read") {
  auto g = propagate::graph::make().value();
  auto const which = g.input(true).value();
  auto const a = g.input(1).value();
  auto const b = g.input(2).value();
  int runs = 0, doubled = 0;
  auto const twice = g.computed([&](int x) { return ++doubled, 2 * x; }, b).value();
  auto const chosen = g.tracking([=, &runs](auto& read) {
                         ++runs;
                         return read(which) ? read(a) : read(twice);
                       }).value();
  std::vector<int> told;
  auto const seen = g.observe(chosen, [&](int v) { told.push_back(v); });
  REQUIRE(seen);
  CHECK(doubled == 0);
  REQUIRE(g.write(b, 5));
  CHECK(runs == 1);
  REQUIRE(g.write(which, false));
  CHECK(runs == 2);
  CHECK(doubled == 1);
  REQUIRE(g.write(a, 7));
  CHECK(runs == 2);
  auto batch = g.begin().value();
  REQUIRE(batch.write(which, true));
  REQUIRE(batch.write(b, 6));
  REQUIRE(batch.commit());
  CHECK(doubled == 1);  // it would be read no more
  CHECK(told == std::vector<int>{1, 10, 7});
}

TEST_CASE("graph: a failure flows downstream, and clears when inputs change") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1.0).value();
  auto const root = g.computed(
                         [](double x) -> result<double> {
                           if (x < 0) { return core::fail(errc::bad_argument, 7); }
                           return x;
                         },
                         a)
                        .value();
  auto const next = g.computed([](double x) { return x + 1; }, root).value();
  auto const thrown = g.computed(
                           [](double x) -> double {
                             if (x == 4) { throw std::runtime_error("four"); }
                             return x;
                           },
                           next)
                          .value();
  int told = 0;
  REQUIRE(g.observe(thrown, [&](double) { ++told; }));
  REQUIRE(g.write(a, -1));
  CHECK(g.read(thrown).error() == core::fail(errc::bad_argument, 7).error());
  CHECK(g.stats().failed == 4);
  REQUIRE(g.write(a, 3));
  CHECK(g.read(next).value() == 4);
  CHECK(g.read(thrown).error().code == errc::function_failed);
  REQUIRE(g.write(a, 1));
  CHECK(g.read(thrown).value() == 2);
  CHECK(g.stats().failed == 0);
  CHECK(told == 2);
}

TEST_CASE("graph: handles of other graphs, removed nodes and other types are refused") {
  auto g = propagate::graph::make().value();
  auto other = propagate::graph::make().value();
  auto const a = g.input(1.0).value();
  auto const b = g.input(2.0).value();
  auto const strange = other.input(3.0).value();
  auto const sum = g.computed([](double x, double y) { return x + y; }, a, b).value();
  propagate::cell<int> const wrong_type(a.id());
  propagate::input<double> const computed_as_input(sum.id());
  auto const unknown = [](auto const& got, int argument) {
    return !got && got.error() == core::fail(errc::unknown_id, argument).error();
  };
  auto const plus = [](double x, double y) { return x + y; };
  CHECK(unknown(g.read(strange), 1));
  CHECK(unknown(g.read(propagate::cell<double>()), 1));
  CHECK(unknown(g.read(wrong_type), 1));
  CHECK(unknown(g.write(strange, 1), 1));
  CHECK(unknown(g.write(computed_as_input, 1), 1));
  CHECK(unknown(g.computed(plus, a, static_cast<propagate::cell<double>>(strange)), 2));
  CHECK(unknown(g.observe(strange, [](double) {}), 1));
  propagate::cell<double> const both[] = {a, strange};
  CHECK(unknown(g.combined([](auto v) { return v[0]; },
                           cuda::std::span<propagate::cell<double> const>(both, 2)),
                2));
  CHECK(unknown(g.remove(strange.id()), 1));
  auto batch = g.begin().value();
  CHECK(unknown(batch.write(strange, 1), 1));
  CHECK(unknown(batch.write(computed_as_input, 1), 1));
  batch.abort();
  auto const unused = g.input(1.0).value();
  REQUIRE(g.remove(unused.id()));
  CHECK(unknown(g.remove(unused.id()), 1));
  auto const in_its_place = g.input(5.0).value();
  CHECK(unknown(g.read(unused), 1));
  CHECK(g.read(in_its_place).value() == 5);
  CHECK(g.remove(a.id()).error().code == errc::busy);
  CHECK(g.read(sum).value() == 3);

  auto const reads_strange = g.tracking([=](auto& read) { return read(strange); }).value();
  CHECK(g.read(reads_strange).error().code == errc::unknown_id);
}

TEST_CASE("graph: a graph at the address of one that is gone does not know that one's handles") {
  auto const made = [](int value) {
    auto g = propagate::graph::make().value();
    auto const in = g.input(value).value();
    return std::pair(std::move(g), in);
  };
  auto [before, old] = made(1);
  auto [after, in] = made(2);
  REQUIRE(old.id().slot == in.id().slot);
  propagate::input<int> const stale(
      propagate::node_id{in.id().graph, old.id().slot, old.id().generation});
  CHECK(after.read(stale).error().code == errc::unknown_id);
  CHECK(after.write(stale, 3).error().code == errc::unknown_id);
  CHECK(after.read(in).value() == 2);
}

TEST_CASE("graph: a batch takes effect whole, once, or not at all") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const b = g.input(2).value();
  auto const sum = g.computed([](int x, int y) { return x + y; }, a, b).value();
  std::vector<int> told;
  REQUIRE(g.observe(sum, [&](int v) { told.push_back(v); }));
  auto batch = g.begin().value();
  CHECK(g.begin().error().code == errc::busy);
  CHECK(g.write(a, 9).error().code == errc::busy);
  REQUIRE(batch.write(a, 10));
  REQUIRE(batch.write(b, 20));
  REQUIRE(batch.write(a, 30));
  CHECK(g.read(sum).value() == 3);
  REQUIRE(batch.commit());
  CHECK(told == std::vector<int>{3, 50});
  CHECK(batch.commit().error().code == errc::closed);
  CHECK(batch.write(a, 1).error().code == errc::closed);
  {
    auto dropped = g.begin().value();
    REQUIRE(dropped.write(a, 77));
  }
  auto aborted = g.begin().value();
  REQUIRE(aborted.write(b, 78));
  aborted.abort();
  CHECK(g.read(a).value() == 30);
  CHECK(told.size() == 2);
  auto swapped = g.begin().value();  // a change that cancels out reaches no observer
  REQUIRE(swapped.write(a, 20));
  REQUIRE(swapped.write(b, 30));
  REQUIRE(swapped.commit());
  CHECK(told.size() == 2);
}

TEST_CASE("graph: a list of writes is as many writes, up to the first that is refused") {
  auto g = propagate::graph::make().value();
  auto other = propagate::graph::make().value();
  std::vector<propagate::input<int>> to;
  std::vector<int> values, told;
  for (int k = 0; k < 100; ++k) { to.push_back(g.input(0).value()); }
  std::vector<propagate::cell<int>> const all(to.begin(), to.end());
  auto const sum = g.combined(
                        [](auto of) {
                          int got = 0;
                          for (std::size_t k = 0; k < of.size(); ++k) { got += of[k]; }
                          return got;
                        },
                        cuda::std::span<propagate::cell<int> const>(all.data(), all.size()))
                       .value();
  REQUIRE(g.observe(sum, [&](int v) { told.push_back(v); }));
  auto const write = [&](auto& batch) {
    return batch.write_all(cuda::std::span<propagate::input<int> const>(to.data(), to.size()),
                           cuda::std::span<int const>(values.data(), values.size()));
  };
  for (int k = 0; k < 100; ++k) { values.push_back(k); }
  to.push_back(to[7]);  // the last write of an input counts
  auto batch = g.begin().value();
  CHECK(write(batch).error() == core::fail(errc::bad_argument, 2).error());
  values.push_back(1007);
  REQUIRE(write(batch));
  REQUIRE(batch.commit());
  CHECK(told == std::vector<int>{0, 4950 + 1000});
  CHECK(write(batch).error().code == errc::closed);

  to[50] = other.input(0).value();
  values.assign(values.size(), 1);
  auto refused = g.begin().value();
  CHECK(write(refused).error() == core::fail(errc::unknown_id, 51).error());
  REQUIRE(refused.commit());
  CHECK(g.read(to[49]).value() == 1);
  CHECK(g.read(to[51]).value() == 51);
  to.clear();
  values.clear();
  auto none = g.begin().value();
  REQUIRE(write(none));
  REQUIRE(none.commit());
  CHECK(told.size() == 3);
}

TEST_CASE("graph: NaN and zeros under each cutoff") {
  double const nan = std::numeric_limits<double>::quiet_NaN();
  auto const times = [&](auto same, double first, double second) {
    auto g = propagate::graph::make().value();
    auto const a = g.input(0, propagate::never_same{}).value();
    double value = first;
    auto const c = g.computed_unless(same, [&](int) { return value; }, a).value();
    int told = 0;
    REQUIRE(g.observe(c, [&](double) { ++told; }));
    value = second;
    REQUIRE(g.write(a, 0));
    return told - 1;
  };
  CHECK(times(propagate::same_bits{}, nan, nan) == 0);
  CHECK(times(propagate::same_bits{}, nan, -nan) == 1);
  CHECK(times(propagate::same_bits{}, 0.0, -0.0) == 1);
  CHECK(times(propagate::same_bits{}, 1.0, 1.0) == 0);
  CHECK(times(propagate::equal{}, nan, nan) == 1);
  CHECK(times(propagate::equal{}, 0.0, -0.0) == 0);
  CHECK(times(propagate::never_same{}, 1.0, 1.0) == 1);
  auto const within = [](double x, double y) noexcept { return x - y < 1 && y - x < 1; };
  CHECK(times(within, 1.0, 1.5) == 0);
  CHECK(times(within, 1.0, 2.5) == 1);
}

TEST_CASE("graph: functions and observers cannot change the graph that runs them") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const unseen = g.computed([](int x) { return x; }, a).value();
  std::vector<errc> refused;
  auto const code = [](auto const& got) { return got ? errc::ok : got.error().code; };
  auto const meddle = [&](int x) {
    refused = {code(g.input(1)),     code(g.write(a, 5)),    code(g.begin()),
               code(g.read(unseen)), code(g.remove(a.id())), code(g.observe(a, [](int) {}))};
    return x;
  };
  auto const c = g.computed(meddle, a).value();
  std::vector<errc> const all_busy(6, errc::busy);
  int seen = 0;
  REQUIRE(g.observe(c, [&](int v) {
    CHECK(refused == all_busy);
    meddle(v);
    seen = g.read(c).value();
  }));
  CHECK(refused == all_busy);
  CHECK(seen == 1);
  REQUIRE(g.write(a, 2));
  CHECK(seen == 2);
  CHECK(g.stats().nodes == 4);
}

TEST_CASE("graph: a cell may read one that was made after it, but not one that depends on it") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  std::vector<propagate::cell<int>> later(1, a);
  auto const first = g.tracking([&](auto& read) { return read(a) + read(later[0]); }).value();
  std::vector<int> told;
  REQUIRE(g.observe(first, [&](int v) { told.push_back(v); }));
  auto const twice = g.computed([](int x) { return 2 * x; }, a).value();
  auto const last = g.computed([](int x) { return x + 100; }, twice).value();
  later[0] = last;
  REQUIRE(g.write(a, 2));
  CHECK(told == std::vector<int>{2, 106});
  CHECK(g.stats().reorders == 1);
  REQUIRE(g.write(a, 3));
  CHECK(told == std::vector<int>{2, 106, 109});

  auto const behind = g.computed([](int x) { return -x; }, first).value();
  auto const further = g.computed([](int x) { return -x; }, behind).value();
  REQUIRE(g.observe(further, [](int) {}));
  later[0] = further;
  REQUIRE(g.write(a, 4));
  CHECK(g.read(first).error().code == errc::cycle);
  CHECK(g.read(further).error().code == errc::cycle);
  propagate::node_id path[8];
  REQUIRE(g.cycle_path(path, 8) == 3);
  CHECK(path[0] == first.id());
  CHECK(path[1] == behind.id());
  CHECK(path[2] == further.id());
  CHECK(g.cycle_path(path, 2) == 2);
  later[0] = first;
  REQUIRE(g.write(a, 5));
  CHECK(g.read(first).error().code == errc::cycle);
  CHECK(g.cycle_path(path, 8) == 1);
  later[0] = a;
  REQUIRE(g.write(a, 6));
  CHECK(g.read(further).value() == 12);
  CHECK(told.back() == 12);
}

TEST_CASE("graph: chains of a million cells, that track or not, need no stack") {
  std::size_t const length = millrace_test::long_tier() ? 1'000'000 : 100'000;
  for (bool const tracks : {false, true}) {
    auto g = propagate::graph::make().value();
    auto const a = g.input(std::size_t{1}).value();
    propagate::cell<std::size_t> last = a;
    for (std::size_t i = 0; i < length; ++i) {
      last = tracks ? g.tracking([last](auto& read) { return read(last) + 1; }).value()
                    : g.computed([](std::size_t x) { return x + 1; }, last).value();
    }
    CHECK(g.read(last).value() == length + 1);
    CHECK(g.stats().runs == length);
    std::size_t told = 0;
    auto const seen = g.observe(last, [&](std::size_t v) { told = v; }).value();
    CHECK(g.stats().runs == length);
    REQUIRE(g.write(a, 2));
    CHECK(told == length + 2);
    CHECK(g.stats().runs == 2 * length);
    REQUIRE(g.remove(seen.id()));
  }
}

TEST_CASE("graph: nodes come and go, and the places of those that are gone are used again") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  std::vector<propagate::cell<int>> layer;
  int told = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<propagate::cell<int>> next;
    for (int i = 0; i < 20; ++i) {
      next.push_back(g.computed([i](int x) { return x + i; }, a).value());
    }
    auto const seen = g.observe(next.back(), [&](int v) { told = v; }).value();
    REQUIRE(g.write(a, round));
    CHECK(told == round + 19);
    for (auto const& old : layer) { REQUIRE(g.remove(old.id())); }
    REQUIRE(g.remove(seen.id()));
    layer = next;
    CHECK(g.stats().nodes == 21);
  }
  CHECK(g.read(layer[3]).value() == 299 + 3);
}

namespace {
/// Each block is an allocation, and may fail.
struct failing_graph : propagate::default_graph {
  using resource = millrace::memory::failing_resource<>;
  static constexpr std::size_t small_bytes = 0;
};
/// Those that many blocks share.
struct sharing_graph : failing_graph {
  static constexpr std::size_t small_bytes = propagate::default_graph::small_bytes;
};
}  // namespace

TEST_CASE("graph: missing memory is an error, and nothing has changed") {
  millrace::memory::failure_plan plan;
  using graph = propagate::basic_graph<failing_graph>;
  millrace::memory::failing_resource<> const from(plan);
  plan.fail_from = 1;
  CHECK(graph::make(from).error().code == errc::out_of_memory);
  plan.fail_from = 0;
  {
    auto g = graph::make(from).value();
    auto const a = g.input(1).value();
    auto const b = g.input(10).value();
    std::vector<propagate::cell<int>> cells{a, b};
    std::uint64_t refused = 0;
    /// Every allocation of each call fails in turn, until the call passes.
    auto const insist = [&](auto call) {
      for (std::uint64_t k = 1;; ++k) {
        auto const before = g.stats().nodes;
        plan.fail_at = plan.seen + k;
        auto made = call();
        plan.fail_at = 0;
        if (made) { return *made; }
        ++refused;
        REQUIRE(made.error().code == errc::out_of_memory);
        REQUIRE(g.stats().nodes == before);
      }
    };
    for (int i = 0; i < 300; ++i) {
      auto const x = cells[static_cast<std::size_t>(i) * 7 % cells.size()];
      auto const y = cells[static_cast<std::size_t>(i) * 5 % cells.size()];
      propagate::cell<int> const both[] = {x, y};
      cells.push_back(insist([&] { return g.computed([](int v, int w) { return v + w; }, x, y); }));
      cells.push_back(insist([&] {
        return g.combined([](auto v) { return v[0] - v[1]; },
                          cuda::std::span<propagate::cell<int> const>(both, 2));
      }));
    }
    CHECK(refused > 100);
    CHECK(g.read(cells[2]).value() == 2);

    // a tracking cell that cannot link what it reads has that failure, until it runs again
    auto const tracks = g.tracking([&](auto& read) { return read(a) + read(b); }).value();
    plan.fail_from = plan.seen + 1;
    auto const failed = g.read(tracks);
    plan.fail_from = 0;
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == errc::out_of_memory);
    REQUIRE(g.write(a, 2));
    CHECK(g.read(tracks).value() == 12);
  }
  CHECK(plan.live_bytes == 0);
}

TEST_CASE("graph: memory that cells share may be missing, and nothing has changed") {
  millrace::memory::failure_plan plan;
  using graph = propagate::basic_graph<sharing_graph>;
  {
    auto g = graph::make(sharing_graph::resource(plan)).value();
    auto const in = g.input(1).value();
    std::vector<propagate::cell<int>> cells{in};
    std::uint64_t refused = 0;
    for (int i = 1; i <= 2'000; ++i) {
      plan.fail_from = plan.seen + 1;  // what needs the resource fails once
      auto const before = g.stats().nodes;
      auto made = g.computed([](int v, int w) { return v / 2 + w; }, cells.back(), in);
      plan.fail_from = 0;
      if (!made) {
        ++refused;
        REQUIRE(made.error().code == errc::out_of_memory);
        REQUIRE(g.stats().nodes == before);
        made = g.computed([](int v, int w) { return v / 2 + w; }, cells.back(), in);
      }
      cells.push_back(made.value());
    }
    CHECK(refused > 5);
    CHECK(g.read(cells.back()).value() == 1);
    for (std::size_t k = cells.size(); k-- > 1000;) { REQUIRE(g.remove(cells[k].id())); }
    std::uint64_t const seen = plan.seen;
    for (std::size_t k = 1000; k < cells.size(); ++k) {
      cells[k] = g.computed([](int v, int w) { return v + w; }, cells[k - 1], in).value();
    }
    if (!propagate::detail::blocks_are_watched) { CHECK(plan.seen == seen); }  // from those removed
    REQUIRE(g.write(in, 2));
    CHECK(g.read(cells[999]).value() == 3);
    CHECK(g.read(cells.back()).value() == 3 + 2 * 1001);
  }
  CHECK(plan.live_bytes == 0);
}

TEST_CASE("graph: cells are found by name and type, and a name is one cell's") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1.0).value();
  auto const b = g.computed([](double x) { return x > 0; }, a).value();
  CHECK(g.set_name(a, 0).error() == core::fail(errc::bad_argument, 2).error());
  CHECK(g.set_name(propagate::cell<int>(a.id()), 7).error().code == errc::unknown_id);
  REQUIRE(g.set_name(a, 7));
  REQUIRE(g.set_name(a, 7));
  CHECK(g.set_name(b, 7).error().code == errc::duplicate);
  REQUIRE(g.set_name(b, 8));
  CHECK(g.find<double>(7).value() == a);
  CHECK(g.find<bool>(8).value() == b);
  CHECK(g.find<int>(7).error().code == errc::unknown_id);
  CHECK(g.find<double>(9).error().code == errc::unknown_id);
  REQUIRE(g.set_name(b, 9));  // another one
  CHECK(g.find<bool>(8).error().code == errc::unknown_id);
  CHECK(g.find<bool>(9).value() == b);
  REQUIRE(g.remove(b.id()));
  CHECK(g.find<bool>(9).error().code == errc::unknown_id);
  REQUIRE(g.set_name(a, 9));
  CHECK(g.find<double>(9).value() == a);
}

TEST_CASE("graph: a cell's function is replaced, and what depends on the cell follows") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(2).value();
  auto const b = g.input(30).value();
  auto const c = g.computed([](int x) { return x; }, a).value();
  auto const d = g.computed([](int x, int y) { return x + y; }, c, a).value();
  std::vector<int> told;
  REQUIRE(g.observe(d, [&](int v) { told.push_back(v); }));
  REQUIRE(g.replace(c, [](int x) { return 2 * x; }, a));
  REQUIRE(g.replace(c, [](int x) { return x + x; }, a));  // the same value: nobody is told
  REQUIRE(g.replace(c, [=](auto& read) { return read(a) < 5 ? read(b) : 0; }));
  CHECK(told == std::vector<int>{4, 6, 32});
  REQUIRE(g.write(b, 40));
  REQUIRE(g.replace(c, [](int x) { return x; }, b));
  CHECK(told == std::vector<int>{4, 6, 32, 42});
  auto const later = g.computed([](int x) { return -x; }, b).value();
  REQUIRE(g.replace(c, [](int x, int y) { return x + y; }, later, later));
  CHECK(told.back() == -78);

  CHECK(g.replace(c, [](int x) { return x; }, d).error().code == errc::cycle);
  CHECK(g.replace(c, [](int x) { return x; }, c).error().code == errc::cycle);
  CHECK(g.replace(
             propagate::cell<int>(a), [](int x) { return x; }, b)
            .error() == core::fail(errc::bad_argument, 1).error());
  CHECK(g.replace(
             c, [](int x, int y) { return x + y; }, a, propagate::cell<int>())
            .error() == core::fail(errc::unknown_id, 3).error());
  auto batch = g.begin().value();
  CHECK(g.replace(c, [](int x) { return x; }, b).error().code == errc::busy);
  batch.abort();
  REQUIRE(g.write(b, 1));
  CHECK(told.back() == 0);
}

TEST_CASE("graph: an input made late does not disturb the order that a new dependency needs") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const flag = g.input(false).value();
  std::vector<propagate::cell<int>> late(2, a);
  auto const first = g.tracking([&](auto& read) {
                        return read(flag) ? read(late[0]) + read(a) : read(a);
                      }).value();
  auto const next = g.computed([](int x) { return x + 1; }, first).value();
  auto const last = g.tracking([&](auto& read) { return 10 * read(late[1]); }).value();
  int runs = 0;
  auto const sum = g.computed([&](int x, int y) { return ++runs, x + y; }, next, a).value();
  late = {last, g.input(5).value()};
  int seen = 0;
  REQUIRE(g.observe(sum, [&](int v) { seen = v; }));
  REQUIRE(g.observe(last, [](int) {}));
  REQUIRE(g.write(flag, true));
  CHECK(g.stats().reorders == 1);
  CHECK(seen == 53);
  runs = 0;
  REQUIRE(g.write(a, 2));
  CHECK(seen == 55);
  CHECK(runs == 1);
}

TEST_CASE("graph: a cell that only a tracking cell needs from now on is not run for old changes") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  int runs = 0;
  auto const tens = g.computed([](int x) { return x / 10; }, a).value();
  auto const same = g.computed([&](int x) { return ++runs, x; }, tens).value();
  REQUIRE(g.observe([&](auto& read) { static_cast<void>(read(same)); }));
  auto const seen = g.observe(same, [](int) {}).value();
  REQUIRE(g.write(a, 10));
  CHECK(runs == 2);
  REQUIRE(g.remove(seen.id()));
  REQUIRE(g.write(a, 11));
  CHECK(runs == 2);
}

TEST_CASE("graph: a function that keeps or changes a reader's exceptions runs again") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  std::vector<propagate::cell<int>> later(1, a);
  auto const inner = g.tracking([&](auto& read) { return read(later[0]); }).value();
  auto const keeps = g.tracking([&](auto& read) {
                        int v = 0;
                        for (int i = 0; i < 1000; ++i) {
                          try {
                            v = read(inner);
                          } catch (...) { v = -1; }
                        }
                        return v;
                      }).value();
  auto const changes = g.tracking([&](auto& read) -> int {
                          try {
                            return read(later[0]);
                          } catch (...) { throw std::runtime_error("mine"); }
                        }).value();
  later[0] = g.computed([](int x) { return 2 * x; }, a).value();
  CHECK(g.read(changes).value() == 2);
  CHECK(g.read(keeps).value() == 2);
  CHECK(g.stats().reorders == 2);
}

TEST_CASE("graph: dependencies that are gone by the end of a write close no cycle") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const flag = g.input(false).value();
  std::vector<propagate::cell<int>> later(1, a);
  auto const x =
      g.tracking([&](auto& read) { return read(flag) ? read(later[0]) + 1 : read(a); }).value();
  auto const y =
      g.tracking([&](auto& read) { return read(flag) ? 10 * read(a) : read(x) + 1; }).value();
  auto const next = g.computed([](int v) { return -v; }, x).value();
  later[0] = y;
  std::vector<int> seen, seen_next;
  REQUIRE(g.observe(x, [&](int v) { seen.push_back(v); }));
  REQUIRE(g.observe(y, [](int) {}));
  REQUIRE(g.observe([&](auto& read) { seen_next.push_back(read(next)); }));
  REQUIRE(g.write(flag, true));
  CHECK(g.read(y).value() == 10);
  REQUIRE(g.write(flag, false));
  CHECK(g.read(y).value() == 2);
  REQUIRE(g.write(flag, true));
  CHECK(seen == std::vector<int>{1, 11, 1, 11});
  CHECK(seen_next == std::vector<int>{-1, -11, -1, -11});
  CHECK(g.stats().failed == 0);
}

TEST_CASE("graph: the failure of a cycle ends with it, and not before") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const b = g.input(1).value();
  auto const flag = g.input(true).value();
  std::vector<propagate::cell<int>> later(1, a);
  auto const x =
      g.tracking([&](auto& read) { return read(flag) ? read(later[0]) + 1 : read(a); }).value();
  auto const y = g.tracking([&](auto& read) { return read(x) + 1; }).value();
  later[0] = y;
  int seen = 0;
  REQUIRE(g.observe(x, [](int) {}));
  auto const told = g.observe(y, [&](int v) { seen = v; }).value();
  CHECK(g.read(x).error().code == errc::cycle);
  CHECK(g.read(y).error().code == errc::cycle);
  for (int i = 0; i < 100; ++i) { REQUIRE(g.write(b, i)); }
  CHECK(g.read(y).error().code == errc::cycle);
  REQUIRE(g.write(flag, false));
  CHECK(seen == 2);
  CHECK(g.read(y).value() == 2);
  REQUIRE(g.write(flag, true));
  CHECK(g.read(y).error().code == errc::cycle);
  REQUIRE(g.remove(told.id()));
  REQUIRE(g.write(flag, false));
  CHECK(g.read(y).value() == 2);
}

TEST_CASE("graph: a failure for missing memory ends when there is memory") {
  millrace::memory::failure_plan plan;
  auto g = propagate::basic_graph<failing_graph>::make(failing_graph::resource(plan)).value();
  auto const a = g.input(1).value();
  auto const b = g.input(2).value();
  auto const other = g.input(0).value();
  auto const sum = g.tracking([&](auto& read) { return read(a) + read(b); }).value();
  auto const next = g.computed([](int x) { return 10 * x; }, sum).value();
  for (int i = 0; i < 3; ++i) {
    plan.fail_from = plan.seen + 1;
    CHECK(g.read(next).error().code == errc::out_of_memory);
    plan.fail_from = 0;
  }
  CHECK(g.read(sum).value() == 3);
  CHECK(g.read(next).value() == 30);  // in the pass in which it has failed

  int seen = 0;
  auto const lacks = g.tracking([&](auto& read) { return read(a) - read(b) - read(sum); }).value();
  auto const first = g.computed([](int x) { return x; }, lacks).value();
  auto const told = g.observe(other, [](int) {}).value();
  REQUIRE(g.remove(told.id()));  // there is room for an observer now
  for (int k = 1; g.stats().failed == 0; ++k) {
    plan.fail_from = plan.seen + static_cast<std::uint64_t>(k);
    auto const made = g.observe(first, [&](int v) { seen = v; });
    plan.fail_from = 0;
    REQUIRE(k < 20);
    if (made && g.stats().failed == 0) { REQUIRE(g.remove(made->id())); }
  }
  CHECK(seen == 0);
  REQUIRE(g.write(other, 1));  // that nobody depends on
  CHECK(seen == -4);
  CHECK(g.read(lacks).value() == -4);
  CHECK(g.stats().failed == 0);
}

namespace {
/// Copies of 13 throw.
struct wary {
  int is = 0;
  wary() = default;
  explicit wary(int v) : is{v} {}
  wary(wary&&) = default;
  wary& operator=(wary&&) = default;
  wary(wary const& other) : is{other.checked()} {}
  wary& operator=(wary const& other) {
    is = other.checked();
    return *this;
  }
  ~wary() = default;
  bool operator==(wary const&) const = default;
  [[nodiscard]] int checked() const {
    if (is == 13) { throw std::runtime_error("thirteen"); }
    return is;
  }
};
}  // namespace

TEST_CASE("graph: a copy that throws is a failure") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(wary(1)).value();
  auto const same = g.computed([](wary const& v) noexcept -> wary const& { return v; }, a).value();
  auto const also = g.computed([](wary const& v) -> result<wary> { return v; }, a).value();
  auto const reads = g.tracking([=](auto& read) -> wary const& { return read(a); }).value();
  int told = 0;
  REQUIRE(g.observe(same, [&](wary const& v) { told = v.is; }));
  for (int round = 0; round < 2; ++round) {
    REQUIRE(g.write(a, wary(13)));
    CHECK(g.read(a).error().code == errc::function_failed);
    CHECK(g.read(same).error().code == errc::function_failed);
    CHECK(g.read(also).error().code == errc::function_failed);
    CHECK(g.read(reads).error().code == errc::function_failed);
    REQUIRE(g.write(a, wary(2 + round)));
    CHECK(told == 2 + round);
    CHECK(g.read(also).value().is == told);
    CHECK(g.read(reads).value().is == told);
  }
}

TEST_CASE("graph: a batch follows its graph, and is closed when that is gone") {
  std::optional<propagate::graph> g(propagate::graph::make().value());
  auto const a = g->input(1).value();
  auto first = g->begin().value();
  REQUIRE(first.write(a, 2));
  propagate::graph moved(std::move(*g));
  g.reset();
  auto batch = std::move(first);
  REQUIRE(batch.commit());
  CHECK(moved.read(a).value() == 2);
  g = std::move(moved);
  batch = g->begin().value();
  REQUIRE(batch.write(a, 3));
  g.reset();
  CHECK(batch.write(a, 4).error().code == errc::closed);
  CHECK(batch.commit().error().code == errc::closed);
}

TEST_CASE("graph: a function cannot read past its graph what is not up to date yet") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  std::vector<propagate::cell<int>> later(1, a);
  std::optional<propagate::graph::batch> open;
  errc read = errc::ok, written = errc::ok;
  auto const c = g.computed(
                      [&](int x) {
                        if (auto const got = g.read(later[0]); !got) { read = got.error().code; }
                        return x;
                      },
                      a)
                     .value();
  later[0] = g.computed([](int x) { return 10 * x; }, a).value();
  REQUIRE(g.observe(later[0], [](int) {}));
  REQUIRE(g.observe(c, [](int) {}));
  REQUIRE(g.write(a, 2));
  CHECK(read == errc::busy);
  open.emplace(g.begin().value());
  auto const writes = g.computed(
                           [&](int x) {
                             auto const got = open->write(a, 5);
                             if (!got) { written = got.error().code; }
                             return x;
                           },
                           a)
                          .value();
  CHECK(g.read(writes).value() == 2);
  CHECK(written == errc::busy);
}

TEST_CASE("graph: what nobody needs closes no cycle by what it read long ago") {
  auto g = propagate::graph::make().value();
  auto const a = g.input(1).value();
  auto const flag = g.input(false).value();
  std::vector<propagate::cell<int>> later(1, a);
  auto const x =
      g.tracking([&](auto& read) { return read(flag) ? read(later[0]) + 1 : read(a); }).value();
  auto const y =
      g.tracking([&](auto& read) { return read(flag) ? 10 * read(a) : read(x) + 1; }).value();
  later[0] = y;
  CHECK(g.read(y).value() == 2);
  REQUIRE(g.write(flag, true));
  CHECK(g.read(x).value() == 11);
  REQUIRE(g.write(flag, false));
  int seen = 0;
  REQUIRE(g.observe(y, [&](int v) { seen = v; }));
  CHECK(seen == 2);
}

#if defined(__x86_64__)
TEST_CASE("graph: what pads a long double is no part of its value") {
  long double const value = 1.5L;
  alignas(16) unsigned char bytes[2][sizeof value];
  long double seen[2];
  for (int k = 0; k < 2; ++k) {
    std::memset(bytes[k], 0x55 * k, sizeof value);
    std::memcpy(bytes[k], &value, 10);
    std::memcpy(&seen[k], bytes[k], sizeof value);
  }
  CHECK(propagate::same_bits{}(seen[0], seen[1]));
  CHECK_FALSE(propagate::same_bits{}(0.0L, -0.0L));
}
#endif
