// SPDX-License-Identifier: Apache-2.0
// The example's book as a graph: a quote, until the value and the greeks of each option and the
// risk of each desk and the firm are right, against QuantLib's lazy objects, against QuantLib's
// calculator in a loop without a graph, and against our own functions in such a loop.
#include "bench/propagate/tick.hpp"

#include "bench/book/default_book.hpp"
#include "bench/book/quantlib.hpp"
#include "bench/book/reference.hpp"
#include "bench/propagate/book_functions.hpp"
#include "examples/revalue/book_graph.hpp"
#include <millrace/core/rng.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench {
namespace {

[[nodiscard]] measures measures_of(revalue::risk const& r) {
  return {r.value, r.delta, r.gamma, r.vega, r.theta, r.rho};
}

/// What a contender has been told: the spot, and the volatilities.
class quotes {
 public:
  explicit quotes(revalue::book const& of, std::uint64_t seed) : rng_(seed) {
    for (revalue::contract const& c : of.contracts) { volatilities_.push_back(c.volatility); }
  }
  [[nodiscard]] double spot() const noexcept { return spot_; }
  [[nodiscard]] std::vector<double> const& volatilities() const noexcept { return volatilities_; }

  double next_spot() {
    return spot_ = first_spot * (1 + 1e-4 * static_cast<double>(++ticks_ % 100));
  }
  /// A contract and its new volatility.
  std::pair<std::size_t, double> next_volatility() {
    std::size_t const contract = rng_.next() % volatilities_.size();
    return {contract, volatilities_[contract] = revalue::uniform(rng_, 0.1, 0.5)};
  }

 private:
  core::splitmix_rng rng_;
  double spot_ = first_spot;
  std::uint64_t ticks_ = 0;
  std::vector<double> volatilities_;
};

/// The graph, with observers that keep the risk of the desks and the firm.
class observed_graph {
 public:
  static constexpr char const* name = "graph";
  static constexpr std::size_t ticks = 32, option_quotes = 2'000;

  explicit observed_graph(revalue::book const& of) : cells_(of), desks_(of.desks.size()) {
    for (std::size_t d = 0; d < desks_.size(); ++d) {
      static_cast<void>(core::value_or_throw(cells_.graph().observe(
          cells_.desk_risks()[d], [this, d](revalue::risk const& now) { desks_[d] = now; })));
    }
    static_cast<void>(core::value_or_throw(cells_.graph().observe(
        cells_.firm_risk(), [this](revalue::risk const& now) { firm_ = now; })));
    write_spot(first_spot);
  }
  void write_spot(double spot) { core::value_or_throw(cells_.graph().write(cells_.spot(), spot)); }
  void write_volatility(std::size_t contract, double volatility) {
    core::value_or_throw(cells_.graph().write(cells_.volatility(contract), volatility));
  }
  [[nodiscard]] measures option(std::size_t contract) {
    return core::value_or_throw(cells_.read(contract));
  }
  [[nodiscard]] measures desk(std::size_t number) const { return measures_of(desks_[number]); }
  [[nodiscard]] measures firm() const { return measures_of(firm_); }

 private:
  revalue::book_graph cells_;
  std::vector<revalue::risk> desks_;
  revalue::risk firm_;
};

/// QuantLib's graph, whose sums are asked for after each quote.
class asked_quantlib {
 public:
  static constexpr char const* name = "quantlib.lazyobject";
  static constexpr std::size_t ticks = 1, option_quotes = 20;

  explicit asked_quantlib(revalue::book const& of) : graph_(of), desks_(of.desks.size()) {
    write_spot(first_spot);
  }
  void write_spot(double spot) {
    graph_.write_spot(spot);
    ask();
  }
  void write_volatility(std::size_t contract, double volatility) {
    graph_.write_volatility(contract, volatility);
    ask();
  }
  [[nodiscard]] measures option(std::size_t contract) const { return graph_.option(contract); }
  [[nodiscard]] measures desk(std::size_t number) const { return desks_[number]; }
  [[nodiscard]] measures firm() const { return firm_; }

 private:
  void ask() {
    firm_ = graph_.firm();
    for (std::size_t d = 0; d < desks_.size(); ++d) { desks_[d] = graph_.desk(d); }
  }

  quantlib_graph graph_;
  std::vector<measures> desks_;
  measures firm_{};
};

/// QuantLib's calculator for each option, and sums, in a loop.
class looped_quantlib {
 public:
  static constexpr char const* name = "quantlib.blackcalculator";
  static constexpr std::size_t ticks = 1;

  explicit looped_quantlib(revalue::book const& of)
      : book_(of), calculator_(of), options_(of.contracts.size()), desks_(of.desks.size()) {}
  void write_spot(double spot) {
    calculator_.price(spot, options_);
    desks_.assign(desks_.size(), {});
    for (std::size_t i = 0; i < options_.size(); ++i) {
      revalue::contract const& c = book_.contracts[i];
      for (std::size_t m = 0; m < 6; ++m) { desks_[c.desk][m] += c.quantity * options_[i][m]; }
    }
    firm_ = {};
    for (measures const& desk : desks_) {
      for (std::size_t m = 0; m < 6; ++m) { firm_[m] += desk[m]; }
    }
  }
  [[nodiscard]] measures option(std::size_t contract) const { return options_[contract]; }
  [[nodiscard]] measures desk(std::size_t number) const { return desks_[number]; }
  [[nodiscard]] measures firm() const { return firm_; }

 private:
  revalue::book const& book_;
  quantlib_book calculator_;
  std::vector<measures> options_;
  std::vector<measures> desks_;
  measures firm_{};
};

/// The functions of the graph's cells without the graph.
class looped_functions : public book_functions {
 public:
  static constexpr char const* name = "limit.functions";
  static constexpr std::size_t ticks = observed_graph::ticks;
  static constexpr std::size_t option_quotes = observed_graph::option_quotes;

  explicit looped_functions(revalue::book const& of) : book_functions(of) {
    write_spot(first_spot);
  }
  [[nodiscard]] measures desk(std::size_t number) const { return measures_of(desk_risk(number)); }
  [[nodiscard]] measures firm() const { return measures_of(firm_risk()); }
};

/// What is kept from trial to trial: building a graph takes longer than a trial.
template <class Engine>
struct kept {
  explicit kept(revalue::book const& of) : engine(of), told(of, 7) {}
  Engine engine;
  quotes told;
};

/// ns of a quote, of `count` in a trial that `tell` makes.
template <class Engine, class Tell>
[[nodiscard]] contender quoted(revalue::book const& of, std::size_t count, Tell tell) {
  auto const built = std::make_shared<std::unique_ptr<kept<Engine>>>();
  return guarded(Engine::name, [&of, count, tell, built]() -> measured {
    if (*built == nullptr) { *built = std::make_unique<kept<Engine>>(of); }
    Engine& engine = (*built)->engine;
    quotes& told = (*built)->told;
    tell(engine, told);  // what came between had the caches
    std::int64_t const start = now_ns();
    for (std::size_t i = 0; i < count; ++i) { tell(engine, told); }
    auto const ns = static_cast<double>(now_ns() - start);
    book_answer const answer(of, told.volatilities(), told.spot());
    return {ns / static_cast<double>(count),
            answer.disagreement_with([&](std::size_t i) { return engine.option(i); },
                                     [&](std::size_t d) { return engine.desk(d); }, engine.firm())};
  });
}

}  // namespace

void run_ticks(session& out) {
  revalue::book const of = default_book();
  auto const spot = [](auto& engine, quotes& told) { engine.write_spot(told.next_spot()); };
  auto const option = [](auto& engine, quotes& told) {
    auto const [contract, volatility] = told.next_volatility();
    engine.write_volatility(contract, volatility);
  };
  if (out.wants("propagate.tick")) {
    comparison row{.bench = "propagate.tick",
                   .unit = "ns",
                   .ours = quoted<observed_graph>(of, observed_graph::ticks, spot),
                   .peers = {}};
    if (has_quantlib()) {
      row.peers.push_back(quoted<asked_quantlib>(of, asked_quantlib::ticks, spot));
      row.peers.push_back(quoted<looped_quantlib>(of, looped_quantlib::ticks, spot));
    }
    row.peers.push_back(quoted<looped_functions>(of, looped_functions::ticks, spot));
    out.run(row);
  }
  if (out.wants("propagate.tick.option")) {
    comparison row{.bench = "propagate.tick.option",
                   .unit = "ns",
                   .ours = quoted<observed_graph>(of, observed_graph::option_quotes, option),
                   .peers = {}};
    if (has_quantlib()) {
      row.peers.push_back(quoted<asked_quantlib>(of, asked_quantlib::option_quotes, option));
    }
    row.peers.push_back(quoted<looped_functions>(of, looped_functions::option_quotes, option));
    out.run(row);
  }
}

}  // namespace millrace::bench
