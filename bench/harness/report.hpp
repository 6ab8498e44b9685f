// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"

#include <cstdio>
#include <string>

namespace millrace::bench {

/// A number as JSON takes it, six significant digits.
[[nodiscard]] inline std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

/// A row as one JSON object without a line end. Names are printable ASCII without quotes.
[[nodiscard]] inline std::string json_of(row const& line) {
  std::string text = R"({"bench":")" + line.bench + R"(","unit":")" + line.unit + R"(","ours":)" +
                     number(line.ours);
  if (!line.peer.empty()) {
    text += R"(,"peer":")" + line.peer + R"(","peer_value":)" + number(line.peer_value) +
            R"(,"ratio":)" + number(line.ratio);
  }
  text += R"(,"runs":)" + std::to_string(line.runs);
  if (line.where != placement::any) {
    text += R"(,"placement":")" + std::string(name_of(line.where)) + '"';
  }
  text += R"(,"mad":)" + number(line.ours_mad);
  if (!line.peer.empty()) { text += R"(,"peer_mad":)" + number(line.peer_mad); }
  return text + '}';
}

/// A value with an SI prefix where the unit is a rate, so that columns stay readable.
[[nodiscard]] inline std::string readable(double value, std::string const& unit) {
  char text[32];
  if (unit == "ns") {
    std::snprintf(text, sizeof text, "%.1f ns", value);
  } else if (value >= 1e6) {
    std::snprintf(text, sizeof text, "%.2f M %s", value / 1e6, unit.c_str());
  } else {
    std::snprintf(text, sizeof text, "%.4g %s", value, unit.c_str());
  }
  return text;
}

/// The header of the table.
[[nodiscard]] inline std::string table_header() {
  char text[160];
  std::snprintf(text, sizeof text, "%-30s %-32s %17s %6s %17s %6s %7s %5s %s", "bench", "peer",
                "ours", "+-", "peer value", "+-", "ratio", "runs", "placement");
  return text;
}

/// A row as a line of the table; spreads are the median absolute deviation in percent.
[[nodiscard]] inline std::string table_line(row const& line) {
  auto const percent = [](double spread, double of) {
    char text[16];
    std::snprintf(text, sizeof text, "%.1f%%", of != 0 ? 100 * spread / of : 0);
    return std::string(text);
  };
  bool const compared = !line.peer.empty();
  char ratio[16] = "-";
  if (compared) { std::snprintf(ratio, sizeof ratio, "%.3f", line.ratio); }
  char text[256];
  std::snprintf(text, sizeof text, "%-30s %-32s %17s %6s %17s %6s %7s %5zu %s", line.bench.c_str(),
                compared ? line.peer.c_str() : "-", readable(line.ours, line.unit).c_str(),
                percent(line.ours_mad, line.ours).c_str(),
                compared ? readable(line.peer_value, line.unit).c_str() : "-",
                compared ? percent(line.peer_mad, line.peer_value).c_str() : "-", ratio, line.runs,
                line.where == placement::any ? "" : name_of(line.where));
  return text;
}

}  // namespace millrace::bench
