// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/mailbox.hpp>
#include <millrace/propagate/track.hpp>
#include <millrace/propagate/version.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// Cells whose changes somebody wants. All of it belongs to who leads the lane.
template <class P>
struct subscription {
  /// Tells the mailbox what has changed; false if it has not taken it.
  bool (*deliver)(subscription&, std::uint64_t epoch) noexcept = nullptr;
  void (*destroy)(store_core<P>&, subscription*) noexcept = nullptr;
  subscription* later = nullptr;  ///< of all
  subscription* next_touched = nullptr;
  bool is_touched = false;
  std::uint64_t number = 0;

  explicit subscription(typename P::graph_policy::resource from) noexcept
      : changed{from}, is_changed{from} {}

  /// The cell at a place has a new version.
  void touch(store_core<P>& in, std::uint32_t place) noexcept {
    if (!is_changed[place]) {
      is_changed[place] = true;
      changed.push(place);
    }
    enlist(in);
  }
  /// Is delivered with the next epoch.
  void enlist(store_core<P>& in) noexcept {
    if (!std::exchange(is_touched, true)) { next_touched = std::exchange(in.first_touched, this); }
  }

  column<std::uint32_t, typename P::graph_policy::resource> changed;  ///< places, since delivered
  column<bool, typename P::graph_policy::resource> is_changed;
};

/// Of cells of one type, with the mailbox that they go to.
template <class P, class T, class M>
struct typed_subscription : subscription<P> {
  using resource = typename P::graph_policy::resource;

  typed_subscription(resource from, M to) noexcept
      : subscription<P>{from},
        mail{std::move(to)},
        cells{from},
        names{from},
        values{from},
        failures{from} {
    this->deliver = deliver_changes;
    this->destroy = destroy_this;
  }

  /// Room for so many cells, so that to deliver takes no memory.
  [[nodiscard]] result<void> reserve(std::uint32_t count) noexcept {
    if (auto const r = this->changed.reserve(count); !r) { return r; }
    if (auto const r = this->is_changed.reserve(count); !r) { return r; }
    if (auto const r = cells.reserve(count); !r) { return r; }
    if (auto const r = names.reserve(count); !r) { return r; }
    if (auto const r = values.reserve(count); !r) { return r; }
    return failures.reserve(count);
  }

  static bool deliver_changes(subscription<P>& base, std::uint64_t epoch) noexcept {
    auto& mine = static_cast<typed_subscription&>(base);
    std::sort(mine.changed.begin(), mine.changed.end());  // cells are in the order of their names
    mine.names.clear();
    mine.values.clear();
    mine.failures.clear();
    for (std::uint32_t const place : mine.changed) {
      version const& v = *mine.cells[place]->versions.newest();
      mine.names.push(mine.cells[place]->name);
      mine.values.push(value_of<T>(v));
      mine.failures.push(v.failure);
    }
    cell_changes<T> const changes(mine.names.data(), mine.names.size(), mine.values.data(),
                                  mine.failures.data());
    if (!mine.mail.deliver(epoch, changes)) { return false; }
    for (std::uint32_t const place : mine.changed) { mine.is_changed[place] = false; }
    mine.changed.clear();
    return true;
  }
  static void destroy_this(store_core<P>& in, subscription<P>* base) noexcept {
    auto* const mine = static_cast<typed_subscription*>(base);
    for (track<P>* each : mine->cells) {
      auto& all = each->subscribers;
      for (std::uint32_t k = all.size(); k-- > 0;) {
        if (all[k].to != mine) { continue; }
        all[k] = all.back();
        all.pop();
      }
    }
    mine->~typed_subscription();
    in.from.deallocate(mine, sizeof(typed_subscription), alignof(typed_subscription));
  }

  M mail;
  column<track<P>*, resource> cells;  ///< by name, ascending
  column<std::uint64_t, resource> names;
  column<T, resource> values;
  column<error, resource> failures;
};

}  // namespace millrace::inline v0::propagate::detail
