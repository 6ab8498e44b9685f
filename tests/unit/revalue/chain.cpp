// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/chain.hpp"

#include "sample.hpp"

#include <doctest/doctest.h>

using namespace revalue;
using revalue::test::temporary_file;

namespace {

constexpr char const* header = "time_ms,type,strike_e4,expiry,bid_e4,bid_size,ask_e4,ask_size\n";

/// Prices at 10:00 and 10:02.
feed prices() {
  feed out;
  out.events = {{100, 36'000'000, 0, 2, update_kind::spot},
                {101, 36'120'000, 0, 3, update_kind::spot}};
  return out;
}

std::string complaint_about(std::string const& lines, char const* date = "20151224") {
  temporary_file const input(header + lines);
  chain const quotes(input.path(), prices(), date, 0.01, 0);
  if (!quotes.problem()) { return {}; }
  return quotes.problem()->text.substr(quotes.problem()->text.find("input.csv"));
}

}  // namespace

TEST_CASE("days_of: knows the calendar") {
  CHECK(days_of("19700101") == 0);
  CHECK(days_of("20000229") == 11'016);
  CHECK(days_of("20151224") == 16'793);
  CHECK_FALSE(days_of("20150229"));
  CHECK_FALSE(days_of("20151301"));
  CHECK_FALSE(days_of("2015122"));
  CHECK_FALSE(days_of("2015-2-4"));
  CHECK(date_in("/a/20001/goog-20151224-quotes.csv") == "20151224");
  CHECK_FALSE(date_in("/20151224/quotes-123456789.csv"));
}

TEST_CASE("chain: makes a book of the quoted options and interleaves quotes with prices") {
  temporary_file const input(std::string(header) +
                                 "36000000,call,1000000,20151224,20000,1,30000,1\n"
                                 "36000000,put,1000000,20160115,30000,1,30500,1\n"
                                 "36180000,call,1000000,20151224,20000,1,32000,1\n"
                                 "36180000,call,1005000,20160115,,0,32000,1\n",
                             "x-20151224.csv");
  chain quotes(input.path(), prices(), "", 0.01, 0);
  REQUIRE_FALSE(quotes.problem());
  book const& book = quotes.options();
  REQUIRE(book.contracts.size() == 3);
  CHECK(book.contracts[0].id == "20151224-call-100");
  CHECK(book.contracts[2].id == "20160115-call-100.5");
  CHECK(book.contracts[0].years == doctest::Approx(6.0 / 24 / 365));
  CHECK(book.contracts[1].years == doctest::Approx(22.25 / 365));
  CHECK(book.desks == std::vector<std::string>{"20151224", "20160115"});
  feed const& f = quotes.prices_and_quotes();
  REQUIRE(f.events.size() == 5);
  CHECK(f.events[0].kind == update_kind::spot);
  CHECK(f.events[1].kind == update_kind::mid);
  CHECK(f.events[1].price == doctest::Approx(2.5));
  CHECK(f.events[3].kind == update_kind::spot);
  CHECK(f.events[4].line == 4);
  REQUIRE(f.rejected.size() == 1);
  CHECK(f.rejected[0].why == outcome::one_sided);
  CHECK(f.rejected[0].line == 5);
}

TEST_CASE("chain: refuses what cannot be solved, each with its reason") {
  temporary_file const input(std::string(header) +
                             "35000000,call,1000000,20160115,20000,1,30000,1\n"
                             "36000000,call,1000000,20151223,20000,1,30000,1\n"
                             "36000000,call,1000000,20160115,30000,1,20000,1\n"
                             "36000000,call,1000000,20160115,0,1,20000,1\n"
                             "36000000,call,1000000,20160115,20000,1,20000,1\n");
  chain quotes(input.path(), prices(), "20151224", 0.01, 0);
  REQUIRE_FALSE(quotes.problem());
  auto const& rejected = quotes.prices_and_quotes().rejected;
  REQUIRE(rejected.size() == 4);
  CHECK(rejected[0].why == outcome::no_underlying);
  CHECK(rejected[1].why == outcome::expired);
  CHECK(rejected[2].why == outcome::crossed);
  CHECK(rejected[3].why == outcome::one_sided);
  CHECK(quotes.prices_and_quotes().quote_lines == 5);
}

TEST_CASE("chain: says what is wrong where") {
  CHECK(complaint_about("36000000,call,1000000,20151224,1,1,2,1\n") == "");
  CHECK(complaint_about("36000000,cal,1000000,20151224,1,1,2,1\n") ==
        "input.csv:2:10: expected call or put for 'type', found 'cal'");
  CHECK(complaint_about("36000000,call,0,20151224,1,1,2,1\n") ==
        "input.csv:2:15: expected a strike above 0 for 'strike_e4', found '0'");
  CHECK(complaint_about("36000000,call,1000000,20151324,1,1,2,1\n") ==
        "input.csv:2:23: expected a date YYYYMMDD for 'expiry', found '20151324'");
  CHECK(complaint_about("36000000,call,1000000,20151224,1,1,2,1\n"
                        "35000000,call,1000000,20151224,1,1,2,1\n") ==
        "input.csv:3:1: expected a time not before the last line's for 'time_ms', found "
        "'35000000'");
  CHECK(complaint_about("") == "input.csv:2:1: expected a line of quotes after the header");
  CHECK(complaint_about("36000000,call,1000000,20151224,1,1,2,1\n", "") ==
        "input.csv: the quotes' date is not in the file's name; give it with --date YYYYMMDD");
}
