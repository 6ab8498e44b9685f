// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/name_table.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/pending_set.hpp>
#include <millrace/propagate/probe.hpp>
#include <millrace/propagate/topology.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::propagate {

/// What a graph has done and holds.
struct graph_stats {
  std::uint64_t passes = 0;    ///< batches and single writes that have taken effect
  std::uint64_t runs = 0;      ///< cells' functions that have run to their end
  std::uint64_t told = 0;      ///< calls of observers
  std::uint64_t checks = 0;    ///< cells that might have been out of date and were not
  std::uint64_t reorders = 0;  ///< times that nodes changed their place for a new dependency
  std::uint32_t nodes = 0;
  std::uint32_t failed = 0;  ///< nodes whose value is a failure
};

namespace detail {

/// Leaves the functions of cells that are running, up to who has called the first of them: too many
/// of them wait for each other on the stack.
struct unwound {
  std::uint32_t slot;  ///< of the cell that was read, and is to be settled first
};

/// A tracking function that is running. Its node may get another place meanwhile.
struct active_run {
  std::uint32_t index;
  std::uint32_t slot;
  active_run* outer = nullptr;  ///< the one that has read this one's node
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

  explicit engine(resource from, typename P::probe watch = {}) noexcept
      : base{from},
        probe{watch},
        names{from},
        staged{from},
        frames_{from},
        fired_{from},
        late_{from},
        waiting_{from},
        retried_{from} {}

  graph_stats stats;
  typename P::probe probe;
  name_table<resource> names;
  column<std::uint32_t, resource> staged;  ///< slots of inputs that an open batch has written
  bool batch_open = false;
  engine** of_batch = nullptr;  ///< where the open batch has this engine

  [[nodiscard]] bool busy() const noexcept { return busy_; }

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
    if (auto const room = late_.reserve(count); !room) { return room; }
    if (auto const room = retried_.reserve(count); !room) { return room; }
    return waiting_.reserve(count);
  }

  /// Begins a pass: what changes from here on is newer than all that ran before.
  void begin_pass() noexcept {
    ++pass;
    probe.pass_began(pass);
  }
  /// A node's value has changed: who needs it is pending.
  void changed(std::uint32_t i) noexcept {
    nodes(i).changed_at = pass;
    tell_targets(i);
  }
  /// An input takes what is staged for it.
  void take_over(std::uint32_t i) noexcept {
    begins(i, run_cause::written);
    bool const differs = nodes(i).what->run(*this, i);
    if (differs) { changed(i); }
    ends(i, differs);
  }
  /// An input takes a value.
  void assign(std::uint32_t i, void* value) noexcept {
    begins(i, run_cause::written);
    bool const differs = nodes(i).what->assign(*this, i, value);
    if (differs) { changed(i); }
    ends(i, differs);
  }
  /// Runs all that is pending, then tells the observers.
  void run_pending() noexcept {
    busy_ = true;
    ++stats.passes;
    [[maybe_unused]] std::uint64_t const runs = stats.runs, told = stats.told;
    finish();
    if constexpr (is_watched<P>) { probe.pass_ended({pass, stats.runs - runs, stats.told - told}); }
    busy_ = false;
  }
  /// A node is about to run. What has changed after the pass `since` is why, where it depends on
  /// it.
  [[gnu::always_inline]] inline void begins(std::uint32_t i, run_cause why,
                                            std::uint64_t since = 0) noexcept {
    if constexpr (is_watched<P>) { tell_begin(*this, i, why, since); }
  }
  [[gnu::always_inline]] inline void ends(std::uint32_t i, bool differs) noexcept {
    if constexpr (is_watched<P>) { tell_end(*this, i, differs); }
  }

  /// A node has failed for a reason whose end no dependency will tell it: it runs again in each
  /// pass, or when it is read, until it does not.
  void retry_later(std::uint32_t i) noexcept {
    node<P>& n = nodes(i);
    if (!n.has(retried)) { retried_.push(n.slot); }
    n.set(retried | must_run);
  }
  /// A node is about to be removed.
  void forget(std::uint32_t i) noexcept {
    if (!nodes(i).has(retried)) { return; }
    for (std::uint32_t& slot : retried_) {
      if (slot == nodes(i).slot) { slot = retried_.back(); }
    }
    retried_.pop();
  }

  /// A node's function is another: it runs if somebody needs it.
  void run_again(std::uint32_t i) noexcept {
    nodes(i).set(unsettled | must_run);
    nodes(i).ran_at = 0;  // this function has not
    begin_pass();
    if (nodes(i).has(linked)) { pending.insert(i); }
    run_pending();
  }
  /// Makes a node's value right where nothing is pending. Its sources are kept up to date only if
  /// it is needed.
  void settle_now(std::uint32_t i) noexcept {
    bool const was = std::exchange(busy_, true);
    bool const alone = !nodes(i).has(linked);
    std::uint32_t const slot = nodes(i).slot;
    std::uint32_t before = none;
    do {  // a cycle may have been one of dependencies that are gone by now
      before = retried_.size();
      if (before != 0) { ++pass; }  // what has failed in this one may come out as something else
      if (alone) { base::need(index_of(slot)); }
      settle(slot);
      if (alone) { base::release(index_of(slot)); }
    } while (retried_.size() > before);
    busy_ = was;
  }
  /// Whether a value is known to be right, kept so or not.
  [[nodiscard]] bool is_right(std::uint32_t i) const noexcept {
    auto const& n = nodes(i);
    if (in_order_) { return false; }
    return !n.has(unsettled) || (n.ran_at == pass && !n.has(must_run) && retried_.empty());
  }
  /// An observer's first call.
  void tell_first(std::uint32_t i) noexcept {
    base::set_eager(i);
    base::need(i);
    fire(i);
    bool const was = std::exchange(busy_, true);
    std::uint32_t const listed = retried_.size();
    tell_observers();
    if (retried_.size() > listed) { finish(); }
    busy_ = was;
  }

  /// Settles what a function reads. @throws unwound
  void settle_read(std::uint32_t i) {
    if (!nodes(i).has(unsettled)) { return; }
    if (depth_ >= most_deep) { throw unwound{nodes(i).slot}; }
    pull(i);
  }
  /// Whether a node has not had its turn in this pass. Functions read such a one only after they
  /// had to give up their place for another that they read.
  [[nodiscard]] bool is_late(std::uint32_t i) const noexcept {
    return i > position_ && nodes(i).what->is != role::input;
  }
  /// A late node, and what it depends on and is late as well, may be out of date: it is settled
  /// when it is read. In its turn it is looked at again.
  void expect_changes(std::uint32_t root) noexcept {
    std::uint32_t const base_size = late_.size();
    visit_late(root);
    for (std::uint32_t k = base_size; k < late_.size(); ++k) {
      node<P> const& n = nodes(late_[k]);
      for (std::uint32_t e = 0; n.sources != nullptr && e < n.sources->size; ++e) {
        visit_late(n.sources->edges()[e].node);
      }
    }
    for (std::uint32_t k = base_size; k < late_.size(); ++k) {
      node<P>& n = nodes(late_[k]);
      n.clear(seen);
      if (!n.has(linked) || n.has(unsettled) || n.ran_at == pass) { continue; }
      if (n.eager != 0) { n.ran_at = pass - 1; }
      n.set(unsettled);
      pending.insert(late_[k]);
    }
    late_.shrink(base_size);
  }
  /// A function reads a node that comes after its own: from here on it comes before it.
  /// @error as move_behind
  [[nodiscard]] result<void> put_before(active_run& reading, std::uint32_t read) noexcept {
    auto moved = base::move_behind(reading.index, read);
    while (!moved && moved.error().code == errc::cycle && forget_unneeded()) {
      moved = base::move_behind(reading.index, read);
    }
    if (!moved) {
      retry_later(reading.index);
      return moved;
    }
    ++stats.reorders;
    for (frame& f : frames_) { f.node = index_of(f.slot); }
    for (active_run* each = innermost_; each != nullptr; each = each->outer) {
      each->index = index_of(each->slot);
    }
    return {};
  }
  void enter(active_run& run) noexcept {
    run.outer = std::exchange(innermost_, &run);
    ++depth_;
  }
  void leave(active_run& run) noexcept {
    innermost_ = run.outer;
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
    std::uint32_t slot;
    std::uint32_t next;  // of its sources
    bool stale;
  };

  /// Runs what is pending and what is to run again, and tells observers.
  void finish() noexcept {
    std::uint32_t listed = 0;
    int rounds = 2;  // a second one where what observers read has failed
    do {
      run_in_order();
      // a cycle may have been one of dependencies that are gone by now
      for (std::uint32_t before = none; !retried_.empty() && retried_.size() < before;) {
        before = retried_.size();
        retry();
        run_in_order();
      }
      listed = retried_.size();
      tell_observers();
    } while (retried_.size() > listed && --rounds != 0);
  }
  void run_in_order() noexcept {
    in_order_ = true;
    for (std::uint32_t i = pending.pop(); i != none;) { i = step(i); }
    in_order_ = false;
  }
  void retry() noexcept {
    ++pass;  // what they come out as is news to those that have run in this one
    std::uint32_t kept = 0;
    for (std::uint32_t slot : retried_) {
      std::uint32_t const i = index_of(slot);
      node<P>& n = nodes(i);
      if (n.has(must_run) && !n.has(linked)) {
        retried_[kept++] = slot;  // when it is read
        continue;
      }
      n.clear(retried);
      if (n.has(must_run)) { pending.insert(i); }
    }
    retried_.shrink(kept);
  }
  /// What tracking cells have read that nobody needs may be out of date: it closes no cycle.
  [[nodiscard]] bool forget_unneeded() noexcept {
    bool any = false;
    for (std::uint32_t slot : base::cycle()) {
      std::uint32_t const i = index_of(slot);
      node<P>& n = nodes(i);
      if (n.has(linked) || !tracks(n.what->is)) { continue; }
      for (; n.sources != nullptr && n.sources->size != 0; any = true) { base::unlink_last(i); }
      n.set(must_run);
    }
    return any;
  }
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
      position_ = i;
      settle(slot);
      position_ = none;
      i = index_of(slot);
      if (nodes(i).changed_at == pass) { tell_targets(i); }
    }
    return pending.pop();
  }
  void visit_late(std::uint32_t i) noexcept {
    if (!is_late(i) || nodes(i).has(seen)) { return; }
    nodes(i).set(seen);
    late_.push(i);
  }
  void fire(std::uint32_t i) noexcept {
    if (nodes(i).has(is_fired)) { return; }
    nodes(i).set(is_fired);
    fired_.push(nodes(i).slot);
  }

  /// Makes a node's value right.
  void settle(std::uint32_t slot) noexcept {
    std::uint32_t const waiting = waiting_.size(), frames = frames_.size();
    waiting_.push(slot);
    while (waiting_.size() > waiting) {
      try {
        pull(index_of(waiting_.back()));
        waiting_.pop();
      } catch (unwound const& u) {
        frames_.shrink(frames);
        waiting_.push(u.slot);
      }
    }
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
      frame const& f = frames_.back();
      if (f.stale) {
        run(f.slot);
      } else {
        ++stats.checks;
        nodes(f.node).ran_at = pass;
      }
      nodes(f.node).clear(unsettled);
      if (pending.contains(f.node)) {  // before its turn: who needs it has not been told
        pending.erase(f.node);
        if (nodes(f.node).changed_at == pass) { tell_targets(f.node); }
      }
      frames_.pop();
    }
  }
  void push_frame(std::uint32_t i) noexcept {
    frames_.push({i, nodes(i).slot, 0, nodes(i).has(must_run)});
  }
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
  void run(std::uint32_t slot) {
    node<P>& before = nodes(index_of(slot));
    begins(index_of(slot), cause_of(before), before.ran_at);
    before.clear(must_run);
    bool const differs = before.what->run(*this, index_of(slot));
    node<P>& n = nodes(index_of(slot));  // it may have another place now
    if (differs) { n.changed_at = pass; }
    n.ran_at = pass;
    ends(index_of(slot), differs);
  }

  void tell_observers() noexcept {
    for (std::uint32_t k = 0; k < fired_.size(); ++k) {
      std::uint32_t const slot = fired_[k], i = index_of(slot);
      node<P>& n = nodes(i);
      n.clear(is_fired);
      if (n.what->is == role::observer && !n.has(unsettled)) {
        begins(i, run_cause::changed);
        ends(i, n.what->run(*this, i));  // its one source has changed, or it would not be here
      } else {
        n.set(unsettled);
        settle(slot);
      }
    }
    fired_.clear();
  }

  column<frame, resource> frames_;
  column<std::uint32_t, resource> fired_;  // slots of observers
  column<std::uint32_t, resource> late_;
  column<std::uint32_t, resource> waiting_;  // slots of nodes that wait for those behind them
  column<std::uint32_t, resource> retried_;  // slots of nodes that are to run again
  active_run* innermost_ = nullptr;
  std::uint32_t position_ = none;  // of the pending node that is being settled
  std::uint32_t depth_ = 0;
  bool busy_ = false;
  bool in_order_ = false;  // some values are old
};

}  // namespace detail

}  // namespace millrace::inline v0::propagate
