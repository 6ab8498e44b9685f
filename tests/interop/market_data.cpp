// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/chain.hpp"
#include "examples/revalue/host_engine.hpp"
#include "examples/revalue/run.hpp"
#include "examples/revalue/summary.hpp"
#include "examples/revalue/underlying.hpp"
#include "unit/revalue/sample.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <string>

using namespace revalue;

namespace {

std::string const folder = MARKET_DATA "/";

std::size_t lines_after_header(std::string const& path) {
  std::ifstream in(path);
  std::size_t count = 0;
  for (std::string line; std::getline(in, line);) { ++count; }
  return count - 1;
}

feed underlying_of(std::string const& name) {
  auto [prices, problem] = read_underlying(folder + name);
  REQUIRE_FALSE(problem);
  return prices;
}

}  // namespace

TEST_CASE("market data: every quote of the tick file is processed exactly once by every desk") {
  std::string const name = "ibm-20131007-quotes.csv";
  feed const in = underlying_of(name);
  std::size_t const lines = lines_after_header(folder + name);
  CHECK(in.events.size() == lines);
  book const of = generate_book(2'000, in.first_price(), 0.01, 0);
  desks on(of);
  auto opened = open_host_engine(on, 1);
  REQUIRE(opened);
  run job(in, on, **opened);
  REQUIRE(job.all([](std::size_t) {}));
  REQUIRE((*opened)->finish());
  for (desk_state const& desk : on.states()) {
    CHECK(desk.applied == lines);
    CHECK(desk.out_of_order == 0);
  }
  CHECK(summary(in, of, on, job.found(), {}).whole());
}

TEST_CASE("market data: every mid of the chain inside its bounds gets a volatility that reprices") {
  for (double const rate : {0.0, 0.01}) {
    chain quotes(folder + "goog-20151224-option-quotes.csv",
                 underlying_of("goog-20151224-underlying-quotes.csv"), "", rate, 0);
    REQUIRE_FALSE(quotes.problem());
    feed const& in = quotes.prices_and_quotes();
    book const& of = quotes.options();
    desks on(of);
    loop_engine through(on);
    run job(in, on, through);
    REQUIRE(job.all([](std::size_t) {}));
    findings const& found = job.found();

    double spot = 0;
    std::size_t inside = 0;
    std::size_t solved = 0;
    double worst = 0;
    for (std::size_t i = 0; i < in.events.size(); ++i) {
      event const& e = in.events[i];
      if (e.kind == update_kind::spot) { spot = e.price; }
      if (e.kind != update_kind::mid) { continue; }
      contract const& c = of.contracts[e.contract];
      double const forward = spot;  // no dividend
      double const bound = c.strike * std::exp(-rate * c.years);
      double const least = std::fmax(0, c.call ? forward - bound : bound - forward);
      double const greatest = c.call ? forward : bound;
      // a rounding's width from a bound either verdict is right
      double const width = 1e-12 * spot;
      bool const clearly = e.price > least + width && e.price < greatest - width;
      bool const applied = found.outcomes[i] == outcome::applied;
      inside += clearly ? 1 : 0;
      solved += clearly && applied ? 1 : 0;
      if (!applied) { continue; }
      implied const vol =
          implied_volatility(e.price, c.call ? 1 : -1, forward, bound, std::sqrt(c.years));
      test::lone_option option(c.call, c.strike, c.years, vol.volatility, rate, 0);
      worst = std::fmax(worst, std::fabs(option.price(spot) - e.price));
    }
    MESSAGE("rate " << rate << ": " << inside << " mids inside the bounds, " << solved
                    << " solved, worst repricing " << worst << " dollars");
    CHECK(inside > 100'000);
    CHECK(solved == inside);
    CHECK(worst < 1e-6);
    std::size_t tally = in.rejected.size();
    for (std::size_t const n : found.tally) { tally += n; }
    CHECK(tally == lines_after_header(folder + "goog-20151224-option-quotes.csv"));
  }
}
