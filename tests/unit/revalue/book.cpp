// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/book.hpp"

#include "examples/revalue/book_csv.hpp"
#include "sample.hpp"

#include <doctest/doctest.h>

using namespace revalue;
using revalue::test::temporary_file;

namespace {

std::string complaint_about(std::string const& lines) {
  temporary_file const input("id,desk,type,strike,expiry_days,vol,quantity\n" + lines);
  auto const [book, problem] = read_book(input.path(), 0, 0);
  if (!problem) { return {}; }
  return problem->text.substr(problem->text.find("input.csv"));
}

}  // namespace

TEST_CASE("generate_book: gives the same book for the same arguments, on any machine") {
  book const a = generate_book(20'000, 1455.22, 0.01, 0);
  book const b = generate_book(20'000, 1455.22, 0.01, 0);
  REQUIRE(a.contracts.size() == 20'000);
  CHECK(a.desks.size() == 8);
  double strikes = 0;
  double quantities = 0;
  for (std::size_t i = 0; i < a.contracts.size(); ++i) {
    CHECK(a.contracts[i].strike == b.contracts[i].strike);
    CHECK(a.contracts[i].volatility == b.contracts[i].volatility);
    strikes += a.contracts[i].strike;
    quantities += a.contracts[i].quantity;
  }
  CHECK(strikes == 31'624'511);
  CHECK(quantities == -666'200);
}

TEST_CASE("generate_book: every option can be priced") {
  for (double const reference : {0.05, 1.0, 182.0, 4e5}) {
    for (contract const& c : generate_book(999, reference, 0.01, 0).contracts) {
      REQUIRE(c.strike > 0);
      REQUIRE(c.years > 0);
      REQUIRE(c.volatility >= 0.06);
      REQUIRE(c.volatility <= 0.9);
      REQUIRE(c.quantity != 0);
    }
  }
}

TEST_CASE("read_book: reads options and numbers desks as they appear") {
  temporary_file const input(
      "id,desk,type,strike,expiry_days,vol,quantity\n"
      "one,beta,call,100,73,0.2,-5\n"
      "two,alpha,put,90.5,365,,2.5\n"
      "three,beta,put,80,1,0.4,1\n");
  auto const [book, problem] = read_book(input.path(), 0.03, 0.01);
  REQUIRE_FALSE(problem);
  CHECK(book.desks == std::vector<std::string>{"beta", "alpha"});
  REQUIRE(book.contracts.size() == 3);
  CHECK(book.contracts[0].years == doctest::Approx(0.2));
  CHECK(book.contracts[1].volatility == 0);
  CHECK_FALSE(book.contracts[1].call);
  CHECK(book.contracts[2].desk == 0);
  CHECK(book.rate == 0.03);
}

TEST_CASE("read_book: says what is wrong where") {
  CHECK(complaint_about("a,d,call,100,30,0.2,1\n") == "");
  CHECK(complaint_about("a,d,cull,100,30,0.2,1\n") ==
        "input.csv:2:5: expected call or put for 'type', found 'cull'");
  CHECK(complaint_about("a,d,call,-100,30,0.2,1\n") ==
        "input.csv:2:10: expected a number above 0 for 'strike', found '-100'");
  CHECK(complaint_about("a,d,call,100,0,0.2,1\n") ==
        "input.csv:2:14: expected a number of days above 0 for 'expiry_days', found '0'");
  CHECK(complaint_about("a,d,call,100,30,nan,1\n") ==
        "input.csv:2:17: expected a volatility above 0, or nothing for 'vol', found 'nan'");
  CHECK(complaint_about("a,d,call,100,30,0.2,inf\n") ==
        "input.csv:2:21: expected a finite number for 'quantity', found 'inf'");
  CHECK(complaint_about(",d,call,100,30,0.2,1\n") ==
        "input.csv:2:1: expected a name for 'id', found ''");
  CHECK(complaint_about("") == "input.csv:2:1: expected a line with an option after the header");
}
