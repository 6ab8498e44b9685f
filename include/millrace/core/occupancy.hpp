// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

/// \file
/// A picture of memory as plain values: whoever has memory fills it in, whoever draws reads it, and
/// neither knows the other.

namespace millrace::inline v0::core {

/// Bytes as a person reads them, three digits and a unit: "512 B", "1.50 MiB".
[[nodiscard]] inline std::string describe_bytes(std::uint64_t bytes) {
  constexpr char const* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 999.5 && unit < 6; ++unit) { value /= 1024; }
  int const digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s", digits, value, units[unit]);
  return text;
}

/// What a part of a range of memory is used for. Frozen numbers.
enum class region_use : std::uint8_t {
  untouched = 0,  ///< never used, or given back to the system
  idle = 1,       ///< nobody has it, and it may be resident
  blocks = 2,     ///< a unit of blocks of one size
  run = 3,        ///< one large block
};

/// Units that lie together and are used for one thing.
struct occupied_region {
  std::uint32_t first = 0;  ///< unit, counted from the begin of the range
  std::uint32_t units = 1;
  region_use use = region_use::untouched;
  std::uint32_t size_class = 0;  ///< of blocks: index into occupancy_map::classes
  std::uint32_t owner = 0;       ///< of blocks: number of the cache that gives them
  std::uint32_t blocks = 0;      ///< that fit
  std::uint32_t used = 0;        ///< of these, not free in their unit
};

/// All blocks of one size.
struct class_occupancy {
  std::uint64_t block_bytes = 0;
  std::uint64_t units = 0;          ///< that hold such blocks
  std::uint64_t live_blocks = 0;    ///< that programs have
  std::uint64_t cached_blocks = 0;  ///< that threads keep ready
  std::uint64_t blocks = 0;         ///< that fit into the units
};

/// What a range of memory looked like. Taken while others allocate, each number is of some moment
/// during the taking.
struct occupancy_map {
  std::uint64_t time_ns = 0;             ///< core::now_ns when it was taken
  std::uint64_t unit_bytes = 0;          ///< a unit is a slab
  std::uint32_t units = 0;               ///< up to the last that was ever used
  std::uint32_t reserved_units = 0;      ///< of the whole range
  std::vector<occupied_region> regions;  ///< by address, each of `units` in one
  std::vector<class_occupancy> classes;  ///< by size
};

/// How scattered the free memory of a map is. What lies behind the last unit that was ever used is
/// free in one piece and not counted.
struct fragmentation {
  std::uint32_t taken_units = 0;
  std::uint32_t free_units = 0;
  std::uint32_t largest_free_run = 0;  ///< units
  std::uint64_t run_bytes = 0;         ///< of large blocks, whole units
  std::uint64_t live_bytes = 0;        ///< of blocks that programs have, large ones included
  std::uint64_t cached_bytes = 0;      ///< of blocks that threads keep ready
  /// Of every thousand bytes taken, those that no program has.
  [[nodiscard]] std::uint32_t unused_thousandths(std::uint64_t unit_bytes) const noexcept {
    std::uint64_t const taken = taken_units * unit_bytes;
    if (taken == 0) { return 0; }
    return static_cast<std::uint32_t>(1000 * (taken - std::min(taken, live_bytes)) / taken);
  }
};
/// @cost O(regions)
[[nodiscard]] inline fragmentation fragmentation_of(occupancy_map const& map) noexcept {
  fragmentation out;
  std::uint32_t free_run = 0;
  for (occupied_region const& r : map.regions) {
    if (r.use == region_use::untouched || r.use == region_use::idle) {
      out.free_units += r.units;
      free_run += r.units;
      out.largest_free_run = std::max(out.largest_free_run, free_run);
      continue;
    }
    free_run = 0;
    out.taken_units += r.units;
    if (r.use == region_use::run) { out.run_bytes += r.units * map.unit_bytes; }
  }
  for (class_occupancy const& c : map.classes) {
    out.live_bytes += c.live_blocks * c.block_bytes;
    out.cached_bytes += c.cached_blocks * c.block_bytes;
  }
  out.live_bytes += out.run_bytes;
  return out;
}

/// One moment of a series: where the bytes were, by class, without their places.
struct occupancy_sample {
  std::uint64_t time_ns = 0;
  std::uint64_t taken_bytes = 0;          ///< of units that are used
  std::uint64_t run_bytes = 0;            ///< of large blocks
  std::vector<std::uint64_t> live_bytes;  ///< by class
};
/// Moments of one range of memory, in order.
struct occupancy_series {
  std::vector<std::uint64_t> block_bytes;  ///< by class
  std::vector<occupancy_sample> samples;

  /// Appends what a map says. @throws std::bad_alloc
  void add(occupancy_map const& map) {
    if (block_bytes.size() < map.classes.size()) { block_bytes.resize(map.classes.size()); }
    fragmentation const all = fragmentation_of(map);
    occupancy_sample next{map.time_ns, all.taken_units * map.unit_bytes, all.run_bytes, {}};
    for (std::size_t c = 0; c < map.classes.size(); ++c) {
      block_bytes[c] = map.classes[c].block_bytes;
      next.live_bytes.push_back(map.classes[c].live_blocks * map.classes[c].block_bytes);
    }
    samples.push_back(std::move(next));
  }
};

}  // namespace millrace::inline v0::core
