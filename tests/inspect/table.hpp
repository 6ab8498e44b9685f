// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <istream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace inspect {

/// The exit status that means "skipped", after a line that says why.
inline constexpr int skipped = 77;

/// Says why a comparison cannot be made here.
inline int skip(std::string const& why) {
  std::printf("skipped: %s\n", why.c_str());
  return skipped;
}

/// The numbers that the section "Generated code" of a design page states: a row begins with its key
/// in backquotes, and its numbers follow in the cells behind it.
class stated_numbers {
 public:
  explicit stated_numbers(char const* page) : stated_numbers(std::ifstream(page)) {}
  explicit stated_numbers(std::istream&& in) {
    bool inside = false;
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("## ")) { inside = line == "## Generated code"; }
      if (!inside) { continue; }
      text_ += line + '\n';
      if (line.starts_with("| `")) { add(line); }
    }
  }

  /// Whether the section says these words, such as a compiler and its version.
  [[nodiscard]] bool says(std::string_view words) const {
    return text_.find(words) != std::string::npos;
  }

  /// Prints what was measured beside what is stated; true unless a measured number is more than a
  /// tenth above its own.
  bool hold(std::string const& key, std::vector<double> const& measured) const {
    auto const row = rows_.find(key);
    bool const known = row != rows_.end() && row->second.size() == measured.size();
    bool fine = known;
    std::printf("%-24s", key.c_str());
    for (std::size_t i = 0; i < measured.size(); ++i) {
      double const stated = known ? row->second[i] : 0;
      bool const above = measured[i] > 1.1 * stated;
      fine = fine && !above;
      std::printf("  %.2f (stated %.2f%s)", measured[i], stated,
                  above ? ": more than 10 % above" : "");
    }
    std::printf("%s\n", known ? "" : "  the page states no such row");
    return fine;
  }

 private:
  void add(std::string const& line) {
    std::size_t const end = line.find('`', 3);
    std::vector<double>& numbers = rows_[line.substr(3, end - 3)];
    for (std::size_t bar = line.find('|', end); bar + 1 < line.size();) {
      char const* const cell = line.c_str() + bar + 1;
      char* after = nullptr;
      double const number = std::strtod(cell, &after);
      if (after != cell) { numbers.push_back(number); }
      bar = line.find('|', bar + 1);
    }
  }

  std::string text_;
  std::map<std::string, std::vector<double>> rows_;
};

/// This compiler, as pages name it; empty when counts of its code for a host mean nothing to them.
[[nodiscard]] inline std::string compiler() {
#if !defined(__x86_64__) || defined(__clang__) || !defined(__GNUC__) || defined(__SSE3__)
  return {};
#else
  return "g++ " + std::to_string(__GNUC__) + '.' + std::to_string(__GNUC_MINOR__) + '.' +
         std::to_string(__GNUC_PATCHLEVEL__);
#endif
}

/// Why a page's numbers are not of this compiler; empty when they are.
[[nodiscard]] inline std::string other_compiler(stated_numbers const& page) {
  std::string const mine = compiler();
  if (mine.empty()) { return "the page's numbers are of g++ for plain x86-64"; }
  return page.says(mine) ? std::string() : mine + " is not the compiler of the page's numbers";
}

}  // namespace inspect
