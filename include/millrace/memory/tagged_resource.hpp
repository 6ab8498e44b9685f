// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/resource.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::memory {

/// Counts that many threads write: each adds to one of a few lines of its own or nearly so, and a
/// look adds them up. What is live is exact when nobody allocates meanwhile; the peak may be off by
/// `slack_bytes` for each line, too low or too high, since a line tells the common count of so many
/// bytes at once.
class spread_counts {
 public:
  static constexpr std::uint32_t lines = 16;
  static constexpr std::uint64_t slack_bytes = 16 << 10;

  void took(std::uint64_t bytes) noexcept {
    line& mine = lines_[of_this_thread()];
    add(mine.total, 1);
    moved(mine, bytes);
  }
  void gave(std::uint64_t bytes) noexcept {
    line& mine = lines_[of_this_thread()];
    add(mine.freed, 1);
    moved(mine, 0 - bytes);
  }
  void refuse() noexcept { add(lines_[of_this_thread()].refused, 1); }

  [[nodiscard]] allocation_counts snapshot() const noexcept {
    allocation_counts out;
    std::uint64_t freed = 0;
    out.live_bytes = look(told_bytes_);
    for (line const& each : lines_) {
      freed += look(each.freed);
      out.total += look(each.total);
      out.refused += look(each.refused);
      out.live_bytes += look(each.untold_bytes);
    }
    out.live = out.total > freed ? out.total - freed : 0;
    // lines are read one after the other: below 0 is none
    if (static_cast<std::int64_t>(out.live_bytes) < 0) { out.live_bytes = 0; }
    std::uint64_t const peak = look(peak_bytes_);
    out.peak_bytes = peak < out.live_bytes ? out.live_bytes : peak;
    return out;
  }

 private:
  using words = core::direct_access<cuda::thread_scope_system>;

  struct alignas(core::destructive_bytes) line {
    std::uint64_t total = 0;
    std::uint64_t freed = 0;
    std::uint64_t refused = 0;
    std::uint64_t untold_bytes = 0;  ///< signed: what told_bytes_ does not know yet
  };

  /// A line by where the thread's own memory lies: threads have theirs far apart.
  [[nodiscard]] static std::uint32_t of_this_thread() noexcept {
    static thread_local constinit char here = 0;
    auto const at = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(&here));
    return static_cast<std::uint32_t>(at * 0x9e37'79b9'7f4a'7c15u >> 60);
  }
  static_assert(lines == 16, "millrace: four bits choose a line");

  void moved(line& mine, std::uint64_t bytes) noexcept {
    std::uint64_t untold = add(mine.untold_bytes, bytes) + bytes;
    auto const far = static_cast<std::int64_t>(untold);
    auto const slack = static_cast<std::int64_t>(slack_bytes);
    if (far < slack && far > -slack) { return; }
    // where another thread has changed it since, that one tells
    if (!words::compare_exchange(mine.untold_bytes, untold, std::uint64_t{0}, core::relaxed,
                                 core::relaxed, "counts.tell")) {
      return;
    }
    std::uint64_t const now = add(told_bytes_, untold) + untold;
    if (static_cast<std::int64_t>(now) <= 0) { return; }
    core::raise<words>(peak_bytes_, now, "counts.peak");
  }
  static std::uint64_t add(std::uint64_t& word, std::uint64_t n) noexcept {
    return words::fetch_add(word, n, core::relaxed, "counts.add");
  }
  [[nodiscard]] static std::uint64_t look(std::uint64_t const& word) noexcept {
    return words::load(word, core::relaxed, "counts.snapshot");
  }

  line lines_[lines] = {};
  alignas(core::destructive_bytes) std::uint64_t told_bytes_ = 0;
  std::uint64_t peak_bytes_ = 0;
};
static_assert(allocation_counter<spread_counts>);

/// What a tag had, with its name.
struct tag_line {
  char const* name = "";
  allocation_counts counts;
};

/// What a program's memory is for: an enumeration whose values are 0 to count - 1.
template <class T>
concept memory_tag = requires {
  requires std::is_enum_v<T>;
  { T::count };
};

/// Counts for each tag. Neither moves nor copies: tagged resources hold its address.
/// @thread any
template <memory_tag Tag>
class tag_counts {
 public:
  static constexpr auto size = static_cast<std::size_t>(Tag::count);

  /// @param names  of the tags, which outlive this
  explicit tag_counts(std::array<char const*, size> const& names) noexcept : names_{names} {}
  tag_counts(tag_counts const&) = delete;
  tag_counts& operator=(tag_counts const&) = delete;

  [[nodiscard]] spread_counts& operator[](Tag tag) noexcept {
    MILLRACE_ASSERT(static_cast<std::size_t>(tag) < size);
    return counts_[static_cast<std::size_t>(tag)];
  }
  [[nodiscard]] std::array<tag_line, size> lines() const noexcept {
    std::array<tag_line, size> out;
    for (std::size_t i = 0; i < size; ++i) { out[i] = {names_[i], counts_[i].snapshot()}; }
    return out;
  }

 private:
  std::array<char const*, size> names_;
  std::array<spread_counts, size> counts_;
};

/// A resource whose memory is counted under a tag:
/// `tagged_resource<heap<>> books(tags[kind::books], h)`.
/// @cost two locked additions, to lines that few threads share
template <resource Upstream = host_resource>
using tagged_resource = counting_resource<Upstream, spread_counts>;
static_assert(host_accessible_resource<tagged_resource<>>);

}  // namespace millrace::inline v0::memory
