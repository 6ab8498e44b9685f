// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// `queue.roundtrip.*`: submit, process, result, one message in flight.
void roundtrip_benches(session& out);
/// `queue.stream.single.*`: one way, one producer, one worker, each message visible on return.
void stream_single_benches(session& out);
/// `queue.stream.batch32.*`: the same, 32 messages at a time.
void stream_batch_benches(session& out);
/// `queue.descriptor.*`: the same with messages of 4 KiB, which lie in an arena.
void descriptor_benches(session& out);
/// `queue.fan2x2.batch32.*`: two producers, two workers, two processors.
void fan_benches(session& out);
/// `queue.total.*`: one ring that producers share; each message visible on return.
void total_benches(session& out);

}  // namespace millrace::bench
