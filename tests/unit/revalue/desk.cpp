// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/desks.hpp"
#include "examples/revalue/instruction_set.hpp"
#include "sample.hpp"
#include <millrace/core/rng.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace revalue;

namespace {

/// A desk and the number of its next update.
struct driven_desk {
  explicit driven_desk(book const& from, instruction_set with = best_instruction_set())
      : memory(from), apply(with.apply) {}

  reply send(update_kind kind, double price, std::uint32_t option = 0) {
    return apply(memory.refs()[0], {price, next++, 0, option, 0, kind});
  }

  desks memory;
  reply (*apply)(desk_ref const&, update const&) noexcept;
  std::uint64_t next = 0;
};

book small_book(std::size_t count) {
  book out = generate_book(count, 100, 0.02, 0.01);
  out.desks = {"all"};
  for (contract& c : out.contracts) { c.desk = 0; }
  return out;
}

bool same_risk(reply const& a, reply const& b) {
  return a.value == b.value && a.delta == b.delta && a.gamma == b.gamma && a.vega == b.vega &&
         a.theta == b.theta && a.rho == b.rho;
}

}  // namespace

TEST_CASE("desk: its risk depends on what its options are, not on how they came to be so") {
  book const from = small_book(203);
  driven_desk first(from);
  static_cast<void>(first.send(update_kind::spot, 90));
  millrace::core::splitmix_rng rng(3);
  std::vector<double> vols(from.contracts.size(), 0);
  for (int i = 0; i < 2'000; ++i) {
    auto const option = static_cast<std::uint32_t>(rng.next() % vols.size());
    vols[option] = uniform(rng, 0.05, 0.9);
    CHECK(first.send(update_kind::volatility, vols[option], option).recomputed == 1);
  }
  reply const moved = first.send(update_kind::spot, 104.5);

  book again = from;
  for (std::size_t i = 0; i < vols.size(); ++i) {
    if (vols[i] > 0) { again.contracts[i].volatility = vols[i]; }
  }
  driven_desk second(again);
  reply const fresh = second.send(update_kind::spot, 104.5);
  CHECK(same_risk(moved, fresh));
  CHECK(moved.recomputed == 203);
}

TEST_CASE("desk: a single option's update and a whole revaluation agree to the last bit") {
  driven_desk desk(small_book(77));
  static_cast<void>(desk.send(update_kind::spot, 101));
  reply const single = desk.send(update_kind::volatility, 0.37, 42);
  reply const whole = desk.send(update_kind::spot, 101);
  CHECK(same_risk(single, whole));
}

TEST_CASE("desk: a mid gives the option the volatility that reprices it") {
  driven_desk desk(small_book(40));
  static_cast<void>(desk.send(update_kind::spot, 100));
  value_block const& values = desk.memory.values()[9 / block_width];
  double const mid = values.value[9 % block_width] + 0.01;
  reply const answer = desk.send(update_kind::mid, mid, 9);
  CHECK(answer.outcome == outcome::applied);
  CHECK(desk.memory.options()[9 / block_width].volatility[9 % block_width] > 0);
  CHECK(std::fabs(values.value[9 % block_width] - mid) < 1e-12);
}

TEST_CASE("desk: a mid outside the bounds changes nothing and says so") {
  driven_desk desk(small_book(40));
  reply const before = desk.send(update_kind::spot, 100);
  reply const low = desk.send(update_kind::mid, 0, 3);
  reply const high = desk.send(update_kind::mid, 1e6, 3);
  CHECK(low.outcome == outcome::below_bound);
  CHECK(high.outcome == outcome::above_bound);
  CHECK(low.recomputed == 0);
  CHECK(same_risk(before, high));
}

TEST_CASE("desk: an option's update before any price of the underlying is refused") {
  driven_desk desk(small_book(8));
  CHECK(desk.send(update_kind::mid, 1, 0).outcome == outcome::no_underlying);
  CHECK(desk.send(update_kind::volatility, 0.2, 0).outcome == outcome::no_underlying);
}

TEST_CASE("desk: an option without a volatility weighs nothing until its first quote") {
  book from = small_book(16);
  for (contract& c : from.contracts) { c.volatility = 0; }
  driven_desk desk(from);
  CHECK(desk.send(update_kind::spot, 100).value == 0);
  reply const quoted = desk.send(update_kind::volatility, 0.3, 5);
  CHECK(quoted.value == from.contracts[5].quantity * desk.memory.values()[0].value[5]);
}

TEST_CASE("desk: counts each update once and notices one that is out of order") {
  driven_desk desk(small_book(8));
  static_cast<void>(desk.send(update_kind::spot, 100));
  static_cast<void>(desk.send(update_kind::quiet, 0));
  CHECK(desk.memory.states()[0].applied == 2);
  CHECK(desk.memory.states()[0].out_of_order == 0);
  desk.next = 7;
  static_cast<void>(desk.send(update_kind::quiet, 0));
  CHECK(desk.memory.states()[0].out_of_order == 1);
  CHECK(desk.memory.states()[0].recomputed == 8);
}

TEST_CASE("desk: every instruction set answers with the same bits") {
  book const from = small_book(333);
  auto const story = [&](instruction_set const& with) {
    driven_desk desk(from, with);
    millrace::core::splitmix_rng rng(21);
    static_cast<void>(desk.send(update_kind::spot, 100));
    reply last;
    for (int i = 0; i < 300; ++i) {
      auto const option = static_cast<std::uint32_t>(rng.next() % 333);
      std::uint32_t const block = option / block_width;
      double const mid = desk.memory.values()[block].value[option % block_width] * 1.01;
      last = desk.send(update_kind::mid, mid, option);
      if (i % 50 == 0) { last = desk.send(update_kind::spot, uniform(rng, 80, 120)); }
    }
    return last;
  };
  auto const sets = instruction_sets();
  for (instruction_set const& with : sets) {
    CHECK_MESSAGE(same_risk(story(with), story(sets.front())), with.name);
  }
}
