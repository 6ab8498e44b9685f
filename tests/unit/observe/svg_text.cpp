// SPDX-License-Identifier: Apache-2.0
#include <millrace/observe/svg_text.hpp>

#include <doctest/doctest.h>

#include <limits>
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

TEST_CASE("svg_text: what is no UTF-8, or no character of XML, is replaced, byte by byte") {
  auto const escaped = [](char const* what) {
    std::string out;
    observe::svg_text(out).escaped(what);
    return out;
  };
  std::string const fine =
      "\x7f \xc3\xa4 \xe2\x80\xa6 \xed\x9f\xbf \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf";
  CHECK(escaped(fine.c_str()) == fine);
  std::string const mark = "\xef\xbf\xbd";
  CHECK(escaped("a\xff") == "a" + mark);
  CHECK(escaped("\xc3<") == mark + "&lt;");   // ends too soon
  CHECK(escaped("\xe2\x80") == mark + mark);  // at the end, too
  CHECK(escaped("\xc0\xaf") == mark + mark);  // longer than need be
  CHECK(escaped("\xe0\x80\xaf") == mark + mark + mark);
  CHECK(escaped("\xed\xa0\x80") == mark + mark + mark);  // a surrogate
  CHECK(escaped("\xef\xbf\xbe") == mark + mark + mark);  // no character
  CHECK(escaped("\xf4\x90\x80\x80") == mark + mark + mark + mark);
}

TEST_CASE("svg_text: numbers that no picture has are 0, and large ones whole") {
  std::string out;
  observe::svg_text svg(out);
  svg.number(1e300).raw(" ").number(std::numeric_limits<double>::quiet_NaN()).raw(" ");
  svg.number(-std::numeric_limits<double>::infinity()).raw(" ").number(123'456'789'012.25);
  CHECK(out == "0 0 0 123456789012.2");
}
