// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"
#include "bench/propagate/peers/layers.hpp"
#include "bench/propagate/trials.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::bench {

/// The benches of the suite, without `propagate.`.
inline constexpr std::array<std::string_view, 20> suite_names{
    "kairo.avoidable", "kairo.broad", "kairo.deep",       "kairo.diamond",  "kairo.triangle",
    "kairo.repeated",  "kairo.mux",   "kairo.unstable",   "kairo.mol",      "cellx1000",
    "cellx10",         "grid.2-10x5", "grid.6-10x10",     "grid.4-1000x12", "chain.1k",
    "chain.1m",        "fanout.1k",   "unobserved_write", "static.1m.near", "static.1m.random",
};

namespace detail {

template <suite::framework F, template <class> class... Tests>
[[nodiscard]] std::optional<contender> kairo_of(std::string_view bench) {
  std::optional<contender> found;
  auto const look = [&]<class Test>() {
    if (bench.substr(6) != Test::name) { return; }
    if constexpr (suite::bears<F>(Test::paths, 100, Test::needs_dynamic)) {
      found = guarded(std::string(F::name), kairo_trial<Test>);
    }
  };
  (look.template operator()<Tests<F>>(), ...);
  return found;
}

}  // namespace detail

/// The trials of one framework.
template <suite::framework F>
[[nodiscard]] std::optional<contender> suite_trial(std::string_view bench) {
  std::string const name(F::name);
  if (bench.starts_with("kairo.")) {
    return detail::kairo_of<F, suite::avoidable, suite::broad, suite::deep, suite::diamond,
                            suite::triangle, suite::repeated, suite::mux, suite::unstable,
                            suite::mol>(bench);
  }
  if (bench.starts_with("cellx")) {
    std::size_t const layers = bench == "cellx1000" ? 1000 : 10;
    // what is two layers down has more than twice the ways
    if (!suite::bears<F>(layers == 1000 ? 1e200 : 100, layers)) { return std::nullopt; }
    return guarded(name, [layers] { return cellx_trial<F>(layers); });
  }
  for (auto const& shape : suite::grid_shapes) {
    if (bench.substr(0, 5) != "grid." || bench.substr(5) != shape.name) { continue; }
    if (!suite::bears<F>(shape.paths(), shape.layers, shape.still < 1)) { return std::nullopt; }
    return guarded(name, [&shape] { return grid_trial<F>(shape); });
  }
  if (bench.starts_with("chain.")) {
    std::size_t const nodes = bench == "chain.1m" ? 1'000'000 : 1'000;
    if (!suite::bears<F>(1, nodes)) { return std::nullopt; }
    return changing<suite::chain<F>>(name, nodes);
  }
  if (bench == "fanout.1k") {
    if (!suite::bears<F>(1000, 3)) { return std::nullopt; }
    return changing<suite::fanout<F>>(name, 1'000);
  }
  if (bench == "unobserved_write") { return guarded(name, unobserved_trial<F>); }
  if (bench.starts_with("static.1m.")) {
    if (!suite::bears<F>(1 << 10, 12)) { return std::nullopt; }
    return layered<suite::layers<F, false>>(name, layers_of(bench), counted_layers<F>);
  }
  return std::nullopt;
}

/// The engines that know nothing but the layered graph.
template <class Engine>
[[nodiscard]] std::optional<contender> layered_trial(std::string_view bench) {
  if (!bench.starts_with("static.1m.")) { return std::nullopt; }
  return layered<Engine>(Engine::name, layers_of(bench));
}

/// Every bench of the suite in `Ours`, against the peers and `more` of them.
/// @param more  peers that are compiled elsewhere
template <suite::framework Ours, suite::framework... Peers>
void suite_benches(session& out, std::vector<trial_source> more = {}) {
  std::vector<trial_source> sources{suite_trial<Peers>...};
  sources.insert(sources.end(),
                 {layered_trial<peers::bitmap_sweep>, layered_trial<peers::work_lists>,
                  layered_trial<peers::recompute_all>});
  sources.insert(sources.end(), more.begin(), more.end());
  for (std::string_view const name : suite_names) {
    std::string const bench = "propagate." + std::string(name);
    if (!out.wants(bench)) { continue; }
    auto ours = suite_trial<Ours>(name);
    if (!ours) {
      session::note(bench, "absent: " + std::string(Ours::name) + " cannot");
      continue;
    }
    comparison row{.bench = bench, .unit = "ns", .way = better::lower, .ours = *ours, .peers = {}};
    for (trial_source const source : sources) {
      if (auto peer = source(name)) { row.peers.push_back(std::move(*peer)); }
    }
    out.run(row);
  }
}

}  // namespace millrace::bench
