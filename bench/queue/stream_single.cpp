// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/benches.hpp"
#include "bench/queue/millrace_transport.hpp"
#include "bench/queue/peer_lists.hpp"

#include <string>

namespace millrace::bench {
namespace {

template <std::size_t Bytes>
void stream_single(session& out, std::uint64_t messages) {
  std::string const name = "queue.stream.single." + std::to_string(Bytes) + "B";
  if (!out.wants(name)) { return; }
  load const work = load_of<Bytes>(2 * slots, messages);
  comparison bench{
      .bench = name, .unit = "items/s", .way = better::higher, .ours = {}, .peers = {}};
  bench.ours = stream_contender<millrace_stream<Bytes, 1, 1, spin_wait, queue::spin_backoff>>(
      "millrace", work);
  bench.peers = single_peers<Bytes>(work, load_of<Bytes>(2 * slots, messages / 5));
  bench.placed = true;
  out.run(bench);
}

}  // namespace

void stream_single_benches(session& out) {
  stream_single<64>(out, 150'000);
  stream_single<256>(out, 80'000);
  stream_single<1024>(out, 30'000);
}

}  // namespace millrace::bench
