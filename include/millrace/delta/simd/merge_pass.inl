// SPDX-License-Identifier: Apache-2.0
// One pass of a two-way merge, as many rows at a time as a register holds keys. Included by
// merge_simd.hpp once for each instruction set, in its namespace, behind its `lanes`, before
// merge_rows.inl.
//
// A step takes the `count` lowest keys of the next `count` of older's and the next `count` of
// newer's: against newer's in reverse, older's are at most newer's in a prefix of lanes (the merge
// path crosses the diagonal there), and the lower of each pair are those keys, in bitonic order. A
// sorting network of log2(count) exchanges orders them; the index of where each came from goes
// along, and fetches the values. Equal keys, at most two, are now neighbours: each lane looks at
// the one before it, and of two only the second is put out. Where they are in two steps, the first
// has been put out already, and is taken back.

/// Steps of each half of a tile at most, and at least for a tile to pay.
inline constexpr std::size_t tile_steps = 256, least_tile_steps = 8;

/// Where a pass stands.
struct position {
  std::size_t older = 0, newer = 0, out = 0;
};

/// Column I while it is merged.
template <std::size_t I, std::size_t Bytes, std::size_t Count>
struct column_lanes {
  typename lanes<Bytes, Count>::reg fetched;  ///< values in key order
  typename lanes<Bytes, Count>::reg current;  ///< the same of the step before, combined
  typename lanes<Bytes, Count>::reg last;     ///< and of the one before that
};
template <class Is, std::size_t Count, class... Vs>
struct all_column_lanes;
template <std::size_t... Is, std::size_t Count, class... Vs>
struct all_column_lanes<std::index_sequence<Is...>, Count, Vs...>
    : column_lanes<Is, sizeof(Vs), Count>... {};

/// older combined with newer in the lanes of `same`, `otherwise` in the others.
template <class L, class V, class C>
[[gnu::always_inline]] static inline typename L::reg combine_lanes(
    typename L::mask same, typename L::reg older, typename L::reg newer,
    typename L::reg otherwise) noexcept {
  if constexpr (std::is_same_v<C, last_writer>) {
    return L::select(same, newer, otherwise);
  } else if constexpr (std::is_same_v<C, exclusive_or>) {
    return L::select(same, L::exclusive_or(older, newer), otherwise);
  } else if constexpr (std::is_same_v<C, minimum> || std::is_same_v<C, maximum>) {
    typename L::reg a = older, b = newer;
    if constexpr (std::is_floating_point_v<V>) {
      a = L::total_order(a);
      b = L::total_order(b);
    } else if constexpr (std::is_unsigned_v<V>) {
      a = L::flip_sign(a);
      b = L::flip_sign(b);
    }
    if constexpr (std::is_same_v<C, minimum>) {
      return L::select(same, L::select(L::greater_signed(a, b), newer, older), otherwise);
    } else {
      return L::select(same, L::select(L::greater_signed(b, a), newer, older), otherwise);
    }
  } else if constexpr (std::is_floating_point_v<V>) {
    return L::add_floats(same, older, newer, otherwise);
  } else {
    return L::select(same, L::add_integers(older, newer), otherwise);
  }
}

/// Policies whose operation is one of the lanes'; others are called lane by lane.
template <class C, class V>
inline constexpr bool combines_lanes =
    std::is_same_v<C, last_writer> ||
    (number<V> &&
     (std::is_same_v<C, add> || std::is_same_v<C, count> || std::is_same_v<C, minimum> ||
      std::is_same_v<C, maximum> || std::is_same_v<C, exclusive_or>));

/// Combines the lanes in `set` by calls of the policy.
template <class L, class V, class C>
[[gnu::always_inline]] static inline typename L::reg combine_each(typename L::reg older,
                                                                  typename L::reg newer,
                                                                  typename L::reg otherwise,
                                                                  std::uint32_t set,
                                                                  C const& combine) noexcept {
  if (set == 0) { return otherwise; }
  alignas(64) V a[L::count], b[L::count], all[L::count];
  L::store(a, older);
  L::store(b, newer);
  L::store(all, otherwise);
  for (; set != 0; set &= set - 1) {
    auto const lane = static_cast<std::size_t>(__builtin_ctz(set));
    all[lane] = combine(a[lane], b[lane]);
  }
  return L::load(all);
}

/// Which lanes' values the policy's rule drops.
template <class L, class V, class C>
[[gnu::always_inline]] static inline std::uint32_t dropped_lanes(typename L::reg values,
                                                                 C const& combine) noexcept {
  if constexpr (std::is_same_v<C, count>) {
    return L::to_bits(L::equal(values, L::all(0)));
  } else {
    alignas(64) V all[L::count];
    L::store(all, values);
    std::uint32_t dropped = 0;
    for (std::size_t lane = 0; lane < L::count; ++lane) {
      dropped |= (combine.drops(all[lane]) ? 1u : 0u) << lane;
    }
    return dropped;
  }
}

template <class C, class... Vs, std::size_t... Is>
constexpr std::size_t first_drop_rule(std::index_sequence<Is...>) noexcept {
  std::size_t first = sizeof...(Is);
  ((first = first == sizeof...(Is) && has_drop_rule<policy_type<Is, C>, Vs> ? Is : first), ...);
  return first;
}

/// One pass over columns of 4 and 8 bytes, step by step, and where it stands. Far: where every row
/// is kept, whole registers go past the caches, which takes columns that begin at lines.
template <keep Keep, bool Packed, bool Far, class C, class K, class Newer, class... Vs>
struct pass {
  static constexpr std::size_t count = lane_count<std::max({sizeof(K), sizeof(Vs)...})>;
  static constexpr std::uint32_t every =
      static_cast<std::uint32_t>((std::uint64_t{1} << count) - 1);
  static constexpr bool packs = Packed, keeps_all = Keep == keep::all;
  static constexpr bool keeps_last = Keep == keep::either && !may_drop<C, Vs...>;
  static constexpr bool needs_index = sizeof...(Vs) != 0 || Keep == keep::older_only;
  using KL = lanes<sizeof(K), count>;
  using columns = std::index_sequence_for<Vs...>;
  using older_type = change_set_ref<K, Vs...>;
  using out_type = change_space<K, Vs...>;
  template <std::size_t I>
  using value = typename older_type::template value_type<I>;
  template <std::size_t I>
  using VL = lanes<sizeof(value<I>), count>;
  template <std::size_t I>
  using column_type = column_lanes<I, sizeof(value<I>), count>;
  /// How far ahead of the rows that are taken the next are asked for: a tile.
  static constexpr std::size_t prefetch_bytes = tile_steps * 64;
  /// The first column with a drop rule.
  static constexpr std::size_t first_rule = first_drop_rule<C, Vs...>(columns{});

  older_type older;
  Newer newer;
  out_type out;
  C const& combine;
  position where{};
  /// The rows of a step, and where each input stood before it.
  struct chosen {
    typename KL::reg keys{}, index{};  ///< of packed ones `keys` is all, until they are put out
    std::size_t older = 0, newer = 0;
  };
  chosen looked{}, sorting{}, sorted{};  ///< three steps that follow one another, the last first
  typename KL::reg last_keys{}, last_index{};
  typename KL::reg base{}, older_numbers{}, newer_numbers{};  ///< for packing
  typename KL::mask same{};
  std::uint32_t same_set = 0, drop = 0, kept = 0;
  std::uint32_t last_same = 0, last_kept = 0;  ///< of the last row that was put out
  all_column_lanes<columns, count, Vs...> at{};

  /// Fetches column I's rows of the step that has been sorted just now.
  template <std::size_t I>
  [[gnu::always_inline]] inline void fetch() noexcept {
    using V = value<I>;
    using L = VL<I>;
    column_type<I>& column = at;
    typename L::reg const from = index_as<sizeof(K), sizeof(V), count>(
        Packed ? KL::packed_index(sorting.keys) : sorting.index);
    value<I> const* const a_values = older.template values<I>().data() + sorting.older;
    typename L::reg const a = L::load(a_values);
    prefetch(a_values);
    if constexpr (Keep == keep::older_only) {
      column.fetched = L::gather_older(a, from);
    } else {
      value<I> const* const b_values = newer.template values<I>().data() + sorting.newer;
      prefetch(b_values);
      column.fetched = L::gather(a, from, L::load(b_values));
    }
  }
  /// Combines column I's lanes in `same` with those before them.
  template <std::size_t I>
  [[gnu::always_inline]] inline void combine_column() noexcept {
    if constexpr (Keep == keep::either || Keep == keep::both) {
      using V = value<I>;
      using L = VL<I>;
      using P = policy_type<I, C>;
      column_type<I>& column = at;
      typename L::reg const mine = column.current;
      typename L::reg first = L::previous(mine, column.last), second = mine;
      if constexpr (!P::commutative && !Packed) {
        // the network does not order equal keys: the one before may be newer's
        typename L::mask const swapped = mask_as<sizeof(K), sizeof(V), count>(
            KL::newer_mask(KL::previous(sorted.index, last_index)));
        typename L::reg const one = first;
        first = L::select(swapped, second, one);
        second = L::select(swapped, one, second);
      }
      if constexpr (combines_lanes<P, V>) {
        column.current =
            combine_lanes<L, V, P>(mask_as<sizeof(K), sizeof(V), count>(same), first, second, mine);
      } else {
        column.current = combine_each<L, V>(first, second, mine, same_set, policy_of<I>(combine));
      }
      if constexpr (has_drop_rule<P, V>) {
        drop = (I == first_rule ? same_set : drop) &
               dropped_lanes<L, V>(column.current, policy_of<I>(combine));
      }
    }
  }

  template <std::size_t I>
  [[gnu::always_inline]] inline void put() noexcept {
    using L = VL<I>;
    column_type<I>& column = at;
    value<I>* const to = out.template values<I>() + where.out;
    if constexpr (Keep == keep::all) {
      Far ? L::stream(to, column.current) : L::store(to, column.current);
    } else {
      L::store(to, L::compress(kept, column.current));
    }
    column.last = column.current;
  }

  template <std::size_t... Is>
  [[gnu::always_inline]] inline void begin_columns(std::index_sequence<Is...>) noexcept {
    ((static_cast<column_type<Is>&>(at).last = VL<Is>::all(0)), ...);
  }
  /// Begins at `from`, and writes to `to` from row from.out on.
  [[gnu::always_inline]] inline void begin(position from, out_type to) noexcept {
    where = from;
    out = to;
    // before the first step there is no key: one that the first is not equal to
    K const a = older.keys().data()[from.older], b = newer.keys().data()[from.newer];
    K const lowest = a < b ? a : b;
    last_keys = KL::all(static_cast<K>(~lowest));
    if constexpr (Packed) {
      K const below = static_cast<K>(lowest - KL::bias);
      base = KL::all(below);
      typename KL::reg const shifted = KL::all(static_cast<K>(below << KL::index_bits));
      older_numbers = KL::subtract(KL::numbers(false), shifted);
      newer_numbers = KL::reverse(KL::subtract(KL::numbers(true), shifted));
    } else {
      last_keys = KL::as_stored(last_keys);
    }
    last_index = KL::index_older();
    last_same = last_kept = 0;
    begin_columns(columns{});
  }

  [[gnu::always_inline]] static inline void prefetch(void const* p) noexcept {
    _mm_prefetch(static_cast<char const*>(p) + prefetch_bytes, _MM_HINT_T1);
  }
  /// Chooses the `count` rows after those looked at so far; each input has as many.
  [[gnu::always_inline]] inline void look() noexcept {
    take();
    looked.older = where.older;
    looked.newer = where.newer;
    K const* const a_keys = older.keys().data() + where.older;
    K const* const b_keys = newer.keys().data() + where.newer;
    prefetch(a_keys);
    prefetch(b_keys);
    typename KL::reg const a = KL::load_keys(a_keys);
    typename KL::reg const b = KL::reverse(KL::load_keys(b_keys));
    std::uint32_t from_older;
    if constexpr (Packed) {
      typename KL::reg const packed_a = KL::pack(a, older_numbers);
      typename KL::reg const packed_b = KL::pack(b, newer_numbers);
      from_older = KL::to_bits(KL::packed_less_equal(a, b, packed_a, packed_b));
      looked.keys = KL::packed_lower(packed_a, packed_b);
    } else {
      typename KL::mask const taken = KL::less_equal(a, b);
      from_older = KL::to_bits(taken);
      looked.keys = KL::lower(a, b, taken);
      if constexpr (needs_index) {
        looked.index = KL::select(taken, KL::index_older(), KL::index_newer_reversed());
      }
    }
    auto const olders = static_cast<std::size_t>(__builtin_popcount(from_older));
    where.older += olders;
    where.newer += count - olders;
  }
  /// Steps that both inputs have rows for, whatever they take of either.
  [[gnu::always_inline]] inline std::size_t steps_left() const noexcept {
    return std::min(older.size() - where.older, newer.size() - where.newer) / count;
  }
  /// Goes on to sort the rows looked at.
  [[gnu::always_inline]] inline void take() noexcept { sorting = looked; }
  template <int Distance>
  [[gnu::always_inline]] inline void exchange() noexcept {
    if constexpr (2 * Distance > static_cast<int>(count)) {
      return;
    } else if constexpr (Packed) {
      KL::template exchange_packed<Distance>(sorting.keys);
    } else if constexpr (!needs_index) {
      KL::template exchange<Distance>(sorting.keys);
    } else if constexpr (Keep == keep::all) {
      KL::template exchange_stably<Distance>(sorting.keys, sorting.index);
    } else {
      KL::template exchange<Distance>(sorting.keys, sorting.index);
    }
  }
  /// Goes on to put out the rows that are sorted.
  template <std::size_t... Is>
  [[gnu::always_inline]] inline void turn(std::index_sequence<Is...>) noexcept {
    sorted = sorting;
    ((static_cast<column_type<Is>&>(at).current = static_cast<column_type<Is>&>(at).fetched), ...);
  }
  /// In order: the index apart again.
  [[gnu::always_inline]] inline void unpack() noexcept {
    if constexpr (Packed) {
      sorted.index = KL::packed_index(sorted.keys);
      sorted.keys = KL::unpack(sorted.keys, base);
    }
  }
  /// Which rows have the key of the one before.
  [[gnu::always_inline]] inline void compare() noexcept {
    if constexpr (Keep != keep::all) {
      same = KL::equal(sorted.keys, KL::previous(sorted.keys, last_keys));
      same_set = KL::to_bits(same);
    }
  }
  /// Which rows are put out. Of two with one key the second: of what follows the last row nothing
  /// is known yet, so it is put out as if it were alone, and taken back by the next step.
  [[gnu::always_inline]] inline void choose() noexcept {
    if constexpr (Keep == keep::all) {
      kept = every;
    } else if constexpr (Keep == keep::both) {
      kept = same_set & ~drop;
    } else {
      where.out -= same_set & last_kept;
      kept = every & ~(same_set >> 1);
      if constexpr (Keep == keep::older_only) {
        kept &= ~(same_set | KL::newer_bits(sorted.index));
      } else if constexpr (may_drop<C, Vs...>) {
        kept &= ~drop;
      }
    }
    last_same = same_set >> (count - 1);
    last_kept = keeps_last ? 1 : kept >> (count - 1);
  }
  [[gnu::always_inline]] inline void put_keys() noexcept {
    typename KL::reg keys = sorted.keys;
    if constexpr (Keep != keep::all) { keys = KL::compress(kept, keys); }
    keys = Packed ? keys : KL::as_stored(keys);
    K* const to = out.keys() + where.out;
    Far&& keeps_all ? KL::stream(to, keys) : KL::store(to, keys);
  }
  [[gnu::always_inline]] inline void advance() noexcept {
    where.out += Keep == keep::all ? count : static_cast<std::size_t>(__builtin_popcount(kept));
    last_keys = sorted.keys;
    last_index = sorted.index;
  }

  /// After steps: a last row that is not combined goes back to where it came from, since the next
  /// may have its key.
  [[gnu::always_inline]] inline void settle() noexcept {
    if constexpr (Keep == keep::all) { return; }
    if (last_same == 0) {
      where = untaken(older, newer, where);
      where.out -= last_kept;
    }
  }
  /// Before the last row, which is the one of the two inputs whose key is higher.
  [[gnu::always_inline]] static inline position untaken(older_type older, Newer newer,
                                                        position p) noexcept {
    bool const from_older =
        p.newer == 0 || (p.older != 0 && older.key(p.older - 1) > newer.key(p.newer - 1));
    if (from_older) {
      --p.older;
    } else {
      --p.newer;
    }
    return p;
  }

  /// Where a pass stands after `rows` rows from `from` on, as settle leaves it. Behind it each
  /// input has rows for a step, as it must have behind `from`.
  [[gnu::always_inline]] static inline position after(older_type older, Newer newer, position from,
                                                      std::size_t rows) noexcept {
    K const* const a = older.keys().data() + from.older;
    K const* const b = newer.keys().data() + from.newer;
    std::size_t const low =
        older_rows(a, older.size() - from.older, b, newer.size() - from.newer, rows);
    position p{from.older + low, from.newer + (rows - low), 0};
    bool const combined = low != 0 && low != rows && a[low - 1] == b[rows - low - 1];
    if (Keep != keep::all && !combined) { p = untaken(older, newer, p); }
    // rows out of order may lead elsewhere
    return {std::min(p.older, older.size() - count), std::min(p.newer, newer.size() - count), 0};
  }
};
