// SPDX-License-Identifier: Apache-2.0
#include "bench/revalue/device/benches.hpp"
#include "examples/revalue/device.cu"
#include "examples/revalue/run.hpp"
#include <millrace/memory/pinned_resource.cuh>
#include <millrace/queue/group.cuh>

#include <cuda/atomic>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace millrace::bench {
namespace {

using revalue::reply;
using revalue::update;

constexpr std::size_t updates = 2'000;
constexpr std::uint32_t in_flight = revalue::run::most_books_in_flight;
constexpr int threads = revalue::revalue_policy::threads_per_block;
constexpr std::uint32_t desk_count = 8;

/// One desk's slot in memory that host and device share. Each word has one writer.
struct alignas(256) mailbox {
  update messages[in_flight];
  alignas(128) std::uint64_t sent;  ///< messages written; `stop` to end
  alignas(128) std::uint64_t done;  ///< replies written
  reply replies[in_flight];
};
constexpr std::uint64_t stop = ~std::uint64_t{0};

using shared_word = cuda::atomic_ref<std::uint64_t, cuda::thread_scope_system>;

/// The least that a persistent kernel can do: a block a desk, which waits for its mailbox.
__global__ void __launch_bounds__(threads)
    raw_kernel(mailbox* boxes, revalue::desk_ref const* desks) {
  queue::block_group const group{};
  mailbox& box = boxes[blockIdx.x];
  for (std::uint64_t next = 0;; ++next) {
    std::uint64_t sent = 0;
    if (group.rank() == 0) {
      do {
        sent = shared_word(box.sent).load(cuda::std::memory_order_acquire);
      } while (sent <= next);
    }
    if (group.broadcast(sent) == stop) { return; }
    reply const answer = revalue::apply(group, desks[blockIdx.x], box.messages[next % in_flight]);
    if (group.rank() == 0) {
      box.replies[next % in_flight] = answer;
      shared_word(box.done).store(next + 1, cuda::std::memory_order_release);
    }
    group.sync();
  }
}

/// No trial is longer; a longer one is a hang.
constexpr std::int64_t longest_ns = 60'000'000'000;

void end_all(memory::buffer<mailbox, memory::pinned_resource> const& boxes) {
  for (mailbox& box : boxes.span()) {
    shared_word(box.sent).store(stop, cuda::std::memory_order_release);
  }
}

revalue::feed prices() {
  revalue::feed out;
  for (std::size_t i = 0; i < updates; ++i) {
    double const spot = 1455.22 * (1 + 1e-4 * static_cast<double>(i % 100));
    out.events.push_back({spot, static_cast<std::int64_t>(i), 0, 0, revalue::update_kind::spot});
  }
  return out;
}

measured through_queue(revalue::book const& of, revalue::feed const& in, int ordinal,
                       std::span<revalue::risk const> wanted) {
  revalue::desks on(of);
  auto opened = revalue::open_device_engine(on, core::backend::cuda(ordinal), desk_count);
  if (!opened) { return {0, core::describe(opened.error())}; }
  revalue::run job(in, on, **opened);
  if (auto const ok = job.all([](std::size_t) {}); !ok) { return {0, core::describe(ok.error())}; }
  if (auto const ok = (*opened)->finish(); !ok) { return {0, core::describe(ok.error())}; }
  bool const right = std::ranges::equal(job.found().desks, wanted);
  return {1e9 * job.found().seconds / static_cast<double>(updates),
          right ? "" : "the desks' risk differs from the host's"};
}

measured through_raw(revalue::book const& of, revalue::feed const& in, int ordinal,
                     std::span<revalue::risk const> wanted) {
  revalue::desks on(of);
  auto const there = revalue::device_desks::make(on, ordinal);
  if (!there) { return {0, core::describe(there.error())}; }
  core::device_guard const guard(ordinal);
  auto boxes = memory::buffer<mailbox, memory::pinned_resource>::make(
      desk_count, memory::pinned_resource(ordinal));
  if (!boxes) { return {0, core::describe(boxes.error())}; }
  std::memset(static_cast<void*>(boxes->data()), 0, boxes->size_bytes());
  cudaStream_t stream = nullptr;
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) {
    return {0, "no stream"};
  }
  cudaFuncAttributes loaded{};
  static_cast<void>(cudaFuncGetAttributes(&loaded, raw_kernel));
  raw_kernel<<<desk_count, threads, 0, stream>>>(boxes->data(), (*there)->refs.data());
  static_cast<void>(cudaStreamQuery(stream));

  std::vector<revalue::risk> last(desk_count);
  std::int64_t const start = now_ns();
  for (std::size_t sent = 0, taken = 0; taken < updates; ++taken) {
    for (; sent < updates && sent - taken < in_flight; ++sent) {
      revalue::event const& e = in.events[sent];
      for (std::uint32_t d = 0; d < desk_count; ++d) {
        mailbox& box = (*boxes)[d];
        box.messages[sent % in_flight] = {e.price, sent, e.time, 0, static_cast<std::uint16_t>(d),
                                          e.kind};
        shared_word(box.sent).store(sent + 1, cuda::std::memory_order_release);
      }
    }
    for (std::uint32_t d = 0; d < desk_count; ++d) {
      mailbox& box = (*boxes)[d];
      while (shared_word(box.done).load(cuda::std::memory_order_acquire) <= taken) {
        if (now_ns() - start > longest_ns) {
          end_all(*boxes);
          return {0, "the raw kernel does not answer"};
        }
      }
      reply const& r = box.replies[taken % in_flight];
      last[d] = {r.value, r.delta, r.gamma, r.vega, r.theta, r.rho, {}};
    }
  }
  std::int64_t const ns = now_ns() - start;
  end_all(*boxes);
  static_cast<void>(cudaStreamSynchronize(stream));
  static_cast<void>(cudaStreamDestroy(stream));
  return {static_cast<double>(ns) / static_cast<double>(updates),
          std::ranges::equal(last, wanted) ? "" : "the desks' risk differs from the host's"};
}

}  // namespace

void run_device_book(session& work, int ordinal) {
  if (!work.wants("revalue.device.book")) { return; }
  revalue::book const of = revalue::generate_book(20'000, 1455.22, 0.01, 0.015);
  revalue::feed const in = prices();
  revalue::desks host(of);
  revalue::loop_engine loop(host);
  revalue::run alone(in, host, loop);
  if (!alone.all([](std::size_t) {})) { return work.fail("the host's loop does not end"); }
  auto const& wanted = alone.found().desks;

  comparison what;
  what.bench = "revalue.device.book";
  what.unit = "ns";
  what.ours = {"queue", [&] { return through_queue(of, in, ordinal, wanted); }};
  what.peers.push_back({"raw.kernel", [&] { return through_raw(of, in, ordinal, wanted); }});
  work.run(what);
}

}  // namespace millrace::bench
