// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/encoded_runs.hpp"
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/encode_run.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace millrace_test;
namespace delta = millrace::delta;

struct hex_line {
  std::vector<std::byte> bytes;
  std::size_t offset = 0;  // as the line says it
};

/// A line's pairs of digits, then the offset that stands behind them.
[[nodiscard]] hex_line parse(std::string const& text) {
  hex_line line;
  std::size_t at = 0;
  auto const digit = [&](std::size_t i) {
    return i < text.size() ? std::string("0123456789abcdef").find(text[i]) : std::string::npos;
  };
  while (digit(at) != std::string::npos && digit(at + 1) != std::string::npos) {
    line.bytes.push_back(static_cast<std::byte>(digit(at) * 16 + digit(at + 1)));
    at += 3;
  }
  if (at < text.size()) { line.offset = std::stoul(text.substr(at)); }
  return line;
}

/// The bytes of the document's block of hex digits, whose lines say where they are.
[[nodiscard]] std::vector<std::byte> documented() {
  std::ifstream file(MILLRACE_FORMAT_DOCUMENT);
  REQUIRE(file.is_open());
  std::vector<std::byte> bytes;
  bool inside = false;
  for (std::string text; std::getline(file, text);) {
    if (inside && text == "```") { return bytes; }
    if (inside && !text.empty()) {
      hex_line const line = parse(text);
      INFO(text);
      REQUIRE(!line.bytes.empty());
      REQUIRE(line.offset == bytes.size());
      bytes.insert(bytes.end(), line.bytes.begin(), line.bytes.end());
    }
    inside = inside || text == "```hex";
  }
  FAIL("the document has no whole example");
  return bytes;
}

TEST_CASE("format: the example of the specification is what is written, and gives its rows") {
  std::uint32_t const keys[] = {1000, 1001, 1004, 1010};
  double const values[] = {181.25, 181.25, 181.26, 181.24};
  delta::change_set_ref<std::uint32_t, double> const rows(keys, 4, values);
  auto const text = documented();
  exact_bytes const run(cuda::std::span<std::byte const>(text.data(), text.size()));
  auto const want = encoded(rows);
  REQUIRE(run.size() == want.size());
  for (std::size_t i = 0; i < run.size(); ++i) {
    CAPTURE(i);
    REQUIRE(run[i] == want[i]);
  }
  auto const back = delta::decode<std::uint32_t, double>(run.bytes());
  REQUIRE(back.has_value());
  CHECK(back->ref() == rows);
}

}  // namespace
