// SPDX-License-Identifier: Apache-2.0
#include "bench/book/quantlib.hpp"

#include <cmath>
#include <ql/exercise.hpp>
#include <ql/instruments/vanillaoption.hpp>
#include <ql/patterns/lazyobject.hpp>
#include <ql/pricingengines/vanilla/analyticeuropeanengine.hpp>
#include <ql/processes/blackscholesprocess.hpp>
#include <ql/quotes/simplequote.hpp>
#include <ql/settings.hpp>
#include <ql/termstructures/volatility/equityfx/blackconstantvol.hpp>
#include <ql/termstructures/yield/flatforward.hpp>
#include <ql/time/calendars/nullcalendar.hpp>
#include <ql/time/daycounters/actual365fixed.hpp>

namespace millrace::bench {
namespace {

namespace ql = QuantLib;

[[nodiscard]] measures measures_of(ql::VanillaOption const& of) {
  return {of.NPV(), of.delta(), of.gamma(), of.vega(), of.theta(), of.rho()};
}

/// A sum over parts that notify, computed when somebody asks after one has changed.
template <class Part>
class lazy_sum : public ql::LazyObject {
 public:
  void add(ql::ext::shared_ptr<Part> part, double weight) {
    registerWith(part);
    parts_.push_back({std::move(part), weight});
  }
  [[nodiscard]] measures risk() const {
    calculate();
    return sum_;
  }

 private:
  struct weighted {
    ql::ext::shared_ptr<Part> part;
    double weight;
  };
  [[nodiscard]] static measures of(ql::VanillaOption const& part) { return measures_of(part); }
  [[nodiscard]] static measures of(lazy_sum<ql::VanillaOption> const& part) { return part.risk(); }

  void performCalculations() const override {
    sum_ = {};
    for (weighted const& each : parts_) {
      measures const one = of(*each.part);
      for (std::size_t m = 0; m < one.size(); ++m) { sum_[m] += each.weight * one[m]; }
    }
  }

  std::vector<weighted> parts_;
  mutable measures sum_{};
};

using desk_sum = lazy_sum<ql::VanillaOption>;
using firm_sum = lazy_sum<desk_sum>;

}  // namespace

struct quantlib_graph::state {
  ql::ext::shared_ptr<ql::SimpleQuote> spot;
  std::vector<ql::ext::shared_ptr<ql::SimpleQuote>> volatilities;
  std::vector<ql::ext::shared_ptr<ql::VanillaOption>> options;
  std::vector<ql::ext::shared_ptr<desk_sum>> desks;
  ql::ext::shared_ptr<firm_sum> firm = ql::ext::make_shared<firm_sum>();
};

quantlib_graph::quantlib_graph(revalue::book const& of) : state_(std::make_unique<state>()) {
  ql::Date const today(26, ql::November, 2026);
  ql::Settings::instance().evaluationDate() = today;
  ql::DayCounter const days = ql::Actual365Fixed();
  ql::Calendar const calendar = ql::NullCalendar();
  auto const flat = [&](double rate) {
    return ql::Handle<ql::YieldTermStructure>(ql::ext::make_shared<ql::FlatForward>(
        today, ql::Handle<ql::Quote>(ql::ext::make_shared<ql::SimpleQuote>(rate)), days));
  };
  state& made = *state_;
  made.spot = ql::ext::make_shared<ql::SimpleQuote>(first_spot);
  ql::Handle<ql::Quote> const spot(made.spot);
  ql::Handle<ql::YieldTermStructure> const rate = flat(of.rate), dividend = flat(of.dividend);
  for (std::size_t d = 0; d < of.desks.size(); ++d) {
    made.desks.push_back(ql::ext::make_shared<desk_sum>());
    made.firm->add(made.desks.back(), 1);
  }
  for (revalue::contract const& c : of.contracts) {
    made.volatilities.push_back(ql::ext::make_shared<ql::SimpleQuote>(c.volatility));
    ql::Handle<ql::BlackVolTermStructure> const volatility(
        ql::ext::make_shared<ql::BlackConstantVol>(
            today, calendar, ql::Handle<ql::Quote>(made.volatilities.back()), days));
    auto const option = ql::ext::make_shared<ql::VanillaOption>(
        ql::ext::make_shared<ql::PlainVanillaPayoff>(c.call ? ql::Option::Call : ql::Option::Put,
                                                     c.strike),
        ql::ext::make_shared<ql::EuropeanExercise>(
            today + static_cast<ql::Integer>(std::lround(c.years * 365))));
    option->setPricingEngine(ql::ext::make_shared<ql::AnalyticEuropeanEngine>(
        ql::ext::make_shared<ql::BlackScholesMertonProcess>(spot, dividend, rate, volatility)));
    made.options.push_back(option);
    made.desks[c.desk]->add(option, c.quantity);
  }
}

quantlib_graph::~quantlib_graph() = default;

void quantlib_graph::write_spot(double spot) { state_->spot->setValue(spot); }
void quantlib_graph::write_volatility(std::size_t contract, double volatility) {
  state_->volatilities[contract]->setValue(volatility);
}
measures quantlib_graph::firm() const { return state_->firm->risk(); }
measures quantlib_graph::desk(std::size_t number) const { return state_->desks[number]->risk(); }
measures quantlib_graph::option(std::size_t contract) const {
  return measures_of(*state_->options[contract]);
}

}  // namespace millrace::bench
