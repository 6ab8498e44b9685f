// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/benches.hpp"
#include "bench/queue/millrace_transport.hpp"
#include "bench/queue/peer_lists.hpp"

#include <string>

namespace millrace::bench {
namespace {

template <std::size_t Bytes>
void one_by_one(session& out, std::uint64_t messages) {
  std::string const name = "queue.total.1x1.single." + std::to_string(Bytes) + "B";
  if (!out.wants(name)) { return; }
  load const work = load_of<Bytes>(2 * slots, messages);
  comparison bench{
      .bench = name, .unit = "items/s", .way = better::higher, .ours = {}, .peers = {}};
  using backoff = queue::spin_backoff;
  using policy = total_policy<Bytes, 1, backoff>;
  bench.ours =
      stream_contender<millrace_stream<Bytes, 1, 1, spin_wait, backoff, policy>>("millrace", work);
  bench.peers = total_peers<Bytes>(work, load_of<Bytes>(2 * slots, messages / 5));
  bench.placed = true;
  out.run(bench);
}

// Both producers on one processor, both workers on the other; whoever has nothing to do yields.
template <std::size_t Bytes>
void two_by_two(session& out, std::uint64_t messages) {
  std::string const name = "queue.total.2x2.single." + std::to_string(Bytes) + "B";
  if (!out.wants(name)) { return; }
  load const work = load_of<Bytes>(2 * slots, messages, 2);
  comparison bench{
      .bench = name, .unit = "items/s", .way = better::higher, .ours = {}, .peers = {}};
  using policy = total_policy<Bytes, 2, yield_wait>;
  bench.ours = stream_contender<millrace_stream<Bytes, 2, 1, yield_wait, yield_wait, policy>, 2>(
      "millrace", work);
  bench.peers = total_fan_peers<Bytes>(work, load_of<Bytes>(2 * slots, messages / 4, 2));
  out.run(bench);
}

}  // namespace

void total_benches(session& out) {
  one_by_one<64>(out, 150'000);
  two_by_two<64>(out, 100'000);
}

}  // namespace millrace::bench
