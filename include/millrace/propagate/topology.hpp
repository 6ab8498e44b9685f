// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/pending_set.hpp>
#include <millrace/propagate/plan_set.hpp>
#include <millrace/propagate/small_blocks.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// Nodes in a topological order, and who depends on whom. A node is needed when an observer depends
/// on it, by however many steps: then it is linked, and among the live targets of what it depends
/// on. What is not needed costs a change nothing.
template <class P>
class topology {
 public:
  using resource = typename P::resource;
  static_assert(sizeof(node<P>) == 64, "topology: a node is a cache line");
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  explicit topology(resource from) noexcept
      : pending{from},
        in_plan{from},
        blocks{from},
        from_{from},
        nodes_{from},
        slots_{from},
        work_{from},
        eager_{from},
        seen_{from},
        moved_{from},
        cycle_{from} {}
  topology(topology const&) = delete;
  topology& operator=(topology const&) = delete;
  ~topology() {
    for (node<P>& n : nodes_) {
      drop_block(n.targets);
      drop_block(n.sources);
    }
  }

  pending_set<resource> pending;
  plan_set<resource> in_plan;
  small_blocks<resource, P::small_bytes> blocks;  ///< of what nodes keep beside themselves
  std::uint64_t pass = 1;   ///< the number of the last one that has begun; 0: never
  std::uint64_t edits = 0;  ///< nodes that came, went, or got another place or function

  [[nodiscard]] node<P>& nodes(std::uint32_t i) const noexcept { return nodes_[i]; }
  /// Indices in use, and those of nodes that are gone.
  [[nodiscard]] std::uint32_t extent() const noexcept { return nodes_.size(); }
  [[nodiscard]] std::uint32_t index_of(std::uint32_t slot) const noexcept {
    return slots_[slot].index;
  }
  [[nodiscard]] std::uint32_t generation_of(std::uint32_t slot) const noexcept {
    return slots_[slot].generation;
  }
  /// The index of a node; `none` where a slot has no node of this generation.
  [[nodiscard]] std::uint32_t find(std::uint32_t slot, std::uint32_t generation) const noexcept {
    if (slot >= slots_.size() || slots_[slot].generation != generation) { return none; }
    return slots_[slot].index;
  }
  /// Begins to fetch what `find` reads.
  void fetch_slot(std::uint32_t slot) const noexcept {
    if (slot < slots_.size()) { __builtin_prefetch(&slots_[slot]); }
  }
  [[nodiscard]] resource& from() noexcept { return from_; }
  /// Slots of the nodes of the last cycle that was refused; each depends on the one before it, and
  /// the first on the last.
  [[nodiscard]] column<std::uint32_t, resource> const& cycle() const noexcept { return cycle_; }

  [[nodiscard]] result<void> reserve(std::uint32_t count) noexcept {
    if (auto const room = nodes_.reserve(count); !room) { return room; }
    if (auto const room = slots_.reserve(count); !room) { return room; }
    if (auto const room = work_.reserve(count); !room) { return room; }
    if (auto const room = eager_.reserve(count); !room) { return room; }
    return pending.reserve(count);
  }

  /// A new node at the end of the order, for which there is room; its slot.
  std::uint32_t append(kind<P> const* what, body_head* body) noexcept {
    std::uint32_t slot = free_;
    if (slot != none) {
      free_ = slots_[slot].index;
    } else {
      slot = slots_.size();
      slots_.push({0, first_generation_});
    }
    ++edits;
    slots_[slot].index = nodes_.size();
    node<P> made;
    made.what = what;
    made.body = body;
    made.slot = slot;
    made.set(unsettled | must_run | valueless);
    nodes_.push(made);
    return slot;
  }
  /// Takes a node away that has no edges any more.
  void take_away(std::uint32_t i) noexcept {
    node<P>& n = nodes_[i];
    ++edits;
    drop_block(n.targets);
    drop_block(n.sources);
    slots_[n.slot].index = free_;
    ++slots_[n.slot].generation;
    free_ = n.slot;
    n = {};
    ++gone_;
    for (; !nodes_.empty() && nodes_.back().what == nullptr; --gone_) { nodes_.pop(); }
    if (gone_ > kept_gaps_ + nodes_.size() / 2 && gone_ > 64) { close_gaps(); }
  }

  /// Room for one more source of one node, and one more target of the other.
  [[nodiscard]] result<void> reserve_edge(std::uint32_t target, std::uint32_t source) noexcept {
    if (auto const room = grow(nodes_[target].sources); !room) { return room; }
    return grow(nodes_[source].targets);
  }
  /// Whether the last node depends on another already: it stands last among that one's targets.
  [[nodiscard]] bool last_depends_on(std::uint32_t source) const noexcept {
    edge_block* const to = nodes_[source].targets;
    return to != nullptr && to->size != 0 && to->edges()[to->size - 1].node == nodes_.size() - 1;
  }
  /// `target` depends on `source` from here on; there is room. It is not live yet.
  void link(std::uint32_t target, std::uint32_t source) noexcept {
    node<P>& to = nodes_[target];
    node<P>& from = nodes_[source];
    in_plan.show(source);
    std::uint32_t const k = to.sources->size, at = from.targets->size;
    to.sources->edges()[k] = {source, at};
    from.targets->edges()[at] = {target, k};
    ++to.sources->size;
    ++from.targets->size;
  }
  /// `target` does not depend on its last source any more.
  void unlink_last(std::uint32_t target) noexcept {
    edge_block& of = *nodes_[target].sources;
    edge const gone = of.edges()[--of.size];
    node<P>& source = nodes_[gone.node];
    std::uint32_t at = gone.at;
    // the last one's back reference is gone already, so that no swap touches it
    if (at < source.live) {
      in_plan.show(gone.node);
      if (strict(nodes_[target])) { remove_eager(gone.node); }
      --source.live;
      move_target(source, source.live, at);
      at = source.live;
      --source.targets->size;
      move_target(source, source.targets->size, at);
      if (source.live == 0) { release(gone.node); }
    } else {
      --source.targets->size;
      move_target(source, source.targets->size, at);
    }
  }
  void swap_sources(std::uint32_t i, std::uint32_t a, std::uint32_t b) noexcept {
    if (a == b) { return; }
    edge* const of = nodes_[i].sources->edges();
    std::swap(of[a], of[b]);
    nodes_[of[a].node].targets->edges()[of[a].at].at = a;
    nodes_[of[b].node].targets->edges()[of[b].at].at = b;
  }
  /// An edge of a linked node becomes live.
  void enliven(std::uint32_t target, std::uint32_t k) noexcept {
    edge const e = nodes_[target].sources->edges()[k];
    make_live(e, strict(nodes_[target]));
    if (!nodes_[e.node].has(linked)) { need(e.node); }
  }

  /// A node is of another kind from here on, and has another body.
  void become(std::uint32_t i, kind<P> const* what, body_head* body) noexcept {
    node<P>& n = nodes_[i];
    unplan(i);
    ++edits;
    bool const was = strict(n);
    n.what = what;
    n.body = body;
    if (strict(n) == was || !n.has(passed_on)) { return; }
    for (std::uint32_t k = 0; n.sources != nullptr && k < n.sources->size; ++k) {
      edge const e = n.sources->edges()[k];
      if (e.at < nodes_[e.node].live) { count_eager(e.node, was ? ~std::uint32_t{0} : 1); }
    }
  }

  /// Links a node, and all that it depends on.
  void need(std::uint32_t root) noexcept {
    std::uint32_t const base = work_.size();
    nodes_[root].set(linked);
    work_.push(root);
    while (work_.size() > base) {
      std::uint32_t const i = work_.back();
      work_.pop();
      node<P>& n = nodes_[i];
      n.set(passed_on);
      if (n.sources == nullptr) { continue; }
      bool const for_sure = strict(n);
      for (std::uint32_t k = 0; k < n.sources->size; ++k) {
        edge const e = n.sources->edges()[k];
        make_live(e, for_sure);
        if (!nodes_[e.node].has(linked)) {
          nodes_[e.node].set(linked);
          work_.push(e.node);
        }
      }
    }
  }
  /// The opposite, for a node that has no live targets any more.
  void release(std::uint32_t root) noexcept {
    if (!lets_go(root)) { return; }
    std::uint32_t const base = work_.size();
    work_.push(root);
    while (work_.size() > base) {
      std::uint32_t const i = work_.back();
      work_.pop();
      node<P>& n = nodes_[i];
      if (n.sources == nullptr) { continue; }
      bool const for_sure = strict(n);
      for (std::uint32_t k = 0; k < n.sources->size; ++k) {
        edge const e = n.sources->edges()[k];
        node<P>& source = nodes_[e.node];
        in_plan.show(e.node);
        if (for_sure) { remove_eager(e.node); }
        --source.live;
        swap_targets(source, e.at, source.live);
        if (source.live == 0 && lets_go(e.node)) { work_.push(e.node); }
      }
    }
  }
  /// No plan runs a node any more. So when what it depends on has changed is written down.
  void unplan(std::uint32_t i) noexcept {
    node<P>& n = nodes_[i];
    if (!n.has(planned)) { return; }
    n.clear(planned);
    in_plan.erase(i);
    if (pending.contains(i)) { n.set(must_run); }  // of this pass it is not
    show_sources(n);
  }
  void unplan_all() noexcept {
    if (in_plan.empty()) { return; }
    for (node<P>& n : nodes_) { n.clear(planned); }
    in_plan.clear();
  }
  /// Nodes get other places, for which there is room: `places[i]` is that of node i.
  void move_all(column<std::uint32_t, resource> const& places,
                column<node<P>, resource>& room) noexcept;
  /// An observer needs what it observes whatever else happens.
  void set_eager(std::uint32_t i) noexcept { nodes_[i].eager = 1; }

  /// Gives a node a place behind another that it will depend on.
  /// @error errc::cycle: that one depends on it, see cycle(); errc::out_of_memory
  [[nodiscard]] result<void> move_behind(std::uint32_t first, std::uint32_t last) noexcept;

 private:
  /// Where a graph's generations begin: far from those of graphs that stood at its address.
  [[nodiscard]] static std::uint32_t generation_of_graph() noexcept {
    static constinit std::uint32_t graphs = 0;
    using words = core::direct_access<cuda::thread_scope_system>;
    return 0x9E37'79B1u * words::fetch_add(graphs, 1u, core::relaxed, "graphs.count");
  }
  struct place {
    std::uint32_t index;  // or the next free slot
    std::uint32_t generation;
  };
  struct visit {
    std::uint32_t index;
    std::uint32_t by;  // the visit that has found it
    bool pends;
  };

  /// Whether a node will need what it depends on, whatever that comes out as.
  [[nodiscard]] static bool strict(node<P> const& n) noexcept {
    return !tracks(n.what->is) && n.eager != 0;
  }
  /// Whether the node was linked. It is no more, and its value is not kept right.
  bool lets_go(std::uint32_t i) noexcept {
    node<P>& n = nodes_[i];
    if (!n.has(linked)) { return false; }
    unplan(i);
    n.clear(linked | passed_on);
    if (n.what->is == role::input) { return true; }
    keep_right(n);
    n.set(unsettled);
    return true;
  }
  /// A node that is eager is right after each pass, and nobody writes that down. It ends now.
  void keep_right(node<P>& n) const noexcept {
    if (!n.has(unsettled)) { n.ran_at = pass; }
  }
  void make_live(edge e, bool for_sure) noexcept {
    node<P>& source = nodes_[e.node];
    in_plan.show(e.node);
    swap_targets(source, e.at, source.live);
    ++source.live;
    if (for_sure) { add_eager(e.node); }
  }
  void show_sources(node<P> const& n) noexcept {
    for (std::uint32_t k = 0; n.sources != nullptr && k < n.sources->size; ++k) {
      in_plan.show(n.sources->edges()[k].node);
    }
  }
  void add_eager(std::uint32_t i) noexcept { count_eager(i, 1); }
  void remove_eager(std::uint32_t i) noexcept { count_eager(i, ~std::uint32_t{0}); }
  void count_eager(std::uint32_t root, std::uint32_t by) noexcept {
    std::uint32_t const base = eager_.size();
    if (!turns(root, by)) { return; }
    eager_.push(root);
    while (eager_.size() > base) {
      node<P> const& n = nodes_[eager_.back()];
      eager_.pop();
      for (std::uint32_t k = 0; k < n.sources->size; ++k) {
        std::uint32_t const source = n.sources->edges()[k].node;
        if (turns(source, by)) { eager_.push(source); }
      }
    }
  }
  /// Counts; whether what the node depends on is to be counted as well.
  [[nodiscard]] bool turns(std::uint32_t i, std::uint32_t by) noexcept {
    node<P>& n = nodes_[i];
    std::uint32_t const before = n.eager;
    n.eager += by;
    if ((before != 0) == (n.eager != 0)) { return false; }
    if (n.eager == 0) {
      unplan(i);
      keep_right(n);
    }
    // one that has not passed on that it is needed will pass on this as well
    return !tracks(n.what->is) && n.sources != nullptr && n.has(passed_on);
  }

  void swap_targets(node<P>& n, std::uint32_t a, std::uint32_t b) noexcept {
    if (a == b) { return; }
    edge* const of = n.targets->edges();
    std::swap(of[a], of[b]);
    nodes_[of[a].node].sources->edges()[of[a].at].at = a;
    nodes_[of[b].node].sources->edges()[of[b].at].at = b;
  }
  /// Over a target that is gone.
  void move_target(node<P>& n, std::uint32_t from, std::uint32_t to) noexcept {
    if (from == to) { return; }
    edge const moved = n.targets->edges()[from];
    n.targets->edges()[to] = moved;
    nodes_[moved.node].sources->edges()[moved.at].at = to;
  }

  [[nodiscard]] result<void> grow(edge_block*& block) noexcept {
    std::uint32_t const had = block == nullptr ? 0 : block->capacity;
    std::uint32_t const used = block == nullptr ? 0 : block->size;
    if (used < had) { return {}; }
    std::uint32_t const capacity = had < 2 ? had + 1 : 2 * had + 1;  // 16, 24, 48, 96 ... bytes
    auto const made = blocks.try_allocate(bytes_of(capacity), alignof(edge_block));
    if (!made) { return core::fail(errc::out_of_memory); }
    auto* const grown = static_cast<edge_block*>(*made);
    *grown = {used, capacity};
    if (used != 0) { std::memcpy(grown->edges(), block->edges(), used * sizeof(edge)); }
    drop_block(block);
    block = grown;
    return {};
  }
  void drop_block(edge_block* block) noexcept {
    if (block != nullptr) {
      blocks.deallocate(block, bytes_of(block->capacity), alignof(edge_block));
    }
  }
  [[nodiscard]] static std::size_t bytes_of(std::uint32_t capacity) noexcept {
    return sizeof(edge_block) + capacity * sizeof(edge);
  }

  /// Who depends on `first` by however many steps and stands before `last`, both included, or
  /// nobody where that would be a cycle.
  [[nodiscard]] result<void> find_after(std::uint32_t first, std::uint32_t last) noexcept;
  void find_before(std::uint32_t first, std::uint32_t last) noexcept;
  void keep_cycle(std::uint32_t last, std::uint32_t by) noexcept;
  void renumber_edges(edge_block* of, std::uint32_t mine, edge_block* node<P>::* back) noexcept;
  void close_gaps() noexcept;

  resource from_;
  column<node<P>, resource> nodes_;
  column<place, resource> slots_;
  std::uint32_t first_generation_ = generation_of_graph();
  column<std::uint32_t, resource> work_;
  column<std::uint32_t, resource> eager_;
  column<visit, resource> seen_;
  column<node<P>, resource> moved_;
  column<std::uint32_t, resource> cycle_;
  std::uint32_t free_ = none;    // slots without a node, one behind the other
  std::uint32_t gone_ = 0;       // indices without a node
  std::uint32_t kept_gaps_ = 0;  // of them those that a plan has left
};

}  // namespace millrace::inline v0::propagate::detail

#include <millrace/propagate/reorder.hpp>
