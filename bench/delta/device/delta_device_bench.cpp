// SPDX-License-Identifier: Apache-2.0
// Change sets on a device. What is computed is compared with a host's before a number is printed.
// Where no device answers it says why and prints no row.
#include "bench/delta/device/benches.hpp"
#include "bench/harness/device_program.hpp"

int main(int argc, char** argv) {
  using namespace millrace::bench;
  return run_device_program(argc, argv, "delta.device", [](session& out, int ordinal) {
    device::merge_benches(out, ordinal);
    device::decode_benches(out, ordinal);
  });
}
