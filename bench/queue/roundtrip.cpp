// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/benches.hpp"
#include "bench/queue/limits.hpp"
#include "bench/queue/millrace_transport.hpp"
#include "bench/queue/peer_lists.hpp"

#include <string>

namespace millrace::bench {
namespace {

template <std::size_t Bytes>
void one_worker(session& out) {
  std::string const name = "queue.roundtrip." + std::to_string(Bytes) + "B";
  if (!out.wants(name)) { return; }
  load const work = load_of<Bytes>(2 * slots, 15'000);
  comparison bench{.bench = name, .unit = "ns", .way = better::lower, .ours = {}, .peers = {}};
  bench.ours = roundtrip_contender<millrace_calls<Bytes, 1, queue::spin_backoff>>("millrace", work);
  bench.peers = roundtrip_peers<Bytes>(work, load_of<Bytes>(2 * slots, 3'000));
  if constexpr (Bytes == 64) { bench.peers.push_back(core_limit()); }
  bench.placed = true;
  out.run(bench);
}

// One busy lane and a worker too many: three threads on two processors, so that an idle worker must
// leave the processor to the one that works.
void two_workers(session& out) {
  std::string const name = "queue.roundtrip.2workers.64B";
  if (!out.wants(name)) { return; }
  load const work = load_of<64>(slots / 2, 4'000);
  comparison bench{.bench = name, .unit = "ns", .way = better::lower, .ours = {}, .peers = {}};
  bench.ours =
      roundtrip_contender<millrace_calls<64, 2, queue::blocking_backoff<>>>("millrace", work);
  bench.peers = two_worker_peers<64>(work);
  bench.placed = true;
  out.run(bench);
}

}  // namespace

void roundtrip_benches(session& out) {
  one_worker<64>(out);
  one_worker<256>(out);
  two_workers(out);
}

}  // namespace millrace::bench
