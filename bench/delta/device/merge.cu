// SPDX-License-Identifier: Apache-2.0
#include "bench/delta/device/benches.hpp"
#include "bench/delta/device/support.cuh"
#include "bench/delta/inputs.hpp"
#include <millrace/delta/merge_device.cuh>
#include <millrace/delta/merge_scalar.hpp>

#include <cub/device/device_merge.cuh>
#include <cub/device/device_reduce.cuh>
#include <cuda/std/functional>

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace millrace::bench::device {

namespace {

/// Two runs on the device, room for what is made of them, and what that should be.
template <class K, class V>
struct merge_case {
  workspace gpu;
  two_runs<K, V> on_host;
  device_rows<K, V> older, newer, out, between;
  delta::change_set<K, V> all, sums;
  std::size_t* size;
  std::int64_t* runs;
  std::size_t scratch_bytes;
  std::byte* scratch;

  merge_case(int ordinal, std::size_t rows, unsigned percent)
      : gpu(ordinal),
        on_host(rows, percent),
        older(gpu, on_host.older.ref()),
        newer(gpu, on_host.newer.ref()),
        out(gpu, 2 * rows),
        between(gpu, 2 * rows),
        all(touched<K, V>(2 * rows)),
        sums(touched<K, V>(2 * rows)),
        size(gpu.pinned<std::size_t>(1)),
        runs(gpu.pinned<std::int64_t>(1)) {
    auto const a = on_host.older.ref(), b = on_host.newer.ref();
    all.set_size(delta::merge_scalar<delta::keep::all>(a, b, all.space(), delta::last_writer{}));
    sums.set_size(delta::merge_scalar<delta::keep::either>(a, b, sums.space(), delta::add{}));
    std::size_t merge = 0, reduce = 0;
    check(cub_merge(nullptr, merge, out), "cub::DeviceMerge");
    check(cub_reduce(nullptr, reduce), "cub::DeviceReduce");
    scratch_bytes = std::max({merge, reduce, delta::merge_device_bytes<K>(2 * rows)});
    scratch = gpu.template on_device<std::byte>(scratch_bytes);
  }

  cudaError_t cub_merge(std::byte* with, std::size_t& bytes, device_rows<K, V> const& to) {
    auto const rows = static_cast<std::int64_t>(older.ref().size());
    return cub::DeviceMerge::MergePairs(with, bytes, older.keys(), older.values(), rows,
                                        newer.keys(), newer.values(), rows, to.keys(), to.values(),
                                        cuda::std::less<>{}, gpu.stream());
  }
  cudaError_t cub_reduce(std::byte* with, std::size_t& bytes) {
    auto const rows = static_cast<std::int64_t>(between.ref().size());
    return cub::DeviceReduce::ReduceByKey(with, bytes, between.keys(), out.keys(), between.values(),
                                          out.values(), runs, cuda::std::plus<>{}, rows,
                                          gpu.stream());
  }
  [[nodiscard]] cuda::std::span<std::byte> room() const { return {scratch, scratch_bytes}; }

  /// Input rows a second, and what was wrong with the result.
  template <class Work>
  measured trial(Work const& work, delta::change_set<K, V> const& want, bool counted) {
    out.clear();
    double const ns = device_ns(gpu, work);
    std::size_t const rows = counted ? *size : want.size();
    return {static_cast<double>(2 * older.ref().size()) * 1e9 / ns,
            out.differ_from(want.ref(), rows)};
  }
};

template <class K, class V>
void compare_merges(session& out, int ordinal, std::string const& types) {
  std::string const merge = "delta.device.merge." + types + ".1e7";
  for (unsigned const percent : {10u, 50u, 90u}) {
    std::string const add = "delta.device.add." + types + ".1e7." + std::to_string(percent);
    bool const merges = percent == 10 && out.wants(merge), adds = out.wants(add);
    if (!merges && !adds) { continue; }
    auto const at = std::make_shared<merge_case<K, V>>(ordinal, 10'000'000, percent);
    comparison bench;
    bench.unit = "items/s";
    bench.way = better::higher;
    if (merges) {
      bench.bench = merge;
      bench.ours = guarded("millrace", [at] {
        return at->trial(
            [&] {
              check(delta::interleave_device(at->older.ref(), at->newer.ref(), at->out.space(),
                                             at->size, at->room(), at->gpu.stream()),
                    "interleave_device");
            },
            at->all, true);
      });
      bench.peers = {guarded("cub.device_merge", [at] {
        // Which of two equal keys comes first is not for it to say, so only the keys are compared.
        measured found = at->trial(
            [&] {
              std::size_t bytes = at->scratch_bytes;
              check(at->cub_merge(at->scratch, bytes, at->out), "cub::DeviceMerge");
            },
            at->all, false);
        std::vector<K> keys(at->all.size());
        check(cudaMemcpy(keys.data(), at->out.keys(), keys.size() * sizeof(K), cudaMemcpyDefault),
              "cudaMemcpy");
        bool const same =
            std::memcmp(keys.data(), at->all.ref().keys().data(), keys.size() * sizeof(K)) == 0;
        found.problem = same ? "" : "the keys differ from the host's";
        return found;
      })};
      out.run(bench);
    }
    if (adds) {
      bench.bench = add;
      bench.ours = guarded("millrace", [at] {
        return at->trial(
            [&] {
              check(delta::merge_device(at->older.ref(), at->newer.ref(), at->out.space(), at->size,
                                        delta::add{}, at->room(), at->gpu.stream()),
                    "merge_device");
            },
            at->sums, true);
      });
      bench.peers = {guarded("cub.merge_reduce_by_key", [at] {
        measured found = at->trial(
            [&] {
              std::size_t bytes = at->scratch_bytes;
              check(at->cub_merge(at->scratch, bytes, at->between), "cub::DeviceMerge");
              bytes = at->scratch_bytes;
              check(at->cub_reduce(at->scratch, bytes), "cub::DeviceReduce");
            },
            at->sums, false);
        if (*at->runs != static_cast<std::int64_t>(at->sums.size())) {
          found.problem = "the number of keys differs from the host's";
        }
        return found;
      })};
      out.run(bench);
    }
  }
}

}  // namespace

void merge_benches(session& out, int ordinal) {
  compare_merges<std::uint32_t, float>(out, ordinal, "u32f32");
  compare_merges<std::uint64_t, double>(out, ordinal, "u64f64");
}

}  // namespace millrace::bench::device
