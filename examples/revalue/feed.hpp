// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "update.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace revalue {

/// One line of the input on its way to the desks: an option's quote goes to its desk, everything
/// else to all of them.
struct event {
  double price = 0;
  std::int64_t time = 0;
  std::uint32_t contract = 0;  ///< in the book, for an option's quote
  std::uint32_t line = 0;      ///< of the source file; 0 when there is none
  update_kind kind = update_kind::quiet;

  [[nodiscard]] bool is_quote() const noexcept {
    return kind == update_kind::volatility || kind == update_kind::mid;
  }
};

/// A quote that did not become an update, or whose update had no effect.
struct rejection {
  std::uint32_t line = 0;
  outcome why = outcome::applied;
};

/// The input, read and checked as a whole before any work.
struct feed {
  std::string underlying;           ///< where the underlying's prices come from
  std::string chain;                ///< where option quotes come from; empty: none
  std::vector<event> events;        ///< in the order of their times
  std::size_t price_lines = 0;      ///< of the underlying
  std::size_t quote_lines = 0;      ///< of options
  std::vector<rejection> rejected;  ///< option quotes that never become an update
  bool daily = false;               ///< days, not ticks

  /// The first price of the underlying; 0 when there is none.
  [[nodiscard]] double first_price() const noexcept {
    for (event const& e : events) {
      if (e.kind == update_kind::spot) { return e.price; }
    }
    return 0;
  }
};

}  // namespace revalue
