// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"

#include <optional>
#include <string_view>
#include <vector>

/// \file
/// Peers that are compiled apart, where their libraries are installed.

namespace millrace::bench {

/// Qt 6 bindable properties.
[[nodiscard]] std::optional<contender> qt_trial(std::string_view bench);
/// oneTBB's flow graph, of as many threads as it likes.
[[nodiscard]] std::optional<contender> tbb_trial(std::string_view bench);
/// The same on one thread.
[[nodiscard]] std::optional<contender> tbb_one_thread_trial(std::string_view bench);
/// oneTBB's loop over two tasks of so many nanoseconds, on two threads.
[[nodiscard]] contender tbb_fork(double task_ns);

enum class commit_figure;
/// SQLite in memory, in each of the ways in which threads can share it.
[[nodiscard]] std::vector<contender> sqlite_commits(commit_figure which);

}  // namespace millrace::bench
