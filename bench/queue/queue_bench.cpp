// SPDX-License-Identifier: Apache-2.0
// The queue on host threads against other libraries' queues. In every contender the producer writes
// each payload byte and the worker's functor sums each payload byte, with the same two routines;
// queues hold 1024 messages; the sums are checked before a number is printed.
#include "bench/harness/session.hpp"
#include "bench/queue/benches.hpp"

int main(int argc, char** argv) {
  return millrace::bench::run_program(argc, argv, [](millrace::bench::session& out) {
    millrace::bench::roundtrip_benches(out);
    millrace::bench::stream_single_benches(out);
    millrace::bench::stream_batch_benches(out);
    millrace::bench::descriptor_benches(out);
    millrace::bench::fan_benches(out);
    millrace::bench::total_benches(out);
  });
}
