// SPDX-License-Identifier: Apache-2.0
// Decoding of a block of numbers by lanes of `lanes`, in stages: the stream into an array, patches,
// sums and conversion, then the rows that repeat. Arrays have room for a group beyond their last.

/// Numbers of an array, and room for a group at either end.
template <class T>
struct staged {
  alignas(64) T number[1 + most_values + 64];
};

/// Copies what is left of a block to where bytes follow it.
/// @return where it is now
inline std::byte const* tail_of(std::byte const* from, std::byte const* block, std::byte const* end,
                                std::byte* tail) noexcept {
  std::memset(tail + 64, 0, 64);
  if (end - block >= 64) {
    std::memcpy(tail, end - 64, 64);
    return tail + (64 - (end - from));
  }
  std::memset(tail, 0, 64);
  std::memcpy(tail, from, static_cast<std::size_t>(end - from));
  return tail;
}

/// Unpacks a stream of `count` numbers; writes up to a group more.
/// @param block where the block begins, `end` where it ends: nothing outside is read
template <class T>
inline void unpack_stream(std::byte const* from, std::byte const* block, std::byte const* end,
                          std::uint32_t width, std::uint32_t count, T* out) noexcept {
  if (width == 0) {
    std::memset(out, 0, (count + 16) * sizeof(T));
    return;
  }
  if (width == sizeof(T) * 8) {
    std::memcpy(out, from, count * sizeof(T));
    std::memset(out + count, 0, 16 * sizeof(T));
    return;
  }
  constexpr std::ptrdiff_t reach = 64;  // bytes that a group reads, at most
  alignas(64) std::byte tail[2 * reach];
  if (sizeof(T) == 4 && width <= 25) {
    typename lanes::window32 const window(width);
    for (std::uint32_t i = 0; i < count; i += lanes::rows32) {
      if (end - from < reach) {
        from = tail_of(from, block, end, tail);
        end = tail + 2 * reach;
      }
      lanes::store(out + i, lanes::unpack32(from, window));
      from += lanes::rows32 / 8 * width;
    }
    return;
  }
  typename lanes::window64 const window(width);
  for (std::uint32_t i = 0; i < count; i += 8) {
    if (end - from < reach) {
      from = tail_of(from, block, end, tail);
      end = tail + 2 * reach;
    }
    lanes::unpack64(from, window, out + i);
    from += width;
  }
}

template <class T>
inline void merge_patches(std::byte const* in, value_layout const& layout, T* stored) noexcept {
  std::byte const* const positions = in + layout.patches_at;
  std::byte const* high = positions + layout.patches;
  for (std::uint32_t i = 0; i < layout.patches; ++i, high += layout.patch_bytes) {
    stored[static_cast<std::uint32_t>(positions[i])] |=
        static_cast<T>(load_bytes(high, layout.patch_bytes) << layout.width);
  }
}

/// Sums of a group after its predecessors'.
/// @param T the word of the sums
template <class T, value_step Step>
inline typename lanes::words sums_of(T const* stored, typename lanes::words slope,
                                     typename lanes::words& carry) noexcept {
  typename lanes::words group = lanes::load(stored);
  if constexpr (Step == value_step::none) { return group; }
  if constexpr (Step == value_step::flip) {
    group = lanes::exor(lanes::template prefix_xor<T>(group), carry);
  } else {
    if constexpr (Step == value_step::delta) { group = lanes::template unzigzag<T>(group); }
    if constexpr (Step == value_step::ramp) { group = lanes::template add<T>(group, slope); }
    group = lanes::template add<T>(lanes::template prefix_add<T>(group), carry);
  }
  carry = lanes::template last<T>(group);
  return group;
}

/// What turns sums into values.
template <class V>
struct finish {
  explicit finish(value_layout const& layout) noexcept
      : base(layout.base),
        power(power_of_ten(layout.exponent)),
        inverse(1 / power),
        decimal(layout.scheme == value_scheme::decimal ||
                layout.scheme == value_scheme::decimal_except) {}
  std::uint64_t base;
  double power, inverse;
  bool decimal;
};

/// Sums of 32 bits beside a base of 64, or of 32.
template <class V, value_step Step, bool Decimal>
inline void finish_narrow(std::uint32_t const* stored, std::uint32_t count, std::uint64_t slope,
                          finish<V> const& how, V* out) noexcept {
  typename lanes::words const slopes = lanes::broadcast(static_cast<std::uint32_t>(slope));
  // the first row stores nothing: what is added to its sum is taken off before
  typename lanes::words carry = Step == value_step::ramp
                                    ? lanes::broadcast(static_cast<std::uint32_t>(0 - slope))
                                    : lanes::broadcast(std::uint32_t{0});
  typename lanes::scale const scale(static_cast<double>(static_cast<std::int64_t>(how.base)),
                                    how.power, how.inverse);
  for (std::uint32_t i = 0; i < count; i += lanes::rows32) {
    typename lanes::words sums = sums_of<std::uint32_t, Step>(stored + i, slopes, carry);
    if constexpr (Decimal) {
      lanes::store_decimals(out + i, sums, scale);
    } else if constexpr (sizeof(V) == 8) {
      lanes::store_wider(out + i, sums, how.base);
    } else {
      typename lanes::words const bases = lanes::broadcast(static_cast<std::uint32_t>(how.base));
      sums = Step == value_step::flip ? lanes::exor(sums, bases)
                                      : lanes::template add<std::uint32_t>(sums, bases);
      lanes::store(out + i, sums);
    }
  }
}

/// Sums of 64 bits. False when a decimal's is beyond what an encoder writes.
template <class V, value_step Step, bool Decimal>
inline bool finish_wide(std::uint64_t const* stored, std::uint32_t count, std::uint64_t slope,
                        finish<V> const& how, V* out) noexcept {
  typename lanes::words const slopes = lanes::broadcast(slope), bases = lanes::broadcast(how.base);
  typename lanes::words carry =
      lanes::broadcast(Step == value_step::ramp ? 0 - slope : std::uint64_t{0});
  typename lanes::scale const scale(0, how.power, how.inverse);
  typename lanes::words beyond = lanes::broadcast(std::uint64_t{0});
  typename lanes::words const end = lanes::broadcast(static_cast<std::uint64_t>(end_decimal));
  for (std::uint32_t i = 0; i < count; i += lanes::rows64) {
    typename lanes::words sums = sums_of<std::uint64_t, Step>(stored + i, slopes, carry);
    sums = Step == value_step::flip ? lanes::exor(sums, bases)
                                    : lanes::template add<std::uint64_t>(sums, bases);
    if constexpr (Decimal) {
      typename lanes::words const above = lanes::template add<std::uint64_t>(sums, end);
      beyond = lanes::any(beyond, lanes::first_of(above, count - i));
      lanes::store_wide_decimals(out + i, sums, scale);
    } else {
      lanes::store(out + i, sums);
    }
  }
  return !Decimal || lanes::highest_bits_clear(beyond);
}

/// Repeats values where the map has no bit.
/// @param changed the values of the first row and of those with a bit
template <class V>
inline void repeat_rows(V const* changed, std::uint64_t const (&map)[4], std::uint32_t rows,
                        V* out) noexcept {
  std::uint32_t at = 0, row = 0;
  for (; row + 8 <= rows; row += 8) {
    auto const bits = static_cast<std::uint32_t>(map[row / 64] >> (row % 64)) & 255;
    lanes::repeat8(changed + at, bits, out + row);
    at += static_cast<std::uint32_t>(__builtin_popcount(bits));
  }
  for (; row < rows; ++row) {
    at += static_cast<std::uint32_t>(map[row / 64] >> (row % 64) & 1);
    out[row] = changed[at];
  }
}

/// The bits of floats of numbers, in place.
template <class V>
inline void patterns_of(V* values, std::uint32_t count, value_layout const& layout) noexcept {
  if (layout.shift == 0 && !layout.sign_low) { return; }
  constexpr std::uint32_t rows = sizeof(lanes::words) / sizeof(V);
  using word = value_word<V>;
  for (std::uint32_t i = 0; i < count; i += rows) {
    typename lanes::words const bits = lanes::load(values + i);
    typename lanes::words shifted;
    if (layout.sign_low) {
      shifted = lanes::template up<word>(lanes::template down<word>(bits, 1), layout.shift);
      shifted = lanes::any(shifted, lanes::template up<word>(bits, sizeof(V) * 8 - 1));
    } else {
      shifted = lanes::template up<word>(bits, layout.shift);
    }
    lanes::store(values + i, shifted);
  }
}

template <class V, bool Decimal>
inline bool numbers_into(std::byte const* in, value_layout const& layout, std::uint32_t count,
                         V* out) noexcept {
  finish<V> const how(layout);
  // from the second row on, but a frame's first row stores as well
  std::uint32_t const skip = layout.step == value_step::none ? 0 : 1;
  std::byte const* const from = in + layout.stream_at;
  std::byte const* const end = in + layout.bytes;
  if (sizeof(V) == 8 && layout.wide) {
    staged<std::uint64_t> stage;
    std::uint64_t* const stored = stage.number;
    stored[0] = 0;
    unpack_stream(from, in, end, layout.width, layout.stored, stored + skip);
    merge_patches(in, layout, stored + skip);
    if constexpr (sizeof(V) == 8) {
      switch (layout.step) {
        case value_step::none:
          return finish_wide<V, value_step::none, Decimal>(stored, count, 0, how, out);
        case value_step::delta:
          return finish_wide<V, value_step::delta, Decimal>(stored, count, 0, how, out);
        case value_step::flip:
          return finish_wide<V, value_step::flip, Decimal>(stored, count, 0, how, out);
        case value_step::ramp:
          return finish_wide<V, value_step::ramp, Decimal>(stored, count, layout.slope, how, out);
      }
    }
    return false;
  }
  staged<std::uint32_t> stage;
  std::uint32_t* const stored = stage.number;
  stored[0] = 0;
  unpack_stream(from, in, end, layout.width, layout.stored, stored + skip);
  merge_patches(in, layout, stored + skip);
  switch (layout.step) {
    case value_step::none:
      finish_narrow<V, value_step::none, Decimal>(stored, count, 0, how, out);
      break;
    case value_step::delta:
      finish_narrow<V, value_step::delta, Decimal>(stored, count, 0, how, out);
      break;
    case value_step::flip:
      finish_narrow<V, value_step::flip, Decimal>(stored, count, 0, how, out);
      break;
    case value_step::ramp:
      finish_narrow<V, value_step::ramp, Decimal>(stored, count, layout.slope, how, out);
      break;
  }
  return true;
}

/// A block of numbers; equal to delta::detail::decode_numbers bit for bit.
template <class V>
inline bool decode_numbers(std::byte const* in, value_layout const& layout, V* out) noexcept {
  bool const decimal =
      layout.scheme == value_scheme::decimal || layout.scheme == value_scheme::decimal_except;
  bool const repeats = layout.repeats != value_repeats::none;
  std::uint32_t const count = layout.changes + 1;
  bool const direct = !repeats && count % 16 == 0;
  staged<V> stage;
  V* const values = direct ? out : stage.number;
  bool whole = true;
  if constexpr (float_value<V>) {
    whole = decimal ? numbers_into<V, true>(in, layout, count, values)
                    : numbers_into<V, false>(in, layout, count, values);
    if (layout.scheme == value_scheme::pattern) { patterns_of(values, count, layout); }
  } else {
    whole = numbers_into<V, false>(in, layout, count, values);
  }
  if (repeats) {
    std::uint64_t map[4];
    std::byte const* const from = in + layout.repeats_at;
    if (layout.repeats == value_repeats::bitmap) {
      static_cast<void>(delta::detail::load_bitmap(from, layout.rows, map));
    } else {
      std::memset(map, 0, sizeof(map));
      for (std::uint32_t i = 0; i < layout.changes; ++i) {
        auto const row = static_cast<std::uint32_t>(from[i]);
        map[row / 64] |= std::uint64_t{1} << (row % 64);
      }
    }
    repeat_rows(values, map, layout.rows, out);
  } else if (!direct) {
    std::memcpy(out, values, layout.rows * sizeof(V));
  }
  std::byte const* const positions = in + layout.exceptions_at;
  for (std::uint32_t i = 0; i < layout.exceptions; ++i) {
    std::memcpy(out + static_cast<std::uint32_t>(positions[i]),
                positions + layout.exceptions + i * sizeof(V), sizeof(V));
  }
  return whole;
}
