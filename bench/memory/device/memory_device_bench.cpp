// SPDX-License-Identifier: Apache-2.0
// Memory of a device, against the CUDA runtime's own. What is computed is checked before a number
// is printed. Where no device answers it says why and prints no row.
#include "bench/memory/device/benches.hpp"
#include <millrace/core/devices.hpp>

int main(int argc, char** argv) {
  using namespace millrace;
  return bench::run_program(argc, argv, [](bench::session& out) {
    core::device_report const there = core::devices();
    auto const chosen = core::resolve(core::backend::automatic(), there);
    if (!chosen || chosen->kind() != core::backend_kind::cuda) {
      bench::session::note("memory.device",
                           "skipped: " + core::explain(core::backend::automatic(), there));
      return;
    }
    bench::device::stream_pool_benches(out, chosen->ordinal());
    bench::device::managed_sweep_bench(out, chosen->ordinal());
    bench::device::kernel_heap_benches(out, chosen->ordinal());
    bench::device::beside_bench(out, chosen->ordinal());
  });
}
