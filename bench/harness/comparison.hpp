// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/placement.hpp"
#include "bench/harness/stats.hpp"

#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench {

/// What one trial found: a value in the comparison's unit, or what was wrong with the result that
/// it computed. A wrong result has no value.
struct measured {
  double value = 0;
  std::string problem = {};
};

/// One side of a comparison. `trial` sets everything up, runs once for some milliseconds, checks
/// what it computed against an independent answer, and cleans up.
struct contender {
  std::string name;
  std::function<measured()> trial;
};

/// A contender whose exceptions become the row's problem.
template <class Trial>
[[nodiscard]] contender guarded(std::string name, Trial trial) {
  return {std::move(name), [trial]() -> measured {
            try {
              return trial();
            } catch (std::exception const& e) { return {0, e.what()}; }
          }};
}

/// One row, or one row a peer, of the output.
struct comparison {
  std::string bench;  ///< `module.thing.axis`
  std::string unit;   ///< "ns", "items/s"
  better way = better::lower;
  contender ours;
  std::vector<contender> peers;  ///< empty: the row is printed without a ratio
  /// The trial has two threads on `trial_cpus()`: probe their distance around every trial.
  bool placed = false;
};

/// One trial's value and where its two threads ran.
struct sample {
  double value = 0;
  placement where = placement::any;
};

/// Samples of a comparison: index 0 is ours, then the peers in order; one sample a round in each.
using rounds = std::vector<std::vector<sample>>;

/// A line of output.
struct row {
  std::string bench;
  std::string unit;
  std::string peer;  ///< empty: nothing was compared
  double ours = 0;   ///< median over the rounds that count
  double ours_mad = 0;
  double peer_value = 0;
  double peer_mad = 0;
  double ratio = 0;  ///< median over rounds of how many times better ours is in that round
  std::size_t runs = 0;
  placement where = placement::any;
};

/// The rounds in which ours and the peer (an index into `all`; 0: ours alone) both ran at `where`.
[[nodiscard]] inline std::pair<std::vector<double>, std::vector<double>> paired(rounds const& all,
                                                                                std::size_t peer,
                                                                                placement where) {
  std::pair<std::vector<double>, std::vector<double>> values;
  for (std::size_t i = 0; i < all[0].size() && i < all[peer].size(); ++i) {
    if (all[0][i].where != where || all[peer][i].where != where) { continue; }
    values.first.push_back(all[0][i].value);
    values.second.push_back(all[peer][i].value);
  }
  return values;
}

/// How many rounds the least served peer has at `where`.
[[nodiscard]] inline std::size_t fewest_pairs(rounds const& all, placement where) {
  std::size_t fewest = paired(all, 0, where).first.size();
  for (std::size_t peer = 1; peer < all.size(); ++peer) {
    fewest = std::min(fewest, paired(all, peer, where).first.size());
  }
  return fewest;
}

/// The row of one peer (0: ours alone) at one placement; `runs` is 0 when no round had both there.
[[nodiscard]] inline row row_of(comparison const& what, rounds const& all, std::size_t peer,
                                placement where) {
  auto const [ours, theirs] = paired(all, peer, where);
  row line{.bench = what.bench, .unit = what.unit, .peer = {}, .runs = ours.size(), .where = where};
  line.ours = median(ours);
  line.ours_mad = mad(ours);
  if (peer > 0) {
    line.peer = what.peers[peer - 1].name;
    line.peer_value = median(theirs);
    line.peer_mad = mad(theirs);
    line.ratio = ratio_of_rounds(ours, theirs, what.way);
  }
  return line;
}

/// Every row that the samples give: far before near, peers in their order. Trials between, or whose
/// placement changed, are in none.
[[nodiscard]] inline std::vector<row> rows_of(comparison const& what, rounds const& all) {
  std::vector<row> lines;
  auto const places =
      what.placed ? std::vector{placement::far, placement::near} : std::vector{placement::any};
  for (placement where : places) {
    for (std::size_t peer = what.peers.empty() ? 0 : 1; peer <= what.peers.size(); ++peer) {
      row line = row_of(what, all, peer, where);
      if (line.runs > 0) { lines.push_back(std::move(line)); }
    }
  }
  return lines;
}

}  // namespace millrace::bench
