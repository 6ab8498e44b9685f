// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// The rows `propagate.auto.{light,heavy}.<width>` and `propagate.auto.changes.<count>`: what the
/// graph chooses by itself, against what it can be told to do.
void run_automatic(session& out);

}  // namespace millrace::bench
