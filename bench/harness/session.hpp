// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"
#include "bench/harness/options.hpp"
#include "bench/harness/report.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace millrace::bench {

/// One run of a bench program: arguments in, interleaved trials, rows out, exit code.
/// @thread one
class session {
 public:
  /// Fewest rounds behind a figure that is compared.
  static constexpr std::size_t fewest_runs = 15;

  explicit session(options asked) : options_(std::move(asked)) {
    if (options_.json_file.empty()) { return; }
    out_ = std::fopen(options_.json_file.c_str(), "a");
    if (out_ == nullptr) { fail("cannot append to '" + options_.json_file + "'"); }
  }
  session(session const&) = delete;
  session& operator=(session const&) = delete;
  ~session() {
    if (out_ != nullptr) { std::fclose(out_); }
  }

  /// Whether the filter lets this bench run; with --list, prints the name instead.
  [[nodiscard]] bool wants(std::string_view bench) const {
    if (failed_ || bench.find(options_.filter) == std::string_view::npos) { return false; }
    if (options_.list) { std::printf("%.*s\n", static_cast<int>(bench.size()), bench.data()); }
    return !options_.list;
  }

  /// Runs ours and every peer in turn, round after round, and prints the rows. A contender whose
  /// result is wrong fails the program, and no number of that bench is printed.
  void run(comparison const& what) {
    if (!wants(what.bench)) { return; }
    if (what.placed && trial_cpus().producer == trial_cpus().worker) {
      note(what.bench, "skipped: needs two processors");
      return;
    }
    rounds all(1 + what.peers.size());
    if (!collect(what, all)) { return; }
    if (what.placed && fewest_pairs(all, placement::far) < fewest_runs) {
      note(what.bench, "only " + std::to_string(fewest_pairs(all, placement::far)) +
                           " far rounds (processors more than 120 ns apart) of " +
                           std::to_string(all[0].size()) + " within the time limit");
    }
    for (row const& line : rows_of(what, all)) { print(line); }
  }

  /// Says on the error stream why the program fails, and makes it fail.
  void fail(std::string const& why) {
    std::fprintf(stderr, "bench: %s\n", why.c_str());
    failed_ = true;
  }

  /// A remark on the error stream.
  static void note(std::string const& bench, std::string const& text) {
    std::fprintf(stderr, "%s: %s\n", bench.c_str(), text.c_str());
  }

  /// The program's exit code.
  [[nodiscard]] int exit_code() const noexcept { return failed_ ? 1 : 0; }

 private:
  /// Fills `all` round by round. False when a result was wrong.
  bool collect(comparison const& what, rounds& all) {
    std::int64_t const start = now_ns();
    auto const limit_ns = static_cast<std::int64_t>(options_.seconds * 1e9);
    double before = what.placed ? core_round_trip_ns(trial_cpus()) : 0;
    do {
      for (std::size_t i = 0; i < all.size(); ++i) {
        // Near rounds are printed, not compared: enough of them is enough.
        while (what.placed && classify(before) != placement::far && now_ns() - start < limit_ns &&
               fewest_pairs(all, placement::near) >= fewest_runs) {
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
          before = core_round_trip_ns(trial_cpus());
        }
        contender const& side = i == 0 ? what.ours : what.peers[i - 1];
        measured const found = side.trial();
        if (!found.problem.empty()) {
          fail(what.bench + ": " + side.name + ": " + found.problem);
          return false;
        }
        // The probe after a trial is the probe before the next one.
        double const after = what.placed ? core_round_trip_ns(trial_cpus()) : 0;
        all[i].push_back({found.value, what.placed ? classify(before, after) : placement::any});
        before = after;
      }
    } while (!enough(what, all) && now_ns() - start < (hopeful(what, all) ? 3 : 1) * limit_ns);
    return true;
  }

  /// Whether time alone brings the fewest rounds that say something: placement may never come.
  [[nodiscard]] static bool hopeful(comparison const& what, rounds const& all) {
    return !what.placed && all[0].size() < fewest_runs;
  }

  [[nodiscard]] bool enough(comparison const& what, rounds const& all) const {
    if (all[0].size() < options_.runs) { return false; }
    return !what.placed ||
           fewest_pairs(all, placement::far) >= std::min(options_.runs, fewest_runs);
  }

  void print(row const& line) {
    if (options_.json) {
      std::FILE* const to = out_ != nullptr ? out_ : stdout;
      std::fprintf(to, "%s\n", json_of(line).c_str());
      std::fflush(to);
      return;
    }
    if (!std::exchange(header_printed_, true)) { std::printf("%s\n", table_header().c_str()); }
    std::printf("%s\n", table_line(line).c_str());
    std::fflush(stdout);
  }

  options options_;
  std::FILE* out_ = nullptr;
  bool header_printed_ = false;
  bool failed_ = false;
};

/// The whole of a bench program's main: reads the arguments, hands a session to `body`.
template <class Body>
int run_program(int argc, char const* const* argv, Body&& body) {
  std::string problem;
  auto const asked = parse({argv + 1, static_cast<std::size_t>(std::max(argc - 1, 0))}, problem);
  if (!asked) {
    std::fprintf(stderr, "%s: %s\n%.*s", argv[0], problem.c_str(), static_cast<int>(usage.size()),
                 usage.data());
    return 2;
  }
  if (asked->help) {
    std::printf("usage: %s [options]\n%.*s", argv[0], static_cast<int>(usage.size()), usage.data());
    return 0;
  }
  (void)allowed_cpus();  // before anything is pinned
  session work(*asked);
  body(work);
  return work.exit_code();
}

}  // namespace millrace::bench
