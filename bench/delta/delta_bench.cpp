// SPDX-License-Identifier: Apache-2.0
// Change sets: every contender's rows are compared with the reference's before a figure is printed.
#include "bench/delta/benches.hpp"
#include "bench/harness/session.hpp"

int main(int argc, char** argv) {
  return millrace::bench::run_program(argc, argv, [](millrace::bench::session& out) {
    millrace::bench::merge_benches(out);
    millrace::bench::kway_benches(out);
    millrace::bench::spine_benches(out);
    millrace::bench::key_codec_benches(out);
    millrace::bench::value_codec_benches(out);
    millrace::bench::two_thread_benches(out);
    millrace::bench::build_benches(out);
    millrace::bench::dense_benches(out);
    millrace::bench::skewed_benches(out);
  });
}
