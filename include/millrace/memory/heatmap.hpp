// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/occupancy.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/heap.hpp>

#include <cuda/std/bit>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>

namespace millrace::inline v0::memory {

/// Writes what a heap's memory looks like into a map, whose own memory is used again: taken at a
/// steady rate it allocates nothing. Others go on allocating meanwhile, and are not slowed down but
/// for the lines that are read. Blocks that a thread keeps ready, or has on their way home, are
/// `used` in their slab; only the classes' counts tell them from blocks that programs have.
/// @error errc::out_of_memory when the map has no room
/// @thread any   @cost a line or two a slab that was ever taken, and heap::stats
template <heap_policy P>
[[nodiscard]] result<void> take_map(heap<P> const& from, core::occupancy_map& into) noexcept try {
  using core::region_use;
  auto& core = detail::heap_inside::of(from);
  heap_space<P>& space = core.space();
  into.time_ns = core::now_ns();
  into.unit_bytes = P::slab_bytes;
  into.units = P::access::load(space.end_slabs, core::relaxed, "heap.most");
  into.reserved_units = space.map.count();
  into.regions.clear();
  into.classes.resize(P::classes::count);
  for (std::uint32_t c = 0; c < P::classes::count; ++c) {
    class_stats const of = core.count_of(c);
    into.classes[c] = {of.block_bytes, 0, of.live, of.cached, 0};
  }
  for (std::uint32_t i = 0; i < into.units;) {
    slab_record<P> const& record = space.records[i];
    core::occupied_region next{.first = i};
    slab_use const use = space.map.taken(i) ? record.use.seen() : slab_use::none;
    std::uint32_t const size_class = record.size_class.seen();
    if (use == slab_use::run) {
      next.use = region_use::run;
      next.units = std::clamp(record.run_slabs.seen(), 1u, into.units - i);
    } else if (use == slab_use::blocks && size_class < P::classes::count) {
      next.use = region_use::blocks;
      next.size_class = size_class;
      next.owner = space.owners[i].seen();
      next.blocks = static_cast<std::uint32_t>(P::slab_bytes / P::classes::bytes_of(size_class));
      std::uint32_t free = 0;
      for (std::uint32_t w = 0; w < (next.blocks + 63) / 64; ++w) {
        free += static_cast<std::uint32_t>(cuda::std::popcount(record.free[w].seen()));
      }
      next.used = next.blocks - std::min(free, next.blocks);
      ++into.classes[size_class].units;
      into.classes[size_class].blocks += next.blocks;
    } else {
      next.use = record.touched.seen() ? region_use::idle : region_use::untouched;
    }
    bool const nobodys = next.use == region_use::idle || next.use == region_use::untouched;
    i += next.units;
    if (nobodys && !into.regions.empty() && into.regions.back().use == next.use) {
      into.regions.back().units += next.units;
    } else {
      into.regions.push_back(next);
    }
  }
  return {};
} catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }

namespace detail {

/// Appends JSON, without blanks.
class json_text {
 public:
  explicit json_text(std::string& to) noexcept : to_{to} {}

  json_text& text(std::string_view what) {
    to_ += what;
    return *this;
  }
  json_text& number(std::uint64_t value) {
    char digits[20];
    return text({digits, std::to_chars(digits, digits + sizeof digits, value).ptr});
  }
  /// "name":value with what separates it from the one before.
  json_text& field(std::string_view name, std::uint64_t value) {
    separate();
    return text("\"").text(name).text("\":").number(value);
  }
  json_text& open(std::string_view name, std::string_view bracket) {
    separate();
    if (!name.empty()) { text("\"").text(name).text("\":"); }
    return text(bracket);
  }
  json_text& item(std::uint64_t value) {
    separate();
    return number(value);
  }

 private:
  void separate() {
    bool const first = to_.empty() || to_.back() == '{' || to_.back() == '[';
    if (!first) { to_ += ','; }
  }

  std::string& to_;
};

}  // namespace detail

/// The version of both JSON forms; it changes when a field does.
inline constexpr std::uint64_t heatmap_version = 1;

/// A map as JSON, one line without its end:
/// {"millrace_heatmap":1,"time_ns":..,"unit_bytes":..,"units":..,"reserved_units":..,
///  "classes":[[block_bytes,units,live_blocks,cached_blocks,blocks],..],
///  "regions":[[first,units,use,size_class,owner,blocks,used],..]}
/// with uses as core::region_use numbers them; of other uses than blocks a region ends after use.
/// @error errc::out_of_memory
[[nodiscard]] inline result<std::string> to_json(core::occupancy_map const& map) noexcept try {
  std::string out;
  out.reserve(200 + 40 * (map.regions.size() + map.classes.size()));
  detail::json_text json(out);
  json.text("{").field("millrace_heatmap", heatmap_version).field("time_ns", map.time_ns);
  json.field("unit_bytes", map.unit_bytes).field("units", map.units);
  json.field("reserved_units", map.reserved_units).open("classes", "[");
  for (core::class_occupancy const& c : map.classes) {
    json.open("", "[").item(c.block_bytes).item(c.units).item(c.live_blocks);
    json.item(c.cached_blocks).item(c.blocks).text("]");
  }
  json.text("]").open("regions", "[");
  for (core::occupied_region const& r : map.regions) {
    json.open("", "[").item(r.first).item(r.units).item(static_cast<std::uint64_t>(r.use));
    if (r.use == core::region_use::blocks) {
      json.item(r.size_class).item(r.owner).item(r.blocks).item(r.used);
    }
    json.text("]");
  }
  json.text("]}");
  return out;
} catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }

/// A series as JSON, one line without its end:
/// {"millrace_heatmap_series":1,"block_bytes":[..],
///  "samples":[[time_ns,taken_bytes,run_bytes,[live_bytes,..]],..]}
/// @error errc::out_of_memory
[[nodiscard]] inline result<std::string> to_json(core::occupancy_series const& series) noexcept
    try {
  std::string out;
  detail::json_text json(out);
  json.text("{").field("millrace_heatmap_series", heatmap_version).open("block_bytes", "[");
  for (std::uint64_t const bytes : series.block_bytes) { json.item(bytes); }
  json.text("]").open("samples", "[");
  for (core::occupancy_sample const& s : series.samples) {
    json.open("", "[").item(s.time_ns).item(s.taken_bytes).item(s.run_bytes).open("", "[");
    for (std::uint64_t const bytes : s.live_bytes) { json.item(bytes); }
    json.text("]]");
  }
  json.text("]}");
  return out;
} catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }

}  // namespace millrace::inline v0::memory
