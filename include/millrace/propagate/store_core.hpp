// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/access_set.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/commit_lane.hpp>
#include <millrace/propagate/epoch_pins.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/journal.hpp>
#include <millrace/propagate/record.hpp>
#include <millrace/propagate/slot_table.hpp>
#include <millrace/propagate/store_policy.hpp>
#include <millrace/propagate/subscription.hpp>
#include <millrace/propagate/track.hpp>
#include <millrace/propagate/version.hpp>
#include <millrace/propagate/version_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace millrace::inline v0::propagate {

namespace detail {

/// What a store needs of a graph.
template <class GP>
struct graph_parts {
  [[nodiscard]] static engine<GP>* engine_of(basic_graph<GP>& g) noexcept { return g.engine_; }
  /// An observer of one cell, whose body is made of `part` and where the value is.
  template <class Body, class T, class Part>
  [[nodiscard]] static result<observer> observe(basic_graph<GP>& g, kind<GP> const* what,
                                                propagate::cell<T> of, Part part) noexcept {
    std::uint32_t const sources[] = {g.engine_->find(of)};
    return g.told(g.template add<Body>(what, sources, 0, part, g.value_of(of)));
  }
};

/// Something to do in the lane.
template <class P>
struct store_request : lane_request {
  /// Null for a transaction that commits.
  void (*run)(store_core<P>&, store_request&) noexcept = nullptr;
  error why{};
};

template <class P>
struct commit_request : store_request<P> {
  access_set<track<P>, typename P::graph_policy::resource>* accesses = nullptr;
  std::uint64_t epoch = 0;  ///< the one that was read; then the one that was made
  node_id conflict{};
};

/// A store's parts. What transactions do beside each other goes through `tracks`, `pins` and the
/// counters; all else belongs to who leads the lane.
template <class P>
struct store_core {
  using access = typename P::access;
  using graph_type = basic_graph<typename P::graph_policy>;
  using engine_type = engine<typename P::graph_policy>;
  using resource = typename P::graph_policy::resource;
  using track_type = track<P>;
  using subscription_type = subscription<P>;
  using request = store_request<P>;
  using accesses_type = access_set<track_type, resource>;
  struct pool : version_pool {
    pool* later;
  };

  store_core(graph_type g, engine_type* e, typename P::journal j, store_options const& o,
             epoch_pin* pin_words, resource r) noexcept
      : from{r},
        graph{std::move(g)},
        in{e},
        keeper{std::move(j)},
        options{o},
        pins{pin_words, o.most_pins},
        tracks{r},
        record_types{r},
        claimed_{r},
        writer_{r} {}
  store_core(store_core const&) = delete;
  store_core& operator=(store_core const&) = delete;
  ~store_core() {
    for (subscription_type* s = first_subscription; s != nullptr;) {
      subscription_type* const gone = std::exchange(s, s->later);
      gone->destroy(*this, gone);
    }
    while (first_track != nullptr) { drop(first_track); }
    while (first_pool != nullptr) {
      pool* const gone = std::exchange(first_pool, first_pool->later);
      trim(*gone, 0);
      from.deallocate(gone, sizeof(pool), alignof(pool));
    }
  }

  /// Does a request in the lane, and waits for it.
  /// @error errc::busy: from within a store's lane; else what the request says
  [[nodiscard]] error pass(request& r) noexcept {
    if (leads_lane) { return {errc::busy, {}, 0}; }
    lane_.pass(r, [this](lane_request* first) {
      leads_lane = true;
      serve(static_cast<request*>(first));
      leads_lane = false;
    });
    return r.why;
  }

  /// A published cell; null where a cell is not.
  /// @thread any, with an epoch pinned
  template <class T>
  [[nodiscard]] track_type* find(propagate::cell<T> of) const noexcept {
    track_type* const t = find(of.id());
    return t != nullptr && t->type == type_of<T> ? t : nullptr;
  }
  [[nodiscard]] track_type* find(node_id const& of) const noexcept {
    if (of.graph != in) { return nullptr; }
    track_type* t = tracks.find(of.slot);
    while (t != nullptr && t->cell != of) { t = t->below(); }
    return t;
  }

  /// Where the value of the epoch to come goes; there is room. A publisher asks for it.
  [[nodiscard]] version& next_version(track_type& of) noexcept {
    version* const newest = of.versions.newest();
    if (newest != nullptr && newest->epoch == epoch + 1) { return *newest; }  // told a second time
    version* const written = std::exchange(of.staged, nullptr);
    version* const v = written != nullptr ? written : of.spare->take();
    push(of, v);
    for (auto const& each : of.subscribers) { each.to->touch(*this, each.place); }
    return *v;
  }
  /// From the epoch to come on the cell has this version.
  void push(track_type& of, version* v) noexcept {
    v->epoch = epoch + 1;
    v->owner = &of;
    bool const first = of.versions.newest() == nullptr;
    of.versions.push(v);
    if (!first) { log.add(v); }
    ++pushed;
    add(versions, 1);
    add(version_bytes, of.of->bytes);
  }
  /// Room for the versions of a commit or an edit.
  /// @error errc::full, errc::out_of_memory
  [[nodiscard]] error make_room() noexcept {
    if (log.size() >= collected_at || version_bytes > options.version_bytes) { collect(floor()); }
    if (version_bytes > options.version_bytes) { return {errc::full, {}, 0}; }
    std::uint64_t bytes = 0;
    for (pool* p = first_pool; p != nullptr; p = p->later) {
      if (!p->fill(in->blocks, from)) { return {errc::out_of_memory, {}, 0}; }
      bytes += p->size * std::uint64_t{p->of->bytes};
    }
    access::store(spare_bytes, bytes, core::relaxed, "store.count");
    return {};
  }
  /// What has been pushed can be read, and subscribers are told of it.
  void publish_epoch() noexcept {
    pins.advance(++epoch);
    for (subscription_type* s = std::exchange(first_touched, nullptr); s != nullptr;) {
      subscription_type& now = *s;
      s = std::exchange(now.next_touched, nullptr);
      now.is_touched = false;
      if (now.deliver(now, epoch)) { continue; }
      add(undelivered, 1);
      now.enlist(*this);
    }
  }
  /// The oldest epoch that a reader has pinned or may ask for.
  [[nodiscard]] std::uint64_t floor() const noexcept {
    std::uint64_t const kept = epoch > options.kept_epochs ? epoch - options.kept_epochs : 0;
    return std::min(pins.oldest(), kept);
  }
  /// Gives back what only epochs before `oldest` need.
  void collect(std::uint64_t oldest) noexcept {
    // a reader that moves to the newest epoch may show an older one than could be read already
    access::store(kept_from, std::max(kept_from, oldest), core::relaxed, "store.kept_from");
    log.template cut<access>(oldest, [this](version* gone, version* instead) {
      auto& t = *static_cast<track_type*>(instead->owner);
      give_back(t, gone);
      if (instead->gone && t.versions.newest() == instead) { unlist(t); }
    });
    // who has found a cell reads an epoch before the one from which on nobody finds it
    while (first_unlisted != nullptr && first_unlisted->unlisted <= oldest) {
      track_type* const t = first_unlisted;
      first_unlisted = t->next_unlisted;
      drop(t);
    }
  }
  /// A cell's first version is there: from here on it is found.
  void list(track_type& t) noexcept {
    t.put_above(tracks.find(t.cell.slot));
    tracks.put(t.cell.slot, &t);
  }
  /// From here on nobody finds the cell; who has done so may read it still.
  void unlist(track_type& t) noexcept {
    track_type* above = tracks.find(t.cell.slot);
    if (above == &t) {
      tracks.put(t.cell.slot, t.below());
    } else {
      while (above->below() != &t) { above = above->below(); }
      above->put_above(t.below());
    }
    t.unlisted = epoch + 1;
    (first_unlisted == nullptr ? first_unlisted : last_unlisted->next_unlisted) = &t;
    last_unlisted = &t;
  }
  /// A cell that is to be published, with room for its first version; null: no memory.
  [[nodiscard]] track_type* add_track(track_facts facts) noexcept {
    pool* const spare = pool_of(facts.of);
    if (spare == nullptr) { return nullptr; }
    facts.spare = spare;
    auto const given = in->blocks.try_allocate(sizeof(track_type), alignof(track_type));
    if (!given) { return nullptr; }
    auto* const t = ::new (*given) track_type(facts, *this, from);
    t->later = std::exchange(first_track, t);
    if (t->later != nullptr) { t->later->earlier = t; }
    ++spare->cells;
    if (spare->fill(in->blocks, from)) { return t; }
    drop(t);
    return nullptr;
  }
  /// Whether edits must leave the cell's name and its publisher alone.
  void keep(track_type& t, bool is_kept) noexcept {
    for (node_id const& id : {t.cell, t.publisher}) {
      auto& n = in->nodes(in->index_of(id.slot));
      is_kept ? n.set(relied_on) : n.clear(relied_on);
    }
  }
  /// From the epoch to come on the cell has no value; there is room.
  void end(track_type& t) noexcept {
    version* const last = t.spare->take();
    last->gone = true;
    push(t, last);
  }
  /// Records may have values of this type.
  [[nodiscard]] bool know(record_type const* type) noexcept {
    auto const* const known = std::find(record_types.begin(), record_types.end(), type);
    return known != record_types.end() || record_types.try_push(type);
  }
  [[nodiscard]] error unsubscribe(std::uint64_t number) noexcept {
    for (subscription_type** at = &first_subscription; *at != nullptr; at = &(*at)->later) {
      if ((*at)->number != number) { continue; }
      subscription_type* const gone = std::exchange(*at, (*at)->later);
      for (auto** t = &first_touched; *t != nullptr; t = &(*t)->next_touched) {
        if (*t == gone) {
          *t = gone->next_touched;
          break;
        }
      }
      gone->destroy(*this, gone);
      return {};
    }
    return {errc::unknown_id, {}, 1};
  }
  /// What a record says takes effect.
  [[nodiscard]] error replay(cuda::std::span<std::byte const> bytes) noexcept;
  /// A cell that nobody can find any more.
  void drop(track_type* t) noexcept {
    (t->earlier == nullptr ? first_track : t->earlier->later) = t->later;
    if (t->later != nullptr) { t->later->earlier = t->earlier; }
    for (version* v = t->versions.newest(); v != nullptr;) {
      give_back(*t, std::exchange(v, v->older));
    }
    --t->spare->cells;
    trim(*t->spare, t->spare->most());
    t->~track_type();
    in->blocks.deallocate(t, sizeof(track_type), alignof(track_type));
  }

  /// A version that nobody needs, of a cell that is still there.
  void put(track_type& of, version* v) noexcept {
    if (!of.spare->put(v)) { of.spare->release(v, in->blocks, from); }
  }
  /// To a counter that others read.
  static void add(std::uint64_t& counter, std::uint64_t n) noexcept {
    access::store(counter, counter + n, core::relaxed, "store.count");
  }

  resource from;
  graph_type graph;
  engine_type* in;
  typename P::journal keeper;
  store_options options;
  epoch_pins<access> pins;
  slot_table<access, track_type, resource> tracks;
  version_log log;
  std::uint64_t epoch = 0;   ///< the newest
  std::uint64_t pushed = 0;  ///< versions, ever
  std::uint64_t last_subscription = 0;
  track_type* first_track = nullptr;
  pool* first_pool = nullptr;
  track_type* first_unlisted = nullptr;  ///< of those that nobody finds, in the order of epochs
  track_type* last_unlisted = nullptr;
  subscription_type* first_subscription = nullptr;
  subscription_type* first_touched = nullptr;
  column<record_type const*, resource> record_types;  ///< of published inputs, each once

  std::uint64_t commits = 0, conflicts = 0, versions = 0, version_bytes = 0, spare_bytes = 0,
                undelivered = 0;
  std::uint64_t kept_from = 0;

 private:
  /// Where versions of a type come from; null: no memory.
  [[nodiscard]] pool* pool_of(version_type const* type) noexcept {
    for (pool* p = first_pool; p != nullptr; p = p->later) {
      if (p->of == type) { return p; }
    }
    auto const given = from.try_allocate(sizeof(pool), alignof(pool));
    if (!given) { return nullptr; }
    return first_pool = ::new (*given) pool{{.of = type}, first_pool};
  }

  static constexpr std::size_t collected_at = 64;  // superseded versions, before a look at the pins

  /// There may be fewer cells than there were.
  void trim(version_pool& spare, std::uint32_t to) noexcept {
    while (spare.size > to) { spare.release(spare.take(), in->blocks, from); }
  }
  void give_back(track_type& of, version* v) noexcept {
    put(of, v);
    add(versions, ~std::uint64_t{0});
    add(version_bytes, ~std::uint64_t{of.of->bytes} + 1);
  }

  void serve(request* first) noexcept {
    while (first != nullptr) {
      if (first->run == nullptr) {
        first = commit_group(first);
        continue;
      }
      auto* const next = static_cast<request*>(first->next);
      first->run(*this, *first);
      first = next;
    }
  }
  [[nodiscard]] error stage(accesses_type& to, record_row const& row) noexcept;
  [[nodiscard]] request* commit_group(request* first) noexcept;
  [[nodiscard]] static bool reads_computed(commit_request<P> const& c) noexcept;
  [[nodiscard]] error accept(commit_request<P>& c) noexcept;
  [[nodiscard]] error refuse(commit_request<P>& c, node_id const& cell) noexcept;
  [[nodiscard]] error write_record() noexcept;
  void take_effect() noexcept;
  void disclaim() noexcept;

  commit_lane<default_lane<access, typename P::parking>> lane_;
  column<track_type*, resource> claimed_;  // by the group
  record_writer<resource> writer_;
};

}  // namespace detail

}  // namespace millrace::inline v0::propagate

#include <millrace/propagate/store_commit.hpp>
