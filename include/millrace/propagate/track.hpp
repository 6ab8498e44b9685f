// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/kinds.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/record.hpp>
#include <millrace/propagate/version.hpp>
#include <millrace/propagate/version_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

/// \file
/// The versions of one published cell, and the node that makes them.

namespace millrace::inline v0::propagate::detail {

template <class P>
struct store_core;
template <class P>
struct subscription;

/// What is known of a published cell. While it is, none of it changes.
struct track_facts {
  node_id cell;
  void const* type;  ///< type_of<T>
  version_type const* of;
  version_pool* spare;        ///< where its versions come from
  record_type const* record;  ///< null where its values do not go into records
  bool is_input;
};

/// A published cell. What its readers need is the first line, unless its slot has had another cell.
template <class P>
struct alignas(core::line_bytes) track : track_facts {
  using resource = typename P::graph_policy::resource;
  struct subscriber {
    subscription<P>* to;
    std::uint32_t place;
  };

  track(track_facts const& facts, store_core<P>& core, resource from) noexcept
      : track_facts{facts}, in{&core}, subscribers{from} {}

  /// Whether it is not published any more.
  [[nodiscard]] bool is_gone() const noexcept { return versions.newest()->gone; }
  /// Whether it is published in an epoch, which is pinned.
  [[nodiscard]] bool is_in(std::uint64_t epoch) const noexcept {
    version const* const v = versions.at(epoch);
    return v != nullptr && !v->gone;
  }
  /// An older cell that had the slot, and is published in an epoch that may be read still.
  [[nodiscard]] track* below() const noexcept {
    return reinterpret_cast<track*>(P::access::load(below_, core::acquire, "track.below"));
  }
  void put_above(track* older) noexcept {
    P::access::store(below_, reinterpret_cast<std::uintptr_t>(older), core::release, "track.put");
  }

  static_assert(sizeof(track_facts) + sizeof(std::uintptr_t) <= core::line_bytes,
                "track: readers find its versions on the first line");
  version_chain<typename P::access> versions;

  // the rest belongs to who leads the lane; what a commit needs is the second line
  store_core<P>* in;
  version* staged = nullptr;  ///< what has been written and is to take effect
  column<subscriber, resource> subscribers;
  bool claimed = false;    ///< a transaction of the group has written it
  std::uint64_t name = 0;  ///< when it was published; 0: it had none
  node_id publisher{};     ///< the node that is told of the cell's values
  track* later = nullptr;  ///< of all
  track* earlier = nullptr;
  std::uint64_t unlisted = 0;  ///< the epoch from which on nobody finds it; 0: it can be found
  track* next_unlisted = nullptr;

 private:
  std::uintptr_t below_ = 0;
};

/// Told of one cell's values and failures: makes them its newest version.
template <class P, class T>
struct publisher_kind {
  using graph_policy = typename P::graph_policy;
  using engine_type = engine<graph_policy>;

  struct body : body_head {
    track<P>* to;
    T const* from;
    void repoint(void const* was, void const* is) noexcept { detail::repoint(from, was, is); }
  };
  static bool run(engine_type& e, std::uint32_t i) noexcept {
    auto const& n = e.nodes(i);
    auto& mine = *static_cast<body*>(n.body);
    track<P>& to = *mine.to;
    version& v = to.in->next_version(to);
    v.failure = e.source_failure(n);
    if (v.failure.code != errc::ok) { return false; }
    T& value = static_cast<typed_version<T>&>(v).value;
    if constexpr (std::is_nothrow_copy_assignable_v<T>) {
      value = *mine.from;
    } else {
      try {
        value = *mine.from;
      } catch (std::bad_alloc const&) { v.failure = {errc::out_of_memory, {}, 0}; } catch (...) {
        v.failure = {errc::function_failed, {}, 0};
      }
    }
    return false;
  }
  static constexpr kind<graph_policy> is{.is = role::observer,
                                         .sweep = engine_type::fire_in_turn,
                                         .run = run,
                                         .destroy = destroy_body<body, graph_policy>,
                                         .repoint = repoint_body<body>};
};

}  // namespace millrace::inline v0::propagate::detail
