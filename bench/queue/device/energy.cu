// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/device/benches.hpp"
#include "bench/queue/device/energy_meter.hpp"
#include "bench/queue/device/raw.cuh"
#include "bench/queue/device/sums.cuh"
#include "bench/queue/trials.hpp"

#include <chrono>
#include <string>
#include <thread>

namespace millrace::bench::device {
namespace {

using payload = message<64>;

constexpr std::uint32_t batch = 256;
/// Messages that are sent again and again, and then all of them awaited.
constexpr std::uint64_t pass_messages = 16 * ring_slots;

/// The counter moves some ten times a second: it is read around a while that is long beside that,
/// which begins when clocks and power have followed the load.
constexpr std::int64_t settle_ns = 500'000'000;
constexpr std::int64_t sample_ns = 2'000'000'000;

/// What a trial's value is.
enum class figure { watts, joules_a_million };

/// The same consumer with other waits.
template <class Backoff>
struct waiting_policy : stream_policy<64> {
  using backoff = Backoff;
};

[[nodiscard]] energy_meter meter_of(int ordinal) {
  char bus_id[32] = {};
  check(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, ordinal), "cudaDeviceGetPCIBusId");
  return energy_meter(bus_id);
}

/// Calls `pass()`, which moves `messages`, until the sample is over.
template <class Pass>
double sample(int ordinal, figure what, std::uint64_t messages, Pass pass) {
  energy_meter const meter = meter_of(ordinal);
  for (std::int64_t const start = now_ns(); now_ns() - start < settle_ns;) { pass(); }
  std::uint64_t passes = 0;
  double const before = meter.joules();
  std::int64_t const start = now_ns();
  for (; now_ns() - start < sample_ns; ++passes) { pass(); }
  double const joules = meter.joules() - before;
  double const seconds = static_cast<double>(now_ns() - start) * 1e-9;
  double const millions = static_cast<double>(passes * messages) * 1e-6;
  return what == figure::watts ? joules / seconds : joules / millions;
}

/// Nothing happens on the device's behalf.
void idle() { std::this_thread::sleep_for(std::chrono::milliseconds(10)); }

measured energy_ours(int ordinal, figure what, std::uint64_t pass_sum) {
  pin_to(trial_cpus().producer);
  workspace space(ordinal);
  auto* const sum = space.on_device<unsigned long long>(1);
  auto consumer = core::value_or_throw(
      queue::launch_device<stream_policy<64>>(ordinal, {.capacity = ring_slots}, {sum}));
  std::uint64_t passes = 0;
  measured out;
  {
    auto lane = core::value_or_throw(consumer.open_lane());
    out.value = sample(ordinal, what, pass_messages, [&] {
      send_through(lane, batch, 0, pass_messages);
      ++passes;
    });
  }
  (void)core::value_or_throw(consumer.stop(queue::within(std::chrono::seconds(5))));
  unsigned long long got = 0;
  check(cudaMemcpy(&got, sum, sizeof(got), cudaMemcpyDeviceToHost), "cudaMemcpy");
  out.problem = check_sum(got, passes * pass_sum);
  return out;
}

/// A consumer that is there and has nothing to do; afterwards it does one message.
template <class Backoff>
measured energy_resident(int ordinal) {
  using policy = waiting_policy<Backoff>;
  workspace space(ordinal);
  auto* const sum = space.on_device<unsigned long long>(1);
  auto consumer =
      core::value_or_throw(queue::launch_device<policy>(ordinal, {.capacity = ring_slots}, {sum}));
  measured out{sample(ordinal, figure::watts, 0, idle), {}};
  {
    auto lane = core::value_or_throw(consumer.open_lane());
    send_through(lane, 1, 0, 1);
  }
  (void)core::value_or_throw(consumer.stop(queue::within(std::chrono::seconds(5))));
  unsigned long long got = 0;
  check(cudaMemcpy(&got, sum, sizeof(got), cudaMemcpyDeviceToHost), "cudaMemcpy");
  out.problem = check_sum(got, expected_sum<64>(0, 1));
  return out;
}

measured energy_raw(int ordinal, way how, figure what, std::uint64_t pass_sum) {
  pin_to(trial_cpus().producer);
  raw_device<64, raw_threads> device(ordinal, how, batch, ring_slots / batch);
  std::uint64_t passes = 0;
  std::uint64_t sum = 0;
  measured out;
  out.value = sample(ordinal, what, pass_messages, [&] {
    for (std::uint64_t at = 0; at < pass_messages; at += batch) {
      payload* const slots = device.next();
      for (std::uint32_t i = 0; i < batch; ++i) { fill(slots[i], at + i); }
      device.send();
    }
    sum = device.await_done(device.sent());
    ++passes;
  });
  device.finish();
  out.problem = check_sum(sum, passes * pass_sum);
  return out;
}

measured energy_of_context(int ordinal) {
  workspace const context(ordinal);
  return {sample(ordinal, figure::watts, 0, idle), {}};
}

void compare(session& out, int ordinal, figure what) {
  comparison bench;
  bool const power = what == figure::watts;
  bench.bench = std::string("queue.device.") + (power ? "power" : "energy") + ".batch256.64B";
  bench.unit = power ? "W" : "J/M items";
  bench.way = better::lower;
  if (!out.wants(bench.bench)) { return; }
  try {
    (void)meter_of(ordinal);
  } catch (std::exception const& e) {
    session::note(bench.bench, std::string("skipped: ") + e.what());
    return;
  }
  std::uint64_t const pass_sum = expected_sum<64>(0, pass_messages);
  bench.ours = guarded("millrace", [=] { return energy_ours(ordinal, what, pass_sum); });
  for (way const how : {way::persistent, way::launch}) {
    bench.peers.push_back(
        guarded(name_of(how), [=] { return energy_raw(ordinal, how, what, pass_sum); }));
  }
  if (power) {
    bench.peers.push_back(guarded("millrace.idle.spin",
                                  [=] { return energy_resident<queue::spin_backoff>(ordinal); }));
    bench.peers.push_back(guarded("millrace.idle.exponential", [=] {
      return energy_resident<queue::exponential_backoff<>>(ordinal);
    }));
    bench.peers.push_back(guarded("limit.no_kernel", [=] { return energy_of_context(ordinal); }));
  }
  out.run(bench);
}

}  // namespace

void energy_benches(session& out, int ordinal) {
  compare(out, ordinal, figure::watts);
  compare(out, ordinal, figure::joules_a_million);
}

}  // namespace millrace::bench::device
