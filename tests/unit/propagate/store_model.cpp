// SPDX-License-Identifier: Apache-2.0
#include "tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/propagate/store.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace propagate = millrace::propagate;
namespace core = millrace::core;
using millrace::errc;
using millrace::error;
using millrace::result;

namespace {

template <propagate::isolation Level>
struct isolated : propagate::default_store {
  static constexpr auto level = Level;
};

/// What computed cells do with two others.
struct rule {
  int kind;
  result<int> operator()(int x, int y) const noexcept {
    if (kind == 0) { return (x + y) % 3; }
    if (kind == 1) { return x < y ? 1 : 0; }
    if (x == 0) { return core::fail(errc::bad_argument, 7); }
    return y;
  }
};

/// A value, or why there is none.
struct outcome {
  error why{};
  int value = 0;
  bool operator==(outcome const&) const = default;
};
outcome const unpublished{{errc::unknown_id, {}, 1}, 0};
template <class R>
outcome outcome_of(R const& got) {
  return got ? outcome{{}, *got} : outcome{got.error(), 0};
}
template <class R>
error error_of(R const& got) {
  return got ? error{} : got.error();
}

/// A store beside maps from epochs to values: each call must give what the maps say.
template <class P>
class program {
  using store_type = propagate::basic_store<P>;
  using transaction_type = typename store_type::transaction;
  using snapshot_type = typename store_type::snapshot_type;
  static constexpr std::size_t version_size = sizeof(propagate::detail::typed_version<int>);

  struct publication {  // from publish until nobody finds the cell
    std::size_t cell;
    std::uint64_t newest = 0;
    bool gone = false;
  };
  struct cell {
    propagate::input<int> handle;
    bool is_input, exists = true;
    int value = 0;  // of an input
    rule does{};
    std::size_t from[2] = {};
    std::map<std::uint64_t, outcome> history;
    std::optional<std::size_t> publication;
  };
  struct access {
    std::size_t publication;
    bool was_read = false;
    std::optional<int> written;
  };
  struct transaction {
    transaction_type real;
    std::uint64_t epoch;
    std::vector<access> accesses;
    std::vector<std::size_t> missed{};  // looked for in vain, in this order
  };
  struct snapshot {
    snapshot_type real;
    std::uint64_t epoch;
  };
  struct superseding {
    std::uint64_t epoch;
    std::size_t publication;
    bool gone;
  };

 public:
  explicit program(std::uint64_t seed) : chance_{seed}, store_{make()} {}

  void play(int steps) {
    for (int k = 0; k < steps; ++k) {
      step();
      auto const now = store_.stats();
      REQUIRE(now.epoch == epoch_);
      REQUIRE(now.oldest_kept == kept_from_);
      REQUIRE(now.oldest_pinned == oldest_pinned());
      REQUIRE(now.versions == versions_);
      REQUIRE(now.version_bytes == versions_ * version_size);
      REQUIRE(now.commits == commits_);
      REQUIRE(now.conflicts == conflicts_);
    }
    for (auto const& each : snapshots_) {
      for (std::size_t c = 0; c < cells_.size(); ++c) { look(each, c); }
    }
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(chance_.next() % n); }
  int some_value() { return static_cast<int>(below(3)); }
  std::size_t some_cell() { return below(cells_.size()); }

  store_type make() {
    options_.most_pins = static_cast<std::uint32_t>(3 + below(6));
    options_.kept_epochs = below(3) == 0 ? below(20) : 0;
    if (below(4) == 0) { options_.version_bytes = version_size * (10 + below(40)); }
    auto g = propagate::basic_graph<typename P::graph_policy>::make().value();
    for (int k = 0; k < 4; ++k) { add(g); }
    for (int k = 0; k < 3; ++k) { add(g); }
    return store_type::make(std::move(g), options_).value();
  }
  template <class G>
  void add(G& g) {
    cell made{};
    made.is_input = cells_.size() < 4 || below(3) == 0;
    if (made.is_input) {
      made.value = some_value();
      made.handle = g.input(made.value).value();
    } else {
      made.does = {static_cast<int>(below(3))};
      for (auto& each : made.from) { each = some_source(cells_.size()); }
      auto const computed =
          g.computed(made.does, handle(made.from[0]), handle(made.from[1])).value();
      made.handle = propagate::input<int>(computed.id());
    }
    cells_.push_back(made);
  }
  /// A cell that exists and came before; the first input is never removed.
  std::size_t some_source(std::size_t before) {
    std::size_t at = below(before);
    while (!cells_[at].exists) { --at; }
    return at;
  }
  propagate::cell<int> handle(std::size_t c) const { return cells_[c].handle; }

  outcome now(std::size_t c) const {
    cell const& it = cells_[c];
    if (it.is_input) { return {{}, it.value}; }
    outcome const x = now(it.from[0]), y = now(it.from[1]);
    if (x.why.code != errc::ok) { return x; }
    if (y.why.code != errc::ok) { return y; }
    return outcome_of(it.does(x.value, y.value));
  }
  outcome at(std::size_t c, std::uint64_t epoch) const {
    auto const& all = cells_[c].history;
    auto const after = all.upper_bound(epoch);
    return after == all.begin() ? unpublished : std::prev(after)->second;
  }
  bool is_published(std::size_t c) const { return at(c, epoch_) != unpublished; }

  void push(std::size_t c, outcome const& value, bool first = false) {
    std::size_t const p = *cells_[c].publication;
    cells_[c].history[epoch_ + 1] = value;
    publications_[p].newest = epoch_ + 1;
    publications_[p].gone = value == unpublished;
    if (!first) { log_.push_back({epoch_ + 1, p, publications_[p].gone}); }
    ++versions_;
  }
  bool push_changes() {
    bool any = false;
    for (std::size_t c = 0; c < cells_.size(); ++c) {
      if (!is_published(c) || at(c, epoch_) == now(c)) { continue; }
      push(c, now(c));
      any = true;
    }
    return any;
  }
  std::uint64_t oldest_pinned() const {
    std::uint64_t least = epoch_;
    for (auto const& each : transactions_) { least = std::min(least, each.epoch); }
    for (auto const& each : snapshots_) { least = std::min(least, each.epoch); }
    return least;
  }
  std::size_t pins() const { return transactions_.size() + snapshots_.size(); }
  void collect() {
    std::uint64_t const last = epoch_ > options_.kept_epochs ? epoch_ - options_.kept_epochs : 0;
    std::uint64_t const oldest = std::min(oldest_pinned(), last);
    kept_from_ = std::max(kept_from_, oldest);
    for (; !log_.empty() && log_.front().epoch <= oldest; log_.pop_front()) {
      superseding const& v = log_.front();
      publication const& of = publications_[v.publication];
      --versions_;
      if (!v.gone || of.newest != v.epoch) { continue; }
      cells_[of.cell].publication.reset();
      unlisted_.push_back(epoch_ + 1);
    }
    for (; !unlisted_.empty() && unlisted_.front() <= oldest; unlisted_.pop_front()) {
      --versions_;
    }
  }
  error make_room() {
    auto const too_many = [&] { return versions_ * version_size > options_.version_bytes; };
    if (log_.size() >= 64 || too_many()) { collect(); }
    return too_many() ? error{errc::full, {}, 0} : error{};
  }

  access* accessed(transaction& t, std::size_t c) {
    auto const p = cells_[c].publication;
    if (!p) { return nullptr; }
    for (auto& each : t.accesses) {
      if (each.publication == *p) { return &each; }
    }
    t.accesses.push_back({*p, false, {}});
    return &t.accesses.back();
  }
  void read(transaction& t, std::size_t c) {
    outcome expected = at(c, t.epoch);
    if (access* const mine = accessed(t, c); mine != nullptr) {
      if (mine->written) {
        expected = {{}, *mine->written};
      } else {
        mine->was_read = true;
      }
    }
    if (expected == unpublished) { t.missed.push_back(c); }
    REQUIRE(outcome_of(t.real.read(handle(c))) == expected);
  }
  void write(transaction& t, std::size_t c) {
    int const value = some_value();
    error expected = unpublished.why;
    access* const mine = cells_[c].is_input ? accessed(t, c) : nullptr;
    if (mine != nullptr && (mine->written || at(c, t.epoch) != unpublished)) {
      mine->written = value;
      expected = {};
    } else {
      t.missed.push_back(c);
    }
    REQUIRE(error_of(t.real.write(cells_[c].handle, value)) == expected);
  }
  void commit(transaction& t) {
    bool const writes = std::any_of(t.accesses.begin(), t.accesses.end(),
                                    [](access const& each) { return each.written.has_value(); });
    if (!writes) {
      REQUIRE(t.real.commit().value() == t.epoch);
      return;
    }
    error why = make_room();
    propagate::node_id conflict{};
    for (auto const& each : t.accesses) {
      if (why.code != errc::ok) { break; }
      auto const& of = publications_[each.publication];
      bool const relies =
          P::level == propagate::isolation::serializable ? each.was_read : each.written.has_value();
      if ((relies && of.newest > t.epoch) || (each.written && of.gone)) {
        ++conflicts_;
        conflict = handle(of.cell).id();
        why = {errc::conflict, {}, static_cast<std::int32_t>(conflict.slot)};
      }
    }
    for (std::size_t const c : t.missed) {
      if (why.code != errc::ok || P::level == propagate::isolation::snapshot) { break; }
      if (!is_published(c) || at(c, t.epoch) != unpublished) { continue; }
      ++conflicts_;
      conflict = handle(c).id();
      why = {errc::conflict, {}, static_cast<std::int32_t>(conflict.slot)};
    }
    auto const got = t.real.commit();
    REQUIRE(error_of(got) == why);
    REQUIRE(t.real.conflict() == conflict);
    REQUIRE(t.real.commit().error().code == errc::closed);
    if (!got) { return; }
    for (auto const& each : t.accesses) {
      if (each.written) { cells_[publications_[each.publication].cell].value = *each.written; }
    }
    push_changes();
    ++commits_;
    REQUIRE(*got == ++epoch_);
  }

  void look(snapshot const& s, std::size_t c) {
    REQUIRE(outcome_of(s.real.read(handle(c))) == at(c, s.epoch));
  }

  void publish(std::size_t c) {
    error why = make_room();
    if (why.code == errc::ok && !cells_[c].exists) { why = {errc::unknown_id, {}, 1}; }
    if (why.code == errc::ok && is_published(c)) { why = {errc::duplicate, {}, 1}; }
    REQUIRE(error_of(store_.publish(handle(c))) == why);
    if (why.code != errc::ok) { return; }
    bool const first = !cells_[c].publication;
    if (first) {
      cells_[c].publication = publications_.size();
      publications_.push_back({c});
    }
    push(c, now(c), first);
    ++epoch_;
  }
  void unpublish(std::size_t c) {
    error why = make_room();
    if (why.code == errc::ok && !is_published(c)) { why = {errc::unknown_id, {}, 1}; }
    REQUIRE(error_of(store_.unpublish(handle(c))) == why);
    if (why.code != errc::ok) { return; }
    push(c, unpublished);
    ++epoch_;
  }
  /// f(graph) -> error, of which the maps say the same already.
  template <class F>
  void edit(F f) {
    error const why = make_room();
    auto const got = store_.edit(f);
    REQUIRE(error_of(got) == why);
    if (why.code == errc::ok && push_changes()) { ++epoch_; }
  }
  void replace(std::size_t c) {
    if (cells_[c].is_input || !cells_[c].exists) { return; }
    edit([&](auto& g) {
      cells_[c].does = {static_cast<int>(below(3))};
      for (auto& each : cells_[c].from) { each = some_source(c); }
      REQUIRE(g.replace(handle(c), cells_[c].does, handle(cells_[c].from[0]),
                        handle(cells_[c].from[1])));
    });
  }
  void remove(std::size_t c) {
    if (c == 0) { return; }
    error why{};
    for (auto const& each : cells_) {
      bool const depends =
          each.exists && !each.is_input && (each.from[0] == c || each.from[1] == c);
      if (depends || is_published(c)) { why = {errc::busy, {}, 0}; }
    }
    if (!cells_[c].exists) { why = {errc::unknown_id, {}, 1}; }
    edit([&](auto& g) {
      REQUIRE(error_of(g.remove(handle(c).id())) == why);
      if (why.code == errc::ok) { cells_[c].exists = false; }
    });
  }

  void begin() {
    auto t = store_.begin();
    REQUIRE(error_of(t).code == (pins() < options_.most_pins ? errc::ok : errc::full));
    if (!t) { return; }
    REQUIRE(t->epoch() == epoch_);
    transactions_.push_back({std::move(*t), epoch_, {}});
  }
  void take_snapshot() {
    auto s = store_.snapshot();
    REQUIRE(error_of(s).code == (pins() < options_.most_pins ? errc::ok : errc::full));
    if (s) { snapshots_.push_back({std::move(*s), epoch_}); }
  }
  void take_snapshot_at() {
    std::uint64_t const least = kept_from_ > 2 ? kept_from_ - 2 : 0;
    std::uint64_t const then = least + below(epoch_ + 2 - least);
    auto s = store_.at(then);
    errc const why = then > epoch_                  ? errc::bad_argument
                     : then < kept_from_            ? errc::released
                     : pins() == options_.most_pins ? errc::full
                                                    : errc::ok;
    REQUIRE(error_of(s).code == why);
    if (s) { snapshots_.push_back({std::move(*s), then}); }
  }
  void step() {
    std::size_t const what = below(100);
    if (what < 12) {
      begin();
    } else if (what < 64 && !transactions_.empty()) {
      std::size_t const k = below(transactions_.size());
      if (what < 32) {
        read(transactions_[k], some_cell());
      } else if (what < 50) {
        write(transactions_[k], some_cell());
      } else {
        std::swap(transactions_[k], transactions_.back());
        if (what < 60) {
          commit(transactions_.back());
        } else {
          transactions_.back().real.abort();
        }
        transactions_.pop_back();  // its pin counts until it is done
      }
    } else if (what < 68) {
      take_snapshot();
    } else if (what < 72) {
      take_snapshot_at();
    } else if (what < 78 && !snapshots_.empty()) {
      look(snapshots_[below(snapshots_.size())], some_cell());
    } else if (what < 84 && !snapshots_.empty()) {
      snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(below(snapshots_.size())));
    } else if (what < 90) {
      publish(some_cell());
    } else if (what < 92) {
      unpublish(some_cell());
    } else if (what < 94) {
      replace(some_cell());
    } else if (what < 96) {
      remove(some_cell());
    } else if (what < 98) {
      if (cells_.size() < 24) {
        edit([&](auto& g) { add(g); });
      }
    } else {
      REQUIRE(store_.collect());
      collect();
    }
  }

  core::splitmix_rng chance_;
  propagate::store_options options_;
  std::vector<cell> cells_;
  std::vector<publication> publications_;
  std::deque<superseding> log_;
  std::deque<std::uint64_t> unlisted_;  // from which epoch on, for each that nobody finds
  std::uint64_t epoch_ = 0, kept_from_ = 0;
  std::size_t versions_ = 0;
  std::uint64_t commits_ = 0, conflicts_ = 0;
  store_type store_;
  std::vector<transaction> transactions_;
  std::vector<snapshot> snapshots_;
};

template <propagate::isolation Level>
void play_all() {
  int const programs = (millrace_test::long_tier() ? 100'000 : 2'000) / 2;
  for (int seed = 1; seed <= programs; ++seed) {
    INFO("seed ", seed);
    program<isolated<Level>>(static_cast<std::uint64_t>(seed))
        .play(seed % 20 == 0 ? 1500 : 50 + seed % 150);
  }
}

}  // namespace

TEST_CASE("store model: values, conflicts and errors of serializable transactions") {
  play_all<propagate::isolation::serializable>();
}
TEST_CASE("store model: values, conflicts and errors of transactions that read snapshots") {
  play_all<propagate::isolation::snapshot>();
}
