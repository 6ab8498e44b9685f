// SPDX-License-Identifier: Apache-2.0
// Four threads append to lists of a store and read them, singly and by cells computed from two.
// What each has seen is judged afterwards: by the checker, which knows nothing of the store, and by
// making every epoch again from what was committed, for reads must be what their epoch holds.
#include "checker.hpp"
#include "tier.hpp"
#include <millrace/core/clock.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/propagate/store.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace propagate = millrace::propagate;
using millrace::errc;
using namespace millrace_test::isolation;

namespace {

struct serializable : propagate::default_store {
  static constexpr std::uint64_t kept_epochs = 0;  ///< what nobody reads goes at once
};
struct snapshots : propagate::default_store {
  static constexpr auto level = propagate::isolation::snapshot;
  static constexpr std::uint64_t kept_epochs = 32;
};

struct list {
  static constexpr std::uint32_t most = 31;

  std::uint32_t size = 0;
  list_value values[most] = {};

  void push(list_value v) noexcept { values[size++] = v; }
  [[nodiscard]] std::span<list_value const> all() const noexcept { return {values, size}; }
};
struct both_lists {
  list first, second;
};

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::uint32_t fewer = 10;
#else
constexpr std::uint32_t fewer = 1;
#endif
std::uint32_t transactions() {
  return (millrace_test::long_tier() ? 1'000'000u : 100'000u) / fewer;
}

constexpr std::uint32_t threads = 4, active = 8;

/// What one thread has seen.
struct account {
  struct epochs {
    std::uint64_t read = 0;
    std::uint64_t made = 0;  ///< 0: none
  };

  history told;
  std::vector<epochs> of;      ///< by transaction
  history travels;             ///< reads of earlier epochs
  std::vector<epochs> to;      ///< by travel
  millrace::error why{};       ///< of what must not fail
  std::uint64_t released = 0;  ///< travels that came too late
};

/// Each of `active` places has one list after another, numbers place, place + active, ...: who
/// finds a list full goes on to the next. So lists stay short, and threads meet.
template <class P>
class workload {
  using store_type = propagate::basic_store<P>;
  using transaction = typename store_type::transaction;

 public:
  explicit workload(std::uint32_t count)
      : count_{count / threads}, store_{make(count)}, accounts_(threads) {
    for (std::size_t k = 0; k < lists_.size(); ++k) { REQUIRE(store_.publish(lists_[k])); }
    for (auto const& each : pairs_) { REQUIRE(store_.publish(each)); }
  }

  void run() {
    std::vector<std::thread> all;
    for (std::uint32_t t = 0; t < threads; ++t) {
      all.emplace_back([this, t] {
        work(t, accounts_[t]);
        --working_;
      });
    }
    std::thread editor([this] {
      while (working_.load() != 0 && edit_failure_.code == errc::ok) { edit(); }
    });
    for (std::thread& t : all) { t.join(); }
    editor.join();
    REQUIRE(edit_failure_.code == errc::ok);
    for (account const& a : accounts_) {
      INFO(core::describe(a.why));
      REQUIRE(a.why.code == errc::ok);
    }
    read_all();
  }
  [[nodiscard]] std::vector<account> const& accounts() const noexcept { return accounts_; }
  [[nodiscard]] std::uint64_t edits() const noexcept { return edits_; }
  [[nodiscard]] std::size_t lists() const noexcept { return lists_.size(); }
  [[nodiscard]] store_type& store() noexcept { return store_; }

 private:
  store_type make(std::uint32_t count) {
    auto g = *propagate::basic_graph<typename P::graph_policy>::make();
    // more than are filled: two appends a transaction
    std::size_t const rounds = std::size_t{count} * 2 / list::most / active + 4;
    for (std::size_t k = 0; k < rounds * active; ++k) { lists_.push_back(*g.input(list{})); }
    for (std::size_t k = 0; k < lists_.size(); k += 2) {
      auto const both = [runs = 0u](list const& a, list const& b) mutable {
        if (++runs % 2 == 0) { core::yield_thread(); }  // while others come to commit
        return both_lists{a, b};
      };
      pairs_.push_back(*g.computed(both, lists_[k], lists_[k + 1]));
    }
    return *store_type::make(std::move(g), {.kept_epochs = P::kept_epochs});
  }

  /// One thread's part of it.
  struct worker {
    std::uint32_t number;
    core::xoshiro_rng dice;
    account& mine;
    std::array<std::uint32_t, active> rounds{};  ///< which list of a place comes next
    list_value next;
    std::vector<list_key> written{};

    [[nodiscard]] std::uint32_t draw(std::uint32_t below) noexcept {
      return static_cast<std::uint32_t>(dice.next() >> 32) % below;
    }
    [[nodiscard]] bool has_written(list_key key) const noexcept {
      return std::find(written.begin(), written.end(), key) != written.end();
    }
  };

  void work(std::uint32_t number, account& mine) {
    worker w{number, core::xoshiro_rng(number + 1), mine, {}, number + 1};
    mine.told.reserve(count_, count_ * 5, count_ * 50);
    for (std::uint32_t k = 0; k < count_ && mine.why.code == errc::ok; ++k) {
      one(w);
      if (k % 64 == 0) { travel(w); }
    }
  }

  void one(worker& w) {
    history& told = w.mine.told;
    told.begin(w.number, core::now_ns());
    auto t = store_.begin();
    if (!t) { return fail(w, t.error()); }
    account::epochs of{t->epoch(), 0};
    w.written.clear();
    bool writes = false;
    for (std::uint32_t steps = 1 + w.draw(4); steps != 0; --steps) {
      std::uint32_t const place = w.draw(active);
      switch (w.draw(5)) {
        case 0: read(w, *t, place); break;
        case 1: read_pair(w, *t, place); break;
        case 2: core::yield_thread(); break;
        default: append(w, *t, place); writes = true;
      }
      if (w.mine.why.code != errc::ok) { return; }
    }
    auto how = outcome::aborted;
    if (w.draw(16) == 0) {
      t->abort();
    } else if (auto const made = t->commit()) {
      how = outcome::committed;
      of.made = writes ? *made : 0;
    } else if (made.error().code != errc::conflict) {
      return fail(w, made.error());
    }
    told.end(how, core::now_ns());
    w.mine.of.push_back(of);
  }
  void read(worker& w, transaction& t, std::uint32_t place) {
    list_key const key = w.rounds[place] * active + place;
    auto const got = t.read(lists_[key]);
    if (!got) { return fail(w, got.error()); }
    w.mine.told.read(key, got->all());
    if (got->size == list::most) { ++w.rounds[place]; }
  }
  void read_pair(worker& w, transaction& t, std::uint32_t place) {
    list_key const key = (w.rounds[place] * active + place) & ~1u;
    if (w.has_written(key) || w.has_written(key + 1)) { return; }  // computed cells are older
    auto const got = t.read(pairs_[key / 2]);
    if (!got) { return fail(w, got.error()); }
    w.mine.told.read(key, got->first.all());
    w.mine.told.read(key + 1, got->second.all());
  }
  void append(worker& w, transaction& t, std::uint32_t place) {
    for (;;) {
      list_key const key = w.rounds[place] * active + place;
      auto got = t.read(lists_[key]);
      if (!got) { return fail(w, got.error()); }
      w.mine.told.read(key, got->all());
      if (got->size == list::most) {
        ++w.rounds[place];
        continue;
      }
      w.mine.told.append(key, w.next);
      got->push(std::exchange(w.next, w.next + threads));
      w.written.push_back(key);
      if (auto const done = t.write(lists_[key], *got); !done) { fail(w, done.error()); }
      return;
    }
  }
  /// Reads an epoch that is over.
  void travel(worker& w) {
    std::uint64_t const newest = w.mine.of.back().read, back = w.draw(48);
    if (back > newest) { return; }
    auto const then = store_.at(newest - back);
    if (!then) {
      if (then.error().code != errc::released) { return fail(w, then.error()); }
      ++w.mine.released;
      return;
    }
    w.mine.travels.begin(w.number, 0);
    for (std::uint32_t place = 0; place < active; ++place) {
      list_key const key = w.rounds[place] * active + place;
      auto const got = then->read(lists_[key]);
      if (!got) { return fail(w, got.error()); }
      w.mine.travels.read(key, got->all());
    }
    w.mine.travels.end(outcome::committed, 0);
    w.mine.to.push_back({then->epoch(), 0});
  }
  /// Adds a cell, reads it with what it depends on, and takes it away again.
  void edit() {
    std::size_t const a = edits_++ % lists_.size(), b = (a + 7) % lists_.size();
    auto const sizes = [](list const& x, list const& y) { return x.size + y.size; };
    auto const made = store_.edit([&](auto& g) { return g.computed(sizes, lists_[a], lists_[b]); });
    if (!made) { return fail_edit(made.error()); }
    if (auto const done = store_.publish(*made); !done) { return fail_edit(done.error()); }
    {
      auto const now = store_.snapshot();
      if (!now) { return fail_edit(now.error()); }
      auto const x = now->read(lists_[a]), y = now->read(lists_[b]);
      auto const both = now->read(*made);
      if (!x || !y || !both || x->size + y->size != *both) {
        return fail_edit({errc::corrupt, {}, 0});
      }
    }
    if (auto const done = store_.unpublish(*made); !done) { return fail_edit(done.error()); }
    auto const gone = store_.edit([&](auto& g) { return g.remove(made->id()); });
    if (!gone) { fail_edit(gone.error()); }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  /// So that every append is read.
  void read_all() {
    account& last = accounts_.emplace_back();
    last.told.begin(threads, core::now_ns());
    auto t = store_.begin();
    REQUIRE(t);
    last.of.push_back({t->epoch(), 0});
    for (list_key key = 0; key < lists_.size(); ++key) {
      auto const got = t->read(lists_[key]);
      REQUIRE(got);
      last.told.read(key, got->all());
    }
    REQUIRE(t->commit());
    last.told.end(outcome::committed, core::now_ns());
  }
  static void fail(worker& w, millrace::error why) { w.mine.why = why; }
  void fail_edit(millrace::error why) { edit_failure_ = why; }

  std::uint32_t count_;
  std::vector<propagate::input<list>> lists_;
  std::vector<propagate::cell<both_lists>> pairs_;
  store_type store_;
  std::vector<account> accounts_;
  std::atomic<std::uint32_t> working_{threads};
  std::size_t edits_ = 0;
  millrace::error edit_failure_{};
};

/// Makes every epoch again, and looks at what was read of it.
class epochs_again {
 public:
  /// @param still what a committed transaction has read must also be so in the epoch before its own
  epochs_again(std::vector<account> const& accounts, std::size_t lists, bool still)
      : now_(lists), last_(lists) {
    for (account const& a : accounts) {
      for (std::uint32_t t = 0; t < a.told.size(); ++t) {
        events_.push_back({a.of[t].read, false, t, &a.told});
        if (a.of[t].made == 0) { continue; }
        events_.push_back({a.of[t].made, true, t, &a.told});
        if (still) { events_.push_back({a.of[t].made - 1, false, t, &a.told}); }
      }
      for (std::uint32_t t = 0; t < a.travels.size(); ++t) {
        events_.push_back({a.to[t].read, false, t, &a.travels});
      }
    }
    std::sort(events_.begin(), events_.end(), [](event const& a, event const& b) {
      return a.epoch != b.epoch ? a.epoch < b.epoch : a.writes && !b.writes;
    });
    event const* before = nullptr;
    for (event const& e : events_) {
      if (e.writes) {
        shared_ += before != nullptr && before->epoch == e.epoch ? 1 : 0;
        before = &e;
        write(e);
      } else {
        read(e);
      }
    }
  }
  /// Reads that found something else, and appends of one epoch to one list.
  [[nodiscard]] std::uint64_t wrong() const noexcept { return wrong_; }
  [[nodiscard]] std::uint64_t reads() const noexcept { return reads_; }
  /// Commits that another one of the same epoch has come before.
  [[nodiscard]] std::uint64_t shared() const noexcept { return shared_; }

 private:
  struct event {
    std::uint64_t epoch;
    bool writes;
    std::uint32_t transaction;
    history const* of;
  };
  void write(event const& e) {
    for (operation const& o : e.of->operations(e.transaction)) {
      if (!o.appends()) { continue; }
      auto& [epoch, by] = last_[o.key];
      auto const me = std::pair(e.of, e.transaction);
      wrong_ += epoch == e.epoch && by != me ? 1 : 0;
      epoch = e.epoch;
      by = me;
      now_[o.key].push_back(o.value());
    }
  }
  void read(event const& e) {
    auto const all = e.of->operations(e.transaction);
    for (std::size_t k = 0; k < all.size(); ++k) {
      if (all[k].appends()) { continue; }
      ++reads_;
      std::vector<list_value> expected = now_[all[k].key];
      for (operation const& before : all.first(k)) {
        if (before.appends() && before.key == all[k].key) { expected.push_back(before.value()); }
      }
      auto const got = e.of->list(all[k]);
      wrong_ += std::equal(got.begin(), got.end(), expected.begin(), expected.end()) ? 0 : 1;
    }
  }

  struct last_write {
    std::uint64_t epoch = 0;
    std::pair<history const*, std::uint32_t> by{};
  };
  std::vector<event> events_;
  std::vector<std::vector<list_value>> now_;
  std::vector<last_write> last_;
  std::uint64_t wrong_ = 0, reads_ = 0, shared_ = 0;
};

}  // namespace

TEST_CASE_TEMPLATE("list append: four threads at random", P, serializable, snapshots) {
  constexpr bool is_serializable = P::level == propagate::isolation::serializable;
  workload<P> w(transactions());
  std::uint64_t const begin = core::now_ns();
  w.run();
  std::uint64_t const ran = core::now_ns();

  history all;
  std::uint64_t travels = 0, released = 0;
  for (account const& a : w.accounts()) {
    all.add(a.told);
    travels += a.travels.size();
    released += a.released;
  }
  report const found = check(all, {order::realtime, true});
  std::uint64_t const checked = core::now_ns();
  epochs_again const again(w.accounts(), w.lists(), is_serializable);
  auto const stats = w.store().stats();
  MESSAGE(all.size() << " transactions, " << stats.commits << " commits, " << again.shared()
                     << " in an epoch with others, " << stats.conflicts << " conflicts, "
                     << w.edits() << " edits, " << travels << " travels and " << released
                     << " too late: ran " << (ran - begin) / 1'000'000 << " ms, checked in "
                     << (checked - ran) / 1'000'000 << " ms");
  INFO(found.text());
  CHECK(found.snapshot_isolated());
  CHECK(found.serializable() == is_serializable);  // of snapshots the skews are there, too
  CHECK(again.wrong() == 0);
  CHECK(again.reads() > all.size());
  CHECK(again.shared() != 0);
  CHECK(stats.conflicts != 0);
}
