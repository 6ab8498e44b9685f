// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// The rows `propagate.commit`, `propagate.commit.p99` and `propagate.commit.snapshots`:
/// transactions of four threads on the default book, and two that read, against SQLite in memory.
void run_commits(session& out);

}  // namespace millrace::bench
