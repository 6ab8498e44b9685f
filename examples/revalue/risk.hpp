// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pricing.hpp"
#include <millrace/core/config.hpp>

#include <cstdint>

namespace revalue {

/// Quantity-weighted sums over some options: one cache line.
struct alignas(64) risk {
  double value = 0;
  double delta = 0;
  double gamma = 0;
  double vega = 0;
  double theta = 0;
  double rho = 0;
  double unused[2] = {};

  [[nodiscard]] friend MILLRACE_HD bool operator==(risk const& a, risk const& b) noexcept {
    return a.value == b.value && a.delta == b.delta && a.gamma == b.gamma && a.vega == b.vega &&
           a.theta == b.theta && a.rho == b.rho;
  }
};

[[nodiscard]] MILLRACE_HD inline risk operator+(risk const& a, risk const& b) noexcept {
  return {a.value + b.value,
          a.delta + b.delta,
          a.gamma + b.gamma,
          a.vega + b.vega,
          a.theta + b.theta,
          a.rho + b.rho,
          {}};
}

/// Blocks that a leaf of a risk tree sums; a desk has a multiple of it.
inline constexpr std::uint32_t leaf_blocks = 4;
inline constexpr std::uint32_t leaf_options = leaf_blocks * block_width;

/// Adds a block's weighted values to `sums`, lane by lane.
/// @param weight [block_width]
MILLRACE_HD inline void accumulate(double const* __restrict weight, value_block const& __restrict v,
                                   value_block& __restrict sums) noexcept {
  for (int i = 0; i < block_width; ++i) {
    sums.value[i] = fused(weight[i], v.value[i], sums.value[i]);
    sums.delta[i] = fused(weight[i], v.delta[i], sums.delta[i]);
    sums.gamma[i] = fused(weight[i], v.gamma[i], sums.gamma[i]);
    sums.vega[i] = fused(weight[i], v.vega[i], sums.vega[i]);
    sums.theta[i] = fused(weight[i], v.theta[i], sums.theta[i]);
    sums.rho[i] = fused(weight[i], v.rho[i], sums.rho[i]);
  }
}

/// The sum over the lanes, folded in halves: lane i meets i + 4, then i + 2, then i + 1.
[[nodiscard]] MILLRACE_HD inline double fold(double const* lanes) noexcept {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// The sums of all lanes.
[[nodiscard]] MILLRACE_HD inline risk total(value_block const& sums) noexcept {
  return {fold(sums.value),
          fold(sums.delta),
          fold(sums.gamma),
          fold(sums.vega),
          fold(sums.theta),
          fold(sums.rho),
          {}};
}

/// What a leaf's blocks contribute to their desk.
/// @param options, values  [leaf_blocks]
[[nodiscard]] MILLRACE_HD inline risk risk_of(option_block const* options,
                                              value_block const* values) noexcept {
  value_block sums{};
  for (std::uint32_t b = 0; b < leaf_blocks; ++b) {
    accumulate(options[b].weight, values[b], sums);
  }
  return total(sums);
}

/// Sums of a desk's leaves as a tree whose shape depends on their number alone, so that the root
/// is the same to the last bit whoever adds, in whichever order updates came. Each level folds the
/// one below in halves: node i is the sum of nodes i and i + half. Levels follow each other in
/// `nodes`, leaves first.
struct risk_tree {
  risk* nodes = nullptr;
  std::uint32_t leaves = 0;

  /// Nodes that `leaves` leaves need. @param leaves  positive
  [[nodiscard]] MILLRACE_HD static constexpr std::uint32_t size(std::uint32_t leaves) noexcept {
    std::uint32_t total = leaves;
    while (leaves > 1) {
      leaves = leaves / 2 + leaves % 2;
      total += leaves;
    }
    return total;
  }

  [[nodiscard]] MILLRACE_HD risk const& root() const noexcept { return nodes[size(leaves) - 1]; }

  /// Adds everything up again after all leaves changed. @cost O(leaves)
  /// @thread every member of `group` together
  template <class Group>
  MILLRACE_HD void rebuild(Group const& group) const noexcept {
    risk* below = nodes;
    for (std::uint32_t count = leaves; count > 1;) {
      std::uint32_t const half = count / 2 + count % 2;
      risk* const above = below + count;
      for (std::uint32_t i = group.rank(); i < half; i += group.size()) {
        above[i] = i + half < count ? below[i] + below[i + half] : below[i];
      }
      group.sync();
      below = above;
      count = half;
    }
  }

  /// Adds up the path from one changed leaf to the root. @cost O(log leaves) @thread one
  MILLRACE_HD void refresh(std::uint32_t leaf) const noexcept {
    risk* below = nodes;
    for (std::uint32_t count = leaves; count > 1;) {
      std::uint32_t const half = count / 2 + count % 2;
      leaf = leaf < half ? leaf : leaf - half;
      risk* const above = below + count;
      above[leaf] = leaf + half < count ? below[leaf] + below[leaf + half] : below[leaf];
      below = above;
      count = half;
    }
  }
};

}  // namespace revalue
