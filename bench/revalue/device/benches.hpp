// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// The row `revalue.device.book`: the main job's updates through the queue on a device, against a
/// hand-written persistent kernel that calls the same body.
void run_device_book(session& work, int ordinal);

}  // namespace millrace::bench
