// SPDX-License-Identifier: Apache-2.0
// Memory of a device, against the CUDA runtime's own. What is computed is checked before a number
// is printed. Where no device answers it says why and prints no row.
#include "bench/harness/device_program.hpp"
#include "bench/memory/device/benches.hpp"

int main(int argc, char** argv) {
  using namespace millrace::bench;
  return run_device_program(argc, argv, "memory.device", [](session& out, int ordinal) {
    device::stream_pool_benches(out, ordinal);
    device::managed_sweep_bench(out, ordinal);
    device::kernel_heap_benches(out, ordinal);
    device::beside_bench(out, ordinal);
  });
}
