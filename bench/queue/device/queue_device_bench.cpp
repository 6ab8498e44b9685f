// SPDX-License-Identifier: Apache-2.0
// The queue on a device against hand-written CUDA: a persistent kernel, a graph or a kernel
// launched for each message, and a copy with a synchronisation. In every contender the host writes
// each payload byte and the device sums each payload byte; the sums are checked before a number is
// printed, and every wait has a deadline. Where no device answers it says why and prints no row.
#include "bench/harness/device_program.hpp"
#include "bench/queue/device/benches.hpp"

int main(int argc, char** argv) {
  using namespace millrace::bench;
  return run_device_program(argc, argv, "queue.device", [](session& out, int ordinal) {
    device::roundtrip_benches(out, ordinal);
    device::stream_benches(out, ordinal);
    device::energy_benches(out, ordinal);
  });
}
