// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/dump.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/probe.hpp>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

/// \file
/// Why did this run: a record of the last runs of a graph, and the way from one of them back to the
/// inputs that were written.

namespace millrace::inline v0::propagate {

/// The last `Capacity` runs of a graph's nodes, and the last 2 * `Capacity` dependencies that were
/// why. It must outlive the graph that writes it.
/// @thread the graph's
template <std::uint32_t Capacity = 4096>
struct why_log {
  static constexpr std::uint32_t capacity = Capacity;
  static_assert(Capacity != 0 && Capacity <= 1u << 30, "why_log: 1 to 2^30 runs");
  /// One run, or one that has begun and was left.
  struct run {
    run_begin begin{};
    run_end end{};
    std::uint64_t first_source = 0;  ///< its number among all that were told
    std::uint32_t sources = 0;
    bool ended = false;
  };

  std::uint64_t runs = 0;        ///< begun, kept or not
  std::uint64_t sources = 0;     ///< told of, kept or not
  pass_end last{};               ///< the last pass that has ended
  run kept_runs[Capacity] = {};  ///< each at its number modulo Capacity
  node_id kept_sources[2 * Capacity] = {};

  [[nodiscard]] run& at(std::uint64_t number) noexcept { return kept_runs[number % Capacity]; }
  [[nodiscard]] run const& at(std::uint64_t number) const noexcept {
    return kept_runs[number % Capacity];
  }
  /// The number of the first run that is kept.
  [[nodiscard]] std::uint64_t first() const noexcept {
    return runs < Capacity ? 0 : runs - Capacity;
  }
  /// The number of the first source that is kept.
  [[nodiscard]] std::uint64_t first_source() const noexcept {
    return sources < 2 * std::uint64_t{Capacity} ? 0 : sources - 2 * std::uint64_t{Capacity};
  }
};

/// Writes a log; without one it drops what it is told.
template <std::uint32_t Capacity = 4096>
class why_probe {
 public:
  using log_type = why_log<Capacity>;

  why_probe() noexcept = default;
  explicit why_probe(log_type& log) noexcept : log_{&log} {}
  [[nodiscard]] log_type* log() const noexcept { return log_; }

  static void pass_began(std::uint64_t) noexcept {}
  void run_began(run_begin const& begin) noexcept {
    if (log_ == nullptr) { return; }
    log_->at(log_->runs++) = {begin, {}, log_->sources, 0, false};
  }
  void caused_by(node_id source) noexcept {
    if (log_ == nullptr) { return; }
    log_->kept_sources[log_->sources++ % (2 * Capacity)] = source;
    ++log_->at(log_->runs - 1).sources;
  }
  void run_ended(run_end const& end) noexcept {
    if (log_ == nullptr) { return; }
    for (std::uint64_t k = log_->runs; k-- > log_->first();) {  // few run inside others
      auto& run = log_->at(k);
      if (run.ended || !(run.begin.id == end.id)) { continue; }
      run.end = end;
      run.ended = true;
      return;
    }
  }
  void pass_ended(pass_end const& all) noexcept {
    if (log_ != nullptr) { log_->last = all; }
  }

 private:
  log_type* log_ = nullptr;
};
static_assert(graph_probe<why_probe<4>>);

/// A graph that keeps why its last runs were.
template <std::uint32_t Capacity = 4096>
struct traced_graph : default_graph {
  using probe = why_probe<Capacity>;
};

/// A run, and the dependencies whose change made it.
struct why_step {
  run_begin begin;
  run_end end;
  std::vector<node_id> from;
};

/// Why a node has run last. Each step comes after those that it has caused; the first is the node's
/// own, the last ones are writes, first runs and the like.
struct explanation {
  std::vector<why_step> steps;
  bool whole = true;  ///< else some of what was why is older than what the log keeps
};

namespace detail {
/// Tells a graph's nodes apart, those that are gone as well.
[[nodiscard]] constexpr std::uint64_t key_of(node_id id) noexcept {
  return std::uint64_t{id.generation} << 32 | id.slot;
}
}  // namespace detail

/// Why a cell, or an observer, has run last.
/// @error errc::unknown_id: it is not the graph's; errc::not_ready: no run of it is kept;
///        errc::out_of_memory
/// @cost  O(capacity + steps)
template <graph_policy P>
  requires requires(typename P::probe probe) { probe.log(); }
[[nodiscard]] result<explanation> explain(basic_graph<P> const& of, node_id id) noexcept {
  if (!of.has(id)) { return core::fail(errc::unknown_id, 2); }
  auto const* const log = of.probe().log();
  if (log == nullptr) { return core::fail(errc::not_ready); }
  // a run's causes have ended before it: one way back through the log meets each in its place
  auto done = detail::text_of<explanation>([&](explanation& to) {
    std::unordered_set<std::uint64_t> wanted;
    for (std::uint64_t k = log->runs; k-- > log->first();) {
      auto const& run = log->at(k);
      bool const is_first = to.steps.empty() && run.begin.id == id;
      if (!run.ended) { continue; }
      if (!is_first && (!run.end.changed || wanted.erase(detail::key_of(run.begin.id)) == 0)) {
        continue;
      }
      auto& step = to.steps.emplace_back(why_step{run.begin, run.end, {}});
      for (std::uint32_t s = 0; s < run.sources; ++s) {
        std::uint64_t const number = run.first_source + s;
        if (number < log->first_source()) {
          to.whole = false;
          continue;
        }
        node_id const source = log->kept_sources[number % (2 * std::uint64_t{log->capacity})];
        step.from.push_back(source);
        wanted.insert(detail::key_of(source));
      }
    }
    to.whole = to.whole && wanted.empty();
  });
  if (done && done->steps.empty()) { return core::fail(errc::not_ready); }
  return done;
}
template <graph_policy P, cell_value T>
  requires requires(typename P::probe probe) { probe.log(); }
[[nodiscard]] result<explanation> explain(basic_graph<P> const& of, cell<T> cell) noexcept {
  return explain(of, cell.id());
}

/// One line a step:
///
///     #4 observer ran in pass 2: #3 has changed
///     #3 computed ran in pass 2 and changed: #1 has changed
///     #1 input ran in pass 2 and changed: written
///
/// A node is known by its name, if it has one, or by # and its slot.
/// @error errc::out_of_memory
[[nodiscard]] inline result<std::string> to_text(explanation const& of) noexcept {
  return detail::text_of([&](std::string& to) {
    std::unordered_map<std::uint64_t, std::uint64_t> names;
    for (why_step const& step : of.steps) {
      names.emplace(detail::key_of(step.begin.id), step.begin.name);
    }
    auto const label = [&](node_id id) {
      auto const found = names.find(detail::key_of(id));
      bool const named = found != names.end() && found->second != 0;
      return named ? std::to_string(found->second) : "#" + std::to_string(id.slot);
    };
    for (why_step const& step : of.steps) {
      to += label(step.begin.id) + " " + describe(step.begin.is) + " ran in pass " +
            std::to_string(step.begin.pass);
      if (step.end.changed) { to += " and changed"; }
      if (step.end.failure.code != errc::ok) {
        to += ", failed (" + describe(step.end.failure) + ")";
      }
      to += ": ";
      if (step.begin.why != run_cause::changed) { to += describe(step.begin.why); }
      char const* comma = "";
      for (node_id source : step.from) {
        to += comma + label(source);
        comma = ", ";
      }
      if (step.begin.why == run_cause::changed) {
        to += step.from.size() == 1 ? " has changed" : " have changed";
      }
      to += "\n";
    }
    if (!of.whole) { to += "what was before is not kept\n"; }
  });
}

/// {"whole":true,"steps":[{"id":3,"name":null,"is":"computed","pass":2,"why":"changed",
/// "changed":true,"called":true,"failure":null,"from":[1]},...]}; names as in a graph's to_json.
/// @error errc::out_of_memory
[[nodiscard]] inline result<std::string> to_json(explanation const& of) noexcept {
  return detail::text_of([&](std::string& to) {
    auto const yes = [](bool is) { return is ? "true" : "false"; };
    to += std::string("{\"whole\":") + yes(of.whole) + ",\"steps\":[";
    char const* before = "";
    for (why_step const& step : of.steps) {
      std::uint64_t const name = step.begin.name;
      error const failure = step.end.failure;
      to += before;
      to += "{\"id\":" + std::to_string(step.begin.id.slot) +
            ",\"name\":" + (name != 0 ? std::to_string(name) : "null") + ",\"is\":\"" +
            describe(step.begin.is) + "\",\"pass\":" + std::to_string(step.begin.pass) +
            ",\"why\":\"" + describe(step.begin.why) + "\",\"changed\":" + yes(step.end.changed) +
            ",\"called\":" + yes(step.end.called) + ",\"failure\":" +
            (failure.code == errc::ok ? "null" : "\"" + describe(failure) + "\"") + ",\"from\":[";
      char const* comma = "";
      for (node_id source : step.from) {
        to += comma + std::to_string(source.slot);
        comma = ",";
      }
      to += "]}";
      before = ",";
    }
    to += "]}";
  });
}

}  // namespace millrace::inline v0::propagate
