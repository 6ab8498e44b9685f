// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/occupancy.hpp>
#include <millrace/observe/series_picture.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace core = millrace::core;
namespace observe = millrace::observe;
using core::region_use;

namespace {
[[nodiscard]] std::size_t times(std::string const& text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++n;
  }
  return n;
}
}  // namespace

TEST_CASE("series_picture: a series has a band for each octave that was used, and a line") {
  core::occupancy_map map;
  map.unit_bytes = 65'536;
  map.units = 3;
  map.classes = {{16, 1, 0, 0, 4096}, {64, 0, 0, 0, 0}, {80, 1, 0, 0, 800}, {1024, 0, 0, 0, 0}};
  map.regions = {{0, 1, region_use::blocks}, {1, 1, region_use::blocks}, {2, 1, region_use::idle}};
  core::occupancy_series series;
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    map.time_ns = 5'000'000 * i;
    map.classes[0].live_blocks = i;
    map.classes[2].live_blocks = 1'000 - i;
    series.add(map);
  }
  std::string const svg = core::value_or_throw(observe::draw_series(series));
  CHECK(times(svg, "<title>") == 3);
  CHECK(times(svg, "<title>16 B – 64 B: at most 15.6 KiB, at the end 15.6 KiB</title>") == 1);
  CHECK(times(svg, "<title>80 B: at most 78.1 KiB, at the end 80 B</title>") == 1);
  CHECK(times(svg, "taken, 128 KiB at most") == 1);
  CHECK(times(svg, ">5.0 s</text>") == 1);
  CHECK(svg.size() < 60'000);  // not every sample is drawn
}

TEST_CASE("series_picture: none, one, and two of one time are pictures too") {
  CHECK(times(core::value_or_throw(observe::draw_series({})), "0 B in use at most") == 1);
  core::occupancy_map map;
  map.time_ns = 5;
  core::occupancy_series few;
  few.add(map);
  CHECK(observe::draw_series(few));
  few.add(map);
  CHECK(times(core::value_or_throw(observe::draw_series(few)), "nan") == 0);
}

TEST_CASE("series_picture: a class of any size that a number holds has its band") {
  core::occupancy_map map;
  map.units = 1;
  map.classes = {{64, 1, 1, 0, 1}, {65, 1, 1, 0, 1}, {~std::uint64_t{0}, 0, 1, 0, 0}};
  core::occupancy_series series;
  for (std::uint64_t i = 0; i < 2; ++i) {
    map.time_ns = i;
    series.add(map);
  }
  std::string const svg = core::value_or_throw(observe::draw_series(series));
  CHECK(times(svg, "<title>64 B: ") == 1);
  CHECK(times(svg, "<title>65 B: ") == 1);
  CHECK(times(svg, "<title>16.0 EiB: ") == 1);
}
