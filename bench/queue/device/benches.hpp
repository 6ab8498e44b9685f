// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench::device {

/// `queue.device.roundtrip.*`: host to device and back, one message in flight.
void roundtrip_benches(session& out, int ordinal);
/// `queue.device.stream.*`: one way, one producer, batches of 1 to 1024; and `limit.h2d_sm`, which
/// bounds them.
void stream_benches(session& out, int ordinal);
/// `queue.device.power.*` and `queue.device.energy.*`: what the board draws, and what a million
/// messages take, as NVML counts it.
void energy_benches(session& out, int ordinal);

}  // namespace millrace::bench::device
