// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/core/occupancy.hpp>
#include <millrace/memory/budget.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/heatmap.hpp>
#include <millrace/memory/tagged_resource.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <span>
#include <string>

namespace millrace::inline v0::memory {

/// A map of a range as characters, `width` a line: '.' was never used or went back to the system,
/// '-' is free and may be resident, '1' to '9' are tenths of a slab's blocks in use and '0' less
/// than one, '#' is a full slab, '=' a large block. A character is a slab; where the range has more
/// slabs than `most` characters, a character stands for several and shows their mean. Of both, 0
/// is 1.
/// @throws std::bad_alloc
[[nodiscard]] inline std::string character_map(core::occupancy_map const& map,
                                               std::uint32_t width = 64,
                                               std::uint32_t most = 1024) {
  using core::region_use;
  width = std::max(width, 1u);
  std::uint32_t const each = map.units == 0 ? 1 : 1 + (map.units - 1) / std::max(most, 1u);
  struct mean {
    std::uint64_t fill = 0;  ///< thousandths, summed
    std::uint32_t blocks = 0, runs = 0, idle = 0, untouched = 0;
  };
  std::string out;
  mean now;
  std::uint32_t done = 0, column = 0;
  auto const put = [&] {
    std::uint32_t const nobodys = now.idle + now.untouched;
    char c = '.';
    if (now.blocks + now.runs == 0) {
      c = now.idle >= now.untouched && now.idle != 0 ? '-' : '.';
    } else if (now.runs > now.blocks && now.runs >= nobodys) {
      c = '=';
    } else {
      std::uint64_t const fill =
          (now.fill + 1000u * std::uint64_t{now.runs}) / (now.blocks + now.runs + nobodys);
      c = fill >= 1000 ? '#' : static_cast<char>('0' + fill / 100);
    }
    if (column == width) {
      out += '\n';
      column = 0;
    }
    out += c;
    ++column;
    now = {};
    done = 0;
  };
  for (core::occupied_region const& r : map.regions) {
    for (std::uint32_t u = 0; u < r.units; ++u) {
      switch (r.use) {
        case region_use::untouched: ++now.untouched; break;
        case region_use::idle: ++now.idle; break;
        case region_use::run: ++now.runs; break;
        case region_use::blocks:
          ++now.blocks;
          now.fill += r.blocks == 0 ? 0 : 1000u * std::uint64_t{r.used} / r.blocks;
          break;
      }
      if (++done == each) { put(); }
    }
  }
  if (done != 0) { put(); }
  return out;
}

/// What there is to say about memory that ran short.
struct shortage {
  std::size_t bytes = 0;  ///< the request; 0: none, a report without an occasion
  std::size_t alignment = 0;
  budget const* within = nullptr;       ///< whose limits and level to name
  std::span<tag_line const> tags = {};  ///< see tag_counts::lines
};

/// Where a heap's bytes are, in words, for whoever reads the log of a program that ran out: what
/// was asked, limits and levels, bytes by class and by tag, and how scattered the free memory is.
/// Nobody calls it by himself: call it where try_allocate gave out_of_memory, or in
/// heap_options::on_shortage, which hears of every such request.
/// @error errc::out_of_memory when the C library's heap has no room for the text
/// @thread any   @cost as take_map
template <heap_policy P>
[[nodiscard]] result<std::string> describe_shortage(heap<P> const& of,
                                                    shortage const& what = {}) noexcept try {
  core::occupancy_map map;
  if (auto const ok = take_map(of, map); !ok) { return cuda::std::unexpected(ok.error()); }
  heap_stats const stats = of.stats();
  core::fragmentation const scattered = core::fragmentation_of(map);
  std::string out;
  auto const number = [](std::uint64_t n) { return std::to_string(n); };
  if (what.bytes != 0) {
    out += "out of memory: no room for " + number(what.bytes) + " bytes";
    if (what.alignment != 0) { out += " at a multiple of " + number(what.alignment); }
    out += '\n';
  }
  out += "heap: " + core::describe_bytes(stats.taken_bytes) + " taken of a budget of " +
         core::describe_bytes(stats.budget_bytes) + ", at most " +
         core::describe_bytes(stats.peak_bytes) + " so far; range " +
         core::describe_bytes(stats.range_bytes) + " of " +
         core::describe_bytes(stats.reserved_bytes) + "; " + number(stats.refused) +
         " requests refused\n";
  out += "  in use: " + core::describe_bytes(stats.live_bytes) + " in " + number(stats.live) +
         " blocks, of which " + core::describe_bytes(stats.run_bytes) + " in " +
         number(stats.runs) + " large ones; nobody asked for about " +
         core::describe_bytes(stats.waste_bytes) + " of it\n";
  out += "  not in use: " + core::describe_bytes(stats.unused_bytes()) + ", of which " +
         core::describe_bytes(stats.cached_bytes) + " kept ready by " + number(stats.caches) +
         " threads and " + number(stats.abandoned) + " that left\n";
  if (what.within != nullptr) {
    constexpr char const* levels[] = {"none", "low", "high", "critical"};
    budget_counts const counts = what.within->counts();
    out += "budget: " + core::describe_bytes(counts.live_bytes) + " of " +
           core::describe_bytes(what.within->hard_bytes()) + ", pressure " +
           levels[static_cast<std::size_t>(what.within->level())] + ", at most " +
           core::describe_bytes(counts.peak_bytes) + "; " +
           core::describe_bytes(counts.reserved_bytes) + " promised; asked for room " +
           number(counts.climbs) + " times, got " + core::describe_bytes(counts.given_back_bytes) +
           "; refused " + number(counts.refused) + "\n";
  }
  char line[160];
  if (!what.tags.empty()) {
    out += "by tag:             live      bytes       peak      total    refused\n";
    for (tag_line const& tag : what.tags) {
      std::snprintf(line, sizeof line, "  %-14.14s %7llu %10s %10s %10llu %10llu\n",
                    tag.name == nullptr ? "" : tag.name,
                    static_cast<unsigned long long>(tag.counts.live),
                    core::describe_bytes(tag.counts.live_bytes).c_str(),
                    core::describe_bytes(tag.counts.peak_bytes).c_str(),
                    static_cast<unsigned long long>(tag.counts.total),
                    static_cast<unsigned long long>(tag.counts.refused));
      out += line;
    }
  }
  out += "by class:  block       live      ready      slabs    of them used\n";
  for (core::class_occupancy const& c : map.classes) {
    if (c.units == 0 && c.live_blocks == 0) { continue; }
    std::uint64_t const held = c.live_blocks + c.cached_blocks;
    std::snprintf(
        line, sizeof line, "%16llu %10llu %10llu %10llu %14llu %%\n",
        static_cast<unsigned long long>(c.block_bytes),
        static_cast<unsigned long long>(c.live_blocks),
        static_cast<unsigned long long>(c.cached_blocks), static_cast<unsigned long long>(c.units),
        static_cast<unsigned long long>(c.blocks == 0 ? 0
                                                      : 100 * std::min(held, c.blocks) / c.blocks));
    out += line;
  }
  out += "free within the range: " + core::describe_bytes(scattered.free_units * map.unit_bytes) +
         ", in one piece at most " +
         core::describe_bytes(scattered.largest_free_run * map.unit_bytes) + "; behind it " +
         core::describe_bytes((map.reserved_units - map.units) * map.unit_bytes) +
         " were never used\n";
  out += "map, " + core::describe_bytes(map.unit_bytes) +
         " a slab: . untouched, - free, 0-9 tenths of it in use, # full, = large block\n" +
         character_map(map) + "\n";
  return out;
} catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }

}  // namespace millrace::inline v0::memory
