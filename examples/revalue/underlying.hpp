// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "csv.hpp"
#include "data/sp500.hpp"
#include "feed.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace revalue {

/// The last bid and the last ask of one underlying, whichever venue they came from. 0: none yet.
class last_quote {
 public:
  /// Takes new sides; a side of 0 leaves what it was.
  void set(double bid, double ask) noexcept {
    if (bid > 0) { bid_ = bid; }
    if (ask > 0) { ask_ = ask; }
  }

  /// The middle of bid and ask; 0 while a side is missing, or when they cross.
  [[nodiscard]] double mid() const noexcept {
    return bid_ > 0 && ask_ > 0 && bid_ <= ask_ ? 0.5 * (bid_ + ask_) : 0;
  }

 private:
  double bid_ = 0;
  double ask_ = 0;
};

/// The series that comes with the program: the S&P 500's daily closes, 2000 to 2020.
[[nodiscard]] inline feed bundled_underlying() {
  feed out;
  out.underlying = "S&P 500 daily closes 2000-01-03 to 2020-04-17 (bundled)";
  out.daily = true;
  out.price_lines = sp500_close_cents.size();
  out.events.reserve(sp500_close_cents.size());
  for (std::size_t day = 0; day < sp500_close_cents.size(); ++day) {
    out.events.push_back(
        {sp500_close_cents[day] / 100.0, static_cast<std::int64_t>(day), 0, 0, update_kind::spot});
  }
  return out;
}

namespace detail {

/// Lines of day,…,close.
inline void read_closes(csv& file, feed& out, std::size_t close) {
  out.daily = true;
  while (file.next()) {
    double const price = file.number<double>(close);
    if (!file.problem() && !(price > 0)) { file.expected(close, "a price above 0"); }
    out.events.push_back({price, static_cast<std::int64_t>(out.price_lines++), 0,
                          static_cast<std::uint32_t>(file.line()), update_kind::spot});
  }
}

/// Lines of time_ms,price_e4,…: trades.
inline void read_trades(csv& file, feed& out, std::size_t time, std::size_t price_e4) {
  while (file.next()) {
    auto const when = file.number<std::int64_t>(time);
    double const price = 1e-4 * static_cast<double>(file.number<std::int64_t>(price_e4));
    if (!file.problem() && !(price > 0)) { file.expected(price_e4, "a price above 0"); }
    out.events.push_back(
        {price, when, 0, static_cast<std::uint32_t>(file.line()), update_kind::spot});
    ++out.price_lines;
  }
}

/// Lines of time_ms,bid_e4,…,ask_e4,…: quotes of one side (the other 0 or empty) or of both. A
/// quote that leaves the mid where it was becomes a quiet event, so that every line is an event; so
/// does one whose column `suspicious` says 1.
inline void read_quotes(csv& file, feed& out, std::size_t time, std::size_t bid, std::size_t ask) {
  auto const suspicious = file.find("suspicious");
  last_quote quote;
  double last = 0;
  auto const side = [&](std::size_t column) {
    auto const price = file.empty(column) ? 0 : file.number<std::int64_t>(column);
    if (!file.problem() && price < 0) { file.expected(column, "a price, or 0"); }
    return 1e-4 * static_cast<double>(price);
  };
  while (file.next()) {
    auto const when = file.number<std::int64_t>(time);
    if (!file.problem() && !out.events.empty() && when < out.events.back().time) {
      file.expected(time, "a time not before the last line's");
    }
    double const low = side(bid);
    double const high = side(ask);
    if (!suspicious || file.field(*suspicious) != "1") { quote.set(low, high); }
    double const mid = quote.mid();
    bool const moved = mid > 0 && mid != last;
    if (moved) { last = mid; }
    out.events.push_back({moved ? mid : 0, when, 0, static_cast<std::uint32_t>(file.line()),
                          moved ? update_kind::spot : update_kind::quiet});
    ++out.price_lines;
  }
}

}  // namespace detail

/// Reads an underlying's prices: daily closes, trades, or quotes, told apart by the header.
[[nodiscard]] inline std::pair<feed, std::optional<complaint>> read_underlying(
    std::string const& path) {
  feed out;
  out.underlying = path;
  csv file(path);
  if (file.problem()) { return {out, file.problem()}; }
  auto const time = file.find("time_ms");
  auto const bid = file.find("bid_e4");
  auto const ask = file.find("ask_e4");
  auto const price = file.find("price_e4");
  if (time && bid && ask) {
    detail::read_quotes(file, out, *time, *bid, *ask);
  } else if (time && price) {
    detail::read_trades(file, out, *time, *price);
  } else if (auto const close = file.find("close")) {
    detail::read_closes(file, out, *close);
  } else {
    return {out, complaint{path + ":1:1: expected a header with 'close' (daily prices), with "
                                  "'time_ms' and 'price_e4' (trades), or with 'time_ms', 'bid_e4' "
                                  "and 'ask_e4' (quotes)"}};
  }
  if (file.problem()) { return {out, file.problem()}; }
  if (out.events.empty()) {
    return {out, complaint{path + ":2:1: expected a line of prices after the header"}};
  }
  if (out.first_price() == 0) {
    return {out, complaint{path + ": no line gives the underlying a bid and an ask that do not "
                                  "cross"}};
  }
  return {std::move(out), std::nullopt};
}

}  // namespace revalue
