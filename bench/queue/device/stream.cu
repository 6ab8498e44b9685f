// SPDX-License-Identifier: Apache-2.0
#include "bench/queue/device/benches.hpp"
#include "bench/queue/device/raw.cuh"
#include "bench/queue/device/sums.cuh"
#include "bench/queue/trials.hpp"

#include <algorithm>
#include <string>

namespace millrace::bench::device {

namespace {

double per_second(std::uint64_t count, std::int64_t start) {
  return static_cast<double>(count) * 1e9 / static_cast<double>(now_ns() - start);
}

template <std::size_t Bytes, queue::ingress_mode Ingress, queue::width Gang>
measured stream_ours(int ordinal, std::uint32_t batch, load const& work) {
  using policy = stream_policy<Bytes, Ingress, Gang>;
  workspace space(ordinal);
  auto* const sum = space.on_device<unsigned long long>(1);
  pin_to(trial_cpus().worker);  // a keeper's thread starts where its maker is
  auto consumer =
      core::value_or_throw(queue::launch_device<policy>(ordinal, {.capacity = ring_slots}, {sum}));
  pin_to(trial_cpus().producer);
  measured out;
  {
    auto lane = core::value_or_throw(consumer.open_lane());
    send_through(lane, batch, 0, work.warm_up);
    std::int64_t const start = now_ns();
    send_through(lane, batch, work.warm_up, work.messages);
    out.value = per_second(work.messages, start);
  }
  (void)core::value_or_throw(consumer.stop(queue::within(std::chrono::seconds(5))));
  unsigned long long got = 0;
  check(cudaMemcpy(&got, sum, sizeof(got), cudaMemcpyDeviceToHost), "cudaMemcpy");
  out.problem = check_sum(got, work.sum);
  return out;
}

template <std::size_t Bytes>
measured stream_raw(int ordinal, way how, std::uint32_t batch, load const& work) {
  pin_to(trial_cpus().producer);
  raw_device<Bytes, raw_threads> device(ordinal, how, batch, ring_slots / batch);
  std::uint64_t sum = 0;
  auto const send = [&](std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t at = first; at < first + count; at += batch) {
      message<Bytes>* const slots = device.next();
      for (std::uint32_t i = 0; i < batch; ++i) { fill(slots[i], at + i); }
      device.send();
    }
    sum = device.await_done(device.sent());
  };
  send(0, work.warm_up);
  std::int64_t const start = now_ns();
  send(work.warm_up, work.messages);
  measured out{per_second(work.messages, start), {}};
  device.finish();
  out.problem = check_sum(sum, work.sum);
  return out;
}

/// Copies pinned memory into the device's with every multiprocessor.
__global__ void __launch_bounds__(256)
    copy_words(ulonglong2 const* from, ulonglong2* to, std::uint32_t words) {
#pragma unroll 4
  for (std::uint32_t i = blockIdx.x * 256 + threadIdx.x; i < words; i += gridDim.x * 256) {
    to[i] = from[i];
  }
}

/// Bytes a second from pinned memory into the device's, moved by the multiprocessors: nothing that
/// pulls messages over the same link can be faster.
measured copy_limit(int ordinal) {
  constexpr std::size_t count = std::size_t{32} << 20 >> 10;  // messages of 1024 bytes: 32 MiB
  constexpr int passes = 4;
  using block = message<1024>;
  workspace space(ordinal);
  auto* const from = space.pinned<block>(count);
  auto* const to = space.on_device<block>(count);
  std::vector<block> back(count);
  for (std::size_t i = 0; i < count; ++i) { fill(from[i], i); }
  int processors = 0;
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, ordinal),
        "cudaDeviceGetAttribute");
  auto const copy = [&](int times) {
    for (int pass = 0; pass < times; ++pass) {
      copy_words<<<4 * static_cast<unsigned>(processors), 256, 0, space.stream()>>>(
          reinterpret_cast<ulonglong2 const*>(from), reinterpret_cast<ulonglong2*>(to),
          static_cast<std::uint32_t>(count * sizeof(block) / 16));
    }
    check(cudaGetLastError(), "copy_words");
    space.wait("a copy");
  };
  copy(1);
  std::int64_t const start = now_ns();
  copy(passes);
  measured out{per_second(passes * count * sizeof(block), start), {}};
  check(cudaMemcpy(back.data(), to, count * sizeof(block), cudaMemcpyDeviceToHost), "cudaMemcpy");
  if (std::memcmp(back.data(), from, count * sizeof(block)) != 0) {
    out.problem = "the copy differs from its source";
  }
  return out;
}

template <std::size_t Bytes>
void stream(session& out, int ordinal, std::uint32_t batch) {
  std::string const name =
      "queue.device.stream.batch" + std::to_string(batch) + "." + std::to_string(Bytes) + "B";
  if (!out.wants(name)) { return; }
  // 16 MiB, or fewer where batches are so small that a trial would take long
  std::uint64_t const messages =
      std::min<std::uint64_t>((std::uint64_t{16} << 20) / Bytes, 32'768 * batch);
  load const work = load_of<Bytes>(2 * ring_slots, messages);
  load const less = load_of<Bytes>(2 * ring_slots, std::min<std::uint64_t>(messages, 512 * batch));
  comparison bench;
  bench.bench = name;
  bench.unit = "items/s";
  bench.way = better::higher;
  bench.ours = guarded("millrace", [=] {
    return stream_ours<Bytes, queue::ingress_mode::pull, queue::width::block>(ordinal, batch, work);
  });
  bench.peers.push_back(guarded("millrace.warp", [=] {
    return stream_ours<Bytes, queue::ingress_mode::pull, queue::width::warp>(ordinal, batch, work);
  }));
  if (batch == 16 || batch == 256) {
    bench.peers.push_back(guarded("millrace.dma", [=] {
      return stream_ours<Bytes, queue::ingress_mode::dma, queue::width::block>(ordinal, batch,
                                                                               work);
    }));
  }
  for (way const how : every_way) {
    load const& amount = how == way::persistent ? work : less;  // a launch a batch takes long
    bench.peers.push_back(
        guarded(name_of(how), [=] { return stream_raw<Bytes>(ordinal, how, batch, amount); }));
  }
  bench.peers.push_back(guarded("limit.h2d_sm", [=] {
    measured found = copy_limit(ordinal);
    found.value /= Bytes;
    return found;
  }));
  out.run(bench);
}

}  // namespace

void stream_benches(session& out, int ordinal) {
  for (std::uint32_t const batch : {1u, 4u, 16u, 32u, 64u, 256u, 1024u}) {
    stream<64>(out, ordinal, batch);
    stream<256>(out, ordinal, batch);
    stream<1024>(out, ordinal, batch);
  }
  comparison limit;
  limit.bench = "limit.h2d_sm";
  limit.unit = "B/s";
  limit.way = better::higher;
  limit.ours = guarded("copy", [=] { return copy_limit(ordinal); });
  out.run(limit);
}

}  // namespace millrace::bench::device
