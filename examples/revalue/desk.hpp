// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "implied_vol.hpp"
#include "pricing.hpp"
#include "risk.hpp"
#include "update.hpp"
#include <millrace/core/config.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace revalue {

/// What a desk remembers between updates.
struct alignas(64) desk_state {
  market now;                      ///< spot 0: no price of the underlying yet
  std::uint64_t applied = 0;       ///< updates, each exactly once when `out_of_order` is 0
  std::uint64_t out_of_order = 0;  ///< updates whose sequence was not `applied`
  std::uint64_t recomputed = 0;    ///< options priced anew
};

/// A desk without its memory, which the worker that owns the desk can reach: host threads or
/// device threads. One worker at a time.
struct desk_ref {
  option_block* options = nullptr;  ///< [blocks]
  value_block* values = nullptr;    ///< [blocks]
  risk_tree tree;                   ///< [blocks / leaf_blocks] leaves
  desk_state* state = nullptr;
  std::uint32_t blocks = 0;
  std::uint32_t count = 0;  ///< options; the last lanes of the last blocks weigh nothing
};
static_assert(std::is_trivially_copyable_v<desk_ref>);

/// One thread that works alone.
struct solo {
  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t rank() noexcept { return 0; }
  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t size() noexcept { return 1; }
  static MILLRACE_HD void sync() noexcept {}
};

/// Prices the options of `blocks` blocks, one thread.
MILLRACE_HD inline void price_blocks(option_block const* options, value_block* values,
                                     std::uint32_t blocks, market const m) noexcept {
  for (std::uint32_t b = 0; b < blocks; ++b) {
    for (int lane = 0; lane < block_width; ++lane) { price_lane(options[b], m, values[b], lane); }
  }
}

/// Prices every option of the desk at `m` and adds the desk up.
/// @thread every member of `group` together
template <class Group>
MILLRACE_HD inline void reprice_all(Group const& group, desk_ref const& desk,
                                    market const m) noexcept {
  if constexpr (std::is_same_v<Group, solo>) {
    for (std::uint32_t leaf = 0; leaf < desk.tree.leaves; ++leaf) {
      option_block const* const options = desk.options + leaf * leaf_blocks;
      value_block* const values = desk.values + leaf * leaf_blocks;
      price_blocks(options, values, leaf_blocks, m);
      desk.tree.nodes[leaf] = risk_of(options, values);
    }
  } else {
    std::uint32_t const lanes = desk.blocks * block_width;
    for (std::uint32_t i = group.rank(); i < lanes; i += group.size()) {
      price_lane(desk.options[i / block_width], m, desk.values[i / block_width],
                 static_cast<int>(i % block_width));
    }
    group.sync();
    for (std::uint32_t leaf = group.rank(); leaf < desk.tree.leaves; leaf += group.size()) {
      desk.tree.nodes[leaf] =
          risk_of(desk.options + leaf * leaf_blocks, desk.values + leaf * leaf_blocks);
    }
    group.sync();
  }
  desk.tree.rebuild(group);
}

/// Gives one option a volatility, prices it and adds up its path to the desk's total.
MILLRACE_HD inline void reprice_one(desk_ref const& desk, std::uint32_t option, double vol,
                                    market const m) noexcept {
  std::uint32_t const block = option / block_width;
  int const lane = static_cast<int>(option % block_width);
  set_volatility(desk.options[block], lane, vol, m.rate, m.dividend);
  price_lane(desk.options[block], m, desk.values[block], lane);
  std::uint32_t const leaf = block / leaf_blocks;
  desk.tree.nodes[leaf] =
      risk_of(desk.options + leaf * leaf_blocks, desk.values + leaf * leaf_blocks);
  desk.tree.refresh(leaf);
}

/// Does an option's update: the volatility, given or implied by the mid, then the option's price.
MILLRACE_HD inline void apply_quote(desk_ref const& desk, update const& u, reply& out) noexcept {
  market const m = desk.state->now;
  if (!(m.spot > 0)) {
    out.outcome = outcome::no_underlying;
    return;
  }
  implied vol{u.price, outcome::applied};
  if (u.kind == update_kind::mid) {
    option_block const& o = desk.options[u.option / block_width];
    std::uint32_t const lane = u.option % block_width;
    vol = implied_volatility(u.price, o.sign[lane], product(m.spot, o.dividend_discount[lane]),
                             o.strike_value[lane], o.root_years[lane]);
  }
  out.outcome = vol.outcome;
  if (vol.outcome != outcome::applied) { return; }
  reprice_one(desk, u.option, vol.volatility, m);
  out.recomputed = 1;
}

/// Does one update and tells the desk's risk after it. The numbers depend on the updates that the
/// desk has seen, in their order, and on nothing else.
/// @return meaningful in the member of rank 0
/// @thread every member of `group` together; one group a desk
template <class Group>
[[nodiscard]] MILLRACE_HD inline reply apply(Group const& group, desk_ref const& desk,
                                             update const& u) noexcept {
  reply out;
  desk_state& state = *desk.state;
  if (u.kind == update_kind::spot) {
    market const m = market::at(u.price, state.now.rate, state.now.dividend);
    group.sync();  // before the leader overwrites what the others have just read
    if (group.rank() == 0) { state.now = m; }
    reprice_all(group, desk, m);
    out.recomputed = desk.count;
  } else if (group.rank() == 0 && u.kind != update_kind::quiet) {
    apply_quote(desk, u, out);
  }
  if (group.rank() == 0) {
    state.out_of_order += u.sequence == state.applied ? 0 : 1;
    ++state.applied;
    state.recomputed += out.recomputed;
    risk const& total = desk.tree.root();
    out.value = total.value;
    out.delta = total.delta;
    out.gamma = total.gamma;
    out.vega = total.vega;
    out.theta = total.theta;
    out.rho = total.rho;
  }
  return out;
}

}  // namespace revalue
