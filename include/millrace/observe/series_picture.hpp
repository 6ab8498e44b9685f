// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/occupancy.hpp>
#include <millrace/observe/picture.hpp>
#include <millrace/observe/svg_text.hpp>

#include <cuda/std/bit>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace millrace::inline v0::observe {

namespace detail {

/// The series: a band a size, one upon the other, and above them what is taken and not in use.
class series_picture {
 public:
  series_picture(core::occupancy_series const& series, picture_options const& how)
      : series_{series}, how_{how} {
    std::size_t const count = series.samples.size();
    std::size_t const each = count / most_points + 1;  // as many as can be told apart
    for (std::size_t i = 0; i < count; i += each) { shown_.push_back(&series.samples[i]); }
    if (count != 0 && shown_.back() != &series.samples.back()) {
      shown_.push_back(&series.samples.back());
    }
    for (core::occupancy_sample const& s : series.samples) {
      most_ = std::max({most_, s.taken_bytes, in_use(s)});
      peak_ = std::max(peak_, in_use(s));
    }
    // a band an octave of sizes that anything was of, and one of large blocks
    for (std::size_t c = 0; c < series.block_bytes.size();) {
      band next{c, c, {}, picture::colour_for(series.block_bytes[c]), 0, 0};
      while (next.end < series.block_bytes.size() &&
             octave_of(series.block_bytes[next.end]) == octave_of(series.block_bytes[c])) {
        ++next.end;
      }
      c = next.end;
      next.name = core::describe_bytes(series.block_bytes[next.first]);
      if (next.end - next.first > 1) {
        next.name += " – " + core::describe_bytes(series.block_bytes[next.end - 1]);
      }
      add(next);
    }
    add({0, 0, "large blocks", "", 0, 0});
    top_ = how.note.empty() ? 82 : 101;
  }

  void draw(std::string& to) const {
    double const key = top_ + depth + 60;
    picture page(to, key + 20.0 * static_cast<double>((bands_.size() + 3) / 3) + 12, how_.title);
    std::uint64_t const last = shown_.empty() ? 0 : in_use(*shown_.back());
    page.head(how_, core::describe_bytes(peak_) + " in use at most · " +
                        core::describe_bytes(most_) + " taken at most · " +
                        core::describe_bytes(last) + " in use at the end");
    axes(page.svg());
    if (shown_.size() > 1) { areas(page.svg()); }
    legend(page.svg(), key);
    page.end();
  }

 private:
  static constexpr std::size_t most_points = 400;
  static constexpr double depth = 260;

  struct band {
    std::size_t first, end;  ///< classes; none: large blocks
    std::string name, colour;
    std::uint64_t most, last;
  };

  /// Sizes up to 64 bytes are one octave.
  [[nodiscard]] static int octave_of(std::uint64_t bytes) noexcept {
    return bytes <= 64 ? 0 : static_cast<int>(cuda::std::bit_width((bytes - 1) / 64));
  }
  [[nodiscard]] static std::uint64_t bytes_of(core::occupancy_sample const& s,
                                              band const& of) noexcept {
    std::uint64_t sum = of.end == of.first ? s.run_bytes : 0;
    for (std::size_t c = of.first; c < of.end && c < s.live_bytes.size(); ++c) {
      sum += s.live_bytes[c];
    }
    return sum;
  }
  [[nodiscard]] static std::uint64_t in_use(core::occupancy_sample const& s) noexcept {
    std::uint64_t sum = s.run_bytes;
    for (std::uint64_t const bytes : s.live_bytes) { sum += bytes; }
    return sum;
  }
  void add(band next) {
    for (core::occupancy_sample const& s : series_.samples) {
      next.last = bytes_of(s, next);
      next.most = std::max(next.most, next.last);
    }
    if (next.most != 0) { bands_.push_back(std::move(next)); }
  }

  [[nodiscard]] double x_of(core::occupancy_sample const& s) const noexcept {
    auto const from = shown_.front()->time_ns, to = shown_.back()->time_ns;
    double const along =
        to == from ? 0 : static_cast<double>(s.time_ns - from) / static_cast<double>(to - from);
    return picture::left + along * (picture::right - picture::left);
  }
  [[nodiscard]] double y_of(double bytes) const noexcept {
    return top_ + depth * (1 - bytes / ceiling());
  }
  /// Bytes from a line of the ground to the next: a round number.
  [[nodiscard]] double step() const noexcept {
    double bytes = 1024;
    while (4 * bytes < static_cast<double>(most_)) { bytes *= 2; }
    return bytes;
  }
  /// Lines above the lowest, the highest a little above what there was.
  [[nodiscard]] int steps() const noexcept {
    return 3 * step() >= static_cast<double>(most_) ? 3 : 4;
  }
  [[nodiscard]] double ceiling() const noexcept { return step() * steps(); }

  void axes(svg_text& svg) const {
    for (int i = 0; i <= steps(); ++i) {
      double const bytes = step() * i, y = y_of(bytes);
      svg.raw("<path class=\"l\" d=\"M").number(picture::left).raw(" ").number(y);
      svg.raw("H").number(picture::right).raw("\"/>");
      svg.text(picture::left - 12, y + 4, "m r",
               core::describe_bytes(static_cast<std::uint64_t>(bytes)));
    }
    if (shown_.size() < 2) { return; }
    double const span =
        static_cast<double>(shown_.back()->time_ns - shown_.front()->time_ns) * 1e-9;
    for (int i = 0; i <= 4; ++i) {
      char text[32];
      double const scaled = span < 0.5 ? 1e3 * span : span;
      std::snprintf(text, sizeof text, "%.*f %s", scaled < 20 ? 1 : 0, scaled * i / 4,
                    span < 0.5 ? "ms" : "s");
      svg.text(picture::left + (picture::right - picture::left) * i / 4, top_ + depth + 20,
               i == 0   ? "m"
               : i == 4 ? "m r"
                        : "m c",
               text);
    }
  }

  void areas(svg_text& svg) const {
    std::vector<std::uint64_t> below(shown_.size(), 0);
    for (band const& of : bands_) {
      svg.raw("<g ").raw(fill_of(of)).raw(">");
      svg.title(of.name + ": at most " + core::describe_bytes(of.most) + ", at the end " +
                core::describe_bytes(of.last));
      svg.raw("<path d=\"M");
      for (std::size_t i = 0; i < shown_.size(); ++i) {
        point(svg, i, below[i] + bytes_of(*shown_[i], of));
      }
      for (std::size_t i = shown_.size(); i-- > 0;) { point(svg, i, below[i]); }
      svg.raw("z\"/></g>\n");
      for (std::size_t i = 0; i < shown_.size(); ++i) { below[i] += bytes_of(*shown_[i], of); }
    }
    svg.raw("<g class=\"k\">").title("taken: slabs and large blocks").raw("<path d=\"M");
    for (std::size_t i = 0; i < shown_.size(); ++i) { point(svg, i, shown_[i]->taken_bytes); }
    svg.raw("\"/></g>\n");
  }
  void point(svg_text& svg, std::size_t i, std::uint64_t bytes) const {
    svg.number(x_of(*shown_[i])).raw(" ").number(y_of(static_cast<double>(bytes))).raw(" ");
  }
  [[nodiscard]] static std::string fill_of(band const& of) {
    return of.colour.empty() ? "class=\"b\"" : "fill=\"" + of.colour + "\"";
  }

  void legend(svg_text& svg, double y) const {
    std::size_t place = 0;
    auto const at = [&] {
      double const x = picture::left + 280.0 * static_cast<double>(place % 3);
      double const row = y + 20.0 * static_cast<double>(place / 3);
      ++place;
      return std::pair{x, row};
    };
    auto const [x0, y0] = at();
    svg.raw("<path class=\"k\" d=\"M").number(x0).raw(" ").number(y0 - 4).raw("h14\"/>");
    svg.text(x0 + 22, y0, "", "taken, " + core::describe_bytes(most_) + " at most");
    for (std::size_t i = bands_.size(); i-- > 0;) {
      auto const [x, row] = at();
      svg.box(x, row - 10, 14, 12, fill_of(bands_[i]));
      svg.text(x + 22, row, "",
               bands_[i].name + ", " + core::describe_bytes(bands_[i].most) + " at most");
    }
  }

  core::occupancy_series const& series_;
  picture_options const& how_;
  std::vector<core::occupancy_sample const*> shown_;
  std::vector<band> bands_;
  std::uint64_t most_ = 1, peak_ = 0;
  double top_ = 0;
};

}  // namespace detail

/// A series as a picture: time to the right, bytes in use upwards, a band for the blocks of each
/// octave of sizes, and a line for what is taken. As draw_map otherwise.
/// @error errc::out_of_memory   @cost O(samples x classes)
[[nodiscard]] inline result<std::string> draw_series(core::occupancy_series const& series,
                                                     picture_options const& how = {}) noexcept try {
  std::string out;
  detail::series_picture(series, how).draw(out);
  return out;
} catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }

}  // namespace millrace::inline v0::observe
