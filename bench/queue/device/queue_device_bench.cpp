// SPDX-License-Identifier: Apache-2.0
// The queue on a device against hand-written CUDA: a persistent kernel, a graph or a kernel
// launched for each message, and a copy with a synchronisation. In every contender the host writes
// each payload byte and the device sums each payload byte; the sums are checked before a number is
// printed, and every wait has a deadline. Where no device answers it says why and prints no row.
#include "bench/queue/device/benches.hpp"
#include <millrace/core/devices.hpp>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  using namespace millrace;
  return bench::run_program(argc, argv, [](bench::session& out) {
    core::device_report const there = core::devices();
    auto const chosen = core::resolve(core::backend::automatic(), there);
    if (!chosen || chosen->kind() != core::backend_kind::cuda) {
      bench::session::note("queue.device",
                           "skipped: " + core::explain(core::backend::automatic(), there));
      return;
    }
    bench::device::roundtrip_benches(out, chosen->ordinal());
    bench::device::stream_benches(out, chosen->ordinal());
    bench::device::energy_benches(out, chosen->ordinal());
    if (out.exit_code() != 0) {  // a kernel may still run, and an orderly exit would wait for it
      std::fflush(nullptr);
      std::_Exit(out.exit_code());
    }
  });
}
