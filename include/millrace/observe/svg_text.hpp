// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
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
  /// With &, <, > and quotes escaped, without control characters, and with a replacement character
  /// in place of what is no UTF-8: XML has neither.
  svg_text& escaped(std::string_view what) {
    while (!what.empty()) {
      std::size_t const length = character_bytes(what);
      char const c = what[0];
      if (length == 0) {
        to_ += "\xef\xbf\xbd";
      } else if (c == '&') {
        to_ += "&amp;";
      } else if (c == '<') {
        to_ += "&lt;";
      } else if (c == '>') {
        to_ += "&gt;";
      } else if (c == '"') {
        to_ += "&quot;";
      } else if (static_cast<unsigned char>(c) >= 0x20) {
        to_ += what.substr(0, length);
      }
      what.remove_prefix(length == 0 ? 1 : length);
    }
    return *this;
  }
  /// With at most one digit behind the point, which is a point in every locale. What is not finite,
  /// or too large for any picture, is 0.
  svg_text& number(double value) {
    if (!(value > -1e15 && value < 1e15)) { value = 0; }
    char digits[24];
    char* end =
        std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed, 1).ptr;
    if (end[-1] == '0') { end -= 2; }
    return raw({digits, static_cast<std::size_t>(end - digits)});
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
  /// Bytes of the character that `what` begins with; 0 when it begins with none that XML has.
  [[nodiscard]] static std::size_t character_bytes(std::string_view what) noexcept {
    auto const byte = [&](std::size_t i) {
      return i < what.size() ? static_cast<unsigned char>(what[i]) : 0u;
    };
    unsigned const first = byte(0);
    if (first < 0x80) { return 1; }
    std::size_t const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) { return 0; }
    std::uint32_t code = first & (0xffu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
      if ((byte(i) & 0xc0u) != 0x80u) { return 0; }
      code = code << 6 | (byte(i) & 0x3fu);
    }
    constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool const surrogate = code >= 0xd800 && code < 0xe000;
    bool const none = code == 0xfffe || code == 0xffff || code > 0x10ffff;
    return code < least[length] || surrogate || none ? 0 : length;
  }

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
