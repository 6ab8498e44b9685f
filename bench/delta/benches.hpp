// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// `delta.codec.f64.*`: real prices against byte-shuffle and zstd.
void value_codec_benches(session& out);

}  // namespace millrace::bench
