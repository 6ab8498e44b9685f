// SPDX-License-Identifier: Apache-2.0
// Packed runs decoded on a device: the same bits as on a host, and the same blocks refused.
#include "unit/delta/decoded_runs.hpp"
#include "unit/delta/encoded_runs.hpp"
#include "unit/delta/on_device.cuh"
#include <millrace/delta/decode_device.cuh>
#include <millrace/delta/decode_run.hpp>

#include <cuda_runtime.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

namespace delta = millrace::delta;
using namespace millrace_test;
using millrace::errc;

namespace decode_device_test {

struct by_device {
  template <class K, class... Vs>
  std::uint64_t operator()(delta::encoded_run_ref<K, Vs...> const& run, std::byte const* bytes,
                           delta::change_space<K, Vs...> out) const {
    on_device gpu;
    std::size_t const size =
        run.index().offset() + static_cast<std::size_t>(delta::footer_bytes<K>(run.rows()));
    std::byte const* const copy = gpu.copy(bytes, size);
    auto const rows = gpu.rows<K, Vs...>(run.rows());
    auto* const good = gpu.room<std::uint64_t>(1);
    REQUIRE(delta::decode_device(run, copy, rows, good, gpu.stream()));
    gpu.back(rows, run.rows(), out);
    return gpu.back(good);
  }
};

}  // namespace decode_device_test
using namespace decode_device_test;

TEST_CASE("decode_device: a run gives the rows that a host gives") { every_decode(by_device{}); }

TEST_CASE("decode_device: a long run gives the rows that a host gives") {
  auto const keys = keys_of<std::uint64_t>(1'000'000, gaps::geometric, 1);
  auto const prices = column_of<double>(column::walk, keys.size(), 2);
  auto const sizes = column_of<std::int64_t>(column::repeats, keys.size(), 3);
  one_decode(by_device{}, delta::change_set_ref<std::uint64_t, double, std::int64_t>(
                              keys.data(), keys.size(), prices.data(), sizes.data()));
}

TEST_CASE("decode_device: flipped bits are found, and the first block that has one is named") {
  auto const rows = rows_of<std::uint32_t, float>(20'000, gaps::geometric, 3);
  auto const right = encoded(rows.ref());
  auto const run = millrace::core::value_or_throw(
      delta::encoded_run_ref<std::uint32_t, float>::make(right.bytes()));
  auto out = millrace::core::value_or_throw(delta::change_set<std::uint32_t, float>::make(20'000));
  for (std::uint64_t const b : {0u, 1u, 40u, 78u}) {
    auto const copy = right.first(right.size());
    copy[run.index().block_offset(b) + 12 + b % 16] ^= std::byte{4};
    copy[run.index().block_offset(78) + 11] ^= std::byte{1};
    CHECK(by_device{}(run, copy.bytes().data(), out.space()) == b);
  }
}

TEST_CASE("decode_device: what it cannot do it says, and launches nothing") {
  auto const rows = rows_of<std::uint32_t, float>(300, gaps::geometric, 3);
  auto const bytes = encoded(rows.ref());
  auto const run = millrace::core::value_or_throw(
      delta::encoded_run_ref<std::uint32_t, float>::make(bytes.bytes()));
  on_device gpu;
  std::byte const* const copy = gpu.copy(bytes.bytes().data(), bytes.size());
  auto const out = gpu.rows<std::uint32_t, float>(300);
  auto* const good = gpu.room<std::uint64_t>(1);
  auto const number = [&](std::byte const* from, std::size_t room, std::uint64_t* blocks) {
    delta::change_space<std::uint32_t, float> const to(out.keys(), room, out.values());
    auto const put = delta::decode_device(run, from, to, blocks, gpu.stream());
    REQUIRE_FALSE(put);
    CHECK(put.error().code == errc::bad_argument);
    return put.error().native;
  };
  CHECK(number(nullptr, 300, good) == 2);
  CHECK(number(copy + 2, 300, good) == 2);
  CHECK(number(copy, 299, good) == 3);
  CHECK(number(copy, 300, nullptr) == 4);
  CHECK(gpu.back(good) == 0xA5A5'A5A5'A5A5'A5A5);
}
