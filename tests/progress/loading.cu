// SPDX-License-Identifier: Apache-2.0
#include "latecomer.hpp"
#include "support.cuh"

#include <cstdint>

using namespace progress_test;

namespace {

/// A module that the runtime compiles when it is loaded.
constexpr char module_text[] = R"(
.version 7.0
.target sm_75
.address_size 64
.visible .entry store_one(.param .u64 word) {
  .reg .b64 %at;
  .reg .b32 %one;
  ld.param.u64 %at, [word];
  mov.u32 %one, 1;
  st.global.u32 [%at], %one;
  ret;
}
)";

/// Loads the module, runs its kernel and waits for it. The module stays: an unload may wait too.
[[nodiscard]] cudaError_t load_and_launch(std::uint32_t* word, cudaStream_t stream) {
  cudaLibrary_t library = nullptr;
  cudaError_t status =
      cudaLibraryLoadData(&library, module_text, nullptr, nullptr, 0, nullptr, nullptr, 0);
  cudaKernel_t kernel = nullptr;
  if (status == cudaSuccess) { status = cudaLibraryGetKernel(&kernel, library, "store_one"); }
  if (status == cudaSuccess) {
    void* arguments[] = {&word};
    status = cudaLaunchKernel(reinterpret_cast<void const*>(kernel), dim3(1), dim3(1), arguments, 0,
                              stream);
  }
  return status == cudaSuccess ? cudaStreamSynchronize(stream) : status;
}

}  // namespace

TEST_CASE("progress: a kernel that is first launched while the workers are parked waits for none") {
  other_stream const on;
  auto const word = seen_by_both<std::uint32_t>(1);
  busy_consumer<pulled> consumer;
  CHECK(consumer.goes_on());
  CHECK(consumer.while_parked(
      [&] { return launch_latecomer_parked(word.data(), on.get()) == cudaSuccess; }));
  CHECK(word[0] == 1);
  CHECK(consumer.goes_on());
  CHECK(consumer.finish());
}

TEST_CASE("progress: a kernel that is first launched beside a consumer waits for a park at most") {
  other_stream const on;
  auto const word = seen_by_both<std::uint32_t>(1);
  busy_consumer<pulled> consumer;
  observe(consumer, [&] { return launch_latecomer_beside(word.data(), on.get()) == cudaSuccess; });
  CHECK(word[0] == 1);
}

TEST_CASE("progress: a module that is loaded beside a consumer waits for a park at most") {
  other_stream const on;
  auto const word = seen_by_both<std::uint32_t>(1);
  busy_consumer<direct> consumer;
  observe(consumer, [&] { return load_and_launch(word.data(), on.get()) == cudaSuccess; });
  CHECK(word[0] == 1);
}
