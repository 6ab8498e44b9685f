// SPDX-License-Identifier: Apache-2.0
#include "bench/harness/comparison.hpp"

#include "bench/harness/report.hpp"

#include <doctest/doctest.h>

#include <string>

namespace bench = millrace::bench;
using bench::placement;
using bench::sample;

namespace {

bench::comparison placed_times() {
  return {.bench = "queue.roundtrip.64B",
          .unit = "ns",
          .way = bench::better::lower,
          .ours = {"millrace", {}},
          .peers = {{"one", {}}, {"two", {}}},
          .placed = true};
}

}  // namespace

TEST_CASE("placement: under 100 ns is near, over 120 ns far, and the gap is neither") {
  CHECK(bench::classify(54) == placement::near);
  CHECK(bench::classify(100) == placement::between);
  CHECK(bench::classify(120) == placement::between);
  CHECK(bench::classify(140) == placement::far);
}

TEST_CASE("placement: a trial whose two probes disagree belongs to no class") {
  CHECK(bench::classify(140, 150) == placement::far);
  CHECK(bench::classify(60, 50) == placement::near);
  CHECK(bench::classify(60, 140) == placement::between);
  CHECK(bench::classify(140, 110) == placement::between);
}

TEST_CASE("comparison: a round counts for a peer when ours and the peer were both far") {
  sample const far{100, placement::far};
  sample const moved{100, placement::between};
  bench::rounds const all{{far, far, moved, far}, {far, moved, far, far}, {far, far, far, far}};
  CHECK(bench::paired(all, 1, placement::far).first.size() == 2);
  CHECK(bench::paired(all, 2, placement::far).first.size() == 3);
  CHECK(bench::fewest_pairs(all, placement::far) == 2);
  CHECK(bench::fewest_pairs(all, placement::near) == 0);
}

TEST_CASE("comparison: far and near make rows of their own, and what lies between makes none") {
  auto const at = [](double value, placement where) { return sample{value, where}; };
  bench::rounds const all{
      {at(100, placement::far), at(40, placement::near), at(7, placement::between)},
      {at(150, placement::far), at(50, placement::near), at(7, placement::between)},
      {at(300, placement::far), at(7, placement::far), at(7, placement::between)}};
  auto const rows = bench::rows_of(placed_times(), all);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].peer == "one");
  CHECK(rows[0].where == placement::far);
  CHECK(rows[0].ratio == 1.5);
  CHECK(rows[1].peer == "two");
  CHECK(rows[1].ratio == 3);
  CHECK(rows[2].peer == "one");
  CHECK(rows[2].where == placement::near);
  CHECK(rows[2].ratio == 1.25);
  CHECK(rows[2].runs == 1);
}

TEST_CASE("comparison: without peers there is one row and it claims no ratio") {
  bench::comparison what = placed_times();
  what.peers.clear();
  what.placed = false;
  auto const rows = bench::rows_of(what, {{sample{10}, sample{30}, sample{20}}});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].ours == 20);
  CHECK(rows[0].runs == 3);
  CHECK(bench::json_of(rows[0]) ==
        R"({"bench":"queue.roundtrip.64B","unit":"ns","ours":20,"runs":3,"mad":10})");
}

TEST_CASE("report: a row is one JSON object with the documented keys in their order") {
  bench::row const line{.bench = "queue.roundtrip.64B",
                        .unit = "ns",
                        .peer = "atomic_queue.optimist2.spsc",
                        .ours = 431,
                        .ours_mad = 2.5,
                        .peer_value = 450,
                        .peer_mad = 3,
                        .ratio = 1.04,
                        .runs = 33,
                        .where = placement::far};
  CHECK(bench::json_of(line) ==
        R"({"bench":"queue.roundtrip.64B","unit":"ns","ours":431,)"
        R"("peer":"atomic_queue.optimist2.spsc","peer_value":450,"ratio":1.04,"runs":33,)"
        R"("placement":"far","mad":2.5,"peer_mad":3})");
  CHECK(bench::table_line(line).find("1.040") != std::string::npos);
}

TEST_CASE("report: rates are readable in the table and exact in JSON") {
  CHECK(bench::readable(24'600'000, "items/s") == "24.60 M items/s");
  CHECK(bench::readable(431.26, "ns") == "431.3 ns");
  CHECK(bench::number(24'612'345) == "2.46123e+07");
}
