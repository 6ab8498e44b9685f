// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// `delta.add.*`, `delta.keys.*`: two runs into one, against loops, std and Thrust.
void merge_benches(session& out);
/// One merge by two threads, against what two threads reach that share nothing.
void two_thread_benches(session& out);
/// `delta.kway.*`: many runs into one, against a heap of iterators and a tree of losers.
void kway_benches(session& out);
/// `delta.spine*`: keys inserted batch by batch, with a read after each.
void spine_benches(session& out);
/// Change sets of rows in any order.
void build_benches(session& out);
/// Change sets taken from dense columns and applied to them.
void dense_benches(session& out);
/// Two runs of which one is much the shorter, in another room and in the longer one's own.
void skewed_benches(session& out);
/// `delta.codec.keys.*`: runs of keys alone, against StreamVByte and copies.
void key_codec_benches(session& out);
/// `delta.codec.f64.*`: real prices against byte-shuffle and zstd.
void value_codec_benches(session& out);

}  // namespace millrace::bench
