// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "book.hpp"
#include "csv.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace revalue {

/// Reads a book: id,desk,type,strike,expiry_days,vol,quantity. Desks are numbered in the order in
/// which they appear; the volatility may be empty when it is not known.
[[nodiscard]] inline std::pair<book, std::optional<complaint>> read_book(std::string const& path,
                                                                         double rate,
                                                                         double dividend) {
  book out;
  out.rate = rate;
  out.dividend = dividend;
  csv file(path);
  std::size_t const id = file.require("id");
  std::size_t const desk = file.require("desk");
  std::size_t const type = file.require("type");
  std::size_t const strike = file.require("strike");
  std::size_t const days = file.require("expiry_days");
  std::size_t const vol = file.require("vol");
  std::size_t const quantity = file.require("quantity");
  auto const positive = [&](std::size_t column, char const* what) {
    auto const value = file.number<double>(column);
    if (!file.problem() && !(value > 0 && value < 1e15)) { file.expected(column, what); }
    return value;
  };
  while (file.next()) {
    contract c;
    c.id = file.field(id);
    if (c.id.empty()) { file.expected(id, "a name"); }
    std::string const name(file.field(desk));
    if (name.empty()) { file.expected(desk, "a name"); }
    auto const known = std::find(out.desks.begin(), out.desks.end(), name);
    c.desk = static_cast<std::uint16_t>(known - out.desks.begin());
    if (known == out.desks.end()) { out.desks.push_back(name); }
    if (out.desks.size() > most_desks) {
      file.expected(desk, "at most " + std::to_string(most_desks) + " desks");
    }
    std::string_view const kind = file.field(type);
    if (kind != "call" && kind != "put") { file.expected(type, "call or put"); }
    c.call = kind == "call";
    c.strike = positive(strike, "a number above 0");
    c.years = positive(days, "a number of days above 0") / 365;
    c.volatility = file.empty(vol) ? 0 : positive(vol, "a volatility above 0, or nothing");
    c.quantity = file.number<double>(quantity);
    if (!file.problem() && !(std::fabs(c.quantity) < 1e15)) {
      file.expected(quantity, "a finite number");
    }
    if (file.problem()) { break; }
    out.contracts.push_back(std::move(c));
  }
  if (file.problem()) { return {out, file.problem()}; }
  if (out.contracts.empty()) {
    return {out, complaint{path + ":2:1: expected a line with an option after the header"}};
  }
  return {std::move(out), std::nullopt};
}

}  // namespace revalue
