// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace revalue {

/// Days since 1970-01-01 of a date written YYYYMMDD; nothing when there is no such day.
/// @source Howard Hinnant, "chrono-compatible low-level date algorithms"
[[nodiscard]] inline std::optional<std::int64_t> days_of(std::string_view text) noexcept {
  std::int64_t number = 0;
  auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.size() != 8 || code != std::errc{} || end != text.data() + 8 || number < 1600'01'01) {
    return std::nullopt;
  }
  std::int64_t const year = number / 10'000;
  std::int64_t const month = number / 100 % 100;
  std::int64_t const day = number % 100;
  bool const leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  constexpr int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) { return std::nullopt; }
  if (day > lengths[month - 1] + (month == 2 && leap ? 1 : 0)) { return std::nullopt; }

  std::int64_t const y = month <= 2 ? year - 1 : year;
  std::int64_t const era = y / 400;
  std::int64_t const of_era = y - era * 400;
  std::int64_t const of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

/// The first run of exactly eight digits in a file's name that is a date, such as the 20151224 of
/// goog-20151224-option-quotes.csv.
[[nodiscard]] inline std::optional<std::string_view> date_in(std::string_view path) noexcept {
  std::string_view const name = path.substr(path.find_last_of('/') + 1);
  for (std::size_t at = 0; at < name.size();) {
    std::size_t end = at;
    while (end < name.size() && name[end] >= '0' && name[end] <= '9') { ++end; }
    if (end - at == 8 && days_of(name.substr(at, 8))) { return name.substr(at, 8); }
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace revalue
