// SPDX-License-Identifier: Apache-2.0
#include "bench/harness/options.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace bench = millrace::bench;

namespace {

std::string problem_of(std::vector<char const*> const& arguments) {
  std::string problem;
  return bench::parse(arguments, problem) ? std::string() : problem;
}

}  // namespace

TEST_CASE("options: without arguments there are 33 rounds and a table") {
  std::string problem;
  auto const found = bench::parse({}, problem);
  REQUIRE(found);
  CHECK(found->runs == 33);
  CHECK_FALSE(found->json);
}

TEST_CASE("options: --json prints, and with a file name appends to the file") {
  std::string problem;
  std::vector<char const*> const printed{"--json", "--runs", "15"};
  auto found = bench::parse(printed, problem);
  REQUIRE(found);
  CHECK(found->json);
  CHECK(found->json_file.empty());
  CHECK(found->runs == 15);
  std::vector<char const*> const appended{"--filter",   "stream",    "--json",
                                          "rows.jsonl", "--seconds", "2.5"};
  found = bench::parse(appended, problem);
  REQUIRE(found);
  CHECK(found->json_file == "rows.jsonl");
  CHECK(found->filter == "stream");
  CHECK(found->seconds == 2.5);
}

TEST_CASE("options: what is malformed is named") {
  CHECK(problem_of({"--jsno"}) == "unknown argument '--jsno'");
  CHECK(problem_of({"--runs"}) == "--runs needs a value");
  CHECK(problem_of({"--runs", "many"}) == "--runs needs a number above zero, not 'many'");
  CHECK(problem_of({"--seconds", "-1"}) == "--seconds needs a number above zero, not '-1'");
  CHECK(problem_of({"--runs", "15x"}) == "--runs needs a number above zero, not '15x'");
}
