// SPDX-License-Identifier: Apache-2.0
// The loops of bit_pack.hpp and key_codec.hpp over whole blocks, for registers of eight 32-bit
// lanes (`pack_lanes`). Widths are arguments, not templates: a jump that depends on the width would
// be mispredicted at every change, and 33 bodies would be compiled in every translation unit.

/// 32 bits of each lane's stream, from bit `at` on. `last` is where the block's last row begins, in
/// bytes; of what lies behind the block there come any bits.
template <class L>
[[nodiscard]] inline typename L::reg row_bits(std::byte const* in, std::uint32_t at,
                                              std::uint32_t last) noexcept {
  std::uint32_t const low = at & ~31u, next = low + 32;  // a row has 32 bytes, a word 32 bits
  std::uint32_t const high = next < last ? next : last;
  return L::funnel(L::load(in + low), L::load(in + high), at & 31);
}
template <class L>
[[nodiscard]] inline typename L::reg row_at(std::byte const* in, std::uint32_t at,
                                            std::uint32_t last, typename L::reg mask) noexcept {
  return L::bits_and(row_bits<L>(in, at, last), mask);
}

/// Sums of each lane and those before it.
template <class L>
[[nodiscard]] inline typename L::reg scan(typename L::reg v) noexcept {
  v = L::add(v, L::template up<1>(v));
  v = L::add(v, L::template up<2>(v));
  return L::add(v, L::template up<4>(v));
}

/// Where sums begin whose first is that of `first`: with keys of 32 bits they are the keys.
template <class L>
[[nodiscard]] inline typename L::reg begin_keys(std::uint32_t first) noexcept {
  return L::set(first - 1);
}
template <class L>
[[nodiscard]] inline typename L::reg begin_keys(std::uint64_t) noexcept {
  return L::set(~0u);
}
/// Stores 8 keys by their sums.
template <class L>
inline void put_keys(std::uint32_t* out, std::uint32_t, typename L::reg sums) noexcept {
  L::store(out, sums);
}
template <class L>
inline void put_keys(std::uint64_t* out, std::uint64_t first, typename L::reg sums) noexcept {
  L::store_wide(out, sums, first);
}

/// Keys of a whole block whose numbers have at most 24 bits: sums of 256 fit 32 bits. The sum of a
/// row goes into the next ones beside the row's own scan: one addition a row is all that waits.
template <class L, class K>
inline void unpack_key_rows(std::byte const* in, std::uint32_t bits, K first, K* out) noexcept {
  typename L::reg const mask = L::set(low_mask(bits)), steps = L::ramp(0x0001'0001u);
  std::uint32_t const last = bits == 0 ? 0 : (bits - 1) * 32;
  typename L::reg before = begin_keys<L>(first);
  if (bits == 0) {
    for (std::uint32_t row = 0; row < block_rows / row_lanes; ++row, out += row_lanes) {
      put_keys<L>(out, first, L::add(before, L::ramp(1)));
      before = L::add(before, L::set(row_lanes));
    }
    return;
  }
  if (bits <= 12) {  // two rows at once, in the halves of each lane: sums of 8 fit 16 bits
    typename L::reg const half = L::set(0xFFFF);
    for (std::uint32_t row = 0; row < block_rows / row_lanes; row += 2, out += 2 * row_lanes) {
      typename L::reg const a = row_at<L>(in, row * bits, last, mask);
      typename L::reg const b = row_at<L>(in, row * bits + bits, last, mask);
      typename L::reg const sums = L::add(scan<L>(L::bits_or(a, L::template left<16>(b))), steps);
      typename L::reg const total = L::last(sums);
      put_keys<L>(out, first, L::add(before, L::bits_and(sums, half)));
      before = L::add(before, L::bits_and(total, half));
      put_keys<L>(out + row_lanes, first, L::add(before, L::template right<16>(sums)));
      before = L::add(before, L::template right<16>(total));
    }
    return;
  }
  for (std::uint32_t row = 0; row < block_rows / row_lanes; ++row, out += row_lanes) {
    typename L::reg const sums = L::add(scan<L>(row_at<L>(in, row * bits, last, mask)), L::ramp(1));
    put_keys<L>(out, first, L::add(before, sums));
    before = L::add(before, L::last(sums));
  }
}

template <class L>
inline void pack_whole(std::uint32_t const* in, std::uint32_t bits, std::byte* out) noexcept {
  typename L::reg word = L::set(0);
  std::uint32_t filled = 0;  // bits of `word`
  for (std::uint32_t row = 0; row < block_rows / row_lanes; ++row) {
    typename L::reg const v = L::load(reinterpret_cast<std::byte const*>(in + row * row_lanes));
    word = L::bits_or(word, L::left_by(v, filled));
    filled += bits;
    if (filled < 32) { continue; }
    L::store(out, word);
    out += 32;
    filled -= 32;
    word = L::right_by(v, bits - filled);  // 32 clears it
  }
}

/// The gaps between the keys of a whole block, less 1.
/// @return bits of the largest, or not_increasing
template <class L>
[[nodiscard]] inline std::uint32_t key_gaps(std::uint32_t const* keys,
                                            std::uint32_t* gaps) noexcept {
  gaps[0] = 0;
  std::uint32_t all = 0;
  bool increasing = true;
  for (std::uint32_t i = 1; i < row_lanes; ++i) {
    gaps[i] = keys[i] - keys[i - 1] - 1;
    all |= gaps[i];
    increasing = increasing && keys[i - 1] < keys[i];
  }
  typename L::reg any = L::set(0), wrong = L::set(0);
  typename L::reg const one = L::set(1);
  for (std::uint32_t i = row_lanes; i < block_rows; i += row_lanes) {
    typename L::reg const key = L::load(reinterpret_cast<std::byte const*>(keys + i));
    typename L::reg const before = L::load(reinterpret_cast<std::byte const*>(keys + i - 1));
    typename L::reg const gap = L::sub(L::sub(key, before), one);
    L::store(gaps + i, gap);
    any = L::bits_or(any, gap);
    wrong = L::bits_or(wrong, L::not_above(key, before));
  }
  if (!increasing || L::any(wrong)) { return not_increasing; }
  all |= L::fold_or(any);
  return static_cast<std::uint32_t>(std::bit_width(all));
}

/// As above for keys of 64 bits; gaps are written only where all of them have at most 32.
template <class L>
[[nodiscard]] inline std::uint32_t key_gaps(std::uint64_t const* keys,
                                            std::uint32_t* gaps) noexcept {
  gaps[0] = 0;
  std::uint64_t all = 0;
  bool increasing = true;
  for (std::uint32_t i = 1; i < row_lanes; ++i) {
    std::uint64_t const gap = keys[i] - keys[i - 1] - 1;
    gaps[i] = static_cast<std::uint32_t>(gap);
    all |= gap;
    increasing = increasing && keys[i - 1] < keys[i];
  }
  typename L::reg any = L::set(0), wrong = L::set(0);
  typename L::reg const one = L::set_wide(1);
  for (std::uint32_t i = row_lanes; i < block_rows; i += row_lanes) {
    typename L::reg half[2];
    for (std::uint32_t h = 0; h < 2; ++h) {
      auto const* const at = reinterpret_cast<std::byte const*>(keys + i + 4 * h);
      typename L::reg const key = L::load(at), before = L::load(at - 8);
      half[h] = L::sub_wide(L::sub_wide(key, before), one);
      any = L::bits_or(any, half[h]);
      wrong = L::bits_or(wrong, L::not_above_wide(key, before));
    }
    L::store(gaps + i, L::narrow(half[0], half[1]));
  }
  if (!increasing || L::any(wrong)) { return not_increasing; }
  all |= L::fold_or_wide(any);
  return static_cast<std::uint32_t>(std::bit_width(all));
}
