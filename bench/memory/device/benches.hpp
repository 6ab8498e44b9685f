// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench::device {

/// `memory.stream_pool.pair.*`: allocation and free in the order of one stream, by the host.
void stream_pool_benches(session& out, int ordinal);

/// `memory.managed_sweep`: reading managed memory that was prefetched, against the device's own,
/// and against the same memory that was not.
void managed_sweep_bench(session& out, int ordinal);

/// `memory.kernel_heap.*`: 100,000 threads of a kernel allocate and free.
void kernel_heap_benches(session& out, int ordinal);

/// `memory.beside_kernel.p99`: a persistent kernel's round trips beside a busy stream pool.
void beside_bench(session& out, int ordinal);

}  // namespace millrace::bench::device
