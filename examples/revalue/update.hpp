// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace revalue {

/// What an update says, and with it how much of a desk it touches.
enum class update_kind : std::uint16_t {
  quiet = 0,       ///< a quote that leaves the underlying's mid where it was: nothing
  spot = 1,        ///< the underlying's price: every option
  volatility = 2,  ///< an option's volatility: that option
  mid = 3,         ///< an option's mid price, from which its volatility is implied: that option
};

/// One message to one desk.
struct update {
  double price = 0;            ///< spot, volatility or mid, by kind
  std::uint64_t sequence = 0;  ///< place among the desk's messages, from 0
  std::int64_t time = 0;       ///< of the price, as its source counts: milliseconds or days
  std::uint32_t option = 0;    ///< place in the desk, for an option's update
  std::uint16_t desk = 0;
  update_kind kind = update_kind::quiet;
};
static_assert(sizeof(update) == 32 && std::is_trivially_copyable_v<update>);

/// Updates that travel together at most.
inline constexpr std::size_t most_batched = 1024;

/// What became of an update or of a quote on its way to becoming one.
enum class outcome : std::uint32_t {
  applied = 0,
  below_bound = 1,    ///< mid at or below the least arbitrage-free price
  above_bound = 2,    ///< mid at or above the greatest arbitrage-free price
  one_sided = 3,      ///< bid or ask absent
  crossed = 4,        ///< bid above ask
  expired = 5,        ///< no time left at the valuation instant
  no_underlying = 6,  ///< no price of the underlying yet
};
inline constexpr std::size_t outcome_count = 7;

/// The words for an outcome; never null.
[[nodiscard]] constexpr char const* describe(outcome o) noexcept {
  switch (o) {
    case outcome::applied: return "applied";
    case outcome::below_bound: return "mid not above the lower no-arbitrage bound";
    case outcome::above_bound: return "mid not below the upper no-arbitrage bound";
    case outcome::one_sided: return "one-sided";
    case outcome::crossed: return "crossed";
    case outcome::expired: return "expired";
    case outcome::no_underlying: return "no underlying price yet";
  }
  return "unknown";
}

/// What a desk answers: its risk after the update. With the record's header it fills one cache
/// line.
struct reply {
  double value = 0;
  double delta = 0;
  double gamma = 0;
  double vega = 0;
  double theta = 0;
  double rho = 0;
  std::uint32_t recomputed = 0;  ///< options priced anew
  revalue::outcome outcome = revalue::outcome::applied;
};
static_assert(sizeof(reply) == 56 && std::is_trivially_copyable_v<reply>);

}  // namespace revalue
