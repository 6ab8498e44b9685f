// SPDX-License-Identifier: Apache-2.0
// The main job on a device against a hand-written persistent kernel. Where no device answers it
// says why and prints no row.
#include "bench/revalue/device/benches.hpp"
#include <millrace/core/devices.hpp>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  using namespace millrace;
  return bench::run_program(argc, argv, [](bench::session& work) {
    core::device_report const there = core::devices();
    auto const chosen = core::resolve(core::backend::automatic(), there);
    if (!chosen || chosen->kind() != core::backend_kind::cuda) {
      bench::session::note("revalue.device",
                           "skipped: " + core::explain(core::backend::automatic(), there));
      return;
    }
    bench::run_device_book(work, chosen->ordinal());
    if (work.exit_code() != 0) {  // a kernel may still run, and an orderly exit would wait for it
      std::fflush(nullptr);
      std::_Exit(work.exit_code());
    }
  });
}
