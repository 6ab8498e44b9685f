// SPDX-License-Identifier: Apache-2.0
// How a graph runs levels of some width when nobody tells it, and each of the ways that it has: its
// nodes one by one, a plan of all levels, a plan whose levels two threads share whatever they are.
#include "bench/propagate/automatic.hpp"

#include "bench/harness/comparison.hpp"
#include "bench/harness/threads.hpp"
#include "bench/propagate/must.hpp"
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/team.hpp>

#include <cuda/std/span>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench {
namespace {

namespace propagate = millrace::propagate;

struct by_itself : propagate::default_graph {
  static constexpr char const* name = "automatic";
  static constexpr std::uint32_t threads = 2;
};
struct node_by_node : propagate::default_graph {
  static constexpr char const* name = "fixed.nodes";
  static constexpr std::uint32_t threads = 1;
  static constexpr std::uint32_t plan_width = 0;
};
struct always_planned : propagate::default_graph {
  static constexpr char const* name = "fixed.plan";
  static constexpr std::uint32_t threads = 1;
  static constexpr std::uint32_t plan_width = 1;
};
struct always_shared : always_planned {
  static constexpr char const* name = "fixed.plan.2t";
  static constexpr std::uint32_t threads = 2;
  static constexpr std::uint32_t task_ns = 0;
};

/// Steps that wait for each other: some 2 ns each.
struct arithmetic {
  std::uint32_t steps;

  double operator()(double a, double b) const noexcept {
    for (std::uint32_t i = 0; i < steps; ++i) { a = a * 0.75 + b; }
    return a + b;
  }
};

/// What is built and how it is changed.
struct shape {
  std::size_t width;
  std::size_t levels;
  std::uint32_t steps;  ///< of a cell's arithmetic
  std::size_t changes;  ///< inputs that a batch writes, far from each other; 0: what all depend on
};

/// Cells of an input each and of one that all share, and above them levels of cells of their
/// neighbours p and p + 1, round the end.
template <class P>
class levels {
 public:
  explicit levels(shape of) : of_{of}, team_(must(propagate::team::make(P::threads))) {
    if (P::threads > 1) { must(graph_.use(&team_)); }
    std::vector<propagate::cell<double>> below, next;
    for (std::size_t p = 0; p < of.width; ++p) {
      values_.push_back(static_cast<double>(p % 64));
      inputs_.push_back(must(graph_.input(values_.back())));
      below.push_back(must(graph_.computed(arithmetic{of.steps}, inputs_.back(), shared_)));
    }
    for (std::size_t l = 1; l < of.levels; ++l) {
      for (std::size_t p = 0; p < of.width; ++p) {
        next.push_back(
            must(graph_.computed(arithmetic{of.steps}, below[p], below[(p + 1) % of.width])));
      }
      below = std::exchange(next, {});
    }
    ends_ = below;
    must(graph_.keep(cuda::std::span<propagate::cell<double> const>(ends_.data(), ends_.size())));
  }
  void change() {
    if (of_.changes == 0) {
      must(graph_.write(shared_, share_ += 1));
      return;
    }
    auto batch = must(graph_.begin());
    first_ += 7'919;  // others each time
    for (std::size_t k = 0; k < of_.changes; ++k) {
      std::size_t const p = (first_ + k * (of_.width / of_.changes)) % of_.width;
      values_[p] += 1;
      must(batch.write(inputs_[p], values_[p]));
    }
    must(batch.commit());
  }
  [[nodiscard]] std::string problem() {
    std::vector<double> now(of_.width), next(of_.width);
    for (std::size_t p = 0; p < of_.width; ++p) {
      now[p] = arithmetic{of_.steps}(values_[p], share_);
    }
    for (std::size_t l = 1; l < of_.levels; ++l) {
      for (std::size_t p = 0; p < of_.width; ++p) {
        next[p] = arithmetic{of_.steps}(now[p], now[(p + 1) % of_.width]);
      }
      now.swap(next);
    }
    for (std::size_t p = 0; p < of_.width; ++p) {
      if (must(graph_.read(ends_[p])) != now[p]) {
        return "the value at " + std::to_string(p) + " is wrong";
      }
    }
    return {};
  }
  [[nodiscard]] std::uint64_t runs() const noexcept { return graph_.stats().runs; }

 private:
  shape of_;
  propagate::team team_;
  propagate::basic_graph<P> graph_ = must(propagate::basic_graph<P>::make());
  std::size_t first_ = 0;
  double share_ = 0;
  propagate::input<double> shared_ = must(graph_.input(share_));
  std::vector<double> values_;
  std::vector<propagate::input<double>> inputs_;
  std::vector<propagate::cell<double>> ends_;
};

/// ns of a run of a cell.
template <class P>
[[nodiscard]] contender way(shape of) {
  auto const kept = std::make_shared<std::unique_ptr<levels<P>>>();
  return guarded(P::name, [kept, of]() -> measured {
    static constexpr std::int64_t least_ns = 4'000'000, longest_warm_ns = 3'000'000'000;
    auto& graph = *kept;
    if (graph == nullptr) {
      graph = std::make_unique<levels<P>>(of);
      // it has a plan when as many cells have run as there are, and knows later what takes long
      std::uint64_t const enough = 6 * of.width * (of.levels + 1);
      std::int64_t const start = now_ns();
      for (int i = 0; (i < 200 || graph->runs() < enough) && now_ns() - start < longest_warm_ns;
           ++i) {
        graph->change();
      }
    }
    graph->change();
    std::uint64_t const before = graph->runs();
    std::int64_t const start = now_ns();
    std::int64_t now = start;
    while (now - start < least_ns) {
      graph->change();
      now = now_ns();
    }
    double const ns =
        static_cast<double>(now - start) / static_cast<double>(graph->runs() - before);
    return {ns, graph->problem()};
  });
}

void run_shape(session& out, std::string const& bench, shape of) {
  if (!out.wants(bench)) { return; }
  out.run({.bench = bench,
           .unit = "ns",
           .way = better::lower,
           .ours = way<by_itself>(of),
           .peers = {way<node_by_node>(of), way<always_planned>(of), way<always_shared>(of)}});
}

}  // namespace

void run_automatic(session& out) {
  static constexpr std::size_t widest = 1'000'000;
  for (std::uint32_t const steps : {2u, 24u}) {
    for (std::size_t width = 1; width <= widest; width *= 10) {
      run_shape(out,
                std::string("propagate.auto.") + (steps == 2 ? "light." : "heavy.") +
                    std::to_string(width),
                {.width = width,
                 .levels = std::clamp<std::size_t>(2 * widest / width, 2, 10),
                 .steps = steps,
                 .changes = 0});
    }
  }
  for (std::size_t changes = 1; changes <= 10'000; changes *= 10) {
    run_shape(out, "propagate.auto.changes." + std::to_string(changes),
              {.width = 100'000, .levels = 10, .steps = 2, .changes = changes});
  }
}

}  // namespace millrace::bench
