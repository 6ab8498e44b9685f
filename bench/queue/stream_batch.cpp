// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/benches.hpp"
#include "bench/queue/limits.hpp"
#include "bench/queue/millrace_transport.hpp"
#include "bench/queue/peer_lists.hpp"

#include <string>

namespace millrace::bench {
namespace {

template <std::size_t Bytes>
void stream_batch(session& out, std::uint64_t messages) {
  std::string const name = "queue.stream.batch32." + std::to_string(Bytes) + "B";
  if (!out.wants(name)) { return; }
  load const work = load_of<Bytes>(2 * slots, messages);
  comparison bench{
      .bench = name, .unit = "items/s", .way = better::higher, .ours = {}, .peers = {}};
  bench.ours = stream_contender<millrace_stream<Bytes, 1, bulk, spin_wait, queue::spin_backoff>>(
      "millrace", work);
  bench.peers = bulk_peers<Bytes>(work);
  if constexpr (Bytes == 1024) { bench.peers.push_back(copy_limit<Bytes>(messages)); }
  bench.placed = true;
  out.run(bench);
}

}  // namespace

void stream_batch_benches(session& out) {
  stream_batch<64>(out, 320'000);
  stream_batch<256>(out, 160'000);
  stream_batch<1024>(out, 64'000);
}

}  // namespace millrace::bench
