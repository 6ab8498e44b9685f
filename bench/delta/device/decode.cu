// SPDX-License-Identifier: Apache-2.0
#include "bench/delta/device/benches.hpp"
#include "bench/delta/device/support.cuh"
#include "bench/delta/inputs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/decode_device.cuh>
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/encode_run.hpp>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace millrace::bench::device {

namespace {

/// Rows of a price that walks in cents, encoded.
template <class K, class V>
struct decode_case {
  workspace gpu;
  delta::change_set<K, V> rows;
  std::vector<std::byte> bytes;
  delta::encoded_run_ref<K, V> run;
  std::byte* encoded;
  device_rows<K, V> source, out;
  std::uint64_t* good;

  decode_case(int ordinal, std::size_t count)
      : gpu(ordinal),
        rows(walk(count)),
        bytes(delta::max_encoded_bytes<K, V>(count)),
        source(gpu, rows.ref()),
        out(gpu, count),
        good(gpu.pinned<std::uint64_t>(1)) {
    bytes.resize(core::value_or_throw(delta::encode(rows.ref(), {bytes.data(), bytes.size()})));
    run = core::value_or_throw(delta::encoded_run_ref<K, V>::make({bytes.data(), bytes.size()}));
    encoded = gpu.template on_device<std::byte>(bytes.size());
    check(cudaMemcpy(encoded, bytes.data(), bytes.size(), cudaMemcpyDefault), "cudaMemcpy");
  }

  [[nodiscard]] static delta::change_set<K, V> walk(std::size_t count) {
    auto made = touched<K, V>(count);
    core::splitmix_rng chance(1);
    K key = 0;
    std::int64_t cents = 100'000;
    for (std::size_t i = 0; i < count; ++i) {
      key = static_cast<K>(key + 1 + chance.next() % 19);
      cents += static_cast<std::int64_t>(chance.next() % 21) - 10;
      made.space().put(i, key, static_cast<V>(static_cast<double>(cents) / 100));
    }
    made.set_size(count);
    return made;
  }

  /// Decoded bytes a second, and what was wrong.
  template <class Work>
  measured trial(Work const& work) {
    out.clear();
    double const ns = device_ns(gpu, work);
    return {static_cast<double>(rows.size() * (sizeof(K) + sizeof(V))) / ns,
            out.differ_from(rows.ref(), rows.size())};
  }
};

template <class K, class V>
void compare_decode(session& out, int ordinal, std::string const& types) {
  comparison bench;
  bench.bench = "delta.device.decode." + types + ".1e7";
  bench.unit = "GB/s";
  bench.way = better::higher;
  if (!out.wants(bench.bench)) { return; }
  auto const at = std::make_shared<decode_case<K, V>>(ordinal, 10'000'000);
  bench.ours = guarded("millrace", [at] {
    measured found = at->trial([&] {
      check(delta::decode_device(at->run, at->encoded, at->out.space(), at->good, at->gpu.stream()),
            "decode_device");
    });
    if (*at->good != at->run.blocks()) { found.problem = "a block was taken for damaged"; }
    return found;
  });
  bench.peers = {guarded("limit.copy", [at] {
    return at->trial([&] {
      std::size_t const rows = at->rows.size();
      check(cudaMemcpyAsync(at->out.keys(), at->source.keys(), rows * sizeof(K),
                            cudaMemcpyDeviceToDevice, at->gpu.stream()),
            "cudaMemcpyAsync");
      check(cudaMemcpyAsync(at->out.values(), at->source.values(), rows * sizeof(V),
                            cudaMemcpyDeviceToDevice, at->gpu.stream()),
            "cudaMemcpyAsync");
    });
  })};
  out.run(bench);
}

}  // namespace

void decode_benches(session& out, int ordinal) {
  compare_decode<std::uint32_t, float>(out, ordinal, "u32f32");
  compare_decode<std::uint64_t, double>(out, ordinal, "u64f64");
}

}  // namespace millrace::bench::device
