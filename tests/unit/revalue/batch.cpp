// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/batch.hpp"

#include "examples/revalue/batch_engine.hpp"
#include "examples/revalue/batched_run.hpp"
#include "examples/revalue/summary.hpp"
#include "pressure.hpp"
#include <millrace/core/rng.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace revalue;

namespace {

constexpr std::size_t contracts = 400;

/// @param spots  of 64 updates, how many are prices of the underlying
/// @param first  the event that is a price of the underlying, before which quotes meet none
feed feed_of(std::size_t count, std::uint64_t spots, std::size_t first) {
  feed out;
  out.chain = "made up";
  millrace::core::splitmix_rng rng(77 + spots);
  for (std::size_t i = 0; i < count; ++i) {
    event e;
    e.time = static_cast<std::int64_t>(i);
    std::uint64_t const draw = rng.next() % 64;
    if (i == first || (i > first && draw < spots)) {
      e.kind = update_kind::spot;
      e.price = uniform(rng, 80, 125);
    } else if (draw >= 60) {
      e.kind = update_kind::quiet;
    } else {
      bool const mid = rng.next() % 2 == 0;
      e.kind = mid ? update_kind::mid : update_kind::volatility;
      // few contracts get most of the quotes, so that newer ones displace older ones
      e.contract = static_cast<std::uint32_t>(rng.next() % (rng.next() % 4 == 0 ? contracts : 12));
      double const price = rng.next() % 8 == 0 ? 0 : uniform(rng, 0.5, 60);  // 0: refused
      e.price = mid ? price : uniform(rng, 0.05, 0.8);
    }
    out.events.push_back(e);
  }
  return out;
}

/// Every byte of the desks' options, values and sums, and the prices that they stand at.
std::string state_of(desks& on) {
  std::string out;
  auto const add = [&](auto const& all) {
    out.append(reinterpret_cast<char const*>(all.data()), all.size_bytes());
  };
  add(on.options());
  add(on.values());
  add(on.nodes());
  for (desk_state const& desk : on.states()) {
    out.append(reinterpret_cast<char const*>(&desk.now), sizeof desk.now);
  }
  return out;
}

struct ended {
  findings found;
  std::string state;
  bool whole = false;
};

ended alone(feed const& in, book const& of) {
  desks on(of, millrace_test::resource());
  loop_engine through(on);
  run job(in, on, through);
  REQUIRE(job.all([](std::size_t) {}));
  return {job.found(), state_of(on), summary(in, of, on, job.found(), {}).whole()};
}

ended together(feed const& in, book const& of, std::uint32_t workers, std::size_t batch) {
  desks on(of, millrace_test::resource());
  auto const through = open_batch_engine(on, workers, batch);
  REQUIRE(through);
  batched_run job(in, on, **through, batch);
  REQUIRE(job.all([](std::size_t) {}));
  REQUIRE((*through)->finish());
  return {job.found(), state_of(on), summary(in, of, on, job.found(), {}).whole()};
}

/// A desk's price and three quotes, as a message.
struct sample_message {
  std::vector<std::byte> bytes;

  sample_message() : bytes(batch_bytes(4)) {
    change_key keys[] = {key_of(0, 2, 0), key_of(0, 2, 1), key_of(0, 2, 8), key_of(1, 2, 0)};
    double prices[] = {101, 0.25, 0.5, 99.5};
    std::int64_t times[] = {5, 6, 7, 9};
    std::uint16_t kinds[] = {1, 2, 2, 1};
    take(desk_changes(keys, 4, prices, times, kinds));
  }
  /// One row, whatever it says.
  sample_message(change_key key, double price, update_kind what) : bytes(batch_bytes(1)) {
    std::int64_t const time = 0;
    auto const kind = static_cast<std::uint16_t>(what);
    take(desk_changes(&key, 1, &price, &time, &kind));
  }

 private:
  void take(desk_changes rows) {
    auto const made = encode_batch(0, rows, {bytes.data(), bytes.size()});
    REQUIRE(made);
    bytes.resize(made->size());
  }
};

}  // namespace

TEST_CASE("batch: the state after batches of any size is that of each update alone, bit for bit") {
  book const of = generate_book(contracts, 100, 0.02, 0.01);
  for (std::uint64_t const spots : {0u, 4u, 40u}) {
    feed const in = feed_of(2'500, spots, 40);
    ended const one_by_one = alone(in, of);
    REQUIRE(one_by_one.whole);
    for (std::size_t const batch : {1u, 2u, 37u, 256u, 1024u}) {
      CAPTURE(spots);
      CAPTURE(batch);
      ended const batched = together(in, of, batch == 37 ? 3 : 1, batch);
      CHECK(batched.whole);
      CHECK(batched.state == one_by_one.state);
      CHECK(batched.found.outcomes == one_by_one.found.outcomes);
      CHECK(batched.found.tally == one_by_one.found.tally);
      CHECK(batched.found.desks == one_by_one.found.desks);
      bool same = true;
      for (std::size_t i = 0; i < in.events.size(); ++i) {
        std::size_t const last = std::min(i / batch * batch + batch, in.events.size()) - 1;
        same = same && batched.found.firm[i] == one_by_one.found.firm[last];
      }
      CHECK(same);
      CHECK(batched.found.batches == (in.events.size() + batch - 1) / batch);
      if (batch >= 256) { CHECK(batched.found.messages < one_by_one.found.messages); }
    }
    CHECK(one_by_one.found.tally[static_cast<std::size_t>(outcome::no_underlying)] > 0);
    CHECK(one_by_one.found.tally[static_cast<std::size_t>(outcome::below_bound)] > 0);
  }
}

TEST_CASE("batch: prices alone come down to the newest, in a fraction of the bytes") {
  feed in;
  for (std::size_t i = 0; i < 1'000; ++i) {
    in.events.push_back({90 + 0.01 * static_cast<double>(i), static_cast<std::int64_t>(i), 0, 0,
                         update_kind::spot});
  }
  ended const got = together(in, generate_book(contracts, 100, 0.02, 0.01), 2, 100);
  CHECK(got.found.messages == 10 * generated_desks.size());
  CHECK(got.found.recomputed == 10 * contracts);
  CHECK(got.found.batch_bytes < 1'000 * generated_desks.size() * sizeof(update) / 10);
}

TEST_CASE("batch: a message damaged in any byte, or cut, is reported and nothing is applied") {
  desks on(generate_book(contracts, 100, 0.02, 0.01), millrace_test::resource());
  auto const one = best_instruction_set().apply;
  sample_message const good;
  std::string const before = state_of(on);
  for (std::size_t i = batch_prefix; i < good.bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = good.bytes;
      bad[i] ^= std::byte{1} << bit;
      CAPTURE(i);
      CHECK_FALSE(apply_batch(on.refs(), one, {bad.data(), bad.size()}));
    }
  }
  for (std::size_t size = 0; size < good.bytes.size(); ++size) {
    CHECK_FALSE(apply_batch(on.refs(), one, {good.bytes.data(), size}));
  }
  CHECK(state_of(on) == before);
  CHECK(on.states()[2].applied == 0);
  auto const done = apply_batch(on.refs(), one, {good.bytes.data(), good.bytes.size()});
  REQUIRE(done);
  CHECK(done->outcome == outcome::applied);
  CHECK(on.states()[2].applied == 4);
  CHECK(on.states()[2].now.spot == 99.5);
  CHECK(state_of(on) != before);
}

TEST_CASE("batch: a message whose order is wrong is applied and counted, as a single one is") {
  desks on(generate_book(contracts, 100, 0.02, 0.01), millrace_test::resource());
  sample_message late;
  late.bytes[0] = std::byte{1};
  auto const done =
      apply_batch(on.refs(), best_instruction_set().apply, {late.bytes.data(), late.bytes.size()});
  CHECK(done);
  CHECK(on.states()[2].out_of_order == 4);
}

TEST_CASE("batch: rows that no desk can do are refused") {
  desks on(generate_book(contracts, 100, 0.02, 0.01), millrace_test::resource());
  auto const refused = [&](change_key key, double price, update_kind kind) {
    sample_message const m(key, price, kind);
    auto const done =
        apply_batch(on.refs(), best_instruction_set().apply, {m.bytes.data(), m.bytes.size()});
    return !done && done.error().code == millrace::errc::corrupt;
  };
  CHECK(refused(key_of(0, 8, 0), 100, update_kind::spot));
  CHECK(refused(key_of(0, 0, 0), 0, update_kind::spot));
  CHECK(refused(key_of(0, 0, 0), 100, update_kind::mid));
  CHECK(refused(key_of(0, 0, 1), 100, update_kind::spot));
  CHECK(refused(key_of(0, 0, 1), 100, update_kind::quiet));
  CHECK(refused(key_of(0, 0, 51), 0.2, update_kind::volatility));
  CHECK_FALSE(refused(key_of(0, 0, 50), 0.2, update_kind::volatility));
}

TEST_CASE("batch: the caller of a queue learns of a damaged message, and the next one goes on") {
  desks on(generate_book(contracts, 100, 0.02, 0.01), millrace_test::resource());
  auto const through = open_batch_engine(on, 2, 4);
  REQUIRE(through);
  sample_message const good;
  auto bad = good.bytes;
  bad[bad.size() / 2] ^= std::byte{1};
  REQUIRE((*through)->submit(2, {bad.data(), bad.size()}));
  REQUIRE((*through)->submit(2, {good.bytes.data(), good.bytes.size()}));
  auto const first = (*through)->wait(2);
  REQUIRE_FALSE(first);
  CHECK(first.error().code == millrace::errc::corrupt);
  CHECK((*through)->wait(2));
  REQUIRE((*through)->finish());
  CHECK(on.states()[2].applied == 4);
  CHECK(on.states()[2].out_of_order == 0);
}
