// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/observe/svg_text.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>

namespace millrace::inline v0::observe {

/// How a picture of memory is drawn.
struct picture_options {
  std::string_view title = "Memory";
  std::string_view note = {};  ///< a line below the title: what ran, and when
  /// Where there are more units, a square stands for several.
  std::uint32_t most_squares = 2048;
};

namespace detail {

/// What both pictures share. Colours of classes are the same on light and dark ground.
class picture {
 public:
  static constexpr double width = 960, left = 96, right = 936;

  picture(std::string& to, double height, std::string_view label) : svg_{to} {
    svg_.raw("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 ").number(height);
    svg_.raw("\" width=\"960\" height=\"").number(height).raw("\" role=\"img\" aria-label=\"");
    svg_.escaped(label).raw("\">\n");
    svg_.raw(R"(<style>
text{font:12px system-ui,"Segoe UI","DejaVu Sans",sans-serif;fill:#3d4654}
.h{font-size:19px;font-weight:600;fill:#141a22}.s{font-size:13px;font-weight:600;fill:#141a22}
.m{fill:#6b7686}.r{text-anchor:end}.c{text-anchor:middle}
.g{fill:#fff}.l{stroke:#dde2e9;fill:none}.e{fill-opacity:.2}.d{fill-opacity:.55}
.u{fill:#8b95a5;fill-opacity:.1}.i{fill:none;stroke:#8b95a5;stroke-width:1;stroke-dasharray:2 2}
.w{fill:#fff;pointer-events:none}.b{fill:#566275}.k{stroke:#141a22;stroke-width:1.5;stroke-dasharray:5 3;fill:none}
@media (prefers-color-scheme:dark){text{fill:#b9c2cf}.h,.s{fill:#f0f3f7}.m{fill:#8b95a5}
.g{fill:#12161c}.l{stroke:#2b323d}.w{fill:#12161c}.b{fill:#8f9cb0}.k{stroke:#f0f3f7}.e{fill-opacity:.26}}
</style>
)");
    svg_.box(0, 0, width, height, "class=\"g\"").raw("\n");
  }
  picture(picture const&) = delete;
  picture& operator=(picture const&) = delete;

  void head(picture_options const& how, std::string_view figures) {
    svg_.text(24, 36, "h", how.title);
    svg_.text(24, 57, "", figures);
    if (!how.note.empty()) { svg_.text(24, 76, "m", how.note); }
  }
  [[nodiscard]] svg_text& svg() noexcept { return svg_; }
  void end() { svg_.raw("</svg>\n"); }

  /// The colour of blocks of a size: from blue for small ones over green and amber to violet
  /// for 32 KiB.
  [[nodiscard]] static std::string colour_for(std::uint64_t block_bytes) {
    double octaves = 0;  // above 16 bytes
    for (double at = 16; at < static_cast<double>(block_bytes) && octaves < 11; octaves += 0.25) {
      at *= 1.189207115;
    }
    constexpr std::uint32_t stops[] = {0x3b76d6, 0x1c9cb0, 0x45a35a, 0xb5a52a,
                                       0xe08a2e, 0xd2574f, 0xb0478f, 0x7a52b8};
    return colour_along(stops, octaves / 11);
  }

 private:
  svg_text svg_;
};

[[nodiscard]] inline std::string counted(std::uint64_t n, std::string_view what) {
  std::string digits = std::to_string(n);
  for (std::size_t at = digits.size(); at > 3;) { digits.insert(at -= 3, 1, ','); }
  digits += ' ';
  digits += what;
  if (n != 1) { digits += 's'; }
  return digits;
}
[[nodiscard]] inline std::string percent(std::uint64_t part, std::uint64_t whole) {
  return std::to_string(whole == 0 ? 0 : (100 * part + whole / 2) / whole) + " %";
}

}  // namespace detail

/// Pictures below each other as an HTML page that needs no other file; well-formed XML too.
/// @param pictures  what draw_map and draw_series gave
/// @error errc::out_of_memory
[[nodiscard]] inline result<std::string> page_of(std::string_view title,
                                                 std::span<std::string const> pictures) noexcept
    try {
  std::string out;
  svg_text html(out);
  html.raw("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\"><head>");
  html.raw("<meta charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width\"/>");
  html.title(title).raw(R"(
<style>:root{color-scheme:light dark}body{margin:0 auto;max-width:960px;background:#fff}
svg{display:block;width:100%;height:auto;margin:16px 0}
@media (prefers-color-scheme:dark){body{background:#12161c}}</style></head><body>
)");
  for (std::string const& each : pictures) { html.raw(each); }
  html.raw("</body></html>\n");
  return out;
} catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }

}  // namespace millrace::inline v0::observe
