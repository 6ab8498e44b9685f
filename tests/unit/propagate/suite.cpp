// SPDX-License-Identifier: Apache-2.0
// The benchmark suite of propagation, with every constant that is published for it, over its own
// reference and over each engine that claims to be exact.
#include "bench/propagate/peers/layers.hpp"
#include "bench/propagate/peers/push.hpp"
#include "bench/propagate/suite/cellx.hpp"
#include "bench/propagate/suite/graph_engine.hpp"
#include "bench/propagate/suite/grid.hpp"
#include "bench/propagate/suite/kairo_changing.hpp"
#include "bench/propagate/suite/layers.hpp"
#include "bench/propagate/suite/lines.hpp"
#include "bench/propagate/suite/oracle.hpp"
#include "tests/tier.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace {

using namespace millrace::bench;

template <class Test, class F>
void runs_right() {
  if constexpr (suite::bears<F>(Test::paths, 100, Test::needs_dynamic)) {
    Test test;
    CAPTURE(std::string(Test::name));
    for (int i = 0; i < (millrace_test::long_tier() ? 1'500 : 30); ++i) {
      test.iterate();
      REQUIRE(test.problem() == "");
    }
  }
}

TEST_CASE_TEMPLATE_DEFINE("suite: kairo ends in its values, and in its numbers of effects", F,
                          kairo) {
  runs_right<suite::avoidable<F>, F>();
  runs_right<suite::broad<F>, F>();
  runs_right<suite::deep<F>, F>();
  runs_right<suite::diamond<F>, F>();
  runs_right<suite::triangle<F>, F>();
  runs_right<suite::repeated<F>, F>();
  runs_right<suite::mux<F>, F>();
  runs_right<suite::unstable<F>, F>();
  runs_right<suite::mol<F>, F>();
}
TEST_CASE_TEMPLATE_INVOKE(kairo, suite::oracle, suite::graph_engine, peers::push);

TEST_CASE_TEMPLATE_DEFINE("suite: cellx ends in its values, and runs what changed", F, cells) {
  for (std::size_t const layers : {1u, 2u, 3u, 10u, 50u, 1'000u}) {
    suite::cellx<F> test(layers);
    test.change();
    CAPTURE(layers);
    CHECK(test.problem() == "");
  }
}
TEST_CASE_TEMPLATE_INVOKE(cells, suite::oracle, suite::graph_engine, peers::push);

TEST_CASE_TEMPLATE_DEFINE("suite: the drawn grids end in their sums and numbers of runs", F,
                          grids) {
  for (suite::grid_shape const& shape : suite::grid_shapes) {
    if (!suite::bears<F>(shape.paths(), shape.layers, shape.still < 1)) { continue; }
    CAPTURE(std::string(shape.name));
    suite::grid<F> graph(shape);
    graph.warm(shape.iterations);
    graph.pass(shape.iterations);
    CHECK(graph.take_runs() == shape.runs);
    CHECK(graph.sum() == shape.sum);
    CHECK(graph.problem() == "");
  }
}
TEST_CASE_TEMPLATE_INVOKE(grids, suite::oracle, suite::graph_engine, peers::push);

TEST_CASE_TEMPLATE_DEFINE("suite: chains, fans and what nobody looks at end in their values", F,
                          lines) {
  suite::chain<F> chain(1'000);
  suite::fanout<F> fan(1'000);
  suite::unobserved<F> unseen;
  for (int i = 0; i < 10; ++i) {
    chain.change();
    fan.change();
    unseen.touch();
  }
  unseen.look();
  CHECK(chain.problem() == "");
  CHECK(fan.problem() == "");
  CHECK(unseen.problem() == "");
}
TEST_CASE_TEMPLATE_INVOKE(lines, suite::oracle, suite::graph_engine, peers::push);

/// A framework's values and runs against the plain answer.
template <class F>
struct framework_of : suite::layers<F, true> {
  using suite::layers<F, true>::layers;
};

TEST_CASE_TEMPLATE_DEFINE("suite: layered graphs have the values of their definition, and its runs",
                          E, layered) {
  // narrow layers share words of a bitmap; one node reads one cell twice
  for (std::size_t const width : {1u, 3u, 40u, 64u, 1'000u}) {
    for (bool const near : {true, false}) {
      CAPTURE(width);
      CAPTURE(near);
      auto const graph = suite::make_layers(near, width, 10);
      E engine(graph);
      suite::layered_answer answer(graph);
      REQUIRE(engine.agrees(answer.values()));
      auto draw = suite::seeded_by("changes");
      for (int i = 0; i < 30; ++i) {
        auto const changes = suite::draw_changes(draw, width, i % 3 == 0 ? 1 : (width + 9) / 10);
        std::size_t const got = engine.apply(changes), want = answer.apply(changes);
        CHECK(got == (std::is_same_v<E, peers::recompute_all> ? graph.nodes() : want));
        REQUIRE(engine.agrees(answer.values()));
      }
    }
  }
}
TEST_CASE_TEMPLATE_INVOKE(layered, peers::bitmap_sweep, peers::work_lists, peers::recompute_all,
                          framework_of<suite::oracle>, framework_of<peers::push>);

TEST_CASE(
    "suite: every cell of a drawn layered graph has two readers, and some changes end early") {
  auto const graph = suite::make_layers(false, 1'000, 10);
  std::vector<int> readers(graph.cells());
  for (std::size_t i = 0; i < graph.nodes(); ++i) {
    ++readers[graph.left[i]];
    ++readers[graph.right[i]];
  }
  for (std::size_t i = 0; i < graph.nodes(); ++i) { REQUIRE(readers[i] == 2); }
  auto const near = suite::make_layers(true, 1'000, 10);
  suite::layered_answer answer(near);
  std::size_t runs = 0, without_cutoff = 0;
  auto draw = suite::seeded_by("changes");
  for (int i = 0; i < 100; ++i) {
    runs += answer.apply(suite::draw_changes(draw, 1'000, 1));
    for (std::size_t layer = 2; layer <= 11; ++layer) { without_cutoff += layer; }
  }
  CHECK(runs < without_cutoff);
  CHECK(runs > without_cutoff / 4);
}

enum class fault { no_cutoff, lost_writes, no_batches };

/// The push engine with one thing wrong: nothing is cut off, every other write is lost, or each
/// write of a batch is a batch of its own.
template <fault With>
class wrong {
  template <class T>
  struct box {
    T value;
    bool operator==(box const& other) const noexcept {
      return With != fault::no_cutoff && value == other.value;
    }
  };

 public:
  static constexpr std::string_view name = "wrong";
  static constexpr bool has_dynamic = false;
  static constexpr bool exact_runs = true;
  static constexpr double most_paths = 0;
  static constexpr std::size_t deepest = 0;

  template <class T>
  using cell = peers::push::cell<box<T>>;

  cell<double> input(double value) { return fw_.input(box<double>{value}); }
  template <class Fn, class... Ts>
  auto computed(Fn fn, peers::push::cell<box<Ts>>... of) {
    return fw_.computed(
        [fn](box<Ts> const&... values) mutable { return boxed(fn(values.value...)); }, of...);
  }
  template <class Fn, class T>
  auto combined(Fn fn, std::vector<peers::push::cell<box<T>>> const& of) {
    return fw_.combined(
        [fn](auto const& boxes) mutable {
          struct view {
            decltype(boxes) of;
            [[nodiscard]] std::size_t size() const { return of.size(); }
            T const& operator[](std::size_t i) const { return of[i].value; }
          };
          return boxed(fn(view{boxes}));
        },
        of);
  }
  template <class Fn, class... Ts>
  void effect(Fn fn, peers::push::cell<box<Ts>>... of) {
    fw_.effect([fn](box<Ts> const&... values) mutable { fn(values.value...); }, of...);
  }
  template <class Fn>
  void batch(Fn&& fn) {
    fw_.batch([&](auto&& write) {
      fn([&](cell<double> c, double value) {
        bool const lost = With == fault::lost_writes && ++writes_ % 2 != 0;
        if (!lost && With != fault::no_batches) { write(c, box<double>{value}); }
        if (With == fault::no_batches) { fw_.write(c, box<double>{value}); }
      });
    });
  }
  void write(cell<double> c, double value) {
    batch([&](auto&& set) { set(c, value); });
  }
  template <class T>
  T read(peers::push::cell<box<T>> c) {
    return fw_.read(c).value;
  }

 private:
  template <class T>
  static box<T> boxed(T value) {
    return {value};
  }

  peers::push fw_;
  int writes_ = 0;
};

template <class Test>
std::string problem_of_two_iterations() {
  Test test;
  test.iterate();
  test.iterate();
  return test.problem();
}

TEST_CASE("suite: it finds an engine that runs what it need not") {
  using restless = wrong<fault::no_cutoff>;
  CHECK(problem_of_two_iterations<suite::avoidable<restless>>().starts_with("the runs below"));
  CHECK(problem_of_two_iterations<suite::mux<restless>>().starts_with("the number of effects"));
  CHECK(problem_of_two_iterations<suite::broad<restless>>() == "");  // there is nothing to cut off
}

TEST_CASE("suite: it finds an engine that propagates in the middle of a batch") {
  using hasty = wrong<fault::no_batches>;
  suite::cellx<hasty> cells(10);
  cells.change();
  CHECK(cells.problem().starts_with("the number of runs"));
}

TEST_CASE("suite: it finds an engine that loses writes") {
  using forgetful = wrong<fault::lost_writes>;
  CHECK(problem_of_two_iterations<suite::broad<forgetful>>() != "");
  CHECK(problem_of_two_iterations<suite::deep<forgetful>>() != "");
  CHECK(problem_of_two_iterations<suite::diamond<forgetful>>() != "");
  CHECK(problem_of_two_iterations<suite::triangle<forgetful>>() != "");
  CHECK(problem_of_two_iterations<suite::repeated<forgetful>>() != "");
  CHECK(problem_of_two_iterations<suite::mux<forgetful>>() != "");
  suite::cellx<forgetful> cells(10);
  cells.change();
  CHECK(cells.problem() != "");
  suite::chain<forgetful> chain(10);
  chain.change();
  CHECK(chain.problem() != "");
}

}  // namespace
