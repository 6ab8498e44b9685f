// SPDX-License-Identifier: Apache-2.0
#include "support.cuh"
#include <millrace/core/device_guard.cuh>
#include <millrace/memory/device_resource.cuh>

#include <cstdint>

using namespace progress_test;

namespace {

constexpr std::size_t many_bytes = std::size_t{1} << 20;

[[nodiscard]] bool ok(cudaError_t status) noexcept { return status == cudaSuccess; }

/// Takes memory of a resource and gives it back.
template <class Resource>
[[nodiscard]] bool comes_and_goes(Resource from) noexcept {
  auto const got = from.try_allocate(many_bytes, 256);
  if (got) { from.deallocate(*got, many_bytes, 256); }
  return got.has_value();
}

__global__ void __launch_bounds__(128) add_one(std::uint32_t* words) {
  words[blockIdx.x * 128 + threadIdx.x] += 1;
}

}  // namespace

TEST_CASE_TEMPLATE("progress: stream-ordered memory comes and goes beside a consumer", P, pulled,
                   direct, copied) {
  other_stream const on;
  busy_consumer<P> consumer;
  demand(consumer, [&] {
    void* p = nullptr;
    return ok(cudaMallocAsync(&p, many_bytes, on.get())) && ok(cudaFreeAsync(p, on.get())) &&
           ok(cudaStreamSynchronize(on.get()));
  });
}

TEST_CASE_TEMPLATE("progress: the device resource gives and takes memory beside a consumer", P,
                   pulled, direct, copied) {
  busy_consumer<P> consumer;
  demand(consumer, [] { return comes_and_goes(memory::device_resource(0)); });
}

TEST_CASE_TEMPLATE("progress: the pinned resource gives and takes memory beside a consumer", P,
                   pulled, direct) {
  busy_consumer<P> consumer;
  auto const act = [] { return comes_and_goes(memory::pinned_resource(0)); };
  if (core::has_attribute(cudaDevAttrHostMemoryPoolsSupported, 0)) {
    demand(consumer, act);
  } else {
    observe(consumer, act);  // without a pool it is cudaHostAlloc, which promises nothing
  }
}

TEST_CASE("progress: cudaHostAlloc and cudaFreeHost beside a consumer wait for a park at most") {
  busy_consumer<pulled> consumer;
  observe(consumer, [] {
    void* p = nullptr;
    return ok(cudaHostAlloc(&p, many_bytes, cudaHostAllocDefault)) && ok(cudaFreeHost(p));
  });
}

TEST_CASE("progress: cudaMalloc and cudaFree beside a consumer wait for a park at most") {
  busy_consumer<pulled> consumer;
  observe(consumer, [] {
    void* p = nullptr;
    return ok(cudaMalloc(&p, many_bytes)) && ok(cudaFree(p));
  });
}

TEST_CASE_TEMPLATE("progress: copies go both ways beside a consumer, and events tell", P, pulled,
                   direct, copied) {
  other_stream const there, back;
  auto const here = seen_by_both<std::uint32_t>(many_bytes / 4);
  auto const again = seen_by_both<std::uint32_t>(many_bytes / 4);
  auto const far = core::value_or_throw(memory::buffer<std::byte, memory::device_resource>::make(
      many_bytes, memory::device_resource(0)));
  busy_consumer<P> consumer;
  std::uint32_t round = 0;
  demand(consumer, [&] {
    ++round;
    for (std::uint32_t i = 0; i < here.size(); ++i) { here[i] = round * 31 + i; }
    cudaEvent_t sent = nullptr, returned = nullptr;
    bool right = ok(cudaEventCreateWithFlags(&sent, cudaEventDisableTiming)) &&
                 ok(cudaEventCreateWithFlags(&returned, cudaEventDisableTiming)) &&
                 ok(cudaMemcpyAsync(far.data(), here.data(), many_bytes, cudaMemcpyHostToDevice,
                                    there.get())) &&
                 ok(cudaEventRecord(sent, there.get())) &&
                 ok(cudaStreamWaitEvent(back.get(), sent, 0)) &&
                 ok(cudaMemcpyAsync(again.data(), far.data(), many_bytes, cudaMemcpyDeviceToHost,
                                    back.get())) &&
                 ok(cudaEventRecord(returned, back.get()));
    cudaError_t now = cudaErrorNotReady;
    right = right && eventually([&]() noexcept {
              now = cudaEventQuery(returned);
              return now != cudaErrorNotReady;
            });
    right = right && ok(now) && ok(cudaEventDestroy(sent)) && ok(cudaEventDestroy(returned));
    for (std::uint32_t i = 0; right && i < again.size(); ++i) {
      right = again[i] == round * 31 + i;
    }
    return right;
  });
}

TEST_CASE_TEMPLATE("progress: short kernels of another stream end beside a consumer", P, pulled,
                   direct, copied) {
  constexpr unsigned blocks = 8;
  other_stream const on;
  auto const words = seen_by_both<std::uint32_t>(blocks * 128);
  cudaFuncAttributes loaded{};
  REQUIRE(core::cuda_check(cudaFuncGetAttributes(&loaded, add_one)));
  busy_consumer<P> consumer;
  std::uint32_t launches = 0;
  demand(consumer, [&] {
    add_one<<<blocks, 128, 0, on.get()>>>(words.data());
    bool right = ok(cudaGetLastError()) && ok(cudaStreamSynchronize(on.get()));
    ++launches;
    for (std::uint32_t const word : words.span()) { right = right && word == launches; }
    return right;
  });
}
