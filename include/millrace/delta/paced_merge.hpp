// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/fold_equal.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/split.hpp>
#include <millrace/memory/resource.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

/// What a merge makes of rows of equal keys.
enum class equals : std::uint8_t {
  combined,  ///< one row of two, from runs of unique keys
  folded,    ///< one row of all, from the left, whatever the runs hold
  kept,      ///< all of them, side by side, older first
};

/// A merge of two runs that goes on whenever somebody has time for some rows. Until it is done, the
/// inputs are as they were, and what is written so far replaces their beginnings.
/// @thread one at a time, as for any container
template <class Change, class Combine, memory::host_accessible_resource Resource>
class paced_merge;

template <change_key K, change_value... Vs, class Combine,
          memory::host_accessible_resource Resource>
  requires combine_policy<Combine, Vs...>
class paced_merge<change<K, Vs...>, Combine, Resource> {
 public:
  using set = basic_change_set<Resource, K, Vs...>;
  using ref = change_set_ref<K, Vs...>;

  /// A merge of none of the rows yet, with room for all.
  /// @param older, newer stay where they are until the merge is done; newer may be empty
  /// @error as for basic_change_set::make
  [[nodiscard]] static result<paced_merge> make(ref older, ref newer, equals how,
                                                Combine const& combine, Resource from,
                                                core::isa which = core::best_isa()) noexcept {
    auto room = set::make(older.size() + newer.size(), std::move(from));
    if (!room) { return cuda::std::unexpected<error>(room.error()); }
    return paced_merge(older, newer, how, combine, std::move(*room), which);
  }

  [[nodiscard]] bool done() const noexcept { return left() == 0; }
  /// Rows of the inputs that wait.
  [[nodiscard]] std::size_t left() const noexcept {
    return older_.size() - i_ + newer_.size() - j_;
  }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return out_.size_bytes(); }

  /// Merges about so many rows of the inputs: one more where a key would be torn apart.
  /// @return rows taken from the inputs  @cost O(rows), and O(log rows) to find where to part them
  std::size_t advance(std::size_t rows) noexcept {
    std::size_t taken = 0;
    while (taken < rows && !done()) {
      std::size_t const step = rows - taken < step_rows_ ? rows - taken : step_rows_;
      taken += step < left() ? take(share_of_older(step), step) : take(older_.size() - i_, left());
    }
    return taken;
  }

  /// Whether everything with this key is in written().
  [[nodiscard]] bool has_passed(K key) const noexcept {
    return (i_ != 0 && key < older_.key(i_ - 1)) || (j_ != 0 && key < newer_.key(j_ - 1));
  }
  /// What the merge has made of the rows that it has taken.
  [[nodiscard]] ref written() const noexcept { return out_.ref(); }
  /// The result of a merge that is done.
  [[nodiscard]] set take_result() noexcept {
    MILLRACE_ASSERT(done());
    return std::move(out_);
  }

 private:
  /// Folding goes over what a step wrote, which is in a cache still. Others need no steps.
  static constexpr std::size_t fold_rows = 4096;

  paced_merge(ref older, ref newer, equals how, Combine const& combine, set out,
              core::isa which) noexcept
      : older_{older},
        newer_{newer},
        out_{std::move(out)},
        step_rows_{how == equals::folded ? fold_rows : ~std::size_t{0}},
        how_{how},
        which_{which},
        combine_{combine} {}

  /// Of the next `rows` rows in the order of (key, older first), those that are older's.
  [[nodiscard]] std::size_t share_of_older(std::size_t rows) const noexcept {
    K const* const a = older_.keys().data() + i_;
    K const* const b = newer_.keys().data() + j_;
    std::size_t const as = older_.size() - i_, bs = newer_.size() - j_;
    return detail::older_rows(a, as, b, bs, rows);
  }

  /// @return rows taken: as many, or one more
  std::size_t take(std::size_t from_older, std::size_t rows) noexcept {
    std::size_t from_newer = rows - from_older;
    std::size_t const i = i_ + from_older;
    if (how_ == equals::combined && i != 0 && j_ + from_newer < newer_.size() &&
        older_.key(i - 1) == newer_.key(j_ + from_newer)) {
      ++from_newer;
    }
    ref const a = older_.slice(i_, from_older), b = newer_.slice(j_, from_newer);
    std::size_t const at = out_.size();
    auto const room = out_.space().from(at);
    auto const wrote = how_ == equals::combined ? merge(a, b, room, combine_, which_)
                                                : interleave(a, b, room, which_);
    MILLRACE_ASSERT(wrote.has_value());
    out_.set_size(how_ == equals::folded ? fold_equal(out_.space(), at, at, at + *wrote, combine_)
                                         : at + *wrote);
    i_ = i;
    j_ += from_newer;
    return from_older + from_newer;
  }

  ref older_, newer_;
  set out_;
  std::size_t i_ = 0, j_ = 0;  ///< rows taken
  std::size_t step_rows_;
  equals how_;
  core::isa which_;
  Combine combine_;
};

}  // namespace millrace::inline v0::delta
