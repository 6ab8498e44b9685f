// SPDX-License-Identifier: Apache-2.0
#include "bench/harness/session.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace bench = millrace::bench;

namespace {

/// Runs one comparison that writes the order of its trials into `order`; the JSON lines it printed.
std::vector<std::string> rows_in_file(bench::measured peer_result, std::string& order,
                                      int& exit_code) {
  auto const path = std::filesystem::temp_directory_path() /
                    ("millrace_bench_session_" + std::to_string(bench::now_ns()) + ".jsonl");
  bench::options asked;
  asked.json = true;
  asked.json_file = path.string();
  asked.runs = 3;
  {
    bench::session work(asked);
    work.run({.bench = "harness.test",
              .unit = "ns",
              .way = bench::better::lower,
              .ours = {"millrace",
                       [&] {
                         order += 'A';
                         return bench::measured{10, {}};
                       }},
              .peers = {{"other", [&] {
                           order += 'B';
                           return peer_result;
                         }}}});
    exit_code = work.exit_code();
  }
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) { lines.push_back(line); }
  std::filesystem::remove(path);
  return lines;
}

}  // namespace

TEST_CASE("session: contenders take turns, and the row has what they found") {
  std::string order;
  int exit_code = -1;
  auto const lines = rows_in_file({20, {}}, order, exit_code);
  CHECK(order == "ABABAB");
  CHECK(exit_code == 0);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] ==
        R"({"bench":"harness.test","unit":"ns","ours":10,"peer":"other","peer_value":20,)"
        R"("ratio":2,"runs":3,"mad":0,"peer_mad":0})");
}

TEST_CASE("session: a wrong result fails the program and no number is printed") {
  std::string order;
  int exit_code = -1;
  auto const lines = rows_in_file({20, "sum differs"}, order, exit_code);
  CHECK(order == "AB");
  CHECK(exit_code == 1);
  CHECK(lines.empty());
}
