// SPDX-License-Identifier: Apache-2.0
#include <millrace/propagate/graph.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
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
  auto const sum = g.computed([&](double x, double y) { return ++runs, x * 100 + y; }, left, right)
                       .value();
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
  auto const root = g.computed([](double x) -> result<double> {
                       if (x < 0) { return core::fail(errc::bad_argument, 7); }
                       return x;
                     }, a).value();
  auto const next = g.computed([](double x) { return x + 1; }, root).value();
  auto const thrown = g.computed([](double x) -> double {
                         if (x == 4) { throw std::runtime_error("four"); }
                         return x;
                       }, next).value();
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
