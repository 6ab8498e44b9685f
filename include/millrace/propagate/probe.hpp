// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/node.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::propagate {

/// Why a node runs. Values are frozen: traces keep them.
enum class run_cause : std::uint8_t {
  written = 0,   ///< an input, by a write or a batch
  first = 1,     ///< it has not run before, and somebody needs it
  changed = 2,   ///< what it depends on has changed since its last run
  replaced = 3,  ///< its function is another
  retried = 4    ///< its last run did not end, or failed for a cycle or for missing memory
};
/// The cause's name; never null.
[[nodiscard]] constexpr char const* describe(run_cause why) noexcept {
  switch (why) {
    case run_cause::written: return "written";
    case run_cause::first: return "first";
    case run_cause::changed: return "changed";
    case run_cause::replaced: return "replaced";
    case run_cause::retried: return "retried";
  }
  return "unknown cause";
}

/// A node is about to run.
struct run_begin {
  node_id id;
  std::uint64_t name;  ///< 0: it has none
  std::uint64_t pass;  ///< the last that has begun; trying failures again counts as one of its own
  role is;
  run_cause why;
};
/// It has run.
struct run_end {
  node_id id;
  error failure;  ///< what its value is instead; code ok: there is a value
  bool changed;   ///< its value or its failure is another
  bool called;    ///< its function was; else the failure is a dependency's, or it is an input
};
/// All that was needed is up to date.
struct pass_end {
  std::uint64_t pass;
  std::uint64_t runs;  ///< of cells' functions, in this pass
  std::uint64_t told;  ///< calls of observers
};

/// Who watches a graph at work, in the thread that uses the graph. Runs may begin inside others,
/// where a function reads what has to run first; one that has begun and has not ended begins again.
/// Reads and first calls of observers run nodes without a pass around them.
template <class W>
concept graph_probe = requires(W w, std::uint64_t pass, node_id source, run_begin const& begin,
                               run_end const& end, pass_end const& all) {
  requires std::is_trivially_copyable_v<W>;
  { w.pass_began(pass) } noexcept -> std::same_as<void>;
  { w.run_began(begin) } noexcept -> std::same_as<void>;
  // a dependency that has changed, of the node whose run has begun last
  { w.caused_by(source) } noexcept -> std::same_as<void>;
  { w.run_ended(end) } noexcept -> std::same_as<void>;
  { w.pass_ended(all) } noexcept -> std::same_as<void>;
};

/// Watches nothing, and compiles to nothing.
struct null_graph_probe {
  static constexpr void pass_began(std::uint64_t) noexcept {}
  static constexpr void run_began(run_begin const&) noexcept {}
  static constexpr void caused_by(node_id) noexcept {}
  static constexpr void run_ended(run_end const&) noexcept {}
  static constexpr void pass_ended(pass_end const&) noexcept {}
};
static_assert(graph_probe<null_graph_probe> && std::is_empty_v<null_graph_probe>);

namespace detail {

/// Whether a graph looks for what it would tell its probe.
template <class P>
inline constexpr bool is_watched = !std::same_as<typename P::probe, null_graph_probe>;

/// Why a node is run that is not an input and is unsettled.
template <class P>
[[nodiscard]] run_cause cause_of(node<P> const& n) noexcept {
  if (!n.has(must_run)) { return run_cause::changed; }
  if (n.ran_at != 0) { return run_cause::retried; }
  return n.changed_at == 0 && n.has(valueless) ? run_cause::first : run_cause::replaced;
}

/// @param since dependencies that have changed after this pass are what makes it run
template <class Engine>
void tell_begin(Engine& e, std::uint32_t i, run_cause why, std::uint64_t since) noexcept {
  auto const& n = e.nodes(i);
  e.probe.run_began({e.id_of(n.slot), e.names.name_of(n.slot), e.pass, n.what->is, why});
  if (why != run_cause::changed || n.sources == nullptr) { return; }
  for (std::uint32_t k = 0; k < n.sources->size; ++k) {
    auto const& source = e.nodes(n.sources->edges()[k].node);
    if (source.changed_at > since) { e.probe.caused_by(e.id_of(source.slot)); }
  }
}
template <class Engine>
void tell_end(Engine& e, std::uint32_t i, bool changed) noexcept {
  auto const& n = e.nodes(i);
  bool const passed_down = !tracks(n.what->is) && e.source_failure(n).code != errc::ok;
  e.probe.run_ended(
      {e.id_of(n.slot), n.body->failure, changed, n.what->is != role::input && !passed_down});
}

}  // namespace detail

}  // namespace millrace::inline v0::propagate
