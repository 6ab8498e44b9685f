// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/device.cu"
#include "examples/revalue/run.hpp"
#include "examples/revalue/underlying.hpp"
#include <millrace/core/rng.hpp>

#include <doctest/doctest.h>

#include <cstring>

using namespace revalue;

namespace {

/// Prices for the whole book with quotes of single options between them.
feed mixed_feed(book const& of) {
  feed out;
  millrace::core::splitmix_rng rng(5);
  for (std::size_t i = 0; i < 600; ++i) {
    event e;
    e.kind = i % 6 == 0   ? update_kind::spot
             : i % 6 == 1 ? update_kind::mid
             : i % 6 == 2 ? update_kind::quiet
                          : update_kind::volatility;
    e.contract = static_cast<std::uint32_t>(rng.next() % of.contracts.size());
    e.price = e.kind == update_kind::spot  ? uniform(rng, 1000, 2000)
              : e.kind == update_kind::mid ? uniform(rng, 1, 300)
                                           : uniform(rng, 0.1, 0.6);
    out.events.push_back(e);
  }
  return out;
}

template <class T>
bool same_bytes(std::span<T const> a, std::span<T const> b) {
  return a.size_bytes() == b.size_bytes() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace

TEST_CASE("device: computes the bits of the host, for any number of blocks") {
  book const of = generate_book(5'000, 1455.22, 0.01, 0.015);
  feed const in = mixed_feed(of);
  desks host(of);
  loop_engine loop(host);
  run alone(in, host, loop);
  REQUIRE(alone.all([](std::size_t) {}).has_value());
  findings const& wanted = alone.found();
  for (std::uint32_t const blocks : {1u, 3u, 8u}) {
    desks mirrored(of);
    auto opened = open_device_engine(mirrored, millrace::core::backend::cuda(0), blocks);
    REQUIRE(opened.has_value());
    run job(in, mirrored, **opened);
    REQUIRE(job.all([](std::size_t) {}).has_value());
    findings const& found = job.found();
    REQUIRE((*opened)->finish().has_value());
    CHECK(found.firm == wanted.firm);
    CHECK(found.desks == wanted.desks);
    CHECK(found.outcomes == wanted.outcomes);
    CHECK(found.recomputed == wanted.recomputed);
    CHECK(same_bytes<value_block>(mirrored.values(), host.values()));
    for (desk_state const& desk : mirrored.states()) { CHECK(desk.out_of_order == 0); }
  }
}
