// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/csv.hpp"

#include "sample.hpp"

#include <doctest/doctest.h>

using namespace revalue;
using revalue::test::temporary_file;

namespace {

/// What reading two number columns of a text complains of; empty when it does not.
std::string complaint_about(std::string const& text) {
  temporary_file const input(text);
  csv file(input.path());
  std::size_t const a = file.require("a");
  std::size_t const b = file.require("b");
  while (file.next()) {
    static_cast<void>(file.number<double>(a));
    static_cast<void>(file.number<std::int64_t>(b));
  }
  if (!file.problem()) { return {}; }
  std::string const& whole = file.problem()->text;
  return whole.substr(whole.find("input.csv"));
}

}  // namespace

TEST_CASE("csv: reads lines that end in either way, or in nothing") {
  CHECK(complaint_about("a,b\n1.5,2\n-3e2,-4\n") == "");
  CHECK(complaint_about("a,b\r\n1,2\r\n\r\n3,4") == "");
  CHECK(complaint_about("a,b\n") == "");
  CHECK(complaint_about("other,b,a\nx,2,1\n") == "");
}

TEST_CASE("csv: says where a field is no number") {
  CHECK(complaint_about("a,b\n1,2\n1,x2\n") ==
        "input.csv:3:3: expected an integer for 'b', found 'x2'");
  CHECK(complaint_about("a,b\n12.5.6,2\n") ==
        "input.csv:2:1: expected a number for 'a', found '12.5.6'");
  CHECK(complaint_about("a,b\n,2\n") == "input.csv:2:1: expected a number for 'a', found ''");
  CHECK(complaint_about("a,b\n1,2.5\n") ==
        "input.csv:2:3: expected an integer for 'b', found '2.5'");
  CHECK(complaint_about("a,b\n1,99999999999999999999\n") ==
        "input.csv:2:3: expected an integer for 'b', found '99999999999999999999'");
}

TEST_CASE("csv: says where fields are missing or too many") {
  CHECK(complaint_about("a,b\n1\n") == "input.csv:2:2: expected 2 fields (a,b), found 1");
  CHECK(complaint_about("a,b\n1,2,345\n") == "input.csv:2:5: expected 2 fields (a,b), found 3");
}

TEST_CASE("csv: says which column the header lacks") {
  CHECK(complaint_about("a,c\n1,2\n") ==
        "input.csv:1:1: expected a header with a column 'b'; found 'a,c'");
}

TEST_CASE("csv: an empty file, a missing one and a folder are problems") {
  CHECK(complaint_about("") == "input.csv: the file is empty; expected a CSV with a header line");
  csv const missing("/nowhere/at/all.csv");
  REQUIRE(missing.problem());
  CHECK(missing.problem()->text ==
        "/nowhere/at/all.csv: cannot be opened: No such file or directory");
  csv const folder("/");
  REQUIRE(folder.problem());
  CHECK(folder.problem()->text == "/: cannot be read: Is a directory");
}

TEST_CASE("csv: keeps the first problem and gives no more lines") {
  temporary_file const input("a\nx\n1\n");
  csv file(input.path());
  REQUIRE(file.next());
  CHECK(file.number<double>(0) == 0);
  CHECK(file.problem());
  CHECK_FALSE(file.next());
}
