// SPDX-License-Identifier: Apache-2.0
#include <millrace/observe/svg_text.hpp>

#include <doctest/doctest.h>

#include <string>

namespace observe = millrace::observe;

TEST_CASE("svg_text: text is escaped, numbers are short, elements end") {
  std::string out;
  observe::svg_text svg(out);
  svg.open("g", "class=\"a\"").title("1 < 2 & \"3\"\n").close("g");
  CHECK(out == "<g class=\"a\"><title>1 &lt; 2 &amp; &quot;3&quot;</title></g>\n");
  out.clear();
  svg.number(2).raw(" ").number(2.04).raw(" ").number(-0.5).raw(" ").number(10);
  CHECK(out == "2 2 -0.5 10");
  out.clear();
  svg.box(1, 2, 3, 4, "fill=\"#fff\"");
  CHECK(out == "<path fill=\"#fff\" d=\"M1 2h3v4h-3z\"/>");
  out.clear();
  svg.text(1.5, 2, "m", "a>b");
  CHECK(out == "<text x=\"1.5\" y=\"2\" class=\"m\">a&gt;b</text>\n");
}

TEST_CASE("colour_along: from the first stop over those between to the last") {
  constexpr std::uint32_t stops[] = {0x000000, 0x804020, 0xffffff};
  CHECK(observe::colour_along(stops, 0) == "#000000");
  CHECK(observe::colour_along(stops, 0.25) == "#402010");
  CHECK(observe::colour_along(stops, 0.5) == "#804020");
  CHECK(observe::colour_along(stops, 1) == "#ffffff");
  CHECK(observe::colour_along(stops, 7) == "#ffffff");
  CHECK(observe::colour_along(stops, -1) == "#000000");
}
