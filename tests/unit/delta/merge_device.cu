// SPDX-License-Identifier: Apache-2.0
// Merges, consolidations and dense columns on a device: the same bits as on a host.
#include "tests/tier.hpp"
#include "unit/delta/on_device.cuh"
#include "unit/delta/runs.hpp"
#include "unit/delta/sorted_folds.hpp"
#include "unit/delta/team_merges.hpp"
#include <millrace/core/cuda_status.cuh>
#include <millrace/delta/block_merge.hpp>
#include <millrace/delta/build_device.cuh>
#include <millrace/delta/dense.hpp>
#include <millrace/delta/dense_device.cuh>
#include <millrace/delta/merge_device.cuh>
#include <millrace/delta/team.hpp>

#include <cuda_runtime.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

using namespace millrace_test;
using delta::keep;
using millrace::errc;

namespace merge_device_test {

struct by_device {
  template <keep Keep, class C, class Newer, class K, class... Vs>
  std::size_t operator()(std::integral_constant<keep, Keep>, delta::change_set_ref<K, Vs...> older,
                         Newer newer, delta::change_space<K, Vs...> out, C const& combine) const {
    on_device gpu;
    auto const a = gpu.copy(older);
    auto const b = gpu.copy(newer);
    auto const to = gpu.rows<K, Vs...>(out.capacity());
    auto* const size = gpu.room<std::size_t>(1);
    auto const scratch = gpu.scratch(delta::merge_device_bytes<K>(older.size() + newer.size()));
    if constexpr (Keep == keep::either) {
      REQUIRE(delta::merge_device(a, b, to, size, combine, scratch, gpu.stream()));
    } else if constexpr (Keep == keep::both) {
      REQUIRE(delta::intersect_device(a, b, to, size, combine, scratch, gpu.stream()));
    } else if constexpr (Keep == keep::older_only) {
      REQUIRE(delta::subtract_device(a, b, to, size, scratch, gpu.stream()));
    } else {
      REQUIRE(delta::interleave_device(a, b, to, size, scratch, gpu.stream()));
    }
    std::size_t const rows = gpu.back(size);
    REQUIRE(rows <= out.capacity());
    gpu.back(to, rows, out);
    return rows;
  }
};

/// A kernel of one block that merges, as a persistent one may.
template <class C, class K, class... Vs>
struct one_block_args {
  delta::change_set_ref<K, Vs...> older, newer;
  delta::change_space<K, Vs...> out;
  C combine;
  std::size_t* size;
};
template <class C, class K, class... Vs>
MILLRACE_KERNEL void __launch_bounds__(128) one_block(one_block_args<C, K, Vs...> args) {
  using team = delta::block_team<128>;
  __shared__ delta::merge_space<team, K> shared;
  std::size_t const size =
      delta::block_merge<team>(args.older, args.newer, args.out, args.combine, shared);
  team::each([&](std::uint32_t rank) {
    if (rank == 0) { *args.size = size; }
  });
}

struct fold_by_device {
  template <class C, class K, class... Vs>
  table<K, Vs...> operator()(delta::change_set_ref<K, Vs...> rows, C const& combine) const {
    on_device gpu;
    auto const from = gpu.copy(rows);
    auto const to = gpu.rows<K, Vs...>(rows.size());
    auto* const size = gpu.room<std::size_t>(1);
    auto const bytes = delta::build_device_bytes<K>(rows.size());
    REQUIRE(bytes);
    REQUIRE(delta::build_device(from, to, size, combine, gpu.scratch(*bytes), gpu.stream()));
    table<K, Vs...> out(gpu.back(size));
    gpu.back(to, out.size(), out.space());
    return out;
  }
};

}  // namespace merge_device_test
using namespace merge_device_test;

TEST_CASE("merge_device: every kind of pass is what the reference gives, about tile borders") {
  every_merge(by_device{}, 3071);
  every_merge(by_device{}, 2047);
}

TEST_CASE("merge_device: large runs are the same bits, every time") {
  std::size_t const rows = long_tier() ? 10'000'000 : 500'000;
  auto const a = random_run<std::uint32_t, float>(rows, 3, 1);
  auto const b = random_run<std::uint32_t, float>(rows - 1234, 3, 2);
  for (int turn = 0; turn < 5; ++turn) {
    one_merge<keep::either>(by_device{}, a.ref(), b.ref(), delta::add{});
  }
  auto const c = random_run<std::uint64_t, double>(rows, 3, 3);
  auto const d = random_run<std::uint64_t, double>(rows / 100, 300, 4);
  one_merge<keep::either>(by_device{}, c.ref(), d.ref(), delta::add{});
  one_merge<keep::either>(by_device{}, d.ref(), c.ref(), delta::add{});
}

TEST_CASE("merge_device: what it cannot do it says, and launches nothing") {
  on_device gpu;
  auto const a = gpu.copy(random_run<std::uint32_t, float>(100, 3, 1).ref());
  auto const out = gpu.rows<std::uint32_t, float>(200);
  auto* const size = gpu.room<std::size_t>(1);
  auto const scratch = gpu.scratch(delta::merge_device_bytes<std::uint32_t>(200));
  auto const number = [&](auto older, auto to, std::size_t* rows, auto room) {
    auto const put = delta::merge_device(older, a, to, rows, delta::add{}, room, gpu.stream());
    REQUIRE_FALSE(put);
    CHECK(put.error().code == errc::bad_argument);
    return put.error().native;
  };
  CHECK(number(a, delta::change_space<std::uint32_t, float>(out.keys(), 199, out.values()), size,
               scratch) == 3);
  CHECK(number(delta::change_set_ref<std::uint32_t, float>(out.keys() + 199, 1, out.values()), out,
               size, scratch) == 3);
  CHECK(number(a, out, nullptr, scratch) == 4);
  CHECK(number(a, out, size, scratch.subspan(1)) == 6);
  CHECK(number(a, out, size, scratch.subspan(0, scratch.size() - 1)) == 6);
  CHECK(gpu.back(size) == 0xA5A5'A5A5'A5A5'A5A5);
}

TEST_CASE("block_merge: a block within a kernel gives what the reference gives") {
  for (std::size_t const n : {0u, 1u, 1535u, 1536u, 5000u}) {
    auto const a = random_run<std::uint32_t, float>(n, 3, n);
    auto const b = random_run<std::uint32_t, float>(2000, 4, n + 1);
    auto const want = merged<keep::either>(a.ref(), b.ref(), delta::add{});
    on_device gpu;
    one_block_args<delta::add, std::uint32_t, float> const args{
        gpu.copy(a.ref()),
        gpu.copy(b.ref()),
        gpu.rows<std::uint32_t, float>(n + 2000),
        {},
        gpu.room<std::size_t>(1)};
    one_block<<<1, 128, 0, gpu.stream()>>>(args);
    REQUIRE(millrace::core::cuda_check(cudaGetLastError()));
    REQUIRE(gpu.back(args.size) == want.size());
    table<std::uint32_t, float> got(want.size());
    gpu.back(args.out, want.size(), got.space());
    CHECK(same(got.ref(), want.ref()));
  }
}

TEST_CASE("build_device: rows of a key become one in the order in which they came") {
  every_fold(fold_by_device{}, 2048);
}

TEST_CASE("build_device: many rows, few keys, and one key alone") {
  for (std::uint64_t const range :
       {std::uint64_t{1}, std::uint64_t{1000}, std::uint64_t{1} << 31}) {
    auto const rows = unsorted_rows<std::uint32_t, float>(300'000, range, range);
    one_fold(fold_by_device{}, rows.ref(), delta::add{});
  }
}

TEST_CASE("dense_device: changes between two tables, and applied, are those of a host") {
  for (std::size_t const size : {0u, 1u, 2047u, 2048u, 2049u, 100'000u}) {
    auto const before = random_run<std::uint32_t, float>(size, 1, 5);
    auto after = before;
    for (std::size_t i = 0; i < size; i += 1 + i % 7) { after.value(i) = static_cast<float>(i); }
    std::vector<float> const& a = std::get<0>(before.columns);
    std::vector<float> const& b = std::get<0>(after.columns);
    table<std::uint32_t, float> want(size);
    auto const wanted = delta::diff(delta::dense_ref<float const>(size, a.data()),
                                    delta::dense_ref<float const>(size, b.data()), want.space(),
                                    delta::exclusive_or{});
    REQUIRE(wanted);
    on_device gpu;
    float* const x = gpu.copy(a.data(), size);
    float* const y = gpu.copy(b.data(), size);
    auto const out = gpu.rows<std::uint32_t, float>(size);
    auto* const rows = gpu.room<std::size_t>(1);
    REQUIRE(delta::diff_device(
        delta::dense_ref<float const>(size, x), delta::dense_ref<float const>(size, y), out, rows,
        delta::exclusive_or{}, gpu.scratch(delta::diff_device_bytes(size)), gpu.stream()));
    REQUIRE(gpu.back(rows) == *wanted);
    table<std::uint32_t, float> got(*wanted);
    gpu.back(out, *wanted, got.space());
    REQUIRE(same(got.ref(), want.ref().slice(0, *wanted)));
    auto* const good = gpu.room<std::size_t>(1);
    REQUIRE(delta::apply_device(out.filled(*wanted), delta::dense_ref<float>(size, x), good,
                                delta::exclusive_or{}, gpu.stream()));
    CHECK(gpu.back(good) == *wanted);
    auto const applied = gpu.back(x, size);
    CHECK(std::memcmp(applied.data(), b.data(), size * sizeof(float)) == 0);
    if (*wanted == 0) { continue; }
    std::size_t const last = got.key(*wanted - 1);
    REQUIRE(delta::apply_device(out.filled(*wanted), delta::dense_ref<float>(last, x), good,
                                delta::exclusive_or{}, gpu.stream()));
    CHECK(gpu.back(good) == *wanted - 1);
    auto const untouched = gpu.back(x, size);
    CHECK(std::memcmp(untouched.data(), b.data(), size * sizeof(float)) == 0);
  }
}
