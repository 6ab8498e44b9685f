// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge_many.hpp>
#include <millrace/delta/paced_merge.hpp>
#include <millrace/delta/read_runs.hpp>
#include <millrace/delta/validate.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/span>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta {

/// What a spine holds and has done.
struct spine_stats {
  std::size_t runs = 0;         ///< now, the inputs of merges among them
  std::size_t merges = 0;       ///< under way
  std::size_t rows = 0;         ///< in the runs: a key that several have counts for each
  std::size_t bytes = 0;        ///< held, for runs and what merges write
  std::uint64_t inserted = 0;   ///< rows that came
  std::uint64_t moved = 0;      ///< rows copied or merged, by inserts and by work
  std::size_t last_moved = 0;   ///< by the last insert
  std::size_t most_moved = 0;   ///< by one insert
  std::uint64_t postponed = 0;  ///< merges that found no memory when they were due
};

/// One run of a spine.
struct spine_run {
  std::size_t rows = 0;
  std::size_t bytes = 0;
  bool merging = false;
};

/// A sorted collection that changes come into, batch after batch: a few runs whose sizes fall
/// geometrically from the oldest to the newest. Neighbours of like size are merged, a little with
/// every insert, so that none has to wait for a large merge:
/// - an insert of n rows moves O(n log(rows / n)) rows, always, not only in the mean;
/// - of a key, the value is that of all its changes combined from the oldest on, ((a b) c) d, in
///   every bit, whatever was merged when. Where the policy does not associate, changes of one key
///   therefore stay apart until they are merged with the oldest run, and take their room till then;
/// - a read sees every insert that has returned;
/// - where there is no memory for a merge, the merge waits; where there is none for a batch, the
///   insert is refused and nothing has changed.
///
/// @tparam Change  change<K, Vs...>
/// @tparam Combine how two values of a key become one
/// @thread one at a time, as for any container; reads alone may be many
/// @source O'Neil et al., "The log-structured merge-tree", Acta Informatica 1996; the fuelled spine
///         of differential dataflow (McSherry)
template <class Change, class Combine = add,
          memory::host_accessible_resource Resource = memory::host_resource>
class spine;

template <change_key K, change_value... Vs, class Combine,
          memory::host_accessible_resource Resource>
  requires combine_policy<Combine, Vs...>
class spine<change<K, Vs...>, Combine, Resource> {
 public:
  using set = basic_change_set<Resource, K, Vs...>;
  using ref = change_set_ref<K, Vs...>;
  using space = change_space<K, Vs...>;
  using row = change<K, Vs...>;

  /// Rows that each merge under way takes for every row that an insert brings. A merge has then
  /// long ended when the next run of its size is complete.
  static constexpr std::size_t pace = 8;
  /// Runs at a time, at most. Sizes fall by a factor of 1.5 at least, so that it suffices for 10^11
  /// times the smallest run, as long as there is memory to merge.
  static constexpr std::size_t max_runs = 64;

  /// Empty.
  explicit spine(Combine combine = {}, Resource from = {},
                 core::isa which = core::best_isa()) noexcept
    requires std::default_initializable<Resource> && std::default_initializable<Combine>
      : from_{std::move(from)}, combine_{combine}, which_{which} {}
  spine(Combine combine, Resource from, core::isa which = core::best_isa()) noexcept
    requires(!(std::default_initializable<Resource> && std::default_initializable<Combine>))
      : from_{std::move(from)}, combine_{combine}, which_{which} {}

  spine(spine&& other) noexcept
      : slots_{std::move(other.slots_)},
        count_{std::exchange(other.count_, 0)},
        stats_{std::exchange(other.stats_, {})},
        from_{other.from_},
        combine_{other.combine_},
        which_{other.which_} {}
  spine& operator=(spine&& other) noexcept {
    spine moved(std::move(other));
    std::swap(slots_, moved.slots_);
    std::swap(count_, moved.count_);
    std::swap(stats_, moved.stats_);
    std::swap(from_, moved.from_);
    std::swap(combine_, moved.combine_);
    std::swap(which_, moved.which_);
    return *this;
  }

  /// Takes in a batch, which is newer than everything before it, and goes on with merges.
  /// @error errc::bad_argument with the index of the first row whose key is not above the one
  ///        before, or that the policy would drop, as validate says; errc::out_of_memory. The spine
  ///        is as it was
  /// @cost  O(n log(rows / n)) rows moved: at most n (1 + pace (2 runs + 2))
  [[nodiscard]] result<void> insert(ref batch) noexcept {
    if (auto const good = validate(batch, combine_, which_); !good) { return good; }
    if (batch.empty()) { return {}; }
    if (!make_room()) { return core::fail(errc::out_of_memory); }
    auto copied = set::make(batch, from_);
    if (!copied) { return cuda::std::unexpected<error>(copied.error()); }
    slots_[count_].rows.emplace(std::move(*copied));
    slots_[count_].unique = true;
    ++count_;
    stats_.inserted += batch.size();
    std::size_t const fuel =
        batch.size() < ~std::size_t{0} / pace ? pace * batch.size() : ~std::size_t{0};
    stats_.last_moved = batch.size() + go_on(fuel);
    stats_.moved += stats_.last_moved;
    if (stats_.most_moved < stats_.last_moved) { stats_.most_moved = stats_.last_moved; }
    return {};
  }

  /// Merges in idle time, until one run is left that has no room to spare.
  /// @param rows to move, about
  /// @return rows moved: fewer when nothing is left to do, or when memory was missing
  std::size_t work(std::size_t rows = ~std::size_t{0}) noexcept {
    std::size_t moved = 0;
    while (moved < rows) {
      std::size_t const at = next_to_do();
      if (at == count_) { break; }
      moved += slots_[at].merge->advance(rows - moved);
      if (slots_[at].merge->done()) { settle(at); }
    }
    stats_.moved += moved;
    return moved;
  }

  /// The row of a key, its changes combined; nothing when there is none, or it was dropped.
  /// @cost O(log^2 rows)
  [[nodiscard]] std::optional<row> find(K key) const noexcept {
    sources from;
    for (std::size_t at = 0; at < count_; ++at) {
      slot const& here = slots_[at];
      if (here.merge && here.merge->has_passed(key)) {
        from.add(here.merge->written());
        at += here.takes_next ? 1 : 0;
      } else {
        from.add(here.rows->ref());
      }
    }
    return from.find(key, combine_);
  }

  /// Hands every row with first <= key < last, in the order of keys, to `visit(key, values...)`,
  /// which may return false to stop. No allocation.
  /// @cost O(log^2 rows + rows visited * runs)
  template <class Visit>
  void for_each(K first, K last, Visit&& visit) const noexcept {
    sources from = inputs();
    from.begin_at(first);
    from.walk(&last, combine_, visit);
  }
  /// Every row.
  template <class Visit>
  void for_each(Visit&& visit) const noexcept {
    inputs().walk(nullptr, combine_, visit);
  }

  /// Everything as one run, written where the caller says.
  /// @param out room for rows()
  /// @return rows written  @error as for merge_many
  [[nodiscard]] result<std::size_t> snapshot_into(space out) const noexcept {
    std::array<ref, max_runs> all;
    for (std::size_t at = 0; at < count_; ++at) { all[at] = slots_[at].rows->ref(); }
    return merge_many(cuda::std::span<ref const>(all.data(), count_), out, combine_, from_, which_);
  }
  /// Everything as one run of its own.
  /// @error errc::out_of_memory
  [[nodiscard]] result<set> snapshot() const noexcept {
    auto made = set::make(rows(), from_);
    if (!made) { return made; }
    auto const written = snapshot_into(made->space());
    if (!written) { return cuda::std::unexpected<error>(written.error()); }
    made->set_size(*written);
    return made;
  }

  /// Forgets everything, and what it has done.
  void clear() noexcept {
    for (std::size_t at = 0; at < count_; ++at) { slots_[at] = slot{}; }
    count_ = 0;
    stats_ = {};
  }

  /// Rows in all runs: no fewer than there are keys.
  [[nodiscard]] std::size_t rows() const noexcept {
    std::size_t sum = 0;
    for (std::size_t at = 0; at < count_; ++at) { sum += rows_of(at); }
    return sum;
  }
  [[nodiscard]] std::size_t runs() const noexcept { return count_; }
  /// The run at a place, 0 the oldest; `bytes` with what its merge with the next has written.
  [[nodiscard]] spine_run run(std::size_t at) const noexcept {
    MILLRACE_ASSERT(at < count_);
    slot const& here = slots_[at];
    return {here.rows->size(),
            here.rows->size_bytes() + (here.merge ? here.merge->size_bytes() : 0),
            here.merge || is_second(at)};
  }
  /// @cost O(runs)
  [[nodiscard]] spine_stats stats() const noexcept {
    spine_stats all = stats_;
    all.runs = count_;
    for (std::size_t at = 0; at < count_; ++at) {
      all.rows += rows_of(at);
      all.bytes += run(at).bytes;
      all.merges += slots_[at].merge ? 1 : 0;
    }
    return all;
  }
  [[nodiscard]] Resource const& resource() const noexcept { return from_; }

 private:
  using merging = paced_merge<row, Combine, Resource>;
  using sources = detail::read_of_runs<max_runs, K, Vs...>;
  static constexpr bool at_once = associates<Combine, Vs...>;

  struct slot {
    std::optional<set> rows;
    std::optional<merging> merge;  ///< of this run with the next, or into a block that fits it
    bool takes_next = false;
    bool unique = false;  ///< no key twice
  };

  [[nodiscard]] std::size_t rows_of(std::size_t at) const noexcept {
    return slots_[at].rows->size();
  }
  /// Whether the run before is being merged with this one.
  [[nodiscard]] bool is_second(std::size_t at) const noexcept {
    return at != 0 && slots_[at - 1].merge && slots_[at - 1].takes_next;
  }
  [[nodiscard]] bool is_free(std::size_t at) const noexcept {
    return at < count_ && !slots_[at].merge && !is_second(at);
  }
  /// Whether a run of `older` rows is to be merged with `newer` rows: equal batches then count up
  /// like a binary number.
  [[nodiscard]] static bool alike(std::size_t older, std::size_t newer) noexcept {
    return older < newer + (newer + 1) / 2;
  }
  /// Whether a run wants a block of its own size, or its keys folded.
  [[nodiscard]] bool wants_rewrite(std::size_t at) const noexcept {
    return slots_[at].rows->capacity() / 2 > rows_of(at) || (at == 0 && !slots_[at].unique);
  }

  /// Begins to merge a run with the next, or alone.
  [[nodiscard]] bool begin(std::size_t at, bool takes_next) noexcept {
    slot& here = slots_[at];
    equals const how = at_once ? equals::combined : at == 0 ? equals::folded : equals::kept;
    auto made = merging::make(here.rows->ref(), takes_next ? slots_[at + 1].rows->ref() : ref{},
                              how, combine_, from_, which_);
    if (!made) {
      ++stats_.postponed;
      return false;
    }
    here.merge.emplace(std::move(*made));
    here.takes_next = takes_next;
    here.unique = how != equals::kept;
    return true;
  }

  /// Puts a merge's result in the place of its inputs.
  void settle(std::size_t at) noexcept {
    slot& here = slots_[at];
    if (here.takes_next) { remove(at + 1); }
    here.rows.emplace(here.merge->take_result());
    here.merge.reset();
    here.takes_next = false;
    if (here.rows->empty()) { remove(at); }
  }
  void remove(std::size_t at) noexcept {
    for (; at + 1 < count_; ++at) { slots_[at] = std::move(slots_[at + 1]); }
    slots_[at] = slot{};
    --count_;
  }

  /// Gives every merge that is due so many rows, newest first; begins what becomes due.
  /// @return rows moved
  std::size_t go_on(std::size_t fuel) noexcept {
    std::size_t moved = 0, behind = 0;  // rows newer than the place
    for (std::size_t at = count_; at > 0;) {
      --at;
      if (!is_second(at)) {
        if (is_free(at)) {
          if (is_free(at + 1) && alike(rows_of(at), rows_of(at + 1))) {
            static_cast<void>(begin(at, true));
          } else if (wants_rewrite(at)) {
            static_cast<void>(begin(at, false));
          }
        }
        slot& here = slots_[at];
        // a merge begun in idle time, of unlike runs, waits until enough has come behind it
        if (here.merge && (!here.takes_next || alike(rows_of(at), behind))) {
          moved += here.merge->advance(fuel);
          if (here.merge->done()) {
            std::size_t const before = count_;
            if (here.takes_next) { behind -= rows_of(at + 1); }
            std::size_t const two = here.takes_next ? 2 : 1;
            settle(at);
            // look at the place again, unless nothing is left of it
            at += before - count_ < two ? 1 : 0;
            continue;
          }
        }
      }
      behind += rows_of(at);
    }
    return moved;
  }

  /// The place of the merge that idle time goes to, begun if need be; count_ when there is none.
  [[nodiscard]] std::size_t next_to_do() noexcept {
    for (std::size_t at = count_; at > 0; --at) {
      if (slots_[at - 1].merge) { return at - 1; }
    }
    if (count_ > 1) { return begin(count_ - 2, true) ? count_ - 2 : count_; }
    if (count_ == 1) {
      bool const spare = slots_[0].rows->capacity() - rows_of(0) > rows_of(0) / 8;
      if ((spare || !slots_[0].unique) && begin(0, false)) { return 0; }
    }
    return count_;
  }

  /// Sees to it that a run can be added.
  [[nodiscard]] bool make_room() noexcept {
    while (count_ == max_runs) {
      std::size_t const at = next_to_do();
      if (at == count_) { return false; }
      stats_.moved += slots_[at].merge->advance(~std::size_t{0});
      settle(at);
    }
    return true;
  }

  [[nodiscard]] sources inputs() const noexcept {
    sources all;
    for (std::size_t at = 0; at < count_; ++at) { all.add(slots_[at].rows->ref()); }
    return all;
  }

  std::array<slot, max_runs> slots_{};  ///< [count_] in use, oldest first
  std::size_t count_ = 0;
  spine_stats stats_{};
  Resource from_;
  Combine combine_;
  core::isa which_;
};

}  // namespace millrace::inline v0::delta
