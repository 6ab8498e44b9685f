// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/clock.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unistd.h>

namespace revalue {

/// A bar on standard error while it is a terminal, drawn ten times a second; else nothing.
class progress {
 public:
  progress(std::size_t goal, bool wanted)
      : goal_(goal), drawn_(wanted && goal > 0 && ::isatty(STDERR_FILENO) == 1) {}
  progress(progress const&) = delete;
  progress& operator=(progress const&) = delete;
  ~progress() {
    if (drawn_) { std::fputs("\r\033[K", stderr); }
  }

  void show(std::size_t done) {
    if (!drawn_ || (done % 64 != 0 && done != goal_)) { return; }
    std::uint64_t const now = millrace::core::steady_clock::now_ns();
    if (now - last_ns_ < 100'000'000 && done != goal_) { return; }
    last_ns_ = now;
    constexpr std::size_t width = 40;
    std::size_t const full = std::min(width, width * done / goal_);
    std::string const bar = std::string(full, '#') + std::string(width - full, '.');
    std::fprintf(stderr, "\r[%s] %3zu %%  %zu of %zu updates", bar.c_str(), 100 * done / goal_,
                 done, goal_);
  }

 private:
  std::size_t goal_;
  bool drawn_;
  std::uint64_t last_ns_ = 0;
};

}  // namespace revalue
