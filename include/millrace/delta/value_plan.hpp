// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/value_layout.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// \file
/// How a block of numbers is best written: the sizes of every form are computed from counts of bit
/// widths, the smallest is written.

namespace millrace::inline v0::delta {

/// How many numbers of each bit width there are.
class width_counts {
 public:
  void add(std::uint64_t number, std::uint32_t times = 1) noexcept {
    count_[std::bit_width(number)] += times;
    total_ += times;
  }
  [[nodiscard]] std::uint32_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint32_t count(std::uint32_t width) const noexcept { return count_[width]; }
  [[nodiscard]] std::uint32_t widest() const noexcept {
    std::uint32_t width = 64;
    while (width > 0 && count_[width] == 0) { --width; }
    return width;
  }

 private:
  std::uint32_t count_[65] = {};
  std::uint32_t total_ = 0;
};

/// Width and patches of a stream.
struct stream_plan {
  std::uint32_t width = 0, patches = 0, patch_bytes = 0;
  std::uint32_t bytes = 0;
};

/// The cheapest width for these counts: what is wider gets its upper bits as a patch. Patches count
/// 16 bytes more than they have, and 16 each, for the time they take: option quotes decode a fifth
/// faster so and are a tenth larger.
[[nodiscard]] inline stream_plan plan_stream(width_counts const& counts) noexcept {
  std::uint32_t const widest = counts.widest();
  stream_plan best;
  best.width = stream_width(widest);
  best.bytes = packed_bytes(counts.total(), best.width);
  std::uint32_t least = best.bytes;
  std::uint32_t patches = 0;
  for (std::uint32_t width = widest; width-- > 0;) {
    patches += counts.count(width + 1);
    if (patches > counts.total() / 4) { break; }  // more than that is slower than it is small
    if (width > 57) { continue; }
    std::uint32_t const patch_bytes = (widest - width + 7) / 8;
    std::uint32_t const bytes =
        packed_bytes(counts.total(), width) + 2 + patches * (1 + patch_bytes);
    std::uint32_t const cost = bytes + 16 + 16 * patches;
    if (cost >= least) { continue; }
    least = cost;
    best = {width, patches, patch_bytes, bytes};
  }
  return best;
}

/// A block of numbers on its way into bytes.
/// @tparam W std::uint32_t or std::uint64_t: numbers are modulo 2^32 or 2^64
template <class W>
class number_block {
 public:
  /// Room for the numbers, to be filled before plan().
  W number[most_values] = {};

  /// Chooses how to write the first n numbers.
  /// @param is_signed whether numbers are ordered as signed
  /// @param patterns  whether they are bits of floats, for which xor is tried as well
  /// @return bytes that write() will write
  std::uint32_t plan(std::uint32_t n, bool is_signed, bool patterns) noexcept {
    rows_ = n;
    order_ = is_signed ? W{1} << (sizeof(W) * 8 - 1) : W{0};
    find_changes();
    range_ = find_range();
    wide_ = sizeof(W) == 8 && static_cast<std::uint64_t>(range_) >> 31 != 0;
    best_bytes_ = ~std::uint32_t{0};
    consider_changes(patterns && (wide_ || sizeof(W) == 4));
    return best_bytes_;
  }

  /// Writes the numbers as planned.
  /// @param out [what plan() returned]
  void write(std::byte* out) noexcept {
    std::byte* const begin = out;
    bool const repeats = repeats_ != value_repeats::none;
    std::uint32_t const length = length_of(base_), code = length == 8 ? 7 : length;
    *out++ = static_cast<std::byte>(static_cast<std::uint32_t>(step_) |
                                    static_cast<std::uint32_t>(repeats_) << 2 |
                                    (stream_.patches != 0 ? 16u : 0u) | code << 5);
    *out++ = static_cast<std::byte>(stream_.width | (wide_ ? 128u : 0u));
    out = store_number(out, base_, length);
    if (step_ == value_step::ramp) {
      std::uint32_t const slope_length = length_of(slope_);
      *out++ = static_cast<std::byte>(slope_length);
      out = store_number(out, slope_, slope_length);
    }
    if (repeats) { out = write_repeats(out); }
    W stored[most_values];
    std::uint32_t const count =
        store(repeats ? change_ : number, repeats ? changes_ + 1 : rows_, stored);
    out += write_stream(stored, count, stream_.width, out);
    if (stream_.patches != 0) { out = write_patches(stored, count, out); }
    MILLRACE_ASSERT(out == begin + best_bytes_);
    static_cast<void>(begin);
  }

 private:
  static std::uint32_t bytes_of(std::uint64_t number) noexcept {
    return (static_cast<std::uint32_t>(std::bit_width(number)) + 7) / 8;
  }
  /// Bytes of a number of the header: its form byte has no 7.
  static std::uint32_t length_of(W number) noexcept {
    std::uint32_t const bytes = bytes_of(to_zigzag(number));
    return bytes == 7 ? 8 : bytes;
  }
  static std::byte* store_number(std::byte* out, W number, std::uint32_t length) noexcept {
    store_bytes(out, to_zigzag(number), length);
    return out + length;
  }

  void find_changes() noexcept {
    std::memset(map_, 0, sizeof(map_));
    change_[0] = number[0];
    std::uint32_t at = 0;
    for (std::uint32_t i = 1; i < rows_; ++i) {
      bool const changed = number[i] != number[i - 1];
      map_[i / 64] |= std::uint64_t{changed} << (i % 64);
      at += changed ? 1 : 0;
      change_[at] = number[i];
    }
    changes_ = at;
  }

  W find_range() noexcept {
    W least = static_cast<W>(change_[0] ^ order_), most = least;
    for (std::uint32_t i = 1; i <= changes_; ++i) {
      W const each = static_cast<W>(change_[i] ^ order_);
      least = std::min(least, each);
      most = std::max(most, each);
    }
    least_ = static_cast<W>(least ^ order_);
    return static_cast<W>(most - least);
  }

  /// Sizes of all forms. Those that store every row are counted from those that store changes: a
  /// row that repeats is a step of zero.
  void consider_changes(bool flips) noexcept {
    width_counts frame_of_all, frame, steps, flipped, ramps;
    for (std::uint32_t i = 0; i < rows_; ++i) { frame_of_all.add(number[i] - least_); }
    for (std::uint32_t i = 0; i <= changes_; ++i) { frame.add(change_[i] - least_); }
    W slope = 0;
    for (std::uint32_t i = 1; i <= changes_; ++i) {
      auto const step = static_cast<W>(change_[i] - change_[i - 1]);
      steps.add(to_zigzag(step));
      if (flips) { flipped.add(static_cast<W>(change_[i] ^ change_[i - 1])); }
      bool const less = i == 1 || static_cast<std::make_signed_t<W>>(step) <
                                      static_cast<std::make_signed_t<W>>(slope);
      slope = less ? step : slope;
    }
    for (std::uint32_t i = 1; i <= changes_; ++i) {
      ramps.add(static_cast<W>(change_[i] - change_[i - 1] - slope));
    }
    // the first row steps by the slope, and sums of numbers that are not wide have 32 bits
    W const steepness = slope >> (sizeof(W) * 8 - 1) != 0 ? static_cast<W>(W{0} - slope) : slope;
    bool const ramp_fits =
        wide_ || sizeof(W) == 4 || (static_cast<std::uint64_t>(steepness) + range_) >> 31 == 0;
    // the first row steps as well, by nothing
    steps.add(0);
    flipped.add(0);
    ramps.add(0);
    auto const before = static_cast<W>(number[0] - slope);
    std::uint32_t const repeated = rows_ - 1 - changes_;
    consider(value_step::none, value_repeats::none, least_, 0, frame_of_all);
    if (repeated != 0 && changes_ != 0) {
      value_repeats const kind =
          1 + changes_ < (rows_ + 7) / 8 ? value_repeats::positions : value_repeats::bitmap;
      consider(value_step::none, kind, least_, 0, frame);
      consider(value_step::delta, kind, change_[0], 0, steps);
      if (ramp_fits) { consider(value_step::ramp, kind, before, slope, ramps); }
      if (flips) { consider(value_step::flip, kind, change_[0], 0, flipped); }
    }
    if (changes_ == 0) { return; }
    if (repeated == 0 && ramp_fits) {
      consider(value_step::ramp, value_repeats::none, before, slope, ramps);
    }
    steps.add(0, repeated);
    consider(value_step::delta, value_repeats::none, number[0], 0, steps);
    if (!flips) { return; }
    flipped.add(0, repeated);
    consider(value_step::flip, value_repeats::none, number[0], 0, flipped);
  }

  void consider(value_step step, value_repeats repeats, W base, W slope,
                width_counts const& counts) noexcept {
    stream_plan const stream = plan_stream(counts);
    std::uint32_t bytes = 2 + length_of(base) + stream.bytes;
    if (step == value_step::ramp) { bytes += 1 + length_of(slope); }
    if (repeats == value_repeats::bitmap) { bytes += (rows_ + 7) / 8; }
    if (repeats == value_repeats::positions) { bytes += 1 + changes_; }
    if (bytes >= best_bytes_) { return; }
    best_bytes_ = bytes;
    step_ = step;
    repeats_ = repeats;
    base_ = base;
    slope_ = slope;
    stream_ = stream;
  }

  std::byte* write_repeats(std::byte* out) const noexcept {
    if (repeats_ == value_repeats::bitmap) {
      std::memcpy(out, map_, (rows_ + 7) / 8);
      return out + (rows_ + 7) / 8;
    }
    *out++ = static_cast<std::byte>(changes_);
    for (std::uint32_t i = 1; i < rows_; ++i) {
      if ((map_[i / 64] >> (i % 64) & 1) != 0) { *out++ = static_cast<std::byte>(i); }
    }
    return out;
  }

  /// What the stream stores of these numbers.
  std::uint32_t store(W const* from, std::uint32_t count, W* stored) const noexcept {
    if (step_ == value_step::none) {
      for (std::uint32_t i = 0; i < count; ++i) { stored[i] = static_cast<W>(from[i] - base_); }
      return count;
    }
    stored[0] = 0;
    for (std::uint32_t i = 1; i < count; ++i) {
      auto const step = static_cast<W>(from[i] - from[i - 1]);
      stored[i] = step_ == value_step::delta  ? to_zigzag(step)
                  : step_ == value_step::ramp ? static_cast<W>(step - slope_)
                                              : static_cast<W>(from[i] ^ from[i - 1]);
    }
    return count;
  }

  std::byte* write_patches(W const* stored, std::uint32_t count, std::byte* out) const noexcept {
    *out++ = static_cast<std::byte>(stream_.patches);
    *out++ = static_cast<std::byte>(stream_.patch_bytes);
    std::byte* high = out + stream_.patches;
    for (std::uint32_t i = 0; i < count; ++i) {
      auto const above = static_cast<W>(stored[i] >> stream_.width);
      if (above == 0) { continue; }
      *out++ = static_cast<std::byte>(i);
      store_bytes(high, above, stream_.patch_bytes);
      high += stream_.patch_bytes;
    }
    return high;
  }

  W change_[most_values];  ///< the numbers of the first row and of those that do not repeat
  std::uint64_t map_[4];
  std::uint32_t rows_ = 0, changes_ = 0;
  W order_ = 0, least_ = 0;
  W range_ = 0;
  bool wide_ = false;
  std::uint32_t best_bytes_ = 0;
  value_step step_ = value_step::none;
  value_repeats repeats_ = value_repeats::none;
  W base_ = 0, slope_ = 0;
  stream_plan stream_;
};

}  // namespace millrace::inline v0::delta
