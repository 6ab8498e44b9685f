// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/node.hpp>

#include <cstdint>
#include <optional>

namespace millrace::inline v0::propagate {

namespace detail {
/// Ends a function that has read what cannot be read.
struct refusal {
  error failure;
};
}  // namespace detail

/// What a tracking function reads cells with: each cell it reads is a dependency, until a run does
/// not read it. It leaves the function by an exception where a cell has no value: the failure is
/// the function's cell's then, too.
template <class P>
class reader {
 public:
  /// @cost as in the run before: some nanoseconds; a cell it has not read before: a link
  template <cell_value T>
  [[nodiscard]] T const& operator()(cell<T> from) {
    detail::node<P> const& source = at(engine_->find(from));
    if (source.has(detail::failed)) { throw detail::refusal{source.body->failure}; }
    return detail::value_in<T>(source.body);
  }
  /// The same, with a failure as a result.
  template <cell_value T>
  [[nodiscard]] result<T> outcome(cell<T> from) {
    detail::node<P> const& source = at(engine_->find(from));
    if (source.has(detail::failed)) { return cuda::std::unexpected<error>(source.body->failure); }
    return detail::value_in<T>(source.body);
  }

  reader(detail::engine<P>& e, detail::active_run run) noexcept : engine_{&e}, run_{run} {
    e.enter(run_);
    look_at_sources();
  }
  reader(reader const&) = delete;
  reader& operator=(reader const&) = delete;
  ~reader() { engine_->leave(run_); }

  /// Lets go of what this run has not read.
  void forget_rest() noexcept {
    for (; size_ > next_; --size_) { engine_->unlink_last(run_.index); }
  }
  /// How the run was left, if it was.
  [[nodiscard]] std::optional<detail::unwound> const& left() const noexcept { return left_; }

 private:
  [[nodiscard]] detail::node<P> const& at(std::uint32_t i) {
    if (i != engine_->none) [[likely]] {
      detail::node<P>& source = engine_->nodes(i);
      if (!source.has(detail::unsettled)) {
        std::uint32_t const before = source.read_at();
        if (before < next_ && sources_[before].node == i) { return source; }  // by this run
        if (next_ < size_ && sources_[next_].node == i && !engine_->is_late(i)) {
          source.set_read_at(next_++);  // as by the run before
          return source;
        }
      }
    }
    return settled(i);
  }
  /// at, of what this run has not read yet, nor the run before at this place, or what is not known
  /// to be right.
  [[nodiscard, gnu::noinline]] detail::node<P> const& settled(std::uint32_t i) {
    detail::engine<P>& e = *engine_;
    if (left_) { throw detail::unwound(*left_); }  // the function has kept the exception
    if (i == e.none) { throw detail::refusal{{errc::unknown_id, {}, 0}}; }
    std::uint32_t const slot = e.nodes(i).slot;
    if (e.is_late(i)) { e.expect_changes(i); }
    if (i >= run_.index && e.nodes(i).what->is != role::input) {
      if (auto const done = e.put_before(run_, i); !done) { throw detail::refusal{done.error()}; }
      i = e.index_of(slot);
    }
    depend_on(i);
    if (e.nodes(i).has(detail::unsettled)) {
      try {
        e.settle_read(i);
      } catch (detail::unwound const& u) {
        left_ = u;
        next_ = size_ = 0;  // whatever it reads from here on comes here
        throw;
      }
      i = e.index_of(slot);
    }
    return e.nodes(i);
  }
  void depend_on(std::uint32_t i) {
    detail::engine<P>& e = *engine_;
    detail::node<P>& source = e.nodes(i);
    if (next_ < size_ && sources_[next_].node == i) {
      source.set_read_at(next_++);
      return;
    }
    std::uint32_t const before = source.read_at();
    if (before < next_ && sources_[before].node == i) { return; }
    auto const room = e.reserve_edge(run_.index, i);
    look_at_sources();  // they may be elsewhere now, with room or without
    if (!room) {
      e.retry_later(run_.index);
      throw detail::refusal{{errc::out_of_memory, {}, 0}};
    }
    e.link(run_.index, i);
    e.swap_sources(run_.index, next_, size_++);
    e.enliven(run_.index, next_);
    source.set_read_at(next_++);
  }
  void look_at_sources() noexcept {
    detail::edge_block* const from = engine_->nodes(run_.index).sources;
    if (from == nullptr) { return; }
    sources_ = from->edges();
    size_ = from->size;
  }

  detail::engine<P>* engine_;
  detail::active_run run_;
  detail::edge const* sources_ = nullptr;  // of this run, and behind them of the one before
  std::uint32_t size_ = 0;
  std::uint32_t next_ = 0;  // of the sources of the run before
  std::optional<detail::unwound> left_;
};

}  // namespace millrace::inline v0::propagate
