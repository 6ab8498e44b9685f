// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/benches.hpp"
#include "bench/queue/millrace_transport.hpp"
#include "bench/queue/peer_lists.hpp"

#include <cstddef>
#include <string>
#include <utility>

namespace millrace::bench {
namespace {

/// The functor of the queue benches for messages that lie in the arena.
template <std::size_t Bytes>
struct slab_processor {
  tally<1> functor;

  queue::status operator()(queue::message_view<queue::slab_bytes<Bytes>> view,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    (void)functor(*reinterpret_cast<message<Bytes> const*>(view.bytes().data()));
    return queue::status::ok;
  }
};

template <std::size_t Bytes>
struct slab_policy : queue::default_consumer<queue::slab_bytes<Bytes>, slab_processor<Bytes>> {
  using reply = queue::no_reply;
  using backoff = queue::spin_backoff;
  static constexpr auto completions = queue::completion_mode::none;
  static constexpr auto claims = queue::claim_mode::pinned;
};

/// A stream whose messages are written in the lane's arena, `Batch` published together. The peers
/// move the same messages by value.
template <std::size_t Bytes, std::size_t Batch>
class slab_stream {
 public:
  static constexpr std::size_t bytes = Bytes;
  static constexpr unsigned workers = 1;
  using wait = spin_wait;
  using policy = slab_policy<Bytes>;

  slab_stream(tally<1> functor, unsigned producers, std::uint64_t /*total*/)
      : consumer_(launch_here<policy>(producers, 1, {functor})) {}

  class sender {
   public:
    explicit sender(queue::producer<policy> lane) : lane_(std::move(lane)) {}
    void send(std::uint64_t first, std::uint64_t count) {
      for (std::uint64_t at = first; at != first + count;) {
        auto const n =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(Batch, first + count - at));
        auto const build = [at](std::uint32_t i, cuda::std::span<std::byte> room) noexcept {
          fill(*reinterpret_cast<message<Bytes>*>(room.data()), at + i);
        };
        while (!lane_.submit_batch(n, Bytes, build)) { wait_.pause(); }
        at += n;
      }
    }

   private:
    queue::producer<policy> lane_;
    wait wait_;
  };
  [[nodiscard]] sender open() { return sender(core::value_or_throw(consumer_.open_lane())); }

  void finish() {
    consumer_.close();
    (void)consumer_.stop(queue::within(std::chrono::seconds(5)));
  }

 private:
  queue::consumer<policy> consumer_;
};

template <std::size_t Bytes>
void descriptor(session& out, std::uint64_t messages) {
  std::string const name = "queue.descriptor." + std::to_string(Bytes) + "B";
  if (!out.wants(name)) { return; }
  load const work = load_of<Bytes>(2 * slots, messages);
  comparison bench{
      .bench = name, .unit = "items/s", .way = better::higher, .ours = {}, .peers = {}};
  bench.ours = stream_contender<slab_stream<Bytes, bulk>>("millrace", work);
  bench.peers = bulk_peers<Bytes>(work);
#if defined(MILLRACE_X)
  bench.peers.push_back(stream_contender<slab_stream<Bytes, 1>>("x.inplace1", work));
  bench.peers.push_back(stream_contender<slab_stream<Bytes, 8>>("x.inplace8", work));
  bench.peers.push_back(stream_contender<slab_copy<Bytes, 8>>("x.copy8", work));
  bench.peers.push_back(stream_contender<slab_copy<Bytes, 32>>("x.copy32", work));
  bench.peers.push_back(stream_contender<slab_copy1<Bytes, 32>>("x.copy1", work));
  bench.peers.push_back(
      stream_contender<slab_stream<Bytes, 32, 512 << 10>>("x.inplace32.512k", work));
  bench.peers.push_back(stream_contender<slab_copy<Bytes, 32, 512 << 10>>("x.copy32.512k", work));
  bench.peers.push_back(stream_contender<slab_copy<Bytes, 8, 512 << 10>>("x.copy8.512k", work));
#endif
  bench.placed = true;
  out.run(bench);
}

}  // namespace

void descriptor_benches(session& out) { descriptor<4096>(out, 20'000); }

}  // namespace millrace::bench
