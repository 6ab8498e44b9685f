// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "book.hpp"
#include "calendar.hpp"
#include "csv.hpp"
#include "feed.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace revalue {

/// An option chain's quotes as a book of one of each option, and a feed that interleaves them with
/// the underlying's prices by time.
///
/// A line is time_ms,type,strike_e4,expiry,bid_e4,…,ask_e4: prices in 1/10000, empty where there is
/// no such side, type call or put, expiry YYYYMMDD. Options expire at 16:00 of that day. Their
/// times are counted from the first quote of the chain and stand still during the run. Each option
/// is valued as European. Desks are runs of neighbouring expiries.
class chain {
 public:
  static constexpr std::int64_t day_ms = 86'400'000;
  static constexpr std::int64_t expiry_ms = 57'600'000;  ///< 16:00, the close of trading
  static constexpr std::size_t desk_count = 8;

  /// @param prices  the underlying's, in the order of their times
  /// @param date    YYYYMMDD of the quotes; empty: the one in the file's name
  chain(std::string const& path, feed prices, std::string_view date, double rate, double dividend)
      : feed_(std::move(prices)) {
    feed_.chain = path;
    book_.rate = rate;
    book_.dividend = dividend;
    csv file(path);
    if (!file.problem()) { take_date(path, date); }
    if (!file.problem() && !problem_) { read(file); }
    if (!problem_) { problem_ = file.problem(); }
    if (problem_) { return; }
    if (feed_.quote_lines == 0) {
      problem_ = complaint{path + ":2:1: expected a line of quotes after the header"};
      return;
    }
    name_desks();
    interleave();
  }

  [[nodiscard]] std::optional<complaint> const& problem() const noexcept { return problem_; }
  [[nodiscard]] revalue::feed& prices_and_quotes() noexcept { return feed_; }
  [[nodiscard]] revalue::book& options() noexcept { return book_; }

 private:
  void take_date(std::string const& path, std::string_view date) {
    std::optional<std::string_view> const text = date.empty() ? date_in(path) : date;
    if (!text || !days_of(*text)) {
      problem_ = complaint{path +
                           ": the quotes' date is not in the file's name; give it with "
                           "--date YYYYMMDD"};
      return;
    }
    today_days_ = *days_of(*text);
  }

  void read(csv& file) {
    std::size_t const time = file.require("time_ms");
    std::size_t const type = file.require("type");
    std::size_t const strike = file.require("strike_e4");
    std::size_t const expiry = file.require("expiry");
    std::size_t const bid = file.require("bid_e4");
    std::size_t const ask = file.require("ask_e4");
    std::int64_t last = 0;
    while (file.next()) {
      auto const when = file.number<std::int64_t>(time);
      if (feed_.quote_lines == 0) { first_ms_ = last = when; }
      if (!file.problem() && when < last) {
        file.expected(time, "a time not before the last line's");
      }
      last = when;
      std::string_view const kind = file.field(type);
      if (kind != "call" && kind != "put") { file.expected(type, "call or put"); }
      auto const strike_e4 = file.number<std::int64_t>(strike);
      if (!file.problem() && strike_e4 <= 0) { file.expected(strike, "a strike above 0"); }
      auto const day = days_of(file.field(expiry));
      if (!day) { file.expected(expiry, "a date YYYYMMDD"); }
      auto const low = file.empty(bid) ? 0 : file.number<std::int64_t>(bid);
      auto const high = file.empty(ask) ? 0 : file.number<std::int64_t>(ask);
      if (file.problem()) { return; }
      ++feed_.quote_lines;
      take(static_cast<std::uint32_t>(file.line()), when,
           key{*day, strike_e4, kind == "call", std::string(file.field(expiry))}, low, high);
    }
  }

  struct key {
    std::int64_t expiry_days;
    std::int64_t strike_e4;
    bool call;
    std::string expiry;

    [[nodiscard]] friend bool operator<(key const& a, key const& b) noexcept {
      return std::tuple(a.expiry_days, a.strike_e4, a.call) <
             std::tuple(b.expiry_days, b.strike_e4, b.call);
    }
  };

  void take(std::uint32_t line, std::int64_t when, key const& what, std::int64_t bid,
            std::int64_t ask) {
    std::int64_t const left = (what.expiry_days - today_days_) * day_ms + expiry_ms - first_ms_;
    outcome const verdict = left <= 0                 ? outcome::expired
                            : bid <= 0 || ask <= 0    ? outcome::one_sided
                            : bid > ask               ? outcome::crossed
                            : when < first_price_ms() ? outcome::no_underlying
                                                      : outcome::applied;
    std::optional<std::uint32_t> const at =
        left > 0 ? std::optional(contract_of(what, left)) : std::nullopt;
    if (verdict != outcome::applied) {
      feed_.rejected.push_back({line, verdict});
      return;
    }
    quotes_.push_back({0.5e-4 * static_cast<double>(bid + ask), when, *at, line, update_kind::mid});
  }

  [[nodiscard]] std::uint32_t contract_of(key const& what, std::int64_t left) {
    auto const [at, fresh] =
        known_.try_emplace(what, static_cast<std::uint32_t>(book_.contracts.size()));
    if (fresh) {
      contract c;
      char const* const type = what.call ? "call-" : "put-";
      std::string strike = std::to_string(what.strike_e4 / 10'000);
      if (what.strike_e4 % 10'000 != 0) {
        std::string const part = std::to_string(10'000 + what.strike_e4 % 10'000);
        strike += '.' + part.substr(1, part.find_last_not_of('0'));
      }
      c.id = what.expiry + '-' + type + strike;
      c.call = what.call;
      c.strike = 1e-4 * static_cast<double>(what.strike_e4);
      c.years = static_cast<double>(left) / (365.0 * static_cast<double>(day_ms));
      c.quantity = 1;
      book_.contracts.push_back(std::move(c));
    }
    return at->second;
  }

  /// The k-th of n expiries goes to desk k * desks / n.
  void name_desks() {
    std::vector<std::string> expiries;
    for (auto const& [what, index] : known_) {
      if (expiries.empty() || expiries.back() != what.expiry) { expiries.push_back(what.expiry); }
    }
    std::size_t const count = std::min(desk_count, std::max<std::size_t>(expiries.size(), 1));
    book_.desks.assign(count, "");
    std::size_t k = 0;
    for (auto const& [what, index] : known_) {
      while (expiries[k] != what.expiry) { ++k; }
      std::size_t const desk = k * count / expiries.size();
      book_.contracts[index].desk = static_cast<std::uint16_t>(desk);
      std::string& name = book_.desks[desk];
      if (name.empty()) {
        name = what.expiry;
      } else if (name.substr(0, 8) != what.expiry) {
        name = name.substr(0, 8) + "-" + what.expiry;
      }
    }
  }

  /// At equal times the underlying goes first.
  void interleave() {
    std::vector<event> prices = std::exchange(feed_.events, {});
    feed_.events.resize(prices.size() + quotes_.size());
    std::merge(prices.begin(), prices.end(), quotes_.begin(), quotes_.end(), feed_.events.begin(),
               [](event const& a, event const& b) { return a.time < b.time; });
  }

  [[nodiscard]] std::int64_t first_price_ms() {
    if (!first_price_ms_) {
      auto const priced = [](event const& e) { return e.kind == update_kind::spot; };
      first_price_ms_ = std::find_if(feed_.events.begin(), feed_.events.end(), priced)->time;
    }
    return *first_price_ms_;
  }

  revalue::feed feed_;
  revalue::book book_;
  std::int64_t today_days_ = 0;
  std::int64_t first_ms_ = 0;
  std::optional<std::int64_t> first_price_ms_;
  std::vector<event> quotes_;
  std::map<key, std::uint32_t> known_;
  std::optional<complaint> problem_;
};

}  // namespace revalue
