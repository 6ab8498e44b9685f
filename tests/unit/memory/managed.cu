// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/core/platform.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/device_resource.cuh>
#include <millrace/memory/managed.cuh>
#include <millrace/memory/managed_resource.cuh>
#include <millrace/memory/numa_pinned_resource.cuh>
#include <millrace/memory/pinned_resource.cuh>
#include <millrace/memory/prefetch_planner.hpp>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::advice;
using memory::hint;
using memory::location;
using millrace::errc;

namespace managed_test {

using numbers = memory::buffer<std::uint32_t, memory::managed_resource>;

struct add_args {
  memory::buffer_ref<std::uint32_t> to;
  std::uint32_t what;
};
MILLRACE_KERNEL void __launch_bounds__(256) add(add_args args) {
  std::size_t const step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{core::grid_block()} * blockDim.x + core::block_lane();
       i < args.to.size(); i += step) {
    args.to[i] += args.what;
  }
}

/// What a planner says of a trace, as one number.
MILLRACE_HD inline std::uint64_t digest_of_plans(memory::prefetch_planner<>& planner) {
  std::uint64_t digest = 0;
  for (std::uint64_t i = 0; i < 600; ++i) {
    std::uint64_t const block = i < 200 ? 3 * i : i < 300 ? i * i * 7919 % 1000 : i * 37 % 50;
    auto const plan = planner.access(block << 12, 4096);
    if (!plan) { return 0; }
    for (auto const r : plan->ahead()) { digest = digest * 31 + r.offset + r.bytes; }
    for (auto const r : plan->behind()) { digest = digest * 37 + r.offset + r.bytes; }
  }
  return digest;
}

struct plan_args {
  memory::prefetch_planner<>* planner;
  std::uint64_t* digest;
};
MILLRACE_KERNEL void __launch_bounds__(1) plan(plan_args args) {
  *args.digest = digest_of_plans(*args.planner);
}

/// A stream for a test's time.
struct stream_of_test {
  cudaStream_t stream = nullptr;
  stream_of_test() {
    REQUIRE(core::cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)));
  }
  stream_of_test(stream_of_test const&) = delete;
  ~stream_of_test() { static_cast<void>(cudaStreamDestroy(stream)); }
  void wait() const { REQUIRE(core::cuda_check(cudaStreamSynchronize(stream))); }
};

/// What a hint must say on this machine.
hint expected() { return memory::managed_resource(0).concurrent() ? hint::asked : hint::nothing; }

/// Where the bytes were brought to last, as the driver has it; devices by ordinal.
int last_prefetch(void const* p, std::size_t bytes) {
  int where = -100;
  CHECK(core::cuda_check(cudaMemRangeGetAttribute(
      &where, sizeof where, cudaMemRangeAttributeLastPrefetchLocation, p, bytes)));
  return where;
}

template <class From>
void comes_and_goes(From const& from) {
  auto const got = from.try_allocate(1 << 16, 64);
  REQUIRE(got);
  from.deallocate(*got, 1 << 16, 64);
}

}  // namespace managed_test

using namespace managed_test;

TEST_CASE("managed_resource: host and kernel use the same memory") {
  auto made = numbers::make_zeroed(1 << 20, memory::managed_resource(0), 256);
  REQUIRE(made);
  cudaPointerAttributes seen{};
  REQUIRE(core::cuda_check(cudaPointerGetAttributes(&seen, made->data())));
  CHECK(seen.type == cudaMemoryTypeManaged);
  stream_of_test in;
  (*made)[5] = 37;
  add<<<64, 256, 0, in.stream>>>({made->ref(), 5});
  REQUIRE(core::cuda_check(cudaGetLastError()));
  in.wait();
  CHECK((*made)[5] == 42);
  CHECK((*made)[made->size() - 1] == 5);
}

TEST_CASE("managed_resource: bad input and more than the device has are results") {
  memory::managed_resource const from(0);
  CHECK(from.try_allocate(0, 8).error().native == 1);
  CHECK(from.try_allocate(8, 512).error().native == 2);
  std::size_t free_bytes = 0;
  std::size_t all_bytes = 0;
  REQUIRE(core::cuda_check(cudaMemGetInfo(&free_bytes, &all_bytes)));
  CHECK(from.try_allocate(all_bytes + 1, 8).error().code == errc::out_of_memory);
  CHECK(memory::managed_resource(1 << 20).try_allocate(8, 8).error().code == errc::no_device);
  CHECK_FALSE(memory::managed_resource(1 << 20).concurrent());
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("managed: bytes are brought to the device and back, and keep their values") {
  auto made = numbers::make_zeroed(1 << 20, memory::managed_resource(0));
  REQUIRE(made);
  stream_of_test in;
  auto const there = memory::prefetch(made->ref(), location::device(0), in.stream);
  REQUIRE(there);
  CHECK(*there == expected());
  if (*there == hint::asked) { CHECK(last_prefetch(made->data(), made->size_bytes()) == 0); }
  add<<<64, 256, 0, in.stream>>>({made->ref(), 9});
  auto const back = memory::prefetch(made->ref(), location::host(), in.stream);
  REQUIRE(back);
  CHECK(*back == expected());
  in.wait();
  if (*back == hint::asked) {
    CHECK(last_prefetch(made->data(), made->size_bytes()) == cudaCpuDeviceId);
  }
  std::size_t wrong = 0;
  for (std::uint32_t const n : made->span()) { wrong += n == 9 ? 0 : 1; }
  CHECK(wrong == 0);
}

TEST_CASE("managed: advice is given and taken back") {
  auto made = numbers::make_zeroed(1 << 20, memory::managed_resource(0));
  REQUIRE(made);
  auto const read_mostly = [&] {
    int value = -1;
    CHECK(core::cuda_check(cudaMemRangeGetAttribute(
        &value, sizeof value, cudaMemRangeAttributeReadMostly, made->data(), made->size_bytes())));
    return value;
  };
  for (auto const& [how, undo] : {std::pair{advice::read_mostly, advice::not_read_mostly},
                                  std::pair{advice::prefer, advice::no_preference},
                                  std::pair{advice::accessed_by, advice::not_accessed_by}}) {
    auto const given = memory::advise(made->ref(), how, location::device(0));
    REQUIRE(given);
    CHECK(*given == expected());
    if (how == advice::read_mostly && *given == hint::asked) { CHECK(read_mostly() == 1); }
    REQUIRE(memory::advise(made->ref(), undo, location::device(0)));
    if (how == advice::read_mostly && *given == hint::asked) { CHECK(read_mostly() == 0); }
  }
}

TEST_CASE("managed: discarded memory can be written again") {
  auto made = numbers::make_zeroed(1 << 20, memory::managed_resource(0));
  REQUIRE(made);
  stream_of_test in;
  auto const dropped = memory::discard(made->ref(), in.stream);
  REQUIRE(dropped);
  auto const room = memory::discard_and_prefetch(made->ref(), location::device(0), in.stream);
  REQUIRE(room);
  CHECK(*room == *dropped);
  REQUIRE(core::cuda_check(cudaMemsetAsync(made->data(), 0, made->size_bytes(), in.stream)));
  add<<<64, 256, 0, in.stream>>>({made->ref(), 3});
  in.wait();
  std::size_t wrong = 0;
  for (std::uint32_t const n : made->span()) { wrong += n == 3 ? 0 : 1; }
  CHECK(wrong == 0);
  void* halves[] = {made->data(), made->data() + made->size() / 2};
  std::size_t sizes[] = {made->size_bytes() / 2, made->size_bytes() / 2};
  CHECK(*memory::discard(halves, sizes, in.stream) == *dropped);
  in.wait();
}

TEST_CASE("managed: hints on other memory, bad ones and ones for no device") {
  auto other = memory::buffer<std::uint32_t, memory::device_resource>::make(
      1000, memory::device_resource(0));
  REQUIRE(other);
  stream_of_test in;
  auto const left = memory::prefetch(other->ref(), location::device(0), in.stream);
  REQUIRE(left);
  CHECK(*left == hint::nothing);
  CHECK(memory::prefetch(other->ref(), location::device(1 << 20), in.stream).error().code ==
        errc::no_device);
  CHECK(memory::discard(other->ref(), nullptr).error().native == 3);
  CHECK(memory::discard_and_prefetch(other->ref(), location::host(), nullptr).error().native == 4);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("managed: a planner's ranges are brought ahead of a sweep and sent away behind it") {
  constexpr std::size_t block = 1 << 20;
  constexpr std::size_t blocks = 24;
  auto made = numbers::make_zeroed(block / 4 * blocks, memory::managed_resource(0));
  REQUIRE(made);
  auto planner = memory::prefetch_planner<>::make({block * blocks, 4 * block, 2 * block});
  REQUIRE(planner);
  stream_of_test in;
  auto* const base = reinterpret_cast<std::byte*>(made->data());
  for (std::size_t b = 0; b < blocks; ++b) {
    auto const plan = planner->access(b * block, block);
    REQUIRE(plan);
    for (auto const r : plan->ahead()) {
      REQUIRE(memory::prefetch(base + r.offset, r.bytes, location::device(0), in.stream));
    }
    add<<<16, 256, 0, in.stream>>>(
        {{made->data() + b * block / 4, block / 4}, static_cast<std::uint32_t>(b)});
    for (auto const r : plan->behind()) {
      REQUIRE(memory::prefetch(base + r.offset, r.bytes, location::host(), in.stream));
    }
  }
  in.wait();
  CHECK(planner->counts().hits == blocks - 4);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < made->size(); ++i) { wrong += (*made)[i] == i * 4 / block ? 0 : 1; }
  CHECK(wrong == 0);
}

TEST_CASE("prefetch planner: a kernel and the host get the same plans") {
  memory::prefetch_limits const limits{std::uint64_t{4096} * 1000, 65536, 16384};
  auto here = memory::prefetch_planner<>::make(limits);
  REQUIRE(here);
  auto there = memory::buffer<memory::prefetch_planner<>, memory::managed_resource>::make(
      1, memory::managed_resource(0));
  auto digest = memory::buffer<std::uint64_t, memory::managed_resource>::make_zeroed(
      1, memory::managed_resource(0));
  REQUIRE((there && digest));
  (*there)[0] = *here;
  stream_of_test in;
  plan<<<1, 1, 0, in.stream>>>({there->data(), digest->data()});
  REQUIRE(core::cuda_check(cudaGetLastError()));
  in.wait();
  auto const wanted = digest_of_plans(*here);
  CHECK(wanted != 0);
  CHECK((*digest)[0] == wanted);
  CHECK((*there)[0].counts().hits == here->counts().hits);
}

TEST_CASE("numa_pinned_resource: memory of the device's node, which a kernel writes") {
  auto const from = memory::numa_pinned_resource::near(0);
  REQUIRE(from);
  CHECK(from->node() >= 0);
  auto made =
      memory::buffer<std::uint32_t, memory::numa_pinned_resource>::make_zeroed(10'000, *from, 256);
  REQUIRE(made);
  CHECK(reinterpret_cast<std::uintptr_t>(made->data()) % 256 == 0);
  stream_of_test in;
  add<<<8, 256, 0, in.stream>>>({made->ref(), 11});
  in.wait();
  CHECK((*made)[0] == 11);
  CHECK((*made)[9'999] == 11);
}

TEST_CASE("numa_pinned_resource: bad input is a result") {
  memory::numa_pinned_resource const from(0, 0);
  CHECK(from.try_allocate(0, 8).error().native == 1);
  CHECK(from.try_allocate(8, 512).error().native == 2);
  CHECK(memory::numa_pinned_resource(0, -1).try_allocate(8, 8).error().native == 3);
  CHECK_FALSE(memory::numa_pinned_resource(0, 1000).try_allocate(8, 8));
  CHECK(memory::numa_pinned_resource(1 << 20, 0).try_allocate(8, 8).error().code ==
        errc::no_device);
  CHECK_FALSE(memory::numa_pinned_resource::near(1 << 20));
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("resources: memory comes and goes beside a capture in global mode, which goes on") {
  stream_of_test in;
  cudaGraph_t graph = nullptr;
  REQUIRE(core::cuda_check(cudaStreamBeginCapture(in.stream, cudaStreamCaptureModeGlobal)));
  comes_and_goes(memory::device_resource(0));
  comes_and_goes(memory::pinned_resource(0));
  comes_and_goes(memory::managed_resource(0));
  comes_and_goes(*memory::numa_pinned_resource::near(0));
  REQUIRE(core::cuda_check(cudaStreamEndCapture(in.stream, &graph)));
  CHECK(core::cuda_check(cudaGraphDestroy(graph)));
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("device_resource: takes and gives in the order of a stream") {
  memory::device_resource const from(0);
  stream_of_test in;
  std::uint32_t last = 0;
  for (std::uint32_t round = 1; round <= 100; ++round) {
    auto const got = from.try_allocate(4096, 256, in.stream);
    REQUIRE(got);
    auto* const words = static_cast<std::uint32_t*>(*got);
    REQUIRE(core::cuda_check(cudaMemsetAsync(words, 0, 4096, in.stream)));
    add<<<4, 256, 0, in.stream>>>({{words, 1024}, round});
    REQUIRE(core::cuda_check(
        cudaMemcpyAsync(&last, words + 1023, 4, cudaMemcpyDeviceToHost, in.stream)));
    from.deallocate(*got, 4096, 256, in.stream);
    in.wait();
    CHECK(last == round);
  }
  CHECK(from.try_allocate(0, 8, in.stream).error().native == 1);
  CHECK(from.try_allocate(8, 512, in.stream).error().native == 2);
}
