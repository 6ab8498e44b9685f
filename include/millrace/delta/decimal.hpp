// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/value_layout.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>

/// \file
/// Floats that are decimals: value = integer / 10^exponent, as a division rounds it. A double that
/// was read from a decimal of up to 15 digits is such a quotient, always; products with 10^-e, the
/// usual way, miss one in ten.
/// @source the idea of ALP (Afroozeh, Kuffo, Boncz, SIGMOD 2023), with a division

namespace millrace::inline v0::delta {

/// The integer of a decimal: the one whose quotient by `power` has the value's very bits.
/// @param power 10^exponent
/// @return false when there is none below most_decimal<V>
template <class V>
[[nodiscard]] inline bool decimal_integer(V value, double power, std::int64_t& integer) noexcept {
  constexpr auto most = static_cast<double>(most_decimal<V>);
  using word = value_word<V>;
  // Off the integer by less than 1, however it is rounded or contracted: only one of two fits.
  double const scaled = static_cast<double>(value) * power;
  if (!(scaled > -most && scaled < most)) { return false; }
  auto const below = static_cast<std::int64_t>(scaled);
  auto const wanted = std::bit_cast<word>(value);
  for (std::int64_t const each : {below, scaled < 0 ? below - 1 : below + 1}) {
    auto const quotient = static_cast<V>(static_cast<double>(each) / power);
    if (std::bit_cast<word>(quotient) == wanted) {
      integer = each;
      return true;
    }
  }
  return false;
}

/// The smallest exponent of ten from `from` on under which the value is a decimal.
/// @return most_exponent + 1 when there is none
template <class V>
[[nodiscard]] inline std::uint32_t decimal_exponent(V value, std::uint32_t from = 0) noexcept {
  constexpr std::uint32_t end = sizeof(V) == 4 ? 11 : 18;  // beyond, hardly a value is a decimal
  std::int64_t integer = 0;
  double power = power_of_ten(from);
  for (std::uint32_t exponent = from; exponent < end; ++exponent, power *= 10) {
    if (decimal_integer(value, power, integer)) { return exponent; }
    auto const scaled = static_cast<double>(value) * power;
    if (!(scaled > -static_cast<double>(most_decimal<V>) &&
          scaled < static_cast<double>(most_decimal<V>))) {
      break;
    }
  }
  return most_exponent + 1;
}

/// Exponents worth trying for a block: found from a few of its rows, evenly apart.
struct exponent_choice {
  std::uint32_t most = 0;   ///< under which every decimal of the sample is one
  std::uint32_t usual = 0;  ///< under which three of four are
  bool any = false;         ///< whether decimals are frequent enough
};

/// @param in [n]
/// @cost about 16 rows' exponents
template <class V>
[[nodiscard]] exponent_choice choose_exponents(V const* in, std::uint32_t n) noexcept {
  constexpr std::uint32_t sample = 16;
  std::uint32_t const rows = std::min(n, sample);
  std::uint32_t count[most_exponent + 2] = {};
  for (std::uint32_t i = 0; i < rows; ++i) {
    std::uint32_t const found = decimal_exponent(in[std::uint64_t{i} * n / rows]);
    ++count[found];
    if (count[most_exponent + 1] > rows / 2) { return {}; }
  }
  exponent_choice choice;
  std::uint32_t const decimals = rows - count[most_exponent + 1];
  std::uint32_t seen = 0;
  choice.any = decimals != 0;
  choice.usual = most_exponent;
  for (std::uint32_t exponent = 0; exponent <= most_exponent; ++exponent) {
    if (count[exponent] == 0) { continue; }
    seen += count[exponent];
    choice.most = exponent;
    if (choice.usual == most_exponent && 4 * seen >= 3 * decimals) { choice.usual = exponent; }
  }
  return choice;
}

}  // namespace millrace::inline v0::delta
