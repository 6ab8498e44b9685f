// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace millrace::inline v0::observe {

/// Appends SVG to a string: elements that end themselves, text that is escaped. What it writes is
/// well-formed XML as long as every `open` has its `close`. Member functions throw std::bad_alloc.
class svg_text {
 public:
  explicit svg_text(std::string& to) noexcept : to_{to} {}

  /// As it stands.
  svg_text& raw(std::string_view what) {
    to_ += what;
    return *this;
  }
  /// With &, <, > and quotes escaped, and without control characters, which XML does not have.
  svg_text& escaped(std::string_view what) {
    for (char const c : what) {
      switch (c) {
        case '&': to_ += "&amp;"; break;
        case '<': to_ += "&lt;"; break;
        case '>': to_ += "&gt;"; break;
        case '"': to_ += "&quot;"; break;
        default:
          if (static_cast<unsigned char>(c) >= 0x20) { to_ += c; }
      }
    }
    return *this;
  }
  /// With at most one digit behind the point.
  svg_text& number(double value) {
    char digits[32];
    int length = std::snprintf(digits, sizeof digits, "%.1f", value);
    if (length > 2 && digits[length - 1] == '0') { length -= 2; }
    return raw({digits, static_cast<std::size_t>(length)});
  }

  svg_text& open(std::string_view element, std::string_view attributes = {}) {
    raw("<").raw(element);
    if (!attributes.empty()) { raw(" ").raw(attributes); }
    return raw(">");
  }
  svg_text& close(std::string_view element) { return raw("</").raw(element).raw(">\n"); }

  /// What a browser shows when the pointer rests on the element that is open.
  svg_text& title(std::string_view what) { return raw("<title>").escaped(what).raw("</title>"); }
  /// A line of text. @param style  the attribute `class`
  svg_text& text(double x, double y, std::string_view style, std::string_view what) {
    raw("<text x=\"").number(x).raw("\" y=\"").number(y);
    raw("\" class=\"").raw(style).raw("\">").escaped(what);
    return close("text");
  }
  /// A rectangle as a path, which is shorter.
  svg_text& box(double x, double y, double width, double height, std::string_view attributes = {}) {
    raw("<path ").raw(attributes).raw(attributes.empty() ? "d=\"M" : " d=\"M");
    number(x).raw(" ").number(y).raw("h").number(width).raw("v").number(height);
    return raw("h").number(-width).raw("z\"/>");
  }

 private:
  std::string& to_;
};

/// A colour on the way through `stops`, each 0xrrggbb, as "#rrggbb".
/// @param along  0 is the first stop, 1 the last
template <std::size_t N>
[[nodiscard]] std::string colour_along(std::uint32_t const (&stops)[N], double along) {
  static_assert(N >= 2);
  double const at = (along < 0 ? 0 : along > 1 ? 1 : along) * (N - 1);
  std::size_t const from = at >= N - 1 ? N - 2 : static_cast<std::size_t>(at);
  double const share = at - static_cast<double>(from);
  auto const part = [&](unsigned shift) {
    double const low = stops[from] >> shift & 255, high = stops[from + 1] >> shift & 255;
    return static_cast<unsigned>(low + share * (high - low) + 0.5);
  };
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", part(16) & 255, part(8) & 255, part(0) & 255);
  return text;
}

}  // namespace millrace::inline v0::observe
