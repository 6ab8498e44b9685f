// SPDX-License-Identifier: Apache-2.0
// Rows of dense columns that differ, 64 at a time; once for each instruction set, whose
// `dense_lanes` say which of 64 numbers differ and how those of a block that do are put side by
// side.

/// The bits of a block's rows whose values differ.
template <class V>
[[nodiscard]] inline std::uint64_t differing(V const* before, V const* after) noexcept {
  if constexpr (sizeof(V) == 4 || sizeof(V) == 8) {
    return dense_lanes<sizeof(V)>::differing(before, after);
  } else {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 64; ++i) {
      bits |= std::uint64_t{same_bits(before[i], after[i]) ? 0u : 1u} << i;
    }
    return bits;
  }
}

/// Writes the keys first, first + 1, ... of the rows in `bits`.
/// @param out room for 64
template <class K>
inline void put_keys(K* out, std::uint64_t bits, std::size_t first) noexcept {
  if constexpr (dense_lanes<sizeof(K)>::compresses) {
    dense_lanes<sizeof(K)>::put_indices(out, bits, first);
  } else {
    for (; bits != 0; bits &= bits - 1) {
      *out++ = static_cast<K>(first + static_cast<std::size_t>(__builtin_ctzll(bits)));
    }
  }
}

/// Writes the differences of the rows in `bits`.
/// @param out room for 64
template <class V, class D>
inline void put_differences(V* out, std::uint64_t bits, V const* before, V const* after,
                            D const& difference) noexcept {
  if constexpr ((sizeof(V) == 4 || sizeof(V) == 8) && dense_lanes<sizeof(V)>::compresses) {
    if (__builtin_popcountll(bits) > 3) {
      V block[64];
      for (std::size_t i = 0; i < 64; ++i) { block[i] = difference(before[i], after[i]); }
      dense_lanes<sizeof(V)>::put(out, bits, block);
      return;
    }
  }
  for (; bits != 0; bits &= bits - 1) {
    auto const i = static_cast<std::size_t>(__builtin_ctzll(bits));
    *out++ = difference(before[i], after[i]);
  }
}

/// The whole blocks of 64 rows of a difference, until there is no room for a block's rows.
/// @return rows of input looked at; `o` counts those put
template <class K, class C, class... Vs, std::size_t... Is>
[[nodiscard]] std::size_t diff_blocks(cuda::std::tuple<Vs const*...> before,
                                      cuda::std::tuple<Vs const*...> after, std::size_t size,
                                      change_space<K, Vs...> out, std::size_t& o, C const& combine,
                                      std::index_sequence<Is...>) noexcept {
  std::size_t i = 0, written = o;
  for (; i + 64 <= size; i += 64) {
    std::uint64_t bits = 0;
    ((bits |= differing(cuda::std::get<Is>(before) + i, cuda::std::get<Is>(after) + i)), ...);
    if (bits == 0) { continue; }
    std::size_t const room = out.capacity() - written;
    if (room >= 64) {
      put_keys(out.keys() + written, bits, i);
      (put_differences(out.template values<Is>() + written, bits, cuda::std::get<Is>(before) + i,
                       cuda::std::get<Is>(after) + i, difference_of<Is, C>{combine}),
       ...);
      written += static_cast<std::size_t>(__builtin_popcountll(bits));
      continue;
    }
    if (room < static_cast<std::size_t>(__builtin_popcountll(bits))) { break; }
    for (; bits != 0; bits &= bits - 1) {
      std::size_t const at = i + static_cast<std::size_t>(__builtin_ctzll(bits));
      out.put(written++, static_cast<K>(at),
              difference_of<Is, C>{combine}(cuda::std::get<Is>(before)[at],
                                            cuda::std::get<Is>(after)[at])...);
    }
  }
  o = written;
  return i;
}

/// How many of `size` rows differ, whole blocks alone.
template <class... Vs, std::size_t... Is>
[[nodiscard]] std::size_t count_blocks(cuda::std::tuple<Vs const*...> before,
                                       cuda::std::tuple<Vs const*...> after, std::size_t size,
                                       std::index_sequence<Is...>) noexcept {
  std::size_t count = 0;
  for (std::size_t i = 0; i + 64 <= size; i += 64) {
    std::uint64_t bits = 0;
    ((bits |= differing(cuda::std::get<Is>(before) + i, cuda::std::get<Is>(after) + i)), ...);
    count += static_cast<std::size_t>(__builtin_popcountll(bits));
  }
  return count;
}
