// SPDX-License-Identifier: Apache-2.0
// The example's book as a graph in a store, whose transactions move its quotes, against SQLite.
#include "bench/propagate/commit.hpp"

#include "bench/propagate/commit_trial.hpp"
#include "bench/propagate/must.hpp"
#include "bench/propagate/peers/sources.hpp"
#include "examples/revalue/book_graph.hpp"
#include <millrace/core/error.hpp>
#include <millrace/propagate/store.hpp>

#include <cstddef>
#include <utility>

namespace millrace::bench {
namespace {

namespace propagate = millrace::propagate;

/// The book's cells in a store. Quotes are published, what options are worth, and risks.
class stored_graph {
 public:
  stored_graph(revalue::book const& of, double spot) : cells_(of), store_(with_spot(cells_, spot)) {
    must(store_.publish(cells_.spot()));
    for (std::size_t i = 0; i < of.contracts.size(); ++i) {
      must(store_.publish(cells_.volatility(i)));
    }
    for (auto const& block : cells_.blocks()) { must(store_.publish(block)); }
    for (auto const& desk : cells_.desk_risks()) { must(store_.publish(desk)); }
    must(store_.publish(cells_.firm_risk()));
  }

  class client {
   public:
    explicit client(stored_graph& of) noexcept : of_{&of} {}
    void move_volatility(std::size_t contract) {
      move(of_->cells_.volatility(contract), volatility_quotes);
    }
    void move_spot() { move(of_->cells_.spot(), spot_quotes); }
    [[nodiscard]] firm_view look(watch_list const& watched) {
      auto const now = must(of_->store_.snapshot());
      revalue::book_graph const& cells = of_->cells_;
      firm_view seen;
      seen.spot = must(now.read(cells.spot()));
      for (std::size_t i = 0; i < watched.size(); ++i) {
        auto const place = cells.option(watched[i]);
        auto const worth = [&](revalue::priced_block const& all) noexcept {
          return revalue::measures_of(all.values, place.lane);
        };
        seen.options[i] = {must(now.read(cells.volatility(watched[i]))),
                           must(now.read(place.block, worth))};
      }
      for (std::size_t d = 0; d < seen.desks.size(); ++d) {
        seen.desks[d] = must(now.read(cells.desk_risks()[d]));
      }
      seen.firm = must(now.read(cells.firm_risk()));
      return seen;
    }

   private:
    void move(propagate::input<double> quote, quote_cycle const& through) {
      must(of_->store_.transact([&](auto& t) -> result<void> {
        auto const now = t.read(quote);
        return now ? t.write(quote, through.after(*now)) : core::refuse<void>(now.error());
      }));
    }

    stored_graph* of_;
  };

 private:
  [[nodiscard]] static propagate::store with_spot(revalue::book_graph& cells, double spot) {
    must(cells.graph().write(cells.spot(), spot));
    return must(propagate::store::make(cells.release()));
  }

  revalue::book_graph cells_;
  propagate::store store_;
};

}  // namespace

void run_commits(session& out) {
  struct {
    char const* bench;
    char const* unit;
    better way;
    commit_figure which;
  } const rows[] = {
      {"propagate.commit", "items/s", better::higher, commit_figure::commits},
      {"propagate.commit.p99", "ns", better::lower, commit_figure::p99},
      {"propagate.commit.snapshots", "items/s", better::higher, commit_figure::snapshots},
  };
  for (auto const& each : rows) {
    if (!out.wants(each.bench)) { continue; }
    comparison row{.bench = each.bench,
                   .unit = each.unit,
                   .way = each.way,
                   .ours = committed<stored_graph>("store", each.which),
                   .peers = {}};
#if defined(MILLRACE_BENCH_SQLITE)
    row.peers = sqlite_commits(each.which);
#endif
    out.run(row);
  }
}

}  // namespace millrace::bench
