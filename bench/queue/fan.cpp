// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/benches.hpp"
#include "bench/queue/millrace_transport.hpp"
#include "bench/queue/peer_lists.hpp"

#include <string>

namespace millrace::bench {
namespace {

// Both producers on one processor, both workers on the other; whoever has nothing to do yields.
template <std::size_t Bytes>
void fan(session& out, std::uint64_t messages) {
  std::string const name = "queue.fan2x2.batch32." + std::to_string(Bytes) + "B";
  if (!out.wants(name)) { return; }
  load const work = load_of<Bytes>(2 * slots, messages, 2);
  comparison bench{
      .bench = name, .unit = "items/s", .way = better::higher, .ours = {}, .peers = {}};
  bench.ours = stream_contender<millrace_stream<Bytes, 2, bulk, yield_wait, yield_wait>, 2>(
      "millrace", work);
  bench.peers = fan_peers<Bytes>(work);
  out.run(bench);
}

}  // namespace

void fan_benches(session& out) {
  fan<64>(out, 160'000);
  fan<256>(out, 80'000);
  fan<1024>(out, 32'000);
}

}  // namespace millrace::bench
