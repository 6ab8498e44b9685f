// SPDX-License-Identifier: Apache-2.0
#include <millrace/propagate/dump.hpp>

#include <doctest/doctest.h>

#include <string>

namespace core = millrace::core;
namespace propagate = millrace::propagate;
using millrace::errc;

TEST_CASE("dump: shows roles, names, who is needed, what failed, and dependencies as they are") {
  auto g = propagate::graph::make().value();
  CHECK(propagate::to_json(g).value() == R"({"nodes":[]})");
  auto const price = g.input(2.0).value();
  auto const amount = g.input(3.0).value();
  REQUIRE(g.set_name(price, 700));
  auto const value = g.computed([](double p, double n) { return p * n; }, price, amount).value();
  auto const root = g.tracking([=](auto& read) -> millrace::result<double> {
                       if (read(value) > 5) { return core::fail(errc::bad_argument); }
                       return 0.0;
                     }).value();
  REQUIRE(g.observe(root, [](double) {}));
  static_cast<void>(g.computed([](double p) { return -p; }, price));
  CHECK(propagate::to_json(g).value() ==
        R"({"nodes":[{"id":0,"name":700,"is":"input","needed":true,"failed":false,"from":[]},)"
        R"({"id":1,"name":null,"is":"input","needed":true,"failed":false,"from":[]},)"
        R"({"id":2,"name":null,"is":"computed","needed":true,"failed":false,"from":[0,1]},)"
        R"({"id":3,"name":null,"is":"tracking","needed":true,"failed":true,"from":[2]},)"
        R"({"id":4,"name":null,"is":"observer","needed":true,"failed":true,"from":[3]},)"
        R"({"id":5,"name":null,"is":"computed","needed":false,"failed":false,"from":[0]}]})");
  CHECK(propagate::to_dot(g).value() == R"(digraph propagate {
  rankdir=LR;
  node [fontname="sans-serif"];
  n0 [shape=ellipse, label="700\ninput"];
  n1 [shape=ellipse, label="#1\ninput"];
  n2 [shape=box, label="#2\ncomputed"];
  n0 -> n2;
  n1 -> n2;
  n3 [shape=box, label="#3\ntracking", color=red];
  n2 -> n3 [style=dashed];
  n4 [shape=note, label="#4\nobserver", color=red];
  n3 -> n4;
  n5 [shape=box, label="#5\ncomputed", color=grey, fontcolor=grey];
  n0 -> n5;
}
)");
}
