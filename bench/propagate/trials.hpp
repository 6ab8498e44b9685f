// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"
#include "bench/harness/threads.hpp"
#include "bench/propagate/suite/cellx.hpp"
#include "bench/propagate/suite/grid.hpp"
#include "bench/propagate/suite/kairo_changing.hpp"
#include "bench/propagate/suite/layers.hpp"
#include "bench/propagate/suite/lines.hpp"
#include "bench/propagate/suite/oracle.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// \file
/// The trials of the suite, of any framework. Each builds its graph, warms up, is timed for some
/// milliseconds, and looks at all that it computed.

namespace millrace::bench {

/// Makes the trial of a bench, by its name without `propagate.`; nothing where the engine cannot.
using trial_source = std::optional<contender> (*)(std::string_view bench);

/// ns of an iteration of one kairo test.
template <class Test>
[[gnu::noinline]] measured kairo_trial() {
  auto const test = std::make_unique<Test>();
  for (int i = 0; i < 3; ++i) { test->iterate(); }
  std::int64_t const start = now_ns();
  for (int i = 0; i < Test::iterations; ++i) { test->iterate(); }
  auto const ns = static_cast<double>(now_ns() - start);
  return {ns / Test::iterations, test->problem()};
}

/// ns of a batch, on a graph that was just built.
template <suite::framework F>
[[gnu::noinline]] measured cellx_trial(std::size_t layers) {
  std::size_t const builds = layers < 100 ? 200 : 10;
  std::int64_t ns = 0;
  for (std::size_t i = 0; i < builds; ++i) {
    auto const test = std::make_unique<suite::cellx<F>>(layers);
    std::int64_t const start = now_ns();
    test->change();
    ns += now_ns() - start;
    std::string problem = test->problem();
    if (!problem.empty()) { return {0, std::move(problem)}; }
  }
  return {static_cast<double>(ns) / static_cast<double>(builds), {}};
}

/// What a grid comes to in a trial, by the reference.
struct grid_answer {
  double sum = 0;
  std::size_t runs = 0;

  [[nodiscard]] static grid_answer const& of(suite::grid_shape const& shape) {
    static std::map<std::string_view, grid_answer> known;
    auto const [at, fresh] = known.try_emplace(shape.name);
    if (fresh) {
      suite::grid<suite::oracle> graph(shape);
      graph.warm(shape.bench_iterations);
      graph.pass(shape.bench_iterations);
      at->second = {graph.sum(), graph.take_runs()};
    }
    return at->second;
  }
};

/// ns of an iteration, of a second pass.
template <suite::framework F>
[[gnu::noinline]] measured grid_trial(suite::grid_shape const& shape) {
  grid_answer const& want = grid_answer::of(shape);
  auto const graph = std::make_unique<suite::grid<F>>(shape);
  graph->pass(shape.bench_iterations);  // all of it: it warms the caches as well
  (void)graph->take_runs();
  std::int64_t const start = now_ns();
  graph->pass(shape.bench_iterations);
  auto const ns = static_cast<double>(now_ns() - start);
  suite::findings found;
  if constexpr (F::exact_runs) { found.expect_runs(graph->take_runs(), want.runs, "node runs"); }
  found.expect(graph->sum(), want.sum, "the sum of the leaves");
  return {ns / static_cast<double>(shape.bench_iterations),
          graph->problem().empty() ? found.problem() : graph->problem()};
}

/// ns of a node, of a graph that is built once and changed in each trial. What adapts to its work
/// has done so after some changes, before it is timed: ours has a plan of a chain after three.
template <class Graph>
[[nodiscard]] contender changing(std::string_view name, std::size_t nodes) {
  auto const graph = std::make_shared<std::unique_ptr<Graph>>();
  return guarded(std::string(name), [graph, nodes]() -> measured {
    if (*graph == nullptr) {
      *graph = std::make_unique<Graph>(nodes);
      for (int i = 0; i < 4; ++i) { (*graph)->change(); }
    }
    std::size_t const changes = nodes < 1'000'000 ? 1'000'000 / nodes : 1;
    std::int64_t const start = now_ns();
    for (std::size_t i = 0; i < changes; ++i) { (*graph)->change(); }
    auto const ns = static_cast<double>(now_ns() - start);
    return {ns / static_cast<double>(changes * nodes), (*graph)->problem()};
  });
}

/// ns of a write that nobody sees.
template <suite::framework F>
[[gnu::noinline]] measured unobserved_trial() {
  static constexpr int writes = 200'000;
  suite::unobserved<F> test;
  std::int64_t const start = now_ns();
  for (int i = 0; i < writes; ++i) { test.touch(); }
  auto const ns = static_cast<double>(now_ns() - start);
  test.look();
  return {ns / writes, test.problem()};
}

/// ns of a batch that changes one input in a hundred of an engine of the layered graph, which
/// `apply`s changes and says how many functions ran (0 when it does not count), and `agrees`.
template <class Engine>
[[nodiscard]] contender layered(std::string_view name,
                                std::shared_ptr<suite::layered_graph const> graph,
                                std::string (*once)(suite::layered_graph const&) = nullptr) {
  struct state {
    explicit state(suite::layered_graph const& of) : engine(of), answer(of) {}
    Engine engine;
    suite::layered_answer answer;
    suite::small_fast_counter draw = suite::seeded_by("changes");
  };
  auto const kept = std::make_shared<std::unique_ptr<state>>();
  return guarded(std::string(name), [kept, graph, once]() -> measured {
    std::size_t const count = graph->width / 100;
    if (*kept == nullptr) {
      std::string problem = once != nullptr ? once(*graph) : std::string();
      if (!problem.empty()) { return {0, std::move(problem)}; }
      *kept = std::make_unique<state>(*graph);
      // what adapts to its work has done so before it is timed: ours has a plan after some twenty
      for (int i = 0; i < 24; ++i) {
        auto const changes = suite::draw_changes((*kept)->draw, graph->width, count);
        (void)(*kept)->engine.apply(changes);
        (void)(*kept)->answer.apply(changes);
      }
    }
    state& now = **kept;
    // one batch to warm up: what came between had the caches
    auto const warm = suite::draw_changes(now.draw, graph->width, count);
    (void)now.engine.apply(warm);
    (void)now.answer.apply(warm);
    auto const changes = suite::draw_changes(now.draw, graph->width, count);
    std::int64_t const start = now_ns();
    std::size_t const runs = now.engine.apply(changes);
    auto const ns = static_cast<double>(now_ns() - start);
    std::size_t const want = now.answer.apply(changes);
    suite::findings found;
    if (runs != 0 && runs != graph->nodes()) { found.expect_runs(runs, want, "node runs"); }
    found.expect(now.engine.agrees(now.answer.values()), 1, "that all values are right");
    return {ns, found.problem()};
  });
}

/// Runs and values of two batches, in a graph of its own that counts.
template <suite::framework F>
[[nodiscard]] std::string counted_layers(suite::layered_graph const& graph) {
  suite::layers<F, true> engine(graph);
  suite::layered_answer answer(graph);
  auto draw = suite::seeded_by("counted");
  suite::findings found;
  for (int i = 0; i < 2; ++i) {
    auto const changes = suite::draw_changes(draw, graph.width, graph.width / 100);
    std::size_t const runs = engine.apply(changes), want = answer.apply(changes);
    if constexpr (F::exact_runs) { found.expect_runs(runs, want, "node runs"); }
    found.expect(engine.agrees(answer.values()), 1, "that all values are right");
  }
  return found.problem();
}

/// The layered graphs of the benches, made once.
[[nodiscard]] inline std::shared_ptr<suite::layered_graph const> layers_of(std::string_view bench) {
  static constexpr std::size_t width = 100'000, deep = 10;
  static std::weak_ptr<suite::layered_graph const> known[2];
  bool const near = bench == "static.1m.near";
  auto graph = known[near ? 1 : 0].lock();
  if (graph == nullptr) {
    graph = std::make_shared<suite::layered_graph const>(suite::make_layers(near, width, deep));
    known[near ? 1 : 0] = graph;
  }
  return graph;
}

}  // namespace millrace::bench
