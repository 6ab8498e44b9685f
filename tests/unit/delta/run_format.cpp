// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/encoded_runs.hpp"
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/run_format.hpp>

#include <doctest/doctest.h>

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace millrace_test;
using millrace::delta::change_set_ref;
using millrace::delta::run_header;
using millrace::delta::run_kind;
namespace core = millrace::core;
namespace delta = millrace::delta;

/// The bytes of the one block of hex in a document: the hex numbers that begin each of its lines.
[[nodiscard]] std::vector<std::byte> hex_of(std::filesystem::path const& document) {
  std::ifstream file(document);
  REQUIRE_MESSAGE(file.is_open(), "no document ", document.string());
  std::vector<std::byte> found;
  std::string line;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line.rfind("```", 0) == 0) {
      inside = line == "```hex";
      continue;
    }
    for (std::size_t at = 0; inside && at + 1 < line.size(); at += 3) {
      auto const digit = [&](std::size_t i) {
        return std::isxdigit(static_cast<unsigned char>(line[i])) != 0;
      };
      bool const ends = at + 2 >= line.size() || line[at + 2] == ' ';
      if (!digit(at) || !digit(at + 1) || !ends) { break; }
      found.push_back(static_cast<std::byte>(std::stoi(line.substr(at, 2), nullptr, 16)));
    }
  }
  return found;
}

TEST_CASE("run_format: the specification's example is what these rows become, byte by byte") {
  auto const page =
      std::filesystem::path(__FILE__).parent_path() / "../../../docs/design/delta-format.md";
  auto const want = hex_of(page);
  std::uint32_t const keys[] = {3, 4, 7, 20};
  std::int32_t const values[] = {10, 10, 10, 10};
  change_set_ref<std::uint32_t, std::int32_t> const rows(keys, 4, values);
  auto const got = encoded(rows);
  REQUIRE(want.size() == 84);
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == want[i]);
  }
  auto const back = delta::decode<std::uint32_t, std::int32_t>({want.data(), want.size()});
  REQUIRE(back.has_value());
  CHECK(back->ref() == rows);
}

TEST_CASE("run_format: a header comes back with every type, and says when it is cut") {
  auto const header = delta::run_header_of<std::uint64_t, std::int8_t, std::uint16_t, float, double,
                                           stored_quote, core::f16_bits>(run_kind::raw, 12'345);
  CHECK(header.size_bytes() == 24 + 4 * 6);
  exact_bytes const run(header.size_bytes());
  delta::write_header(header, &run[0]);
  auto const back = delta::read_header(run.bytes());
  REQUIRE(back.has_value());
  CHECK(back->kind == run_kind::raw);
  CHECK(back->key == core::dtype::u64);
  CHECK(back->rows == 12'345);
  CHECK(back->columns == 6);
  CHECK(back->column[0] == delta::column_type{1, 1});
  CHECK(back->column[4] == delta::column_type{delta::opaque_type, 12});
  CHECK((back->describes<std::uint64_t, std::int8_t, std::uint16_t, float, double, stored_quote,
                         core::f16_bits>()));
  CHECK_FALSE(
      (back->describes<std::uint64_t, std::int8_t, std::uint16_t, float, double, stored_quote>()));
  for (std::size_t cut = 0; cut < run.size(); ++cut) {
    CHECK(delta::read_header(run.first(cut).bytes()).error() ==
          error{errc::corrupt, {}, static_cast<int>(cut)});
  }
}

TEST_CASE("run_format: a column whose size is not its type's is refused") {
  auto header = delta::run_header_of<std::uint32_t, float>(run_kind::packed, delta::unknown_rows);
  exact_bytes const run(header.size_bytes());
  auto const read = [&](delta::column_type type) {
    header.column[0] = type;
    delta::write_header(header, &run[0]);
    return delta::read_header(run.bytes());
  };
  error const bad{errc::corrupt, {}, 20};
  CHECK(read({11, 4}).has_value());
  CHECK(read({11, 8}).error() == bad);
  CHECK(read({13, 4}).error() == bad);
  CHECK(read({254, 4}).error() == bad);
  CHECK(read({255, 0}).error() == bad);
  CHECK(read({255, 512}).has_value());
  CHECK(read({255, 513}).error() == bad);
  header.kind = run_kind::raw;  // which knows its rows
  CHECK(read({11, 4}).error() == error{errc::corrupt, {}, 8});
}

}  // namespace
