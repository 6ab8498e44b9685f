// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench::device {

/// `delta.device.merge.*`: all rows of two runs, against cub::DeviceMerge. `delta.device.add.*`:
/// the sums of equal keys, against cub::DeviceMerge and DeviceReduce::ReduceByKey.
void merge_benches(session& out, int ordinal);

/// `delta.device.decode.*`: a packed run, against a copy of the rows.
void decode_benches(session& out, int ordinal);

}  // namespace millrace::bench::device
