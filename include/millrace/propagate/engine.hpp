// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/name_table.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/pending_set.hpp>
#include <millrace/propagate/topology.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::propagate {

/// What a graph has done and holds.
struct graph_stats {
  std::uint64_t passes = 0;    ///< transactions that changed something
  std::uint64_t runs = 0;      ///< cells' functions that have run to their end
  std::uint64_t told = 0;      ///< calls of observers
  std::uint64_t checks = 0;    ///< cells that might have been out of date and were not
  std::uint64_t reorders = 0;  ///< times that nodes changed their place for a new dependency
  std::uint32_t nodes = 0;
  std::uint32_t failed = 0;  ///< nodes whose value is a failure
};

namespace detail {

/// Leaves the functions of cells that are running, up to the pass.
struct unwound {
  enum class why : std::uint8_t {
    too_deep,     ///< too many functions wait for each other on the stack
    out_of_order  ///< the cell that was read comes later in the order
  };
  why reason;
  std::uint32_t slot;    ///< of the cell that was read
  std::uint32_t reader;  ///< slot of the cell that has read it
};

/// Brings cells up to date. Nodes stand in a topological order: a pass takes the pending ones in
/// that order, so what a function reads is right when it runs.
///
/// Whether a cell that tracks its reads will need one of its dependencies is known only while it
/// runs. So a cell that nobody else needs (`eager` is 0) does not run in its turn: it becomes
/// unsettled, and its targets pending; who then needs it settles it.
template <class P>
class engine : public topology<P> {
  using base = topology<P>;

 public:
  using base::index_of;
  using base::nodes;
  using base::pass;
  using base::pending;
  using typename base::resource;
  static constexpr std::uint32_t none = base::none;
  /// Functions that wait for each other on the stack, at most.
  static constexpr std::uint32_t most_deep = 200;

  explicit engine(resource from) noexcept
      : base{from}, names{from}, staged{from}, frames_{from}, fired_{from}, waiting_{from} {}

  graph_stats stats;
  name_table<resource> names;
  column<std::uint32_t, resource> staged;  ///< slots of inputs that an open batch has written
  bool batch_open = false;

  [[nodiscard]] bool busy() const noexcept { return busy_; }
  [[nodiscard]] std::uint32_t depth() const noexcept { return depth_; }

  /// The index of a node of this graph; `none` where it has no such node.
  [[nodiscard]] std::uint32_t find(node_id id) const noexcept {
    return id.graph == this ? base::find(id.slot, id.generation) : none;
  }
  template <class T>
  [[nodiscard]] std::uint32_t find(cell<T> of) const noexcept {
    std::uint32_t const i = find(of.id());
    return i != none && nodes(i).what->type == type_of<T> ? i : none;
  }
  [[nodiscard]] node_id id_of(std::uint32_t slot) const noexcept {
    return {this, slot, base::generation_of(slot)};
  }

  /// Room for the work on `count` nodes.
  [[nodiscard]] result<void> reserve(std::uint32_t count) noexcept {
    if (auto const room = base::reserve(count); !room) { return room; }
    if (auto const room = staged.reserve(count); !room) { return room; }
    if (auto const room = frames_.reserve(count); !room) { return room; }
    if (auto const room = fired_.reserve(count); !room) { return room; }
    return waiting_.reserve(count);
  }

  /// Begins a pass: what changes from here on is newer than all that ran before.
  void begin_pass() noexcept { ++pass; }
  /// A node's value has changed: who needs it is pending.
  void changed(std::uint32_t i) noexcept {
    nodes(i).changed_at = pass;
    tell_targets(i);
  }
  /// An input takes what is staged for it.
  void take_over(std::uint32_t i) noexcept {
    if (nodes(i).what->run(*this, i)) { changed(i); }
  }
  /// An input takes a value.
  void assign(std::uint32_t i, void* value) noexcept {
    if (nodes(i).what->assign(*this, i, value)) { changed(i); }
  }
  /// Runs all that is pending, then tells the observers.
  void run_pending() noexcept {
    busy_ = true;
    ++stats.passes;
    for (std::uint32_t i = pending.pop(); i != none;) { i = step(i); }
    tell_observers();
    busy_ = false;
  }

  /// Makes a node's value right where nothing is pending. Its sources are kept up to date only if
  /// it is needed.
  void settle_now(std::uint32_t i) noexcept {
    bool const was = std::exchange(busy_, true);
    bool const alone = !nodes(i).has(linked);
    std::uint32_t const slot = nodes(i).slot;
    if (alone) { base::need(i); }
    while (!settle(slot)) {}
    if (alone) { base::release(index_of(slot)); }
    busy_ = was;
  }
  /// Whether a value is known to be right although nothing keeps it so.
  [[nodiscard]] bool is_right(std::uint32_t i) const noexcept {
    auto const& n = nodes(i);
    return !n.has(unsettled) || (n.ran_at == pass && !n.has(must_run));
  }
  /// An observer's first call.
  void tell_first(std::uint32_t i) noexcept {
    base::set_eager(i);
    base::need(i);
    fire(i);
    bool const was = std::exchange(busy_, true);
    tell_observers();
    busy_ = was;
  }

  /// A node of any kind may be pending no more: it is about to be removed.
  void forget(std::uint32_t i) noexcept { pending.erase(i); }

  /// Settles what a function reads. @throws unwound
  void settle_read(std::uint32_t i) {
    if (nodes(i).has(unsettled)) { pull(i); }
  }
  void enter(std::uint32_t i) noexcept {
    nodes(i).set(running);
    ++depth_;
  }
  void leave(std::uint32_t i) noexcept {
    nodes(i).clear(running);
    --depth_;
  }
  void count_runs(std::uint64_t n = 1) noexcept { stats.runs += n; }
  /// changed, with a word of the pending ones held.
  [[gnu::always_inline]] inline void changed(std::uint32_t i,
                                             typename pending_set<resource>::held& h) noexcept {
    node<P>& n = nodes(i);
    n.changed_at = pass;
    if (n.live == 0) { return; }
    edge const* const to = n.targets->edges();
    for (std::uint32_t k = 0; k < n.live; ++k) { pending.insert(h, to[k].node); }
  }

  /// The failure of the first source that has one.
  [[nodiscard]] error source_failure(node<P> const& n) const noexcept {
    if (stats.failed == 0 || n.sources == nullptr) { return {}; }
    for (std::uint32_t k = 0; k < n.sources->size; ++k) {
      node<P> const& source = nodes(n.sources->edges()[k].node);
      if (source.has(failed)) { return source.body->failure; }
    }
    return {};
  }
  /// Keeps a failure as the node's value, or takes it away; true when that is a change.
  bool set_failure(node<P>& n, error failure) noexcept {
    bool const was = n.has(failed), is = failure.code != errc::ok;
    bool const differs = !(n.body->failure == failure);
    n.body->failure = failure;
    if (is && !was) { n.set(failed), ++stats.failed; }
    if (was && !is) { n.clear(failed), --stats.failed; }
    return differs;
  }
  /// Whether a pending node of this kind is run without a look at anything else.
  [[nodiscard]] bool is_plain(node<P> const& n, kind<P> const* what) const noexcept {
    return n.what == what && n.eager != 0 && !n.has(unsettled);
  }
  void tell_targets(std::uint32_t i) noexcept {
    node<P> const& n = nodes(i);
    if (n.live == 0) { return; }
    edge const* const to = n.targets->edges();
    for (std::uint32_t k = 0; k < n.live; ++k) { pending.insert(to[k].node); }
  }

 private:
  struct frame {
    std::uint32_t node;
    std::uint32_t next;  // of its sources
    bool stale;
  };

  /// What is to be done for a pending node; the next one.
  std::uint32_t step(std::uint32_t i) noexcept {
    node<P>& n = nodes(i);
    kind<P> const& what = *n.what;
    if (what.sweep != nullptr && n.eager != 0 && !n.has(unsettled)) { return what.sweep(*this, i); }
    if (observes(what.is)) {
      fire(i);
    } else if (!n.has(linked)) {
      // needed no more since it became pending: who needs it next finds it unsettled
    } else if (n.eager == 0) {
      n.set(unsettled);
      tell_targets(i);
    } else {
      std::uint32_t const slot = n.slot;
      n.set(unsettled);
      if (settle(slot)) {
        i = index_of(slot);
        if (nodes(i).changed_at == pass) { tell_targets(i); }
      } else {
        pending.insert(index_of(slot));  // what it reads comes first now
      }
    }
    return pending.pop();
  }
  void fire(std::uint32_t i) noexcept {
    if (nodes(i).has(is_fired)) { return; }
    nodes(i).set(is_fired);
    fired_.push(nodes(i).slot);
  }

  /// Makes a node's value right. False where an order had to change: what is pending comes first.
  [[nodiscard]] bool settle(std::uint32_t slot) noexcept {
    std::uint32_t const base_size = waiting_.size();
    waiting_.push(slot);
    while (waiting_.size() > base_size) {
      try {
        pull(index_of(waiting_.back()));
        waiting_.pop();
      } catch (unwound const& u) {
        frames_.clear();
        if (u.reason == unwound::why::too_deep) {
          waiting_.push(u.slot);
        } else if (reorder(u)) {
          waiting_.shrink(base_size);
          return false;
        }
      }
    }
    return true;
  }
  /// False where that would close a cycle, or memory is missing: then the reader fails.
  [[nodiscard]] bool reorder(unwound const& u) noexcept {
    auto const moved = base::move_behind(index_of(u.reader), index_of(u.slot));
    if (moved) {
      ++stats.reorders;
      return true;
    }
    node<P>& n = nodes(index_of(u.reader));
    if (set_failure(n, moved.error())) { n.changed_at = pass; }
    n.clear(unsettled);
    n.ran_at = pass;
    return false;
  }

  /// Settles a node and, before it, what it depends on. @throws unwound
  void pull(std::uint32_t root) {
    if (!nodes(root).has(unsettled)) { return; }
    std::uint32_t const base_size = frames_.size();
    push_frame(root);
    while (frames_.size() > base_size) {
      std::uint32_t const unsettled_source = look_at_sources(frames_.back());
      if (unsettled_source != none) {
        push_frame(unsettled_source);
        continue;
      }
      frame const f = frames_.back();
      if (f.stale) {
        run(f.node);
      } else {
        ++stats.checks;
        nodes(f.node).ran_at = pass;
      }
      nodes(f.node).clear(unsettled);
      frames_.pop();
    }
  }
  void push_frame(std::uint32_t i) noexcept { frames_.push({i, 0, nodes(i).has(must_run)}); }
  /// Goes on through a node's sources, to the first that is unsettled.
  [[nodiscard]] std::uint32_t look_at_sources(frame& f) noexcept {
    node<P> const& n = nodes(f.node);
    bool const any = tracks(n.what->is);  // the first that has changed decides
    if (n.sources == nullptr) { return none; }
    for (edge const* const from = n.sources->edges(); f.next < n.sources->size; ++f.next) {
      if (any && f.stale) { return none; }
      std::uint32_t const source = from[f.next].node;
      if (nodes(source).has(unsettled)) { return source; }
      if (nodes(source).changed_at > n.ran_at) { f.stale = true; }
    }
    return none;
  }
  void run(std::uint32_t i) {
    nodes(i).clear(must_run);
    if (nodes(i).what->run(*this, i)) { nodes(i).changed_at = pass; }
    nodes(i).ran_at = pass;
  }

  void tell_observers() noexcept {
    for (std::uint32_t k = 0; k < fired_.size(); ++k) {
      std::uint32_t const slot = fired_[k], i = index_of(slot);
      node<P>& n = nodes(i);
      n.clear(is_fired);
      if (n.what->is == role::observer && !n.has(unsettled)) {
        n.what->run(*this, i);  // its one source has changed, or it would not be here
      } else {
        n.set(unsettled);
        while (!settle(slot)) {}
      }
    }
    fired_.clear();
  }

  column<frame, resource> frames_;
  column<std::uint32_t, resource> fired_;    // slots of observers
  column<std::uint32_t, resource> waiting_;  // slots of nodes that wait for those behind them
  std::uint32_t depth_ = 0;
  bool busy_ = false;
};

}  // namespace detail

}  // namespace millrace::inline v0::propagate
