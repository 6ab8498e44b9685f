// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/underlying.hpp"

#include "sample.hpp"

#include <doctest/doctest.h>

using namespace revalue;
using revalue::test::temporary_file;

namespace {

std::string complaint_about(std::string const& text) {
  temporary_file const input(text);
  auto const [feed, problem] = read_underlying(input.path());
  if (!problem) { return {}; }
  return problem->text.substr(problem->text.find("input.csv"));
}

}  // namespace

TEST_CASE("bundled_underlying: is the S&P 500's closes") {
  feed const f = bundled_underlying();
  REQUIRE(f.events.size() == 5'105);
  CHECK(f.events.front().price == 1455.22);
  CHECK(f.events.back().price == 2874.56);
  CHECK(f.daily);
}

TEST_CASE("read_underlying: reads daily closes") {
  temporary_file const input("date,open,close\n2000-01-03,1,1455.22\n2000-01-04,1,1399.42\n");
  auto const [f, problem] = read_underlying(input.path());
  REQUIRE_FALSE(problem);
  REQUIRE(f.events.size() == 2);
  CHECK(f.events[1].price == 1399.42);
  CHECK(f.events[1].line == 3);
  CHECK(f.daily);
}

TEST_CASE("read_underlying: a side of 0 stays what it was, and every quote is an event") {
  temporary_file const input(
      "time_ms,bid_e4,bid_size,ask_e4,ask_size,suspicious\n"
      "1,1000000,1,0,0,0\n"
      "2,0,0,1020000,1,0\n"
      "2,0,0,1020000,5,0\n"
      "3,1010000,1,,0,0\n"
      "4,1030000,1,0,0,0\n"
      "5,0,0,1050000,1,1\n"
      "6,0,0,1040000,1,0\n");
  auto const [f, problem] = read_underlying(input.path());
  REQUIRE_FALSE(problem);
  REQUIRE(f.events.size() == 7);
  CHECK(f.events[0].kind == update_kind::quiet);
  CHECK(f.events[1].kind == update_kind::spot);
  CHECK(f.events[1].price == doctest::Approx(101));
  CHECK(f.events[2].kind == update_kind::quiet);
  CHECK(f.events[3].price == doctest::Approx(101.5));
  CHECK(f.events[4].kind == update_kind::quiet);
  CHECK(f.events[5].kind == update_kind::quiet);
  CHECK(f.events[6].price == doctest::Approx(103.5));
  CHECK_FALSE(f.daily);
}

TEST_CASE("read_underlying: reads trades") {
  temporary_file const input("time_ms,price_e4,size\n5,1815200,100\n7,1818000,1\n");
  auto const [f, problem] = read_underlying(input.path());
  REQUIRE_FALSE(problem);
  REQUIRE(f.events.size() == 2);
  CHECK(f.events[0].price == doctest::Approx(181.52));
  CHECK(f.events[1].time == 7);
}

TEST_CASE("read_underlying: says what is wrong where") {
  CHECK(complaint_about("date,close\n2000-01-03,-5\n") ==
        "input.csv:2:12: expected a price above 0 for 'close', found '-5'");
  CHECK(complaint_about("date,close\n") ==
        "input.csv:2:1: expected a line of prices after the header");
  CHECK(complaint_about("time_ms,bid_e4,ask_e4\n5,1,2\n4,1,2\n") ==
        "input.csv:3:1: expected a time not before the last line's for 'time_ms', found '4'");
  CHECK(complaint_about("time_ms,bid_e4,ask_e4\n5,1,-2\n") ==
        "input.csv:2:5: expected a price, or 0 for 'ask_e4', found '-2'");
  CHECK(complaint_about("time_ms,bid_e4,ask_e4\n5,3,2\n").find("do not cross") !=
        std::string::npos);
  CHECK(complaint_about("time,value\n5,3\n").starts_with("input.csv:1:1: expected a header"));
}
