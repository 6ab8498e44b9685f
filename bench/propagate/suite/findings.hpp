// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace millrace::bench::suite {

/// The first thing that was not as it must be. Looking costs a compare.
class findings {
 public:
  /// Notes `what` unless `got` is `want`.
  void expect(double got, double want, char const* what) {
    if (got == want) [[likely]] { return; }
    note(got, want, what);
  }
  /// The same for a count of runs.
  void expect_runs(std::size_t got, std::size_t want, char const* what) {
    expect(static_cast<double>(got), static_cast<double>(want), what);
  }
  /// What was wrong first; empty when nothing was.
  [[nodiscard]] std::string const& problem() const noexcept { return problem_; }

 private:
  [[gnu::cold, gnu::noinline]] void note(double got, double want, char const* what) {
    if (!problem_.empty()) { return; }
    char text[128];
    std::snprintf(text, sizeof text, "%s is %.17g, not %.17g", what, got, want);
    problem_ = text;
  }

  std::string problem_;
};

}  // namespace millrace::bench::suite
