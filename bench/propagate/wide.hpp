// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// The row `propagate.wide.2t`: how much faster two threads compute a graph of wide levels than
/// one does, against loops over the same functions that share nothing.
void run_wide(session& out);

}  // namespace millrace::bench
