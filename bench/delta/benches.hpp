// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// `delta.kway.*`: many runs into one, against a heap of iterators and a tree of losers.
void kway_benches(session& out);
/// `delta.spine*`: keys inserted batch by batch, with a read after each.
void spine_benches(session& out);

}  // namespace millrace::bench
