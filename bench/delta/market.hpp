// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::bench {

/// A series of prices in dollars, and why there is none.
struct price_series {
  std::vector<double> values;
  std::string problem;
};

/// The folder of the market data: MILLRACE_MARKET_DATA of the environment, else the one that CMake
/// was configured with.
[[nodiscard]] inline std::string market_folder() {
  if (char const* const set = std::getenv("MILLRACE_MARKET_DATA")) { return set; }
#if defined(MILLRACE_BENCH_MARKET_DATA)
  return MILLRACE_BENCH_MARKET_DATA;
#else
  return ".";
#endif
}

/// Calls `row` with the fields of each line after the first.
/// @return what was wrong; empty when nothing was
template <class Row>
[[nodiscard]] std::string read_csv(std::string const& name, std::size_t fields, Row row) {
  std::string const path = market_folder() + "/" + name;
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line)) { return "no " + path; }
  std::vector<std::string_view> found;
  for (std::size_t number = 2; std::getline(in, line); ++number) {
    found.clear();
    std::string_view rest = line;
    for (std::size_t comma = 0; comma != std::string_view::npos;) {
      comma = rest.find(',');
      found.push_back(rest.substr(0, comma));
      if (comma != std::string_view::npos) { rest.remove_prefix(comma + 1); }
    }
    if (found.size() < fields || !row(found)) {
      return path + ": line " + std::to_string(number) + " is not as expected";
    }
  }
  return {};
}

/// Appends a field of 1/10000 dollars; what is empty or 0 is absent.
[[nodiscard]] inline bool take_e4(std::string_view field, std::vector<double>& to) {
  if (field.empty()) { return true; }
  std::int64_t e4 = 0;
  auto const [end, code] = std::from_chars(field.data(), field.data() + field.size(), e4);
  if (code != std::errc{} || end != field.data() + field.size()) { return false; }
  if (e4 != 0) { to.push_back(static_cast<double>(e4) / 1e4); }
  return true;
}

inline void append(std::vector<double>& to, std::vector<double> const& more) {
  to.insert(to.end(), more.begin(), more.end());
}

/// S&P 500, daily: all opens, then all highs, all lows, all closes.
[[nodiscard]] inline price_series sp500_prices() {
  std::vector<double> columns[4];
  price_series made;
  made.problem = read_csv("sp500-daily-2000-2020.csv", 5, [&](auto const& fields) {
    bool good = true;
    for (std::size_t i = 0; i < 4; ++i) {
      double value = 0;
      std::string_view const text = fields[i + 1];
      auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
      good = good && code == std::errc{} && end == text.data() + text.size();
      columns[i].push_back(value);
    }
    return good;
  });
  for (auto const& column : columns) { append(made.values, column); }
  return made;
}

/// IBM, every quote of a day that is present: all bids, then all asks.
[[nodiscard]] inline price_series ibm_quotes() {
  std::vector<double> bids, asks;
  price_series made;
  made.problem = read_csv("ibm-20131007-quotes.csv", 4, [&](auto const& fields) {
    return take_e4(fields[1], bids) && take_e4(fields[3], asks);
  });
  append(made.values, bids);
  append(made.values, asks);
  return made;
}

/// Every option of Google by minutes, quotes that are present: contract after contract, first the
/// bids of all, then the asks.
[[nodiscard]] inline price_series goog_quotes() {
  struct contract {
    std::vector<double> bids, asks;
  };
  std::map<std::string, contract> chain;
  price_series made;
  made.problem = read_csv("goog-20151224-option-quotes.csv", 8, [&](auto const& fields) {
    std::string name(fields[1]);
    name.append(" ").append(fields[2]).append(" ").append(fields[3]);
    contract& of = chain[name];
    return take_e4(fields[4], of.bids) && take_e4(fields[6], of.asks);
  });
  for (auto const& [name, of] : chain) { append(made.values, of.bids); }
  for (auto const& [name, of] : chain) { append(made.values, of.asks); }
  return made;
}

}  // namespace millrace::bench
