// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace millrace::bench {

/// What a bench program was asked for.
struct options {
  bool json = false;      ///< JSON lines instead of the table
  std::string json_file;  ///< append them to this file instead of printing them
  std::string filter;     ///< run only the benches whose name contains this
  std::size_t runs = 33;  ///< rounds of interleaved trials
  double seconds = 12;    ///< time limit of one bench; three times as much for 15 rounds
  bool list = false;      ///< print the names and stop
  bool help = false;
};

inline constexpr std::string_view usage =
    "  --json [FILE]   JSON lines instead of a table; with FILE, append them to it\n"
    "  --filter TEXT   only benches whose name contains TEXT\n"
    "  --runs N        rounds of interleaved trials (default 33; fewer than 15 say little)\n"
    "  --seconds S     time limit of one bench (default 12); 15 rounds get thrice that\n"
    "  --list          print the benches and stop\n"
    "  --help          this text\n";

/// Reads the arguments after the program's name.
/// @return nothing, with `problem` naming the argument, when one is unknown or malformed
[[nodiscard]] inline std::optional<options> parse(std::span<char const* const> arguments,
                                                  std::string& problem) {
  options found;
  auto const number = [](std::string_view text, auto& value) {
    auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    return code == std::errc{} && end == text.data() + text.size() && value > 0;
  };
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view const name = arguments[i];
    if (name == "--help") {
      found.help = true;
    } else if (name == "--list") {
      found.list = true;
    } else if (name == "--json") {
      found.json = true;
      bool const file = i + 1 < arguments.size() && arguments[i + 1][0] != '-';
      if (file) { found.json_file = arguments[++i]; }
    } else if (name != "--filter" && name != "--runs" && name != "--seconds") {
      problem = "unknown argument '" + std::string(name) + "'";
      return std::nullopt;
    } else if (i + 1 == arguments.size()) {
      problem = std::string(name) + " needs a value";
      return std::nullopt;
    } else {
      std::string_view const value = arguments[++i];
      if (name == "--filter") {
        found.filter = value;
      } else if (name == "--runs" ? !number(value, found.runs) : !number(value, found.seconds)) {
        problem =
            std::string(name) + " needs a number above zero, not '" + std::string(value) + "'";
        return std::nullopt;
      }
    }
  }
  return found;
}

}  // namespace millrace::bench
