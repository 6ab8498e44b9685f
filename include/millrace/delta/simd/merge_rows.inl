// SPDX-License-Identifier: Apache-2.0
// The two-way merge of as many rows at a time as a register holds keys. Included by merge_simd.hpp
// once for each instruction set, in its namespace, behind its `lanes`.
//
// A step takes the `count` lowest keys of the next `count` of older's and the next `count` of
// newer's: against newer's in reverse, older's are at most newer's in a prefix of lanes (the merge
// path crosses the diagonal there), and the lower of each pair are those keys, in bitonic order. A
// sorting network of log2(count) exchanges orders them; the index of where each came from goes
// along, and fetches the values. Equal keys, at most two, are now neighbours: each lane looks at
// the one before it, which may be in the step before, so a row is put out one lane late, and the
// first of two not at all.
//
// A step waits for the one before it only for where to load: a chain of a load, a permutation, a
// comparison and a population count, which is longer than what the step's work takes. Two passes in
// one loop, over the two halves of a tile, use the time: the second begins where the merge path
// crosses the tile's middle, and its rows are moved behind the first's when those are counted.

/// Where a pass stands.
struct position {
  std::size_t older = 0, newer = 0, out = 0;
};

/// Column I while it is merged.
template <std::size_t I, std::size_t Bytes, std::size_t Count>
struct column_lanes {
  typename lanes<Bytes, Count>::reg current;  ///< values in key order, combined
  typename lanes<Bytes, Count>::reg last;     ///< those of the step before
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
    typename L::reg const sum = L::add_floats(same, older, newer, otherwise);
    return L::select(both_of(same, L::nan(sum)), L::all(canonical_nan<V>), sum);
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

/// One pass over columns of 4 and 8 bytes, step by step, and where it stands. Far: what is written
/// does not stay in the caches; where every row is kept, whole registers go past them, which takes
/// columns that begin at lines.
template <keep Keep, bool Packed, bool Far, class C, class K, class Newer, class... Vs>
struct pass {
  static constexpr std::size_t count = lane_count<std::max({sizeof(K), sizeof(Vs)...})>;
  static constexpr std::uint32_t every =
      static_cast<std::uint32_t>((std::uint64_t{1} << count) - 1);
  static constexpr std::uint32_t top = std::uint32_t{1} << (count - 1);
  static constexpr bool packs = Packed, keeps_all = Keep == keep::all;
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
  /// How far ahead of the rows that are taken the next are asked for.
  static constexpr std::size_t prefetch_bytes = 8192;
  /// The first column with a drop rule.
  static constexpr std::size_t first_rule = first_drop_rule<C, Vs...>(columns{});

  older_type older;
  Newer newer;
  out_type out;
  C const& combine;
  position where{};
  /// The rows of a step, and where each input stood before it.
  struct chosen {
    typename KL::reg keys{}, index{};  ///< of packed ones `keys` is all, until they are in order
    std::size_t older = 0, newer = 0;
  };
  chosen current{}, next{};
  typename KL::reg last_keys{}, last_index{};
  typename KL::reg base{}, older_numbers{}, newer_numbers{};  ///< for packing
  typename KL::reg before{};
  typename KL::mask same{};
  std::uint32_t same_set = 0, drop = 0, kept = 0;
  std::uint32_t live = 0, last_same = 0, last_drop = 0, last_newer = 0;
  all_column_lanes<columns, count, Vs...> at{};

  /// Fetches column I's rows of the current step.
  template <std::size_t I>
  [[gnu::always_inline]] inline void fetch() noexcept {
    using V = value<I>;
    using L = VL<I>;
    column_type<I>& column = at;
    typename L::reg const from = index_as<sizeof(K), sizeof(V), count>(current.index);
    value<I> const* const a_values = older.template values<I>().data() + current.older;
    typename L::reg const a = L::load(a_values);
    prefetch(a_values);
    if constexpr (Keep == keep::older_only) {
      column.current = L::gather_older(a, from);
    } else {
      value<I> const* const b_values = newer.template values<I>().data() + current.newer;
      prefetch(b_values);
      column.current = L::gather(a, from, L::load(b_values));
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
            KL::newer_mask(KL::previous(current.index, last_index)));
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
    prefetch_written(to);
    if constexpr (Keep == keep::all) {
      Far ? L::stream(to, column.current) : L::store(to, column.current);
    } else {
      constexpr bool late = Keep != keep::both;
      typename L::reg const rows = late ? L::previous(column.current, column.last) : column.current;
      L::store(to, L::compress(kept, rows));
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
      newer_numbers = KL::subtract(KL::numbers(true), shifted);
    } else {
      last_keys = KL::as_stored(last_keys);
    }
    last_index = KL::index_older();
    live = every & ~std::uint32_t{1};
    last_same = last_drop = last_newer = 0;
    begin_columns(columns{});
  }

  [[gnu::always_inline]] static inline void prefetch(void const* p) noexcept {
    _mm_prefetch(static_cast<char const*>(p) + prefetch_bytes, _MM_HINT_T1);
  }
  [[gnu::always_inline]] static inline void prefetch_written(void* p) noexcept {
    if constexpr (Far && !keeps_all) {
      __builtin_prefetch(static_cast<char*>(p) + prefetch_bytes, 1);
    }
  }
  /// Chooses the `count` rows after those looked at so far; each input has as many.
  [[gnu::always_inline]] inline void look() noexcept {
    current = next;
    next.older = where.older;
    next.newer = where.newer;
    K const* const a_keys = older.keys().data() + where.older;
    K const* const b_keys = newer.keys().data() + where.newer;
    prefetch(a_keys);
    prefetch(b_keys);
    std::size_t from_older;
    if constexpr (Packed) {
      typename KL::reg const a = KL::pack(KL::load(a_keys), older_numbers);
      typename KL::reg const b = KL::reverse(KL::pack(KL::load(b_keys), newer_numbers));
      from_older = static_cast<std::size_t>(__builtin_popcount(KL::to_bits(KL::packed_less(a, b))));
      next.keys = KL::packed_lower(a, b);
    } else {
      typename KL::reg const a = KL::load_keys(a_keys);
      typename KL::reg const b = KL::reverse(KL::load_keys(b_keys));
      typename KL::mask const taken = KL::less_equal(a, b);
      from_older = static_cast<std::size_t>(__builtin_popcount(KL::to_bits(taken)));
      next.keys = KL::lower(a, b, taken);
      if constexpr (needs_index) {
        next.index = KL::select(taken, KL::index_older(), KL::index_newer_reversed());
      }
    }
    where.older += from_older;
    where.newer += count - from_older;
  }
  /// Goes on to the last rows looked at.
  [[gnu::always_inline]] inline void take() noexcept { current = next; }
  template <int Distance>
  [[gnu::always_inline]] inline void exchange() noexcept {
    if constexpr (Packed) {
      KL::template exchange_packed<Distance>(current.keys);
    } else if constexpr (!needs_index) {
      KL::template exchange<Distance>(current.keys);
    } else if constexpr (Keep == keep::all) {
      KL::template exchange_stably<Distance>(current.keys, current.index);
    } else {
      KL::template exchange<Distance>(current.keys, current.index);
    }
  }
  /// In order: the index apart again.
  [[gnu::always_inline]] inline void unpack() noexcept {
    if constexpr (Packed) {
      current.index = KL::packed_index(current.keys);
      current.keys = KL::unpack(current.keys, base);
    }
  }
  /// Which rows have the key of the one before.
  [[gnu::always_inline]] inline void compare() noexcept {
    if constexpr (Keep != keep::all) {
      before = KL::previous(current.keys, last_keys);
      same = KL::equal(current.keys, before);
      same_set = KL::to_bits(same);
    }
  }
  /// Which rows are put out.
  [[gnu::always_inline]] inline void choose() noexcept {
    if constexpr (Keep == keep::all) {
      kept = every;
    } else if constexpr (Keep == keep::both) {
      kept = same_set & ~drop;
    } else {
      kept = ~same_set & live;
      live = every;
      if constexpr (Keep == keep::older_only) {
        std::uint32_t const newer_set = KL::newer_bits(current.index);
        kept &= ~((same_set << 1) | last_same) & ~((newer_set << 1) | last_newer);
        last_newer = (newer_set & top) != 0 ? 1 : 0;
      } else if constexpr (may_drop<C, Vs...>) {
        kept &= ~((drop << 1) | last_drop);
        last_drop = (drop & top) != 0 ? 1 : 0;
      }
    }
    last_same = (same_set & top) != 0 ? 1 : 0;
  }
  [[gnu::always_inline]] inline void put_keys() noexcept {
    typename KL::reg keys = Keep == keep::all || Keep == keep::both ? current.keys : before;
    if constexpr (Keep != keep::all) { keys = KL::compress(kept, keys); }
    keys = Packed ? keys : KL::as_stored(keys);
    K* const to = out.keys() + where.out;
    prefetch_written(to);
    Far&& keeps_all ? KL::stream(to, keys) : KL::store(to, keys);
  }
  [[gnu::always_inline]] inline void advance() noexcept {
    where.out += Keep == keep::all ? count : static_cast<std::size_t>(__builtin_popcount(kept));
    last_keys = current.keys;
    last_index = current.index;
  }

  template <std::size_t I>
  [[gnu::always_inline]] inline value<I> last_value() noexcept {
    alignas(64) value<I> all[count];
    VL<I>::store(all, static_cast<column_type<I>&>(at).last);
    return all[count - 1];
  }
  template <std::size_t... Is>
  [[gnu::always_inline]] inline void put_last(std::index_sequence<Is...>) noexcept {
    alignas(64) K keys[count];
    KL::store(keys, Packed ? last_keys : KL::as_stored(last_keys));
    out.put(where.out++, keys[count - 1], last_value<Is>()...);
  }
  /// After steps: the last row has not been put out. When it is combined, no other has its key, and
  /// it is due; else it goes back to where it came from.
  [[gnu::always_inline]] inline void settle() noexcept {
    if constexpr (Keep == keep::all) { return; }
    if (last_same == 0) {
      where = untaken(where);
    } else if (Keep == keep::either && last_drop == 0) {
      put_last(columns{});
    }
  }
  /// Before the last row, which is the one of the two inputs whose key is higher.
  [[gnu::always_inline]] inline position untaken(position p) const noexcept {
    bool const from_older =
        p.newer == 0 || (p.older != 0 && older.key(p.older - 1) > newer.key(p.newer - 1));
    if (from_older) {
      --p.older;
    } else {
      --p.newer;
    }
    return p;
  }

  /// Where the pass stands after `rows` rows from `from` on, as settle leaves it; each input has as
  /// many from there.
  [[gnu::always_inline]] inline position after(position from, std::size_t rows) const noexcept {
    K const* const a = older.keys().data() + from.older;
    K const* const b = newer.keys().data() + from.newer;
    std::size_t low = 0, high = rows;  // older's share
    while (low < high) {
      std::size_t const middle = (low + high) / 2;
      // by arithmetic: a branch would be guessed wrong every other time
      auto const more = static_cast<std::size_t>(a[middle] <= b[rows - 1 - middle]);
      low += (middle + 1 - low) & (std::size_t{0} - more);
      high -= (high - middle) & (more - 1);
    }
    position const p{from.older + low, from.newer + (rows - low), 0};
    if constexpr (Keep == keep::all) { return p; }
    bool const combined = low != 0 && low != rows && a[low - 1] == b[rows - low - 1];
    return combined ? p : untaken(p);
  }
};

/// Does the current step of each pass, one operation of all before the next of any: what one waits
/// for, another uses.
template <int Distance, class... Passes>
[[gnu::always_inline]] static inline void sort(Passes&... passes) noexcept {
  (passes.template exchange<Distance>(), ...);
  if constexpr (Distance > 1) { sort<Distance / 2>(passes...); }
}
template <std::size_t I, std::size_t Columns, class... Passes>
[[gnu::always_inline]] static inline void combine_columns(Passes&... passes) noexcept {
  if constexpr (I < Columns) {
    (passes.template fetch<I>(), ...);
    (passes.template combine_column<I>(), ...);
    combine_columns<I + 1, Columns>(passes...);
  }
}
template <std::size_t I, std::size_t Columns, class... Passes>
[[gnu::always_inline]] static inline void put_columns(Passes&... passes) noexcept {
  if constexpr (I < Columns) {
    (passes.template put<I>(), ...);
    put_columns<I + 1, Columns>(passes...);
  }
}
template <std::size_t Count, std::size_t Columns, class... Passes>
[[gnu::always_inline]] static inline void step(Passes&... passes) noexcept {
  sort<static_cast<int>(Count / 2)>(passes...);
  (passes.unpack(), ...);
  (passes.compare(), ...);
  combine_columns<0, Columns>(passes...);
  (passes.choose(), ...);
  (passes.put_keys(), ...);
  put_columns<0, Columns>(passes...);
  (passes.advance(), ...);
}

/// Rows of one column, of the second half of a tile.
template <std::size_t Column, class T, std::size_t Rows>
struct stage {
  alignas(64) T rows[Rows];
};
template <class Is, std::size_t Rows, class... Ts>
struct all_stages;
template <std::size_t... Is, std::size_t Rows, class... Ts>
struct all_stages<std::index_sequence<Is...>, Rows, Ts...> : stage<Is, Ts, Rows>... {
  template <class K, class... Vs>
  [[gnu::always_inline]] static inline change_space<K, Vs...> space_of(stage<0, K, Rows>& keys,
                                                                       auto&... values) noexcept {
    return change_space<K, Vs...>(keys.rows, Rows, values.rows...);
  }
  template <class K, class... Vs, std::size_t... Columns>
  [[gnu::always_inline]] inline change_space<K, Vs...> space(
      std::index_sequence<Columns...>) noexcept {
    return space_of<K, Vs...>(*this, static_cast<stage<Columns + 1, Vs, Rows>&>(*this)...);
  }
};

/// Steps of each half of a tile at most, and at least for a tile to pay.
inline constexpr std::size_t tile_steps = 128, least_tile_steps = 4;

/// Two passes over the halves of a tile, from `at` on. The second's rows wait in `aside` until the
/// first's are counted, unless every row is kept. Where it ends.
template <class Pass, class Older, class Newer, class Space, class C>
[[gnu::always_inline]] static inline position merge_tile(Older older, Newer newer, Space out,
                                                         C const& combine, position at,
                                                         std::size_t steps, Space aside) noexcept {
  constexpr std::size_t count = Pass::count, width = Pass::columns::size();
  Pass first{older, newer, out, combine}, second{older, newer, out, combine};
  position middle = first.after(at, steps * count);
  if constexpr (Pass::keeps_all) {
    aside = out;
    middle.out = at.out + steps * count;
  }
  first.begin(at, out);
  second.begin(middle, aside);
  second.base = first.base;
  second.older_numbers = first.older_numbers;
  second.newer_numbers = first.newer_numbers;
  first.look();
  second.look();
  for (std::size_t s = 1; s < steps; ++s) {
    // the next step's rows are looked for before the work on these
    first.look();
    second.look();
    step<count, width>(first, second);
  }
  first.take();
  second.take();
  step<count, width>(first, second);
  first.settle();
  second.settle();
  position end = second.where;
  if constexpr (!Pass::keeps_all) {
    copy_rows(aside.filled(end.out), out.from(first.where.out));
    end.out += first.where.out;
  }
  return end;
}

/// One pass from `at` on. Where it ends.
template <class Pass, class Older, class Newer, class Space, class C>
[[gnu::always_inline]] static inline position merge_strip(Older older, Newer newer, Space out,
                                                          C const& combine, position at,
                                                          std::size_t steps) noexcept {
  constexpr std::size_t count = Pass::count, width = Pass::columns::size();
  Pass only{older, newer, out, combine};
  only.begin(at, out);
  only.look();
  for (std::size_t s = 1; s < steps; ++s) {
    only.look();
    step<count, width>(only);
  }
  only.take();
  step<count, width>(only);
  only.settle();
  return only.where;
}

/// How many rows those before `at` can give.
template <keep Keep>
[[gnu::always_inline]] static inline std::size_t rows_within(position at) noexcept {
  return Keep == keep::both         ? std::min(at.older, at.newer)
         : Keep == keep::older_only ? at.older
                                    : at.older + at.newer;
}

/// Merges whole steps; the rest of both inputs, from where it stands on, is left. Far: what is
/// written does not stay in the caches.
template <keep Keep, bool Far, class C, class K, class Newer, class... Vs>
[[gnu::noinline]] static position merge_rows(change_set_ref<K, Vs...> older, Newer newer,
                                             change_space<K, Vs...> out,
                                             C const& combine) noexcept {
  constexpr bool direct = Keep == keep::all;  // where a row goes is known before it is merged
  using wide = pass<Keep, false, Far, C, K, Newer, Vs...>;
  using packed = pass<Keep, wide::needs_index, Far, C, K, Newer, Vs...>;
  constexpr std::size_t count = wide::count;
  constexpr K packs_below = K{1} << wide::KL::distance_bits;
  // far from the caches two passes wait for memory as one does, and the second's rows would go
  // twice
  constexpr bool in_tiles = direct || !Far;
  using stages =
      all_stages<std::make_index_sequence<1 + sizeof...(Vs)>, (tile_steps + 1) * count, K, Vs...>;
  [[maybe_unused]] std::conditional_t<in_tiles && !direct, stages, char> second_rows;
  change_space<K, Vs...> aside = out;
  if constexpr (in_tiles && !direct) {
    aside = second_rows.template space<K, Vs...>(std::index_sequence_for<Vs...>{});
  }
  position at{};
  for (;;) {
    // of sorted rows no more come out than went in; of others they might, and would not fit
    at.out = std::min(at.out, rows_within<Keep>(at));
    std::size_t const n = older.size() - at.older, m = newer.size() - at.newer;
    std::size_t const steps = std::min(2 * tile_steps, (n < m ? n : m) / count);
    if (steps == 0) { break; }
    K const lowest = std::min(older.key(at.older), newer.key(at.newer));
    K const highest =
        std::max(older.key(at.older + steps * count - 1), newer.key(at.newer + steps * count - 1));
    bool const packs = packed::packs && static_cast<K>(highest - lowest) < packs_below;
    if constexpr (in_tiles) {
      if (steps >= 2 * least_tile_steps) {
        at = packs ? merge_tile<packed>(older, newer, out, combine, at, steps / 2, aside)
                   : merge_tile<wide>(older, newer, out, combine, at, steps / 2, aside);
        continue;
      }
    } else if (packs) {
      at = merge_strip<packed>(older, newer, out, combine, at, steps);
      continue;
    }
    at = merge_strip<wide>(older, newer, out, combine, at, steps);
  }
  if constexpr (Far && direct) { _mm_sfence(); }  // streamed rows are seen before what comes next
  return at;
}
