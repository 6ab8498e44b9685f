// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/propagate/why.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace core = millrace::core;
namespace propagate = millrace::propagate;
using millrace::errc;
using millrace::result;
using propagate::run_cause;

namespace {

template <std::uint32_t Capacity>
using traced = propagate::basic_graph<propagate::traced_graph<Capacity>>;

template <std::uint32_t Capacity>
[[nodiscard]] traced<Capacity> make_traced(propagate::why_log<Capacity>& log) {
  return traced<Capacity>::make({}, propagate::why_probe<Capacity>(log)).value();
}

}  // namespace

TEST_CASE("why: the way from an observer back to what was written") {
  propagate::why_log<64> log;
  auto g = make_traced(log);
  auto const price = g.input(2.0).value();
  auto const amount = g.input(3.0).value();
  auto const limit = g.input(100.0).value();
  REQUIRE(g.set_name(price, 700));
  auto const value = g.computed([](double p, double n) { return p * n; }, price, amount).value();
  auto const large = g.computed([](double v, double l) { return v > l; }, value, limit).value();
  CHECK(propagate::explain(g, large).error().code == errc::not_ready);
  auto const alarm = g.observe(large, [](bool) {}).value();
  CHECK(propagate::to_text(propagate::explain(g, large).value()).value() ==
        "#4 computed ran in pass 1 and changed: first\n");
  REQUIRE(g.write(price, 4));
  // `large` came out the same: nobody behind it ran
  CHECK(propagate::to_text(propagate::explain(g, large).value()).value() ==
        "#4 computed ran in pass 2: #3 has changed\n"
        "#3 computed ran in pass 2 and changed: 700 has changed\n"
        "700 input ran in pass 2 and changed: written\n");
  auto batch = g.begin().value();
  REQUIRE(batch.write(price, 50));
  REQUIRE(batch.write(amount, 5));
  REQUIRE(batch.commit());
  auto const why = propagate::explain(g, alarm.id()).value();
  CHECK(propagate::to_text(why).value() ==
        "#5 observer ran in pass 3: #4 has changed\n"
        "#4 computed ran in pass 3 and changed: #3 has changed\n"
        "#3 computed ran in pass 3 and changed: 700, #1 have changed\n"
        "#1 input ran in pass 3 and changed: written\n"
        "700 input ran in pass 3 and changed: written\n");
  CHECK(why.whole);
  CHECK(log.last.pass == 3);
  CHECK(log.last.runs == 2);
  CHECK(log.last.told == 1);
  REQUIRE(g.write(limit, 10));
  CHECK(propagate::to_json(propagate::explain(g, large).value()).value() ==
        R"({"whole":true,"steps":[{"id":4,"name":null,"is":"computed","pass":4,"why":"changed",)"
        R"("changed":false,"called":true,"failure":null,"from":[2]},)"
        R"({"id":2,"name":null,"is":"input","pass":4,"why":"written",)"
        R"("changed":true,"called":false,"failure":null,"from":[]}]})");
  CHECK(propagate::explain(g, propagate::node_id{}).error().code == errc::unknown_id);
}

TEST_CASE("why: failures, replaced functions and those that are tried again say so") {
  propagate::why_log<64> log;
  auto g = make_traced(log);
  auto const a = g.input(1).value();
  auto const b = g.input(true).value();
  auto const root = g.computed(
                         [](int x) -> result<int> {
                           if (x < 0) { return core::fail(errc::bad_argument); }
                           return x;
                         },
                         a)
                        .value();
  auto const next = g.computed([](int x) { return x + 1; }, root).value();
  propagate::cell<int> second;
  auto const first = g.tracking([&](auto& read) { return read(b) ? read(second) : 0; }).value();
  second = g.tracking([&](auto& read) { return read(first) + read(next); }).value();
  REQUIRE(g.observe(next, [](int) {}));
  REQUIRE(g.observe([&](auto& read) { static_cast<void>(read.outcome(second)); }));

  REQUIRE(g.write(a, -1));
  auto const failed = propagate::explain(g, next).value();
  REQUIRE(failed.steps.size() == 3);
  CHECK(failed.steps[0].end.failure.code == errc::bad_argument);
  CHECK_FALSE(failed.steps[0].end.called);
  CHECK(failed.steps[1].end.called);
  CHECK(propagate::to_text(failed).value() ==
        "#3 computed ran in pass 4 and changed, failed (argument outside what the function "
        "admits): #2 has changed\n"
        "#2 computed ran in pass 4 and changed, failed (argument outside what the function "
        "admits): #0 has changed\n"
        "#0 input ran in pass 4 and changed: written\n");
  REQUIRE(g.write(a, 3));
  CHECK(propagate::explain(g, first).value().steps[0].begin.why == run_cause::retried);
  REQUIRE(g.replace(root, [](int x) { return 2 * x; }, a));
  auto const replaced = propagate::explain(g, next).value();
  REQUIRE(replaced.steps.size() == 2);
  CHECK(replaced.steps[0].begin.why == run_cause::changed);
  CHECK(replaced.steps[1].begin.why == run_cause::replaced);
  CHECK(replaced.steps[1].from.empty());
}

TEST_CASE("why: what is not kept any more is said to be missing") {
  propagate::why_log<3> log;
  auto g = make_traced(log);
  auto const a = g.input(0).value();
  propagate::cell<int> last = a;
  for (int i = 0; i < 9; ++i) {
    last = g.computed([](int x) { return x + 1; }, last).value();
  }
  REQUIRE(g.observe(last, [](int) {}));
  REQUIRE(g.write(a, 5));
  auto const why = propagate::explain(g, last).value();
  CHECK(why.steps.size() == 2);  // the observer's run is the third that is kept
  CHECK_FALSE(why.whole);
  CHECK(propagate::to_text(why).value().find("what was before is not kept\n") != std::string::npos);
  CHECK(propagate::explain(g, a).error().code == errc::not_ready);
  traced<3> silent = traced<3>::make().value();
  auto const b = silent.input(1).value();
  REQUIRE(silent.write(b, 2));
  CHECK(propagate::explain(silent, b).error().code == errc::not_ready);
}

TEST_CASE("why: every run has a cause that came before it, and ends in what was written") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    core::splitmix_rng chance(seed);
    auto const log = std::make_unique<propagate::why_log<1u << 14>>();
    auto g = make_traced(*log);
    std::vector<propagate::input<int>> inputs;
    std::vector<propagate::cell<int>> cells;
    auto const some = [&] { return cells[chance.next() % cells.size()]; };
    for (int i = 0; i < 5; ++i) {
      inputs.push_back(g.input(i).value());
      cells.push_back(inputs.back());
    }
    for (int i = 0; i < 30; ++i) {
      auto const a = some(), b = some(), c = some();
      if (chance.next() % 2 == 0) {
        cells.push_back(g.computed([](int x, int y) { return (3 * x + y) % 17; }, a, b).value());
      } else {
        cells.push_back(g.tracking([=](auto& read) -> int {
                           return read(a) % 2 == 0 ? read(b) % 5 : read(c);
                         }).value());
      }
    }
    for (int i = 0; i < 4; ++i) {
      REQUIRE(g.observe(some(), [](int) {}));
    }
    REQUIRE(g.observe([c = some(), d = some()](auto& read) {
      if (read(c) % 2 == 0) { static_cast<void>(read(d)); }
    }));
    std::uint64_t called = 0, seen = 0;
    for (int step = 0; step < 100; ++step) {
      if (step % 7 == 3) { static_cast<void>(g.read(some())); }
      std::vector<propagate::node_id> written;
      auto batch = g.begin().value();
      for (std::uint64_t k = 1 + chance.next() % 3; k-- != 0;) {
        auto const& to = inputs[chance.next() % inputs.size()];
        REQUIRE(batch.write(to, static_cast<int>(chance.next() % 20)));
        written.push_back(to.id());
      }
      REQUIRE(batch.commit());
      REQUIRE(log->runs < log->capacity);
      for (; seen < log->runs; ++seen) {
        auto const& run = log->at(seen);
        if (!run.ended) { continue; }
        called += run.end.called ? 1u : 0u;
        REQUIRE((run.begin.why == run_cause::changed) == (run.sources != 0));
        if (run.begin.why != run_cause::changed) { continue; }
        auto const why = propagate::explain(g, run.begin.id).value();
        REQUIRE(why.whole);
        for (auto const& each : why.steps) {
          bool const ends = each.from.empty();
          REQUIRE(ends == (each.begin.why != run_cause::changed));
          if (each.begin.why != run_cause::written || each.begin.pass != log->last.pass) {
            continue;
          }
          REQUIRE(std::find(written.begin(), written.end(), each.begin.id) != written.end());
        }
      }
    }
    REQUIRE(called == g.stats().runs + g.stats().told);
  }
}
