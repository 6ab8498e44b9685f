// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace millrace::inline v0::propagate::detail {

/// What the runs of some nodes have taken, by one thread and by a team, and so who is to make the
/// next ones: by how many nodes there are, for what it takes to begin is not in proportion.
/// @thread one at a time
class measured_choice {
 public:
  static constexpr std::uint32_t least = 64;  ///< nodes that are worth a look at the time
  static constexpr std::uint32_t often = 64;  ///< decisions, of which one tries what seems slower
  static constexpr std::uint32_t early = 8;   ///< notes in turn, before anything seems slower

  struct decision {
    bool by_team;
    bool timed;  ///< is to be noted
  };
  /// @param nodes to run, `least` or more
  /// @param task_ns work that is worth to be handed to a thread; less of it is not shared
  [[nodiscard]] decision decide(std::uint32_t nodes, std::uint32_t task_ns) noexcept {
    cost& of = at(nodes);
    ++of.decisions;
    if (of.alone == 0) { return {false, true}; }
    if (of.alone * static_cast<float>(nodes) < static_cast<float>(task_ns)) {
      return {false, of.decisions % often == 0};  // the clock would cost more than it tells
    }
    if (of.noted < early) { return {of.noted % 2 != 0, true}; }
    return {(of.team < of.alone) != (of.decisions % often == 0), true};
  }
  /// How many tasks of that length the runs are; at least 2.
  [[nodiscard]] std::uint32_t tasks(std::uint32_t nodes, std::uint32_t task_ns) noexcept {
    return static_cast<std::uint32_t>(
        std::clamp(at(nodes).alone * static_cast<float>(nodes) / static_cast<float>(task_ns), 2.f,
                   most_tasks));
  }
  /// What `nodes` runs have taken.
  void note(bool by_team, std::uint32_t nodes, std::uint64_t ns) noexcept {
    float& known = by_team ? at(nodes).team : at(nodes).alone;
    float const now = static_cast<float>(ns) / static_cast<float>(nodes);
    if (known == 0) {
      known = now;
    } else if (at(nodes).noted < early) {
      known = std::min(known, now);  // what was cold or interrupted says little
    } else {
      known += (std::min(now, 2 * known) - known) / 4;
    }
    ++at(nodes).noted;
  }

 private:
  static constexpr float most_tasks = 1 << 16;
  struct cost {
    float alone = 0, team = 0;  // ns a node
    std::uint32_t decisions = 0, noted = 0;
  };
  [[nodiscard]] cost& at(std::uint32_t nodes) noexcept {
    return costs_[static_cast<std::uint32_t>(std::bit_width(nodes / least))];
  }

  cost costs_[32 - std::bit_width(least) + 2];  // by powers of two
};

}  // namespace millrace::inline v0::propagate::detail
