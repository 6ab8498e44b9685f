// SPDX-License-Identifier: Apache-2.0
// The two-way merge of as many rows at a time as a register holds keys: passes over the halves of
// tiles. Included by merge_simd.hpp once for each instruction set, in its namespace, behind
// merge_pass.inl.
//
// A step waits for the one before it only for where to load: a chain of a load, a permutation, a
// comparison and a population count, which is longer than what the step's work takes. Two passes in
// one loop, over the two halves of a tile, use the time: the second begins where the merge path
// crosses the tile's middle, and its rows are moved behind the first's when those are counted.
// What a step does after that is a chain of some twenty operations, longer than what a processor
// holds in its queues of those that wait. So a step is in three turns of the loop: it is looked
// for, sorted, and put out, each beside the other two of its neighbours.

// Each operation is done for all passes before the next for any: what one waits for, another uses.

template <std::size_t I, std::size_t Columns, class... Passes>
[[gnu::always_inline]] static inline void fetch_columns(Passes&... passes) noexcept {
  if constexpr (I < Columns) {
    (passes.template fetch<I>(), ...);
    fetch_columns<I + 1, Columns>(passes...);
  }
}
template <std::size_t I, std::size_t Columns, class... Passes>
[[gnu::always_inline]] static inline void combine_columns(Passes&... passes) noexcept {
  if constexpr (I < Columns) {
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
template <int Distance, class... Passes>
[[gnu::always_inline]] static inline void exchange(Passes&... passes) noexcept {
  (passes.template exchange<Distance>(), ...);
}
/// Sorts a step of each pass.
template <std::size_t Columns, class... Passes>
[[gnu::always_inline]] static inline void sort(Passes&... passes) noexcept {
  exchange<8>(passes...);
  exchange<4>(passes...);
  exchange<2>(passes...);
  exchange<1>(passes...);
  fetch_columns<0, Columns>(passes...);
  (passes.turn(typename Passes::columns{}), ...);
}
/// Puts out a step of each pass, and sorts the next beside it.
template <std::size_t Columns, bool Sorts, class... Passes>
[[gnu::always_inline]] static inline void put(Passes&... passes) noexcept {
  (passes.unpack(), ...);
  if constexpr (Sorts) {
    exchange<8>(passes...);
    exchange<4>(passes...);
  }
  (passes.compare(), ...);
  if constexpr (Sorts) { exchange<2>(passes...); }
  combine_columns<0, Columns>(passes...);
  if constexpr (Sorts) { exchange<1>(passes...); }
  (passes.choose(), ...);
  if constexpr (Sorts) { fetch_columns<0, Columns>(passes...); }
  (passes.put_keys(), ...);
  put_columns<0, Columns>(passes...);
  (passes.advance(), ...);
  if constexpr (Sorts) { (passes.turn(typename Passes::columns{}), ...); }
}
/// How often to go on: `steps` times, and no more often than there are rows for a step.
struct countdown {
  std::size_t steps, sure = 1;

  template <class... Passes>
  [[gnu::always_inline]] inline bool more(Passes const&... passes) noexcept {
    if (--sure != 0) { return true; }
    sure = std::min({steps, passes.steps_left()...});
    steps -= sure;
    return sure != 0;
  }
};
/// Does up to `steps` steps of each pass; there are rows for one.
template <std::size_t Columns, class... Passes>
[[gnu::always_inline]] static inline void run(std::size_t steps, Passes&... passes) noexcept {
  countdown left{steps - 1};
  (passes.look(), ...);
  if constexpr (sorts_ahead) {
    if (left.more(passes...)) {
      (passes.look(), ...);
      sort<Columns>(passes...);
      while (left.more(passes...)) {
        (passes.look(), ...);
        put<Columns, true>(passes...);
      }
      (passes.take(), ...);
      put<Columns, true>(passes...);
    } else {
      (passes.take(), ...);
      sort<Columns>(passes...);
    }
  } else {
    while (left.more(passes...)) {
      (passes.look(), ...);
      sort<Columns>(passes...);
      put<Columns, false>(passes...);
    }
    (passes.take(), ...);
    sort<Columns>(passes...);
  }
  put<Columns, false>(passes...);
}

/// Rows of one column on their way: those of a tile's second half, and what goes past the caches.
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

/// Where a tile ends, and how many of its rows are aside.
struct tile_end {
  position at;
  std::size_t aside = 0;
};

/// Two passes over the halves of a tile, from `at` on. The second's rows are in `aside`, since the
/// first's have not been counted before, unless every row is kept.
template <class Pass, class Older, class Newer, class Space, class C>
[[gnu::always_inline]] static inline tile_end merge_tile(Older older, Newer newer, Space out,
                                                         C const& combine, position at,
                                                         std::size_t steps, Space aside) noexcept {
  constexpr std::size_t count = Pass::count, width = Pass::columns::size();
  Pass first{older, newer, out, combine}, second{older, newer, out, combine};
  position middle = Pass::after(older, newer, at, steps * count);
  if constexpr (Pass::keeps_all) {
    aside = out;
    middle.out = at.out + steps * count;
  }
  first.begin(at, out);
  second.begin(middle, aside);
  second.base = first.base;
  second.older_numbers = first.older_numbers;
  second.newer_numbers = first.newer_numbers;
  run<width>(steps, first, second);
  first.settle();
  second.settle();
  tile_end end{second.where, 0};
  if constexpr (!Pass::keeps_all) {
    end.aside = second.where.out;
    end.at.out = first.where.out + end.aside;
  }
  return end;
}

/// One pass from `at` on, while each input has rows for a step. Where it ends.
template <class Pass, class Older, class Newer, class Space, class C>
[[gnu::always_inline]] static inline tile_end merge_strip(Older older, Newer newer, Space out,
                                                          C const& combine, position at,
                                                          std::size_t steps) noexcept {
  Pass only{older, newer, out, combine};
  only.begin(at, out);
  run<Pass::columns::size()>(steps, only);
  only.settle();
  return {only.where, 0};
}

/// How many rows those before `at` can give.
template <keep Keep>
[[gnu::always_inline]] static inline std::size_t rows_within(position at) noexcept {
  return Keep == keep::both         ? std::min(at.older, at.newer)
         : Keep == keep::older_only ? at.older
                                    : at.older + at.newer;
}

/// Writes those of the first `rows` of `near` and the first `behind` of `aside` that fill lines,
/// and begins `near` with the others. @return how many it has written
template <std::size_t Line, class K, class... Vs>
[[gnu::always_inline]] static inline std::size_t put_lines(change_space<K, Vs...> near,
                                                           std::size_t rows,
                                                           change_space<K, Vs...> aside,
                                                           std::size_t behind,
                                                           change_space<K, Vs...> out) noexcept {
  std::size_t const fill = std::min(behind, (Line - rows % Line) % Line);
  copy_rows(aside.filled(fill), near.from(rows));
  rows += fill;
  behind -= fill;
  std::size_t const rest = rows % Line;
  rows -= rest;
  stream_rows(near.filled(rows), out);
  if (rest != 0) {  // all is in `near`
    if (rows != 0) { copy_rows(near.from(rows).filled(rest), near); }
    return rows;
  }
  std::size_t const lines = behind - behind % Line;
  stream_rows(aside.from(fill).filled(lines), out.from(rows));
  copy_rows(aside.from(fill + lines).filled(behind - lines), near);
  return rows + lines;
}

/// Merges whole steps; the rest of both inputs, from where it stands on, is left. Far: what is
/// written goes past the caches, which takes columns that begin at lines.
template <keep Keep, bool Far, class C, class K, class Newer, class... Vs>
[[gnu::noinline]] static position merge_rows(change_set_ref<K, Vs...> older, Newer newer,
                                             change_space<K, Vs...> out,
                                             C const& combine) noexcept {
  constexpr bool direct = Keep == keep::all;  // where a row goes is known before it is merged
  constexpr bool by_lines = Far && !direct;
  using wide = pass<Keep, false, Far, C, K, Newer, Vs...>;
  using packed = pass<Keep, wide::needs_index, Far, C, K, Newer, Vs...>;
  constexpr std::size_t count = wide::count;
  constexpr K packs_below = K{1} << wide::KL::distance_bits;
  // rows for lines of every column, and of half a tile
  constexpr std::size_t line = 64 / std::min({sizeof(K), sizeof(Vs)...});
  constexpr std::size_t half = line + (tile_steps + 1) * count;
  using stages =
      all_stages<std::make_index_sequence<1 + sizeof...(Vs)>, by_lines ? 2 * half : half, K, Vs...>;
  [[maybe_unused]] std::conditional_t<direct, char, stages> staged;
  change_space<K, Vs...> near = out, aside = out;
  if constexpr (!direct) {
    aside = staged.template space<K, Vs...>(std::index_sequence_for<Vs...>{});
    if constexpr (by_lines) {
      near = aside;
      aside = near.from(half);
    }
  }
  position at{};            // its rows are those in `near`
  std::size_t written = 0;  // rows before those, in lines
  for (;;) {
    // of sorted rows no more come out than went in; of others they might, and would not fit
    std::size_t const within = rows_within<Keep>(at);
    written = std::min(written, within - within % line);
    at.out = std::min(at.out, within - written);
    std::size_t const n = older.size() - at.older, m = newer.size() - at.newer;
    std::size_t const shorter = n < m ? n : m;
    if (shorter < count) { break; }
    bool const in_tile = shorter >= 2 * least_tile_steps * count;
    // rows out of order may all seem to be in both inputs, or in older alone
    constexpr bool loses_most = Keep == keep::both || Keep == keep::older_only;
    bool const bounded = in_tile || loses_most;
    std::size_t steps =
        std::min(2 * tile_steps, (bounded ? shorter : older.size() + newer.size()) / count);
    if (in_tile && !loses_most && steps < 2 * tile_steps) {
      // the last tile: nearly all that is left, where both inputs reach as far
      std::size_t const all = std::min(2 * tile_steps, (n + m) / count - 8);
      std::size_t const olders = older_rows(older.keys().data() + at.older, n,
                                            newer.keys().data() + at.newer, m, all * count);
      if (olders + count <= n && all * count - olders + count <= m) { steps = all; }
    }
    K const lowest = std::min(older.key(at.older), newer.key(at.newer));
    K const highest = std::max(older.key(at.older + std::min(n, steps * count) - 1),
                               newer.key(at.newer + std::min(m, steps * count) - 1));
    bool const packs = packed::packs && static_cast<K>(highest - lowest) < packs_below;
    tile_end end;
    if (in_tile) {
      end = packs ? merge_tile<packed>(older, newer, near, combine, at, steps / 2, aside)
                  : merge_tile<wide>(older, newer, near, combine, at, steps / 2, aside);
    } else {
      end = packs ? merge_strip<packed>(older, newer, near, combine, at, steps)
                  : merge_strip<wide>(older, newer, near, combine, at, steps);
    }
    at = end.at;
    if constexpr (by_lines) {
      std::size_t const lines =
          put_lines<line>(near, at.out - end.aside, aside, end.aside, out.from(written));
      written += lines;
      at.out -= lines;
    } else if constexpr (!direct) {
      copy_rows(aside.filled(end.aside), near.from(at.out - end.aside));
    }
  }
  if constexpr (by_lines) { copy_rows(near.filled(at.out), out.from(written)); }
  at.out += written;
  if constexpr (Far) { end_stream(); }  // streamed rows are seen before what comes next
  return at;
}
