// SPDX-License-Identifier: Apache-2.0
// Decoding of a block of numbers by lanes of `lanes`, in stages: the stream into an array, patches,
// sums and conversion, then the rows that repeat. Arrays have room for a group beyond their last.

/// Numbers of a block, and room for a group beyond.
template <class T>
struct staged {
  alignas(64) T number[most_values + 32];
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

/// A stream's groups one after the other. Reads nothing outside the block, whose last bytes it
/// copies to where more may be read.
struct stream {
  static constexpr std::ptrdiff_t reach = 64;  ///< bytes that a group reads, at most

  stream(std::byte const* at, std::byte const* block, std::byte const* behind) noexcept
      : from(at), begin(block), end(behind) {}

  /// Where the next group lies; then `bytes` on.
  inline std::byte const* next(std::uint32_t bytes) noexcept {
    if (!lanes::reads_within && end - from < reach) {
      from = tail_of(from, begin, end, tail);
      end = tail + 2 * reach;
    }
    std::byte const* const group = from;
    from += bytes;
    return group;
  }

  std::byte const* from;
  std::byte const* begin;
  std::byte const* end;
  alignas(64) std::byte tail[2 * reach];
};

/// Groups of 32 bits straight from a stream of up to 25.
struct narrow_stream {
  narrow_stream(stream& from, std::uint32_t bits) noexcept : of(from), width(bits), window(bits) {}
  inline typename lanes::words next() noexcept {
    std::byte const* const group = of.next(lanes::rows32 / 8 * width);
    return lanes::unpack32(group, of.end - group, window);
  }
  stream& of;
  std::uint32_t width;
  typename lanes::window32 window;
};

/// Groups of numbers that lie in an array.
template <class T>
struct array_of {
  inline typename lanes::words next() noexcept {
    typename lanes::words const group = lanes::load(at);
    at += sizeof(group) / sizeof(T);
    return group;
  }
  T const* at;
};

/// Unpacks a stream of `count` numbers; writes up to a group more.
template <class T>
inline void unpack_stream(stream& from, std::uint32_t width, std::uint32_t count, T* out) noexcept {
  if (width == 0) {
    std::memset(out, 0, (count + 16) * sizeof(T));
  } else if (width == sizeof(T) * 8) {
    std::memcpy(out, from.from, count * sizeof(T));
    std::memset(out + count, 0, 16 * sizeof(T));
  } else if (sizeof(T) == 4 && width <= 25) {
    narrow_stream groups(from, width);
    for (std::uint32_t i = 0; i < count; i += lanes::rows32) {
      lanes::store(out + i, groups.next());
    }
  } else {
    typename lanes::window64 const window(width);
    for (std::uint32_t i = 0; i < count; i += 8) {
      std::byte const* const group = from.next(width);
      lanes::unpack64(group, from.end - group, window, out + i);
    }
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
inline typename lanes::words sums_of(typename lanes::words group, typename lanes::words slope,
                                     typename lanes::words& carry) noexcept {
  if constexpr (Step == value_step::none) { return group; }
  if constexpr (Step == value_step::flip) {
    group = lanes::exor(lanes::template prefix_xor<T>(group), carry);
  } else {
    if constexpr (Step == value_step::delta) { group = lanes::template unzigzag<T>(group); }
    if constexpr (Step == value_step::ramp) { group = lanes::template add<T>(group, slope); }
    if constexpr (lanes::rows32 == 8) {  // so many groups that they must not wait for each other
      group = lanes::template prefix_add<T>(group);
      typename lanes::words const total = lanes::template last<T>(group);
      group = lanes::template add<T>(group, carry);
      carry = lanes::template add<T>(carry, total);
      return group;
    }
    group = lanes::template add<T>(lanes::template prefix_add<T>(group), carry);
  }
  carry = lanes::template last<T>(group);
  return group;
}

/// Sums of all groups. A pass of its own: with the conversion in one pass, each group would wait in
/// the processor's queues for some eighty cycles, and only three of them fit.
template <class T, value_step Step, class Groups>
inline void sum_up(Groups groups, std::uint32_t count, T slope, T* sums) noexcept {
  typename lanes::words const slopes = lanes::broadcast(slope);
  typename lanes::words carry = lanes::broadcast(T{0});
  for (std::uint32_t i = 0; i < count; i += sizeof(carry) / sizeof(T)) {
    lanes::store(sums + i, sums_of<T, Step>(groups.next(), slopes, carry));
  }
}

template <class T, class Groups>
inline void sum_by_step(Groups groups, value_layout const& layout, std::uint32_t count,
                        T* sums) noexcept {
  switch (layout.step) {
    case value_step::none: break;
    case value_step::delta: sum_up<T, value_step::delta>(groups, count, T{0}, sums); break;
    case value_step::flip: sum_up<T, value_step::flip>(groups, count, T{0}, sums); break;
    case value_step::ramp:
      sum_up<T, value_step::ramp>(groups, count, static_cast<T>(layout.slope), sums);
      break;
  }
}

/// Values of sums of 32 bits.
/// @param V a float for decimals, else the word of the values
template <class V>
inline void finish_narrow(std::uint32_t const* sums, std::uint32_t count,
                          value_layout const& layout, V* out) noexcept {
  typename lanes::words const base = lanes::broadcast(static_cast<value_word<V>>(layout.base));
  // beside a base of 64 bits, sums are added to it as doubles
  typename lanes::scale const scale(
      sizeof(V) == 8 ? static_cast<double>(static_cast<std::int64_t>(layout.base)) : 0,
      layout.exponent);
  bool const flip = layout.step == value_step::flip;
  for (std::uint32_t i = 0; i < count; i += lanes::rows32) {
    typename lanes::words sum = lanes::load(sums + i);
    if constexpr (sizeof(V) == 4) {
      sum = flip ? lanes::exor(sum, base) : lanes::template add<std::uint32_t>(sum, base);
    }
    if constexpr (float_value<V>) {
      lanes::store_decimals(out + i, sum, scale);
    } else if constexpr (sizeof(V) == 8) {
      lanes::store_wider(out + i, sum, base);
    } else {
      lanes::store(out + i, sum);
    }
  }
}

/// The same of sums of 64 bits. False when a decimal's is beyond what an encoder writes.
template <class V>
inline bool finish_wide(std::uint64_t const* sums, std::uint32_t count, value_layout const& layout,
                        V* out) noexcept {
  typename lanes::words const base = lanes::broadcast(layout.base);
  typename lanes::words const end = lanes::broadcast(static_cast<std::uint64_t>(end_decimal));
  typename lanes::words beyond = lanes::broadcast(std::uint64_t{0});
  typename lanes::scale const scale(0, layout.exponent);
  bool const flip = layout.step == value_step::flip;
  for (std::uint32_t i = 0; i < count; i += lanes::rows64) {
    typename lanes::words sum = lanes::load(sums + i);
    sum = flip ? lanes::exor(sum, base) : lanes::template add<std::uint64_t>(sum, base);
    if constexpr (float_value<V>) {
      typename lanes::words const above = lanes::template add<std::uint64_t>(sum, end);
      beyond = lanes::any(beyond, lanes::first_of(above, count - i));
      lanes::store_wide_decimals(out + i, sum, scale);
    } else {
      lanes::store(out + i, sum);
    }
  }
  return !float_value<V> || lanes::highest_bits_clear(beyond);
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

/// The sums of the first row and of the changes.
template <class T>
inline void sums_into(std::byte const* in, value_layout const& layout, std::uint32_t count,
                      T* sums) noexcept {
  stream from(in + layout.stream_at, in, in + layout.bytes);
  bool const steps = layout.step != value_step::none;
  if constexpr (sizeof(T) == 4) {
    if (steps && layout.patches == 0 && layout.width != 0 && layout.width <= 25) {
      return sum_by_step(narrow_stream(from, layout.width), layout, count, sums);
    }
  }
  unpack_stream(from, layout.width, count, sums);
  merge_patches(in, layout, sums);
  if (steps) { sum_by_step(array_of<T>{sums}, layout, count, sums); }
}

/// The numbers of the first row and of the changes, as decimals or as words.
template <class V>
inline bool numbers_into(std::byte const* in, value_layout const& layout, std::uint32_t count,
                         V* out) noexcept {
  if constexpr (sizeof(V) == 8) {
    if (layout.wide) {
      staged<std::uint64_t> sums;
      sums_into(in, layout, count, sums.number);
      return finish_wide(sums.number, count, layout, out);
    }
  }
  staged<std::uint32_t> sums;
  sums_into(in, layout, count, sums.number);
  finish_narrow(sums.number, count, layout, out);
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
  using word = value_word<V>;
  if constexpr (float_value<V>) {
    if (decimal) { whole = numbers_into(in, layout, count, values); }
  }
  if (!decimal) { whole = numbers_into(in, layout, count, reinterpret_cast<word*>(values)); }
  if (layout.scheme == value_scheme::pattern) { patterns_of(values, count, layout); }
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
