// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/encoded_runs.hpp"
#include <millrace/delta/run_format.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

namespace {

using namespace millrace_test;
using millrace::delta::run_kind;
namespace core = millrace::core;
namespace delta = millrace::delta;

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
