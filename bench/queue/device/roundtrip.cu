// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/device/benches.hpp"
#include "bench/queue/device/raw.cuh"
#include "bench/queue/trials.hpp"
#include <millrace/queue/launch_device.cuh>

#include <algorithm>
#include <string>

namespace millrace::bench::device {

/// One warp sums one message.
template <std::size_t Bytes>
struct sum_together {
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<message<Bytes>> view,
                                       queue::reply_writer<std::uint64_t>& out) const noexcept {
    std::uint64_t sum = sum_pieces(&view.value(), Bytes / 16, group.rank(), group.size());
    NV_IF_TARGET(NV_IS_DEVICE, (sum = warp_sum(sum);))
    if (group.rank() == 0) { out.write(sum); }
    return queue::status::ok;
  }
};

template <std::size_t Bytes, queue::ingress_mode Ingress>
struct call_policy : queue::default_consumer<message<Bytes>, sum_together<Bytes>> {
  using backoff = queue::spin_backoff;
  static constexpr auto claims = queue::claim_mode::pinned;
  static constexpr auto ingress = Ingress;
  static constexpr auto effects = queue::effect_mode::reply;
  static constexpr auto processing = queue::width::warp;
  static constexpr int threads_per_block = 32;
};

namespace {

constexpr std::uint64_t warm_up = 200;
constexpr std::uint64_t messages = 2000;

/// Calls `call(sequence)` for each message and returns the percentile of its nanoseconds.
template <class Call>
double percentile_of(double percent, Call call) {
  std::vector<double> times;
  times.reserve(messages);
  for (std::uint64_t i = 0; i < warm_up; ++i) { call(i); }
  std::int64_t before = now_ns();
  for (std::uint64_t i = 0; i < messages; ++i) {
    call(warm_up + i);
    std::int64_t const after = now_ns();
    times.push_back(static_cast<double>(after - before));
    before = after;
  }
  auto const at = static_cast<std::ptrdiff_t>(percent / 100 * static_cast<double>(messages - 1));
  std::nth_element(times.begin(), times.begin() + at, times.end());
  return times[static_cast<std::size_t>(at)];
}

template <std::size_t Bytes, queue::ingress_mode Ingress>
measured call_ours(int ordinal, double percent, std::uint64_t want) {
  using policy = call_policy<Bytes, Ingress>;
  pin_to(trial_cpus().producer);
  auto consumer = core::value_or_throw(queue::launch_device<policy>(ordinal, {.capacity = 64}, {}));
  std::uint64_t replies = 0;
  measured out;
  {
    auto lane = core::value_or_throw(consumer.open_lane());
    out.value = percentile_of(percent, [&](std::uint64_t sequence) {
      fill(**lane.reserve(), sequence);  // one in flight: there is room
      queue::message_id const id = *lane.commit();
      await("a reply", [&] {
        auto const done = lane.try_result(id);
        if (done) { replies += done->reply; }
        return done.has_value();
      });
    });
  }
  (void)core::value_or_throw(consumer.stop(queue::within(std::chrono::seconds(5))));
  out.problem = check_sum(replies, want);
  return out;
}

template <std::size_t Bytes>
measured call_raw(int ordinal, way how, double percent, std::uint64_t want) {
  pin_to(trial_cpus().producer);
  raw_device<Bytes, 32> device(ordinal, how, 1, 1);
  std::uint64_t sum = 0;
  measured out;
  out.value = percentile_of(percent, [&](std::uint64_t sequence) {
    fill(*device.next(), sequence);
    device.send();
    sum = device.await_done(device.sent());
  });
  device.finish();
  out.problem = check_sum(sum, want);
  return out;
}

template <std::size_t Bytes>
void roundtrip(session& out, int ordinal) {
  std::uint64_t const want = expected_sum<Bytes>(0, warm_up + messages);
  for (double const percent : {50.0, 99.0}) {
    comparison bench;
    bench.bench =
        "queue.device.roundtrip." + std::to_string(Bytes) + "B." + (percent < 99 ? "p50" : "p99");
    bench.unit = "ns";
    bench.way = better::lower;
    bench.ours = guarded("millrace.direct", [=] {
      return call_ours<Bytes, queue::ingress_mode::direct>(ordinal, percent, want);
    });
    bench.peers.push_back(guarded("millrace.pull", [=] {
      return call_ours<Bytes, queue::ingress_mode::pull>(ordinal, percent, want);
    }));
    for (way const how : every_way) {
      bench.peers.push_back(
          guarded(name_of(how), [=] { return call_raw<Bytes>(ordinal, how, percent, want); }));
    }
    out.run(bench);
  }
}

}  // namespace

void roundtrip_benches(session& out, int ordinal) {
  roundtrip<64>(out, ordinal);
  roundtrip<256>(out, ordinal);
  roundtrip<1024>(out, ordinal);
}

}  // namespace millrace::bench::device
