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
    return *static_cast<T const*>(source.what->value(source.body));
  }
  /// The same, with a failure as a result.
  template <cell_value T>
  [[nodiscard]] result<T> outcome(cell<T> from) {
    detail::node<P> const& source = at(engine_->find(from));
    if (source.has(detail::failed)) { return cuda::std::unexpected<error>(source.body->failure); }
    return *static_cast<T const*>(source.what->value(source.body));
  }

  reader(detail::engine<P>& e, std::uint32_t index) noexcept : engine_{&e}, index_{index} {}
  reader(reader const&) = delete;
  reader& operator=(reader const&) = delete;

  /// Lets go of what this run has not read.
  void forget_rest() noexcept {
    auto const* const sources = engine_->nodes(index_).sources;
    while (sources != nullptr && sources->size > next_) { engine_->unlink_last(index_); }
  }
  /// How the run was left, if it was.
  [[nodiscard]] std::optional<detail::unwound> const& left() const noexcept { return left_; }

 private:
  [[nodiscard]] detail::node<P>& at(std::uint32_t i) {
    detail::engine<P>& e = *engine_;
    if (i == e.none) { throw detail::refusal{{errc::unknown_id, {}, 0}}; }
    detail::node<P>& source = e.nodes(i);
    detail::node<P> const& mine = e.nodes(index_);
    if (i >= index_ && source.what->is != role::input) {
      leave({detail::unwound::why::out_of_order, source.slot, mine.slot});
    }
    detail::edge_block* const from = mine.sources;
    std::uint32_t const size = from == nullptr ? 0 : from->size;
    if (next_ < size && from->edges()[next_].node == i) {
      source.set_read_at(next_++);
    } else if (std::uint32_t const before = source.read_at;
               before >= next_ || from->edges()[before].node != i) {
      if (!e.reserve_edge(index_, i)) {
        e.nodes(index_).set(detail::must_run);  // nothing that it knows of will tell it
        throw detail::refusal{{errc::out_of_memory, {}, 0}};
      }
      e.link(index_, i);
      e.swap_sources(index_, next_, size);
      e.enliven(index_, next_);
      source.set_read_at(next_++);
    }
    if (source.has(detail::unsettled)) {
      if (e.depth() >= e.most_deep) {
        leave({detail::unwound::why::too_deep, source.slot, mine.slot});
      }
      try {
        e.settle_read(i);
      } catch (detail::unwound const& u) { leave(u); }
    }
    return source;
  }
  [[noreturn]] void leave(detail::unwound u) {
    left_ = u;
    throw u;
  }

  detail::engine<P>* engine_;
  std::uint32_t index_;
  std::uint32_t next_ = 0;  // of the sources of the run before
  std::optional<detail::unwound> left_;
};

}  // namespace millrace::inline v0::propagate
