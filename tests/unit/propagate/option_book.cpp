// SPDX-License-Identifier: Apache-2.0
// The example's book as a graph of cells, against the desks that the queue's workers keep.
#include "examples/revalue/book_graph.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/propagate/batch.hpp>
#include <millrace/propagate/store.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace millrace;
using namespace revalue;

namespace {

/// Desks that do updates one by one.
class worked_desks {
 public:
  explicit worked_desks(book const& of, instruction_set with = best_instruction_set())
      : desks_(of), apply_(with.apply) {}

  void spot(double price) {
    for (std::uint16_t d = 0; d < desks_.refs().size(); ++d) { send(d, update_kind::spot, price); }
  }
  void volatility(std::size_t contract, double vol) {
    place const at = desks_.places()[contract];
    send(at.desk, update_kind::volatility, vol, at.option);
  }

  [[nodiscard]] risk desk(std::size_t d) const { return desks_.refs()[d].tree.root(); }
  [[nodiscard]] risk firm() const {
    std::vector<risk> nodes(risk_tree::size(static_cast<std::uint32_t>(desks_.refs().size())));
    for (std::size_t d = 0; d < desks_.refs().size(); ++d) { nodes[d] = desk(d); }
    risk_tree const tree{nodes.data(), static_cast<std::uint32_t>(desks_.refs().size())};
    tree.rebuild(solo{});
    return tree.root();
  }
  [[nodiscard]] measures option(std::size_t contract) const {
    place const at = desks_.places()[contract];
    value_block const& v = desks_.refs()[at.desk].values[at.option / block_width];
    std::uint32_t const i = at.option % block_width;
    return {v.value[i], v.delta[i], v.gamma[i], v.vega[i], v.theta[i], v.rho[i]};
  }

 private:
  void send(std::uint16_t desk, update_kind kind, double price, std::uint32_t option = 0) {
    static_cast<void>(apply_(desks_.refs()[desk], {price, 0, 0, option, desk, kind}));
  }

  desks desks_;
  reply (*apply_)(desk_ref const&, update const&) noexcept;
};

/// A graph whose desks and firm are observed.
struct watched_book {
  explicit watched_book(book const& of, instruction_set with = best_instruction_set())
      : cells(of, with), desk(of.desks.size()) {
    for (std::size_t d = 0; d < desk.size(); ++d) {
      REQUIRE(cells.graph().observe(cells.desk_risks()[d], [this, d](risk const& now) {
        desk[d] = now;
        ++told;
      }));
    }
    REQUIRE(cells.graph().observe(cells.firm_risk(), [this](risk const& now) {
      firm = now;
      ++told;
    }));
  }
  watched_book(watched_book const&) = delete;
  watched_book& operator=(watched_book const&) = delete;

  /// Functions that have run since the last call.
  std::uint64_t take_runs() {
    std::uint64_t const since = cells.graph().stats().runs - seen_;
    seen_ += since;
    return since;
  }

  book_graph cells;
  std::vector<risk> desk;
  risk firm;
  std::size_t told = 0;

 private:
  std::uint64_t seen_ = 0;
};

void check_same(watched_book& graph, worked_desks const& want, book const& of) {
  for (std::size_t d = 0; d < of.desks.size(); ++d) { CHECK(graph.desk[d] == want.desk(d)); }
  CHECK(graph.firm == want.firm());
  bool all = true;
  for (std::size_t i = 0; i < of.contracts.size(); ++i) {
    auto const found = graph.cells.read(i);
    all = all && found && *found == want.option(i);
  }
  CHECK(all);
}

errc failure_of(watched_book& graph) {
  auto const found = graph.cells.graph().read(graph.cells.firm_risk());
  return found ? errc::ok : found.error().code;
}

}  // namespace

TEST_CASE("option_book: the numbers are those of the desks, bit for bit") {
  book const of = generate_book(1'003, 1455.22, 0.01, 0.015);
  for (instruction_set const& with : instruction_sets()) {
    CAPTURE(std::string(with.name));
    watched_book graph(of, with);
    worked_desks want(of, with);
    core::splitmix_rng rng(11);
    for (int i = 0; i < 10; ++i) {
      double const spot = uniform(rng, 1'000, 2'000);
      want.spot(spot);
      REQUIRE(graph.cells.graph().write(graph.cells.spot(), spot));
      check_same(graph, want, of);
      for (int k = 0; k < 5; ++k) {
        std::size_t const contract = rng.next() % of.contracts.size();
        double const vol = uniform(rng, 0.05, 0.9);
        want.volatility(contract, vol);
        REQUIRE(graph.cells.graph().write(graph.cells.volatility(contract), vol));
      }
      check_same(graph, want, of);
    }
  }
}

TEST_CASE("option_book: a quote runs what depends on it, once") {
  book const of = generate_book(1'000, 100, 0.02, 0.01);
  watched_book graph(of);
  auto& g = graph.cells.graph();
  std::size_t const blocks = graph.cells.blocks().size(), desks = of.desks.size();
  REQUIRE(blocks == 8 * 16);  // 125 options a desk
  std::size_t const leaves = blocks / 4;
  std::size_t const sums = leaves + 2 * desks + desks + 1;  // a desk's four leaves are two and two

  CHECK(graph.take_runs() == 1 + blocks);  // no market yet, but terms
  REQUIRE(g.write(graph.cells.spot(), 101.0));
  CHECK(graph.take_runs() == 1 + blocks + sums);
  CHECK(graph.told == desks + 1);
  REQUIRE(g.write(graph.cells.spot(), 102.0));
  CHECK(graph.take_runs() == 1 + blocks + sums);
  REQUIRE(g.write(graph.cells.spot(), 102.0));
  CHECK(graph.take_runs() == 0);
  graph.told = 0;
  REQUIRE(g.write(graph.cells.volatility(17), 0.33));
  CHECK(graph.take_runs() == 6);  // terms, block, leaf, branch, desk, firm
  CHECK(graph.told == 2);

  auto batch = g.begin();
  REQUIRE(batch);
  REQUIRE(batch->write(graph.cells.spot(), 99.0));
  for (std::size_t i = 0; i < of.contracts.size(); ++i) {
    REQUIRE(batch->write(graph.cells.volatility(i), 0.25));
  }
  REQUIRE(batch->commit());
  CHECK(graph.take_runs() == 1 + 2 * blocks + sums);
  worked_desks want(of);
  want.spot(99.0);
  for (std::size_t i = 0; i < of.contracts.size(); ++i) { want.volatility(i, 0.25); }
  check_same(graph, want, of);
}

TEST_CASE("option_book: rates are quotes too") {
  book of = generate_book(300, 100, 0.02, 0.01);
  watched_book graph(of);
  auto& g = graph.cells.graph();
  REQUIRE(g.write(graph.cells.spot(), 103.0));
  auto batch = g.begin();
  REQUIRE(batch);
  REQUIRE(batch->write(graph.cells.rate(), 0.035));
  REQUIRE(batch->write(graph.cells.dividend(), -0.002));
  REQUIRE(batch->commit());
  of.rate = 0.035;
  of.dividend = -0.002;
  worked_desks want(of);
  want.spot(103.0);
  check_same(graph, want, of);
}

TEST_CASE("option_book: an option weighs nothing before its first volatility") {
  book of = generate_book(100, 100, 0.02, 0.01);
  for (std::size_t i = 0; i < 100; i += 3) { of.contracts[i].volatility = 0; }
  watched_book graph(of);
  worked_desks want(of);
  want.spot(98.0);
  REQUIRE(graph.cells.graph().write(graph.cells.spot(), 98.0));
  check_same(graph, want, of);
  for (std::size_t i = 0; i < 100; i += 6) {
    want.volatility(i, 0.4);
    REQUIRE(graph.cells.graph().write(graph.cells.volatility(i), 0.4));
  }
  check_same(graph, want, of);
}

TEST_CASE("option_book: desks without options, and books without desks' last leaves full") {
  for (std::size_t count : {0u, 1u, 7u, 31u, 32u, 33u, 65u}) {
    CAPTURE(count);
    book of = generate_book(count, 100, 0.02, 0.01);
    for (contract& c : of.contracts) { c.desk = static_cast<std::uint16_t>(c.desk % 3); }
    watched_book graph(of);
    worked_desks want(of);
    want.spot(97.0);
    REQUIRE(graph.cells.graph().write(graph.cells.spot(), 97.0));
    check_same(graph, want, of);
  }
}

TEST_CASE("option_book: what is no price makes what depends on it fail, until the next") {
  book const of = generate_book(200, 100, 0.02, 0.01);
  watched_book graph(of);
  auto& g = graph.cells.graph();
  CHECK(failure_of(graph) == errc::not_ready);
  CHECK_FALSE(graph.cells.read(0));
  CHECK(graph.take_runs() == 1 + graph.cells.blocks().size());  // the market, and terms
  REQUIRE(g.write(graph.cells.spot(), 100.0));
  CHECK(failure_of(graph) == errc::ok);
  for (double const wrong :
       {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    REQUIRE(g.write(graph.cells.spot(), wrong));
    CHECK(failure_of(graph) == errc::bad_argument);
  }
  REQUIRE(g.write(graph.cells.spot(), 100.0));
  risk const before = graph.firm;

  std::size_t const contract = 19;  // of desk 3
  for (double const wrong :
       {-0.1, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    REQUIRE(g.write(graph.cells.volatility(contract), wrong));
    CHECK(failure_of(graph) == errc::bad_argument);
    for (std::size_t d = 0; d < of.desks.size(); ++d) {
      CHECK(g.read(graph.cells.desk_risks()[d]).has_value() == (d != contract % 8));
    }
  }
  REQUIRE(g.write(graph.cells.volatility(contract), of.contracts[contract].volatility));
  CHECK(failure_of(graph) == errc::ok);
  CHECK(graph.firm == before);
}

TEST_CASE("option_book: what nobody observes is priced when it is read") {
  book const of = generate_book(500, 100, 0.02, 0.01);
  book_graph cells(of);
  auto& g = cells.graph();
  REQUIRE(g.write(cells.spot(), 100.0));
  REQUIRE(g.write(cells.spot(), 105.0));
  CHECK(g.stats().runs == 0);
  worked_desks want(of);
  want.spot(105.0);
  auto const one = cells.read(42);
  REQUIRE(one);
  CHECK(*one == want.option(42));
  CHECK(g.stats().runs == 3);  // the market, the terms of a block, the block
  auto const firm = g.read(cells.firm_risk());
  REQUIRE(firm);
  CHECK(*firm == want.firm());
}

TEST_CASE("option_book: a store has the graph, and the book its cells") {
  book const of = generate_book(203, 1455.22, 0.01, 0.015);
  book_graph cells(of);
  REQUIRE(cells.graph().write(cells.spot(), 1455.22));
  auto store = millrace::propagate::store::make(cells.release()).value();
  REQUIRE(store.publish(cells.spot()));
  REQUIRE(store.publish(cells.volatility(7)));
  REQUIRE(store.publish(cells.firm_risk()));
  for (auto const& each : cells.desk_risks()) { REQUIRE(store.publish(each)); }
  worked_desks want(of);
  want.spot(1500);
  want.volatility(7, 0.4);
  REQUIRE(store.transact([&](auto& t) -> result<void> {
    REQUIRE(t.write(cells.volatility(7), 0.4));
    return t.write(cells.spot(), 1500);
  }));
  auto const now = store.snapshot().value();
  CHECK(now.read(cells.firm_risk()).value() == want.firm());
  for (std::size_t d = 0; d < of.desks.size(); ++d) {
    CHECK(now.read(cells.desk_risks()[d]).value() == want.desk(d));
  }
}
