// SPDX-License-Identifier: Apache-2.0
// Propagation: every contender's values, effects and runs are looked at before a figure is printed.
#include "bench/propagate/automatic.hpp"
#include "bench/propagate/commit.hpp"
#include "bench/propagate/peers/push.hpp"
#include "bench/propagate/peers/sources.hpp"
#include "bench/propagate/suite/graph_engine.hpp"
#include "bench/propagate/suite_bench.hpp"
#include "bench/propagate/team.hpp"
#include "bench/propagate/tick.hpp"
#include "bench/propagate/wide.hpp"

#include <vector>

namespace millrace::bench {
namespace {

using ours = suite::graph_engine;

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::run_program(argc, argv, [](millrace::bench::session& out) {
    std::vector<millrace::bench::trial_source> more;
#if defined(MILLRACE_BENCH_QT)
    more.push_back(millrace::bench::qt_trial);
#endif
#if defined(MILLRACE_BENCH_TBB)
    more.push_back(millrace::bench::tbb_trial);
    more.push_back(millrace::bench::tbb_one_thread_trial);
#endif
    millrace::bench::suite_benches<millrace::bench::ours, millrace::bench::peers::push>(out, more);
    millrace::bench::run_automatic(out);
    millrace::bench::run_ticks(out);
    millrace::bench::run_commits(out);
    millrace::bench::run_teams(out);
    millrace::bench::run_wide(out);
  });
}
