// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/occupancy.hpp>
#include <millrace/observe/picture.hpp>
#include <millrace/observe/svg_text.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

namespace millrace::inline v0::observe {

namespace detail {

/// The grid: a square a unit, its fill the unit's blocks in use, its hue their size.
class map_picture {
 public:
  map_picture(core::occupancy_map const& map, picture_options const& how)
      : map_{map}, how_{how}, all_{core::fragmentation_of(map)} {
    std::uint32_t const most = std::max(how.most_squares, 1u);
    each_ = map.units == 0 ? 1 : 1 + (map.units - 1) / most;
    squares_ = map.units == 0 ? 0 : 1 + (map.units - 1) / each_;
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
                 row == 0 ? "0" : std::string("+").append(core::describe_bytes(at)));
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
    if (each_ == 1 && pitch_ > 20) { label_runs(svg, size); }
  }

  /// Writes the size of a large block into its first row, or its second where there is more room.
  void label_runs(svg_text& svg, double size) const {
    for (core::occupied_region const& r : map_.regions) {
      if (r.use != core::region_use::run) { continue; }
      std::uint32_t const here = std::min(r.units, columns_ - r.first % columns_);
      std::uint32_t const next = std::min(r.units - here, columns_);
      std::uint32_t const at = next > here ? r.first + here : r.first;
      if (std::max(here, next) < 3) { continue; }
      svg.text(picture::left + at % columns_ * pitch_ + 8,
               top_ + at / columns_ * pitch_ + size / 2 + 4, "w",
               core::describe_bytes(r.units * map_.unit_bytes));
    }
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
    if (each_ == 1 && of.runs != 0) {
      svg.raw("<g class=\"b\">")
          .title(name_of(place, units) + "large block of " +
                 core::describe_bytes(of.last.units * map_.unit_bytes));
      // units of one block join
      bool const joins =
          place + 1 < of.last.first + of.last.units && place % columns_ + 1 < columns_;
      svg.box(x, y, joins ? pitch_ : size, size).raw("</g>\n");
      return;
    }
    auto const most = std::max_element(of.by_class.begin(), of.by_class.end());
    auto const size_class = static_cast<std::size_t>(most - of.by_class.begin());
    std::uint64_t const bytes =
        size_class < map_.classes.size() ? map_.classes[size_class].block_bytes : 0;
    std::uint64_t const fill = (of.fill + 1000u * std::uint64_t{of.runs}) / units;
    std::string what = name_of(place, units);
    if (each_ == 1) {
      what += core::describe_bytes(bytes) + " blocks, " + std::to_string(of.last.used) + " of " +
              std::to_string(of.last.blocks) + " not free, cache " + std::to_string(of.last.owner);
    } else {
      what += percent(fill, 1000) + " not free; ";
      if (of.blocks != 0) {
        what +=
            std::to_string(of.blocks) + " of blocks, mostly " + core::describe_bytes(bytes) + ", ";
      }
      what += std::to_string(of.runs) + " of large blocks, " +
              std::to_string(of.idle + of.untouched) + " free";
    }
    svg.raw(of.blocks == 0 ? "<g class=\"b\">" : "<g fill=\"" + picture::colour_for(bytes) + "\">");
    svg.title(what).box(x, y, size, size, fill < 1000 ? "class=\"e\"" : "");
    double const level = size * static_cast<double>(fill) / 1000;
    if (fill < 1000 && fill > 0) { svg.box(x, y + size - level, size, level); }
    svg.raw("</g>\n");
  }

  [[nodiscard]] std::string name_of(std::uint32_t place, std::uint32_t units) const {
    std::string out("+");
    out += core::describe_bytes(std::uint64_t{place} * each_ * map_.unit_bytes);
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

}  // namespace millrace::inline v0::observe
