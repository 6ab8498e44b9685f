// SPDX-License-Identifier: Apache-2.0
// The main job's parts: options priced in a second on one processor against QuantLib, and the queue
// with a worker against a loop over the same body.
#include "bench/book/quantlib.hpp"
#include "bench/revalue/benches.hpp"
#include "examples/revalue/desks.hpp"
#include "examples/revalue/instruction_set.hpp"

#include <string>
#include <vector>

namespace millrace::bench {
namespace {

constexpr std::size_t passes = 40;

/// The spot of a pass; every pass prices the book anew.
double spot_of(std::size_t pass) { return first_spot * (1 + 0.001 * static_cast<double>(pass)); }

measures measures_of(revalue::desks& on, std::size_t contract) {
  revalue::place const at = on.places()[contract];
  revalue::value_block const& v = on.refs()[at.desk].values[at.option / revalue::block_width];
  std::uint32_t const i = at.option % revalue::block_width;
  return {v.value[i], v.delta[i], v.gamma[i], v.vega[i], v.theta[i], v.rho[i]};
}

/// The first option where the two sides disagree, in words; empty when there is none.
std::string first_disagreement(revalue::desks& on, std::vector<measures> const& other,
                               double spot) {
  std::string found;
  for (std::size_t i = 0; i < other.size() && found.empty(); ++i) {
    found = disagreement(i, measures_of(on, i), other[i], spot);
  }
  return found;
}

double options_per_s(std::size_t options, std::int64_t ns) {
  return 1e9 * static_cast<double>(options) / static_cast<double>(ns);
}

/// Prices the book at another spot in each pass.
measured price_book(revalue::desks& on, revalue::book const& of,
                    revalue::instruction_set const& with) {
  std::int64_t const start = now_ns();
  for (std::size_t pass = 0; pass < passes; ++pass) {
    auto const market = revalue::market::at(spot_of(pass), of.rate, of.dividend);
    for (revalue::desk_ref const& desk : on.refs()) {
      with.price(desk.options, desk.values, desk.blocks, market);
    }
  }
  return {options_per_s(passes * book_size, now_ns() - start), {}};
}

/// Reads what pricing reads and writes what it writes, and computes next to nothing.
measured move_book(revalue::desks& on) {
  std::int64_t const start = now_ns();
  for (std::size_t pass = 0; pass < passes; ++pass) {
    for (std::size_t b = 0; b < on.options().size(); ++b) {
      double const* const in = reinterpret_cast<double const*>(&on.options()[b]);
      double* const out = reinterpret_cast<double*>(&on.values()[b]);
      for (std::size_t i = 0; i < 48; ++i) { out[i] = in[i] + in[i + 40]; }
    }
  }
  return {options_per_s(passes * book_size, now_ns() - start), {}};
}

void run_options(session& work) {
  revalue::book const of = default_book();
  revalue::desks ours(of);
  revalue::desks moved(of);
  quantlib_book const theirs(of);
  std::vector<measures> priced(of.contracts.size());
  revalue::instruction_set const best = revalue::best_instruction_set();

  comparison options;
  options.bench = "revalue.options";
  options.unit = "options/s";
  options.way = better::higher;
  options.ours = {best.name, [&] {
                    measured found = price_book(ours, of, best);
                    if (has_quantlib()) {
                      double const last = spot_of(passes - 1);
                      theirs.price(last, priced);
                      found.problem = first_disagreement(ours, priced, last);
                    }
                    return found;
                  }};
  if (has_quantlib()) {
    options.peers.push_back({"quantlib.blackcalculator", [&] {
                               std::int64_t const start = now_ns();
                               theirs.price(spot_of(0), priced);
                               return measured{options_per_s(book_size, now_ns() - start), {}};
                             }});
  }
  options.peers.push_back({"limit.memory", [&] { return move_book(moved); }});
  work.run(options);
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  using namespace millrace::bench;
  return run_program(argc, argv, [](session& work) {
    if (work.wants("revalue.options")) { run_options(work); }
    run_pipelines(work);
  });
}
