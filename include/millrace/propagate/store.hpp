// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/parking.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/journal.hpp>
#include <millrace/propagate/mailbox.hpp>
#include <millrace/propagate/snapshot.hpp>
#include <millrace/propagate/store_core.hpp>
#include <millrace/propagate/store_policy.hpp>
#include <millrace/propagate/subscription.hpp>
#include <millrace/propagate/track.hpp>
#include <millrace/propagate/transaction.hpp>

#include <cuda/std/span>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::propagate {

/// What takes the changes of a subscription.
struct subscription_id {
  std::uint64_t number = 0;
};

/// A graph that threads share: transactions that read and write published cells, snapshots of what
/// was, changes as they come. Commits go through one lane, in an order that all see: what a
/// transaction relies on is looked at, the journal gets what it has written, what follows is
/// computed, and all of it becomes readable at once, as the next epoch. Commits that wait together
/// are one epoch.
///
/// A cell's functions run in the lane, on the thread of any of those that wait. They, edits and
/// mailboxes must not call a store, this one or another: what goes through a lane is refused with
/// errc::busy there. Snapshots can be taken and read.
/// @thread any, but make, move and end
template <store_policy P = default_store>
class basic_store {
  using core_type = detail::store_core<P>;
  using graph_type = basic_graph<typename P::graph_policy>;
  using engine_type = typename core_type::engine_type;
  using resource = typename core_type::resource;
  using track_type = detail::track<P>;
  using request_type = detail::store_request<P>;

 public:
  using graph = graph_type;
  using transaction = basic_transaction<P>;
  using snapshot_type = basic_snapshot<P>;

  /// Takes a graph over: from here on it changes by transactions and edits.
  /// @error errc::bad_argument (1): a batch of the graph is open, (2): no pins;
  /// errc::out_of_memory.
  ///        The graph is as it was
  [[nodiscard]] static result<basic_store> make(graph_type&& g, store_options const& options = {},
                                                typename P::journal j = {}) noexcept;
  basic_store(basic_store&& other) noexcept : core_{std::exchange(other.core_, nullptr)} {}
  basic_store& operator=(basic_store&& other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~basic_store();

  /// f(graph), with the graph to itself: to add, replace, remove, name and look, not to move from.
  /// What it changes of published cells is the next epoch's; writes are refused with errc::busy:
  /// they are transactions'.
  /// @return what f returns, as a result
  /// @error errc::busy: from within the lane; errc::full; errc::out_of_memory: and f has not run;
  ///        errc::function_failed: f has thrown
  template <class F>
    requires std::invocable<F&, graph_type&>
  auto edit(F f) noexcept -> result<detail::held<std::invoke_result_t<F&, graph_type&>>>;

  /// From the next epoch on transactions and snapshots can read the cell, and write it if it is an
  /// input. It is kept up to date as if it were observed. With a journal an input needs a name, and
  /// a type that runs of changes can hold (delta::run_value, bool) without padding, whose bytes are
  /// nobody's; a T{} of one with floating-point members is a constant.
  /// @error errc::unknown_id; errc::duplicate: it is; errc::bad_argument: an input without a name,
  ///        or of a type that does not go into records; errc::busy, errc::full,
  ///        errc::out_of_memory: as edit
  template <cell_value T>
    requires std::copyable<T>
  [[nodiscard]] result<void> publish(cell<T> of) noexcept;
  /// The opposite, from the next epoch on: kept epochs can be read as before. A transaction that
  /// has read or written the cell is refused.
  /// @error errc::unknown_id: it is not published; errc::busy: a subscription has it, or as edit
  template <cell_value T>
  [[nodiscard]] result<void> unpublish(cell<T> of) noexcept;

  /// A transaction that reads the newest epoch.
  /// @error errc::full: store_options::most_pins are open
  /// @cost  a compare-exchange, and as many loads as others are open
  [[nodiscard]] result<transaction> begin() noexcept {
    std::uint64_t epoch = 0;
    std::uint32_t const pin = core_->pins.pin(epoch);
    if (pin == core_->pins.none) { return core::refuse<transaction>(errc::full); }
    return transaction(*core_, pin, epoch);
  }
  /// Runs f(transaction) and commits, again and again while that is a conflict.
  /// @return the epoch
  /// @error what f returns, errc::function_failed: it has thrown; as transaction::commit;
  ///        errc::conflict: at each of `attempts`
  template <class F>
    requires std::is_same_v<std::invoke_result_t<F&, transaction&>, result<void>>
  [[nodiscard]] result<std::uint64_t> transact(F f, std::uint32_t attempts = 1000) noexcept {
    for (std::uint32_t k = 1;; ++k) {
      auto t = begin();
      if (!t) { return core::refuse<std::uint64_t>(t.error()); }
      result<void> done{};
      try {
        done = f(*t);
      } catch (...) { done = core::fail(errc::function_failed); }
      if (!done) { return core::refuse<std::uint64_t>(done.error()); }
      auto const made = t->commit();
      if (made || made.error().code != errc::conflict || k >= attempts) { return made; }
    }
  }
  /// The newest epoch.
  /// @error errc::full: as begin
  [[nodiscard]] result<snapshot_type> snapshot() noexcept {
    std::uint64_t epoch = 0;
    std::uint32_t const pin = core_->pins.pin(epoch);
    if (pin == core_->pins.none) { return core::refuse<snapshot_type>(errc::full); }
    return snapshot_type(*core_, pin, epoch);
  }
  /// An epoch that was: one of the last store_options::kept_epochs, or not older than one that is
  /// pinned.
  /// @error errc::released; errc::bad_argument (1): none yet; errc::full; errc::busy
  /// @cost  waits for the commits that came before it
  [[nodiscard]] result<snapshot_type> at(std::uint64_t epoch) noexcept;

  /// mailbox.deliver(epoch, changes) for each epoch from the next on that changes one of the cells,
  /// which are published and named.
  /// @error errc::unknown_id: a cell is not published, `native` is its number from 1;
  ///        errc::bad_argument: one without a name, (0) none at all; errc::duplicate: one comes
  ///        twice; errc::busy, errc::out_of_memory: as edit
  template <cell_value T, mailbox<T> M>
    requires delta::change_value<T>
  [[nodiscard]] result<subscription_id> subscribe(cuda::std::span<cell<T> const> cells,
                                                  M to) noexcept;
  /// @error errc::unknown_id; errc::busy: from within the lane
  [[nodiscard]] result<void> unsubscribe(subscription_id which) noexcept;

  /// Writes what a record of this store's journal, or of one of the same structure, says: cells are
  /// found by name and type. As one transaction, which the journal does not get.
  /// @error errc::unknown_id: no published input has a name of the record; errc::layout_mismatch:
  /// it
  ///        is of another type; errc::corrupt, errc::unsupported_version; errc::busy, errc::full,
  ///        errc::out_of_memory: as edit. Nothing has changed
  [[nodiscard]] result<std::uint64_t> replay(cuda::std::span<std::byte const> record) noexcept;

  /// Gives back what no reader needs. Commits do it now and then.
  /// @error errc::busy: from within the lane
  [[nodiscard]] result<void> collect() noexcept {
    return in_lane([](core_type& c) -> error {
      c.collect(c.floor());
      return {};
    });
  }
  [[nodiscard]] store_stats stats() const noexcept;

 private:
  explicit basic_store(core_type* made) noexcept : core_{made} {}

  /// f(core) -> error, in the lane.
  template <class F>
  result<void> in_lane(F f) noexcept {
    struct request : request_type {
      F* f;
    };
    request r;
    r.f = &f;
    r.run = [](core_type& c, request_type& me) noexcept {
      me.why = (*static_cast<request&>(me).f)(c);
    };
    if (error const why = core_->pass(r); why.code != errc::ok) { return core::refuse<void>(why); }
    return {};
  }
  /// The same for what may push versions: they are published.
  template <class F>
  result<void> in_epoch(F f) noexcept {
    return in_lane([&](core_type& c) -> error {
      if (error const why = c.make_room(); why.code != errc::ok) { return why; }
      std::uint64_t const before = c.pushed;
      error const why = f(c);
      if (c.pushed != before) { c.publish_epoch(); }
      return why;
    });
  }

  core_type* core_;
};
using store = basic_store<>;

}  // namespace millrace::inline v0::propagate

#include <millrace/propagate/store_ops.hpp>
