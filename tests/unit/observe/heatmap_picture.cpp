// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/observe/heatmap_picture.hpp>
#include <millrace/observe/picture.hpp>
#include <millrace/observe/series_picture.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#if defined(MILLRACE_TEST_EXPAT)
#include <expat.h>
#endif

namespace core = millrace::core;
namespace observe = millrace::observe;
using core::region_use;

namespace {

/// Units of every use and fill.
[[nodiscard]] core::occupancy_map some_map(std::uint32_t units) {
  core::xoshiro_rng random(3);
  core::occupancy_map map;
  map.unit_bytes = 65'536;
  map.reserved_units = 2 * units;
  for (std::uint64_t bytes = 16; bytes <= 32'768; bytes *= 2) {
    map.classes.push_back({bytes, 0, 0, 0, 0});
  }
  while (map.units < units) {
    core::occupied_region next{.first = map.units};
    switch (random.next() % 8) {
      case 0: next.use = region_use::run; break;
      case 1: next.use = region_use::idle; break;
      case 2: next.use = region_use::untouched; break;
      default: next.use = region_use::blocks;
    }
    std::uint32_t const left = units - map.units;
    if (next.use == region_use::blocks) {
      next.size_class = static_cast<std::uint32_t>(random.next() % map.classes.size());
      auto& of = map.classes[next.size_class];
      next.blocks = static_cast<std::uint32_t>(65'536 / of.block_bytes);
      next.used = static_cast<std::uint32_t>(random.next() % (next.blocks + 1));
      of.units += 1;
      of.blocks += next.blocks;
      of.live_blocks += next.used / 2;
      of.cached_blocks += next.used - next.used / 2;
    } else {
      next.units = 1 + static_cast<std::uint32_t>(random.next() % 5) % left;
    }
    map.units += next.units;
    map.regions.push_back(next);
  }
  return map;
}

[[nodiscard]] std::size_t times(std::string const& text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++n;
  }
  return n;
}

#if defined(MILLRACE_TEST_EXPAT)
/// What a parser made for any XML says; empty when it has nothing to complain of.
[[nodiscard]] std::string complaint_of(std::string const& text) {
  XML_Parser const parser = ::XML_ParserCreate("UTF-8");
  std::string problem;
  if (::XML_Parse(parser, text.data(), static_cast<int>(text.size()), 1) != XML_STATUS_OK) {
    problem = std::string(::XML_ErrorString(::XML_GetErrorCode(parser))) + " in line " +
              std::to_string(::XML_GetCurrentLineNumber(parser));
  }
  ::XML_ParserFree(parser);
  return problem;
}
#endif

}  // namespace

TEST_CASE("heatmap_picture: every unit has its square with its numbers, and each class its bar") {
  core::occupancy_map const map = some_map(100);
  std::string const svg = core::value_or_throw(observe::draw_map(map, {.title = "A run"}));
  std::size_t bars = 0;
  for (auto const& c : map.classes) { bars += c.units != 0; }
  CHECK(times(svg, "<title>") == map.units + bars);
  CHECK(times(svg, " not free, cache 0</title>") == [&] {
    std::size_t n = 0;
    for (auto const& r : map.regions) { n += r.use == region_use::blocks; }
    return n;
  }());
  CHECK(times(svg, ">A run</text>") == 1);
  CHECK(times(svg, "http") == 1);  // the namespace, and nothing that is fetched
  CHECK(times(svg, "A square is 64.0 KiB") == 1);
}

TEST_CASE("heatmap_picture: a square stands for several units where there are too many") {
  core::occupancy_map const map = some_map(1'000);
  std::string const svg =
      core::value_or_throw(observe::draw_map(map, {.title = "A run", .most_squares = 250}));
  CHECK(times(svg, "A square is 4 slabs of 64.0 KiB") == 1);
  std::size_t bars = 0;
  for (auto const& c : map.classes) { bars += c.units != 0; }
  CHECK(times(svg, "<title>") == 250 + bars);
  CHECK(svg.size() < 150'000);
}

TEST_CASE("heatmap_picture: a square of several units says what is in them, large blocks too") {
  core::occupancy_map map;
  map.unit_bytes = 65'536;
  map.units = map.reserved_units = 400;
  map.regions = {{0, 3, region_use::run}, {3, 393, region_use::idle}, {396, 4, region_use::run}};
  std::string const svg = core::value_or_throw(observe::draw_map(map, {.most_squares = 100}));
  CHECK(times(svg, "75 % not free; 3 of large blocks, 1 free</title>") == 1);
  CHECK(times(svg, "100 % not free; 4 of large blocks, 0 free</title>") == 1);
  CHECK(times(svg, "free, may be resident</title>") == 98);
  CHECK(times(svg, "large block of") == 0);  // which of them it would be is not known here
}

TEST_CASE("heatmap_picture: the largest range that a map can name is drawn in as many squares") {
  core::occupancy_map map;
  map.unit_bytes = 4'096;
  map.units = map.reserved_units = ~0u;
  map.regions = {{0, 1, region_use::run}};  // the rest is not told
  std::string const svg = core::value_or_throw(observe::draw_map(map, {.most_squares = 64}));
  CHECK(times(svg, "A square is 67,108,864 slabs of 4.00 KiB") == 1);
  CHECK(svg.size() < 50'000);
}

TEST_CASE("heatmap_picture: nothing to draw is a picture too") {
  CHECK(times(core::value_or_throw(observe::draw_map({})), "0 B taken") == 1);
}

#if defined(MILLRACE_TEST_EXPAT)
TEST_CASE("heatmap_picture: maps, series and pages are well-formed, whatever their titles") {
  char const* const title = "a < b & \"c\" > d \x01 \xff \xe2\x80";
  std::vector<std::string> pictures;
  for (std::uint32_t const units : {1u, 100u, 5'000u}) {
    core::occupancy_map const map = some_map(units);
    pictures.push_back(
        core::value_or_throw(observe::draw_map(map, {.title = title, .note = title})));
    core::occupancy_series series;
    for (int i = 0; i < 3; ++i) { series.add(map); }
    pictures.push_back(core::value_or_throw(observe::draw_series(series, {.title = title})));
  }
  for (std::string const& each : pictures) { CHECK(complaint_of(each) == ""); }
  CHECK(complaint_of(core::value_or_throw(observe::page_of(title, pictures))) == "");
  CHECK(complaint_of(core::value_or_throw(observe::page_of("", {}))) == "");
  CHECK(complaint_of(pictures[0] + "<") != "");
}
#endif
