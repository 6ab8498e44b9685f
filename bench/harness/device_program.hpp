// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"
#include <millrace/core/devices.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace millrace::bench {

/// The program of benches that need a device: `body(session, ordinal)` where one answers; where
/// none does it says why, under `name`, and prints no row.
template <class Body>
int run_device_program(int argc, char** argv, std::string const& name, Body body) {
  return run_program(argc, argv, [&](session& out) {
    core::device_report const there = core::devices();
    auto const chosen = core::resolve(core::backend::automatic(), there);
    if (!chosen || chosen->kind() != core::backend_kind::cuda) {
      session::note(name, "skipped: " + core::explain(core::backend::automatic(), there));
      return;
    }
    body(out, chosen->ordinal());
    if (out.exit_code() != 0) {  // a kernel may still run, and an orderly exit would wait for it
      std::fflush(nullptr);
      std::_Exit(out.exit_code());
    }
  });
}

}  // namespace millrace::bench
