// SPDX-License-Identifier: Apache-2.0
// The main job on a device against a hand-written persistent kernel. Where no device answers it
// says why and prints no row.
#include "bench/harness/device_program.hpp"
#include "bench/revalue/device/benches.hpp"

int main(int argc, char** argv) {
  using namespace millrace::bench;
  return run_device_program(argc, argv, "revalue.device",
                            [](session& out, int ordinal) { run_device_book(out, ordinal); });
}
