// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/occupancy.hpp>
#include <millrace/observe/svg_text.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
.b{fill:#566275}.k{stroke:#141a22;stroke-width:1.5;stroke-dasharray:5 3;fill:none}
@media (prefers-color-scheme:dark){text{fill:#b9c2cf}.h,.s{fill:#f0f3f7}.m{fill:#8b95a5}
.g{fill:#12161c}.l{stroke:#2b323d}.b{fill:#8f9cb0}.k{stroke:#f0f3f7}.e{fill-opacity:.26}}
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
  for (std::size_t at = digits.size(); at > 3;) { digits.insert(at -= 3, ","); }
  digits += ' ';
  digits += what;
  if (n != 1) { digits += 's'; }
  return digits;
}
[[nodiscard]] inline std::string percent(std::uint64_t part, std::uint64_t whole) {
  return std::to_string(whole == 0 ? 0 : (100 * part + whole / 2) / whole) + " %";
}

/// The grid: a square a unit, its fill the unit's blocks in use, its hue their size.
class map_picture {
 public:
  map_picture(core::occupancy_map const& map, picture_options const& how)
      : map_{map}, how_{how}, all_{core::fragmentation_of(map)} {
    std::uint32_t const most = std::max(how.most_squares, 1u);
    each_ = std::max(1u, (map.units + most - 1) / most);
    squares_ = (map.units + each_ - 1) / each_;
    columns_ = squares_ <= 640 ? 32 : 64;
    pitch_ = squares_ <= 640 ? 26 : 13;
    for (core::class_occupancy const& c : map.classes) { classes_ += c.units != 0 ? 1 : 0; }
    std::uint32_t const rows = (squares_ + columns_ - 1) / columns_;
    top_ = how.note.empty() ? 82 : 101;
    legend_ = top_ + std::max(rows, 1u) * pitch_ + 34;
    bars_ = legend_ + 88;
  }

  void draw(std::string& to) const {
    double const height = bars_ + (classes_ == 0 ? 0 : 22 + 19.0 * classes_) + 8;
    picture page(to, height, how_.title);
    page.head(how_, figures());
    grid(page.svg());
    legend(page.svg());
    if (classes_ != 0) { bars(page.svg()); }
    page.end();
  }

 private:
  [[nodiscard]] std::string figures() const {
    std::uint64_t const taken = all_.taken_units * map_.unit_bytes;
    return core::describe_bytes(taken) + " taken · " + core::describe_bytes(all_.live_bytes) +
           " in use (" + percent(std::min(all_.live_bytes, taken), taken) + ") · " +
           core::describe_bytes(all_.cached_bytes) + " kept ready by threads · " +
           core::describe_bytes(all_.free_units * map_.unit_bytes) +
           " free between, in one piece at most " +
           core::describe_bytes(all_.largest_free_run * map_.unit_bytes);
  }

  /// What a square shows: one unit, or the sum of several.
  struct square {
    std::uint32_t blocks = 0, runs = 0, idle = 0, untouched = 0;  ///< units
    std::uint64_t fill = 0;                                       ///< thousandths, summed
    core::occupied_region last = {};
    std::vector<std::uint32_t> by_class;
  };

  void grid(svg_text& svg) const {
    double const size = pitch_ - (pitch_ > 20 ? 3 : 2);
    for (std::uint32_t row = 0; row * columns_ < squares_; ++row) {
      std::uint64_t const at = std::uint64_t{row} * columns_ * each_ * map_.unit_bytes;
      if (row % (pitch_ > 20 ? 1 : 2) == 0) {
        svg.text(picture::left - 12, top_ + row * pitch_ + size / 2 + 4, "m r",
                 row == 0 ? "0" : "+" + core::describe_bytes(at));
      }
    }
    square now;
    now.by_class.resize(map_.classes.size());
    std::uint32_t done = 0, place = 0;
    auto const put = [&] {
      draw_square(svg, now, place++, done, size);
      now.blocks = now.runs = now.idle = now.untouched = 0;
      now.fill = 0;
      std::fill(now.by_class.begin(), now.by_class.end(), 0u);
      done = 0;
    };
    for (core::occupied_region const& r : map_.regions) {
      for (std::uint32_t u = 0; u < r.units; ++u) {
        now.last = r;
        switch (r.use) {
          case core::region_use::untouched: ++now.untouched; break;
          case core::region_use::idle: ++now.idle; break;
          case core::region_use::run: ++now.runs; break;
          case core::region_use::blocks:
            ++now.blocks;
            now.fill += r.blocks == 0 ? 0 : 1000 * std::uint64_t{r.used} / r.blocks;
            if (r.size_class < now.by_class.size()) { ++now.by_class[r.size_class]; }
            break;
        }
        if (++done == each_) { put(); }
      }
    }
    if (done != 0) { put(); }
  }

  void draw_square(svg_text& svg, square const& of, std::uint32_t place, std::uint32_t units,
                   double size) const {
    double const x = picture::left + place % columns_ * pitch_;
    double const y = top_ + place / columns_ * pitch_;
    if (of.blocks + of.runs == 0) {
      bool const idle = of.idle != 0;
      svg.raw("<g>").title(name_of(place, units) +
                           (idle ? "free, may be resident" : "never used, or given back"));
      double const inset = idle ? 0.5 : 0;
      svg.box(x + inset, y + inset, size - 2 * inset, size - 2 * inset,
              idle ? "class=\"i\"" : "class=\"u\"");
      svg.raw("</g>\n");
      return;
    }
    if (of.blocks == 0) {
      svg.raw("<g class=\"b\">")
          .title(name_of(place, units) + "large block of " +
                 core::describe_bytes(of.last.units * map_.unit_bytes));
      // units of one block join
      bool const joins = each_ == 1 && place + 1 < of.last.first + of.last.units &&
                         place % columns_ + 1 < columns_;
      svg.box(x, y, joins ? pitch_ : size, size).raw("</g>\n");
      return;
    }
    auto const most = std::max_element(of.by_class.begin(), of.by_class.end());
    auto const size_class = static_cast<std::size_t>(most - of.by_class.begin());
    std::uint64_t const bytes =
        size_class < map_.classes.size() ? map_.classes[size_class].block_bytes : 0;
    std::uint64_t const fill = (of.fill + 1000u * of.runs) / units;
    std::string what = name_of(place, units);
    if (each_ == 1) {
      what += core::describe_bytes(bytes) + " blocks, " + std::to_string(of.last.used) + " of " +
              std::to_string(of.last.blocks) + " not free, cache " + std::to_string(of.last.owner);
    } else {
      what += percent(fill, 1000) + " not free; " + std::to_string(of.blocks) +
              " of blocks, mostly " + core::describe_bytes(bytes) + ", " + std::to_string(of.runs) +
              " of large blocks, " + std::to_string(of.idle + of.untouched) + " free";
    }
    svg.raw("<g fill=\"").raw(picture::colour_for(bytes)).raw("\">").title(what);
    svg.box(x, y, size, size, fill < 1000 ? "class=\"e\"" : "");
    double const level = size * static_cast<double>(fill) / 1000;
    if (fill < 1000 && fill > 0) { svg.box(x, y + size - level, size, level); }
    svg.raw("</g>\n");
  }

  [[nodiscard]] std::string name_of(std::uint32_t place, std::uint32_t units) const {
    std::string out = "+" + core::describe_bytes(std::uint64_t{place} * each_ * map_.unit_bytes);
    if (each_ != 1) { out += ", " + counted(units, "slab"); }
    return out + ": ";
  }

  void legend(svg_text& svg) const {
    double const y = legend_, size = 20;
    double x = picture::left;
    svg.text(x, y, "s",
             each_ == 1 ? "A square is " + core::describe_bytes(map_.unit_bytes)
                        : "A square is " + counted(each_, "slab") + " of " +
                              core::describe_bytes(map_.unit_bytes));
    std::string const sample = "fill=\"" + picture::colour_for(96) + "\"";
    for (int i = 0; i <= 4; ++i, x += size + 5) {
      double const level = size * i / 4;
      svg.box(x, y + 12, size, size, sample + (i < 4 ? " class=\"e\"" : ""));
      if (i > 0 && i < 4) { svg.box(x, y + 12 + size - level, size, level, sample); }
    }
    svg.text(picture::left, y + 49, "m", "empty … full");
    x += 24;
    svg.box(x, y + 12, 2 * size, size, "class=\"b\"");
    svg.text(x, y + 49, "m", "large block");
    x += 88;
    svg.box(x + 0.5, y + 12.5, size - 1, size - 1, "class=\"i\"");
    svg.text(x, y + 49, "m", "free, resident");
    x += 104;
    svg.box(x, y + 12, size, size, "class=\"u\"");
    svg.text(x, y + 49, "m", "not in memory");
    x += 112;
    double const step = (picture::right - x) / 45;
    svg.text(x, y, "s", "Hue is the size of its blocks");
    for (int i = 0; i < 45; ++i) {
      double bytes = 16;
      for (int q = 0; q < i; ++q) { bytes *= 1.189207115; }
      svg.box(x + i * step, y + 12, step + 0.3, size,
              "fill=\"" + picture::colour_for(static_cast<std::uint64_t>(bytes + 0.5)) + "\"");
      if (i % 12 == 0) {
        svg.text(x + (i + 0.5) * step, y + 49, "m c",
                 core::describe_bytes(static_cast<std::uint64_t>(bytes + 0.5)));
      }
    }
  }

  /// By class: bytes in use, kept ready, and free in slabs of the class.
  void bars(svg_text& svg) const {
    std::uint64_t most = 1;
    for (core::class_occupancy const& c : map_.classes) { most = std::max(most, c.units); }
    svg.text(picture::left, bars_, "s", "Slabs by size of their blocks");
    svg.text(picture::right, bars_, "m r",
             "solid: in use · half: kept ready by threads · pale: free");
    double y = bars_ + 14;
    double const scale = 500.0 / static_cast<double>(most);
    for (core::class_occupancy const& c : map_.classes) {
      if (c.units == 0) { continue; }
      double const whole = static_cast<double>(c.units) * scale;
      std::uint64_t const live = std::min(c.live_blocks, c.blocks);
      std::uint64_t const ready = std::min(c.cached_blocks, c.blocks - live);
      double const per_block = c.blocks == 0 ? 0 : whole / static_cast<double>(c.blocks);
      double const solid = static_cast<double>(live) * per_block;
      double const half = static_cast<double>(ready) * per_block;
      std::string const text = counted(c.units, "slab") + ", " + percent(live, c.blocks) +
                               " in use: " + counted(live, "block") + ", " + std::to_string(ready) +
                               " ready";
      svg.text(picture::left - 12, y + 11, "m r", core::describe_bytes(c.block_bytes));
      svg.raw("<g fill=\"").raw(picture::colour_for(c.block_bytes)).raw("\">").title(text);
      svg.box(picture::left, y, whole, 14, "class=\"e\"");
      if (live != 0) { svg.box(picture::left, y, solid, 14); }
      if (ready != 0) { svg.box(picture::left + solid, y, half, 14, "class=\"d\""); }
      svg.raw("</g>\n");
      svg.text(picture::left + whole + 8, y + 11, "", text);
      y += 19;
    }
  }

  core::occupancy_map const& map_;
  picture_options const& how_;
  core::fragmentation all_;
  std::uint32_t each_ = 1, squares_ = 0, columns_ = 0, classes_ = 0;
  double pitch_ = 0, top_ = 0, legend_ = 0, bars_ = 0;
};

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

  [[nodiscard]] static unsigned octave_of(std::uint64_t bytes) noexcept {
    unsigned octave = 0;
    for (std::uint64_t top = 64; top < bytes; top *= 2) { ++octave; }
    return octave;
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
  /// A round number of bytes, a little above what there was.
  [[nodiscard]] double ceiling() const noexcept {
    double step = 1024;
    while (4 * step < static_cast<double>(most_)) { step *= 2; }
    return step * (3 * step >= static_cast<double>(most_) ? 3 : 4);
  }

  void axes(svg_text& svg) const {
    int const steps = ceiling() / 3 < 1024 ? 4 : static_cast<int>(steps_of());
    for (int i = 0; i <= steps; ++i) {
      double const bytes = ceiling() * i / steps, y = y_of(bytes);
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
  [[nodiscard]] double steps_of() const noexcept {
    double step = 1024;
    while (4 * step < static_cast<double>(most_)) { step *= 2; }
    return ceiling() / step;
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

/// A map as a picture: a self-contained SVG in which a square is a slab, its fill how many of its
/// blocks are in use, its hue their size; with numbers where the pointer rests, and below it the
/// classes' shares. Well-formed XML; readable on light and on dark ground.
/// @error errc::out_of_memory   @cost O(units), about 200 bytes a square
[[nodiscard]] inline result<std::string> draw_map(core::occupancy_map const& map,
                                                  picture_options const& how = {}) noexcept try {
  std::string out;
  detail::map_picture(map, how).draw(out);
  return out;
} catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }

/// A series as a picture: time to the right, bytes in use upwards, a band for the blocks of each
/// octave of sizes, and a line for what is taken. As draw_map otherwise.
/// @error errc::out_of_memory   @cost O(samples x classes)
[[nodiscard]] inline result<std::string> draw_series(core::occupancy_series const& series,
                                                     picture_options const& how = {}) noexcept try {
  std::string out;
  detail::series_picture(series, how).draw(out);
  return out;
} catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }

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
