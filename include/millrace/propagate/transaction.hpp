// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/access_set.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/snapshot.hpp>
#include <millrace/propagate/store_core.hpp>
#include <millrace/propagate/store_policy.hpp>
#include <millrace/propagate/track.hpp>

#include <concepts>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::propagate {

/// Reads of one epoch and writes that take effect together, or not at all. What it has written it
/// reads; computed cells are those of its epoch until it has committed. It keeps its epoch's
/// versions alive, and must not outlive the store.
/// @thread one at a time
template <class P>
class basic_transaction {
  using core_type = detail::store_core<P>;
  using track_type = detail::track<P>;

 public:
  basic_transaction(basic_transaction&& other) noexcept
      : core_{std::exchange(other.core_, nullptr)},
        pin_{other.pin_},
        epoch_{other.epoch_},
        conflict_{other.conflict_},
        accesses_{std::move(other.accesses_)} {}
  basic_transaction& operator=(basic_transaction&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(pin_, other.pin_);
    std::swap(epoch_, other.epoch_);
    std::swap(conflict_, other.conflict_);
    std::swap(accesses_, other.accesses_);
    return *this;
  }
  ~basic_transaction() { abort(); }

  /// The epoch that is read.
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }

  /// @error the cell's failure; errc::unknown_id: not published in the epoch; errc::closed:
  ///        committed or aborted before; errc::out_of_memory, errc::function_failed: the copy has
  ///        thrown
  template <cell_value T>
    requires std::copyable<T>
  [[nodiscard]] result<T> read(cell<T> of) noexcept {
    if (core_ == nullptr) { return core::refuse<T>(errc::closed); }
    track_type* const t = core_->find(of);
    if (t == nullptr) { return missed<T>(of.id()); }
    auto* const access = accesses_.at(t);
    if (access == nullptr) { return core::refuse<T>(errc::out_of_memory); }
    if (access->writes()) { return detail::copy_of(*static_cast<T const*>(access->value())); }
    access->was_read = true;
    detail::version const* const v = t->versions.at(epoch_);
    if (v == nullptr || v->gone) { return missed<T>(of.id()); }
    return detail::outcome_of<T>(v);
  }
  /// Of several writes to one cell the last counts.
  /// @error errc::unknown_id: not an input that is published in the epoch; errc::closed: committed
  ///        or aborted before; errc::out_of_memory
  template <cell_value T>
    requires std::copyable<T>
  [[nodiscard]] result<void> write(input<T> to, std::type_identity_t<T> value) noexcept {
    if (core_ == nullptr) { return core::refuse<void>(errc::closed); }
    track_type* const t = core_->find(static_cast<cell<T> const&>(to));
    if (t == nullptr || !t->is_input) { return missed<void>(to.id()); }
    auto* const access = accesses_.at(t);
    if (access == nullptr) { return core::refuse<void>(errc::out_of_memory); }
    if (!access->writes() && !t->is_in(epoch_)) { return missed<void>(to.id()); }
    void* const room = access->room(core_->from);
    if (room == nullptr) { return core::refuse<void>(errc::out_of_memory); }
    if constexpr (detail::is_small<T>) {
      ::new (room) T(value);
    } else {
      *static_cast<T*>(room) = std::move(value);
    }
    return {};
  }

  /// Ends the transaction. When this returns, what it has written is kept by the journal, what
  /// follows from it is computed, and who begins to read sees all of it. One that has written
  /// nothing always succeeds.
  /// @return the epoch that it is part of; the one that was read, where it has written nothing
  /// @error errc::conflict: see conflict(); errc::closed: committed or aborted before; errc::busy:
  ///        from within the lane; errc::full: store_options::version_bytes are in use;
  ///        errc::out_of_memory; the journal's. Nothing has changed
  /// @cost  waits for the commits that came before it; others may run on this thread
  [[nodiscard]] result<std::uint64_t> commit() noexcept {
    if (core_ == nullptr) { return core::refuse<std::uint64_t>(errc::closed); }
    bool writes = false;
    for (auto const& each : accesses_) { writes = writes || each.writes(); }
    std::uint64_t made = epoch_;
    error why{};
    if (writes) {
      detail::commit_request<P> r;
      r.accesses = &accesses_;
      r.epoch = epoch_;
      why = core_->pass(r);
      conflict_ = r.conflict;
      made = r.epoch;
    }
    abort();
    if (why.code != errc::ok) { return core::refuse<std::uint64_t>(why); }
    return made;
  }
  /// Ends the transaction; it has changed nothing.
  void abort() noexcept {
    if (core_ == nullptr) { return; }
    for (auto& each : accesses_) {
      if (each.written != nullptr) { each.cell->of->give_back(core_->from, each.written); }
    }
    accesses_.clear();
    core_->pins.unpin(pin_);
    core_ = nullptr;
  }
  /// The cell for which the last commit was a conflict: it has been written since it was read, is
  /// not published any more, or is since it was looked for in vain.
  [[nodiscard]] node_id conflict() const noexcept { return conflict_; }

 private:
  template <store_policy>
  friend class basic_store;
  basic_transaction(core_type& of, std::uint32_t pin, std::uint64_t epoch) noexcept
      : core_{&of}, pin_{pin}, epoch_{epoch}, accesses_{of.from} {}

  /// Of a cell that is not published in the epoch, which the transaction relies on from here on.
  template <class T>
  [[nodiscard, gnu::cold]] result<T> missed(node_id const& cell) noexcept {
    if (!accesses_.miss(cell)) { return core::refuse<T>(errc::out_of_memory); }
    return core::refuse<T>(errc::unknown_id, 1);
  }

  core_type* core_;
  std::uint32_t pin_;
  std::uint64_t epoch_;
  node_id conflict_{};
  detail::access_set<track_type, typename core_type::resource> accesses_;
};

}  // namespace millrace::inline v0::propagate
