// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/name_table.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/pending_set.hpp>
#include <millrace/propagate/plan.hpp>
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
  std::uint32_t failed = 0;   ///< nodes whose value is a failure
  std::uint32_t planned = 0;  ///< cells that a plan runs
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
  using word = typename pending_set<resource>::held;
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
        retried_{from},
        plan_{from} {}

  graph_stats stats;
  typename P::probe probe;
  name_table<resource> names;
  column<std::uint32_t, resource> staged;  ///< slots of inputs that an open batch has written
  bool batch_open = false;
  bool is_shared = false;            ///< a store has it, as its only batch
  engine** of_batch = nullptr;       ///< where the open batch has this engine
  typename P::team* team = nullptr;  ///< runs wide levels of a plan

  [[nodiscard]] bool busy() const noexcept { return busy_; }
  /// Whether nodes must stay as they are.
  [[nodiscard]] bool fixed() const noexcept { return busy_ || (batch_open && !is_shared); }

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
    ++stats.passes;
    probe.pass_began(pass);
  }
  /// An input is written, before all else that happens in this pass; `take` says whether that is a
  /// change. Who needs it is pending.
  template <class Take>
  [[gnu::always_inline]] inline void write_input(std::uint32_t i, word& first,
                                                 Take&& take) noexcept {
    begins(i, run_cause::written);
    bool const differs = take();
    if (differs) { input_changed(i, first); }
    ends(i, differs);
  }
  /// Ends a pass: runs all that is pending, then tells the observers.
  /// @param first of the pending ones
  void end_pass(word first) noexcept {
    [[maybe_unused]] std::uint64_t const runs = stats.runs, told = stats.told;
    if (first.bits != 0 || !retried_.empty()) { run_pending(first); }
    if constexpr (is_watched<P>) { probe.pass_ended({pass, stats.runs - runs, stats.told - told}); }
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
  void retry_later(std::uint32_t i) noexcept;
  /// A node is about to be removed.
  void forget(std::uint32_t i) noexcept;

  /// A node's function is another: it runs if somebody needs it.
  void run_again(std::uint32_t i) noexcept {
    nodes(i).set(unsettled | must_run);
    nodes(i).ran_at = 0;  // this function has not
    begin_pass();
    word first = pending.nothing();
    if (nodes(i).has(linked)) { pending.insert_any(first, i); }
    end_pass(first);
  }
  /// Makes a node's value right where nothing is pending. Its sources are kept up to date only if
  /// it is needed.
  void settle_now(std::uint32_t i) noexcept;
  /// Whether a value is known to be right, kept so or not.
  [[nodiscard]] bool is_right(std::uint32_t i) const noexcept {
    auto const& n = nodes(i);
    if (in_order_) { return false; }
    return !n.has(unsettled) || (n.ran_at == pass && !n.has(must_run) && retried_.empty());
  }
  /// Whether a value stands in a plan, not with what computes it.
  [[nodiscard]] bool is_placed(void const* value) const noexcept { return plan_.holds(value); }
  /// An observer's first call.
  void tell_first(std::uint32_t i) noexcept {
    base::set_eager(i);
    base::need(i);
    fire(i);
    bool const was = std::exchange(busy_, true);
    std::uint32_t const listed = retried_.size();
    tell_observers();
    if (retried_.size() > listed) { finish(pending.nothing()); }
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
  void expect_changes(std::uint32_t root) noexcept;
  /// A function reads a node that comes after its own: from here on it comes before it.
  /// @error as move_behind
  [[nodiscard]] result<void> put_before(active_run& reading, std::uint32_t read) noexcept;
  void enter(active_run& run) noexcept {
    run.outer = std::exchange(innermost_, &run);
    ++depth_;
  }
  void leave(active_run& run) noexcept {
    innermost_ = run.outer;
    --depth_;
  }
  void count_runs(std::uint64_t n = 1) noexcept { stats.runs += n; }
  /// The word of the pending ones in which a turn is.
  [[nodiscard]] static word hold(turn t) noexcept {
    return {static_cast<std::uint32_t>(t.index / 64), t.bits};
  }
  /// A node's value has changed: who needs it is pending.
  [[gnu::always_inline]] inline void changed(std::uint32_t i, word& h) noexcept {
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
  /// The turn of an observer, and of those that follow it: they are told when all else is done.
  static turn fire_in_turn(engine& e, turn now) noexcept {
    word held = hold(now);
    auto i = static_cast<std::uint32_t>(now.index);
    do {
      e.fire(i);
      i = e.pending.pop(held, i);
    } while (i != none && e.nodes(i).what->sweep == fire_in_turn);
    return {held.bits, i};
  }
  /// The turn of a node that may not need to run, or runs others first.
  static turn step(engine& e, turn now) noexcept {
    auto const i = static_cast<std::uint32_t>(now.index);
    e.pending.give_back(hold(now));
    if (e.nodes(i).has(planned)) {
      e.plan_.run(e, i);
    } else {
      e.look_at(i);
    }
    return e.next(e.pending.nothing());
  }
  /// Whether a pending node is run from what it keeps, without a look at anything else.
  [[nodiscard]] bool is_plain(node<P> const& n) const noexcept {
    return n.eager != 0 && !n.has(unsettled | must_run) && (stats.failed != 0 || !n.has(planned));
  }
  [[gnu::always_inline]] inline void changed(std::uint32_t i) noexcept {
    nodes(i).changed_at = pass;
    tell_targets(i);
  }
  [[gnu::always_inline]] inline void tell_targets(std::uint32_t i) noexcept {
    node<P> const& n = nodes(i);
    if (n.live == 0) { return; }
    edge const* const to = n.targets->edges();
    for (std::uint32_t k = 0; k < n.live; ++k) { pending.insert(to[k].node); }
  }

 private:
  void input_changed(std::uint32_t i, word& first) noexcept {
    node<P>& n = nodes(i);
    n.changed_at = pass;
    if (n.live == 0) { return; }
    edge const* const to = n.targets->edges();
    for (std::uint32_t k = 0; k < n.live; ++k) { pending.insert_any(first, to[k].node); }
  }
  struct frame {
    std::uint32_t node;
    std::uint32_t slot;
    std::uint32_t next;  // of its sources
    bool stale;
  };

  [[gnu::noinline]] void run_pending(word first) noexcept {
    busy_ = true;
    finish(first);
    plan_.consider(*this);
    busy_ = false;
  }
  /// Runs what is pending and what is to run again, and tells observers.
  void finish(word first) noexcept {
    int rounds = 2;  // a second one where what observers read has failed
    for (;;) {
      run_in_order(first);
      if (!retried_.empty()) [[unlikely]] { retry_all(); }
      std::uint32_t const listed = retried_.size();
      if (!fired_.empty()) { tell_observers(); }
      if (retried_.size() <= listed || --rounds == 0) { return; }
      first = pending.nothing();
    }
  }
  void run_in_order(word first) noexcept {
    in_order_ = true;
    for (turn now = next(first); now.index != none;) {
      now = nodes(static_cast<std::uint32_t>(now.index)).what->sweep(*this, now);
    }
    in_order_ = false;
  }
  [[nodiscard]] turn next(word held) noexcept {
    std::uint32_t const i = pending.pop(held);
    return {held.bits, i};
  }
  void retry_all() noexcept;
  void retry() noexcept;
  /// What tracking cells have read that nobody needs may be out of date: it closes no cycle.
  [[nodiscard]] bool forget_unneeded() noexcept;
  void look_at(std::uint32_t i) noexcept {
    node<P>& n = nodes(i);
    if (!n.has(linked)) {
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
  }
  void visit_late(std::uint32_t i) noexcept;
  void fire(std::uint32_t i) noexcept {
    if (nodes(i).has(is_fired)) { return; }
    nodes(i).set(is_fired);
    fired_.push(nodes(i).slot);
  }

  /// Makes a node's value right.
  void settle(std::uint32_t slot) noexcept;
  /// Settles a node and, before it, what it depends on. @throws unwound
  void pull(std::uint32_t root);
  void push_frame(std::uint32_t i) noexcept;
  /// Goes on through a node's sources, to the first that is unsettled.
  [[nodiscard]] std::uint32_t look_at_sources(frame& f) noexcept;
  void run(std::uint32_t slot);
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
  plan<P> plan_;
  active_run* innermost_ = nullptr;
  std::uint32_t position_ = none;  // of the pending node that is being settled
  std::uint32_t depth_ = 0;
  bool busy_ = false;
  bool in_order_ = false;  // some values are old
};

}  // namespace detail

}  // namespace millrace::inline v0::propagate

#include <millrace/propagate/retry.hpp>
#include <millrace/propagate/settle.hpp>
