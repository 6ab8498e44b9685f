// SPDX-License-Identifier: Apache-2.0
// The ten anomalies of Hermitage, each as an interleaving of two or three transactions on one
// thread: a serialisable store has none of them, one of snapshots only write skew (G2-item, G2).
// A row that may be absent is a cell of an optional; a predicate is a read of every row, or of a
// cell computed from every row.
#include <millrace/propagate/store.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <optional>
#include <utility>

namespace propagate = millrace::propagate;
using millrace::errc;

namespace {

using row = std::optional<int>;
using rows = std::array<row, 4>;

struct serializable : propagate::default_store {};
struct snapshots : propagate::default_store {
  static constexpr auto level = propagate::isolation::snapshot;
};

/// Rows 0 and 1 are 10 and 20, the others absent.
template <class P>
struct table {
  using store_type = propagate::basic_store<P>;
  using transaction = typename store_type::transaction;
  static constexpr bool is_serializable = P::level == propagate::isolation::serializable;

  table() : store(make()) {
    for (auto const& each : cells) { REQUIRE(store.publish(each)); }
    REQUIRE(store.publish(total));
    REQUIRE(store.publish(thirds));
  }
  store_type make() {
    auto g = *propagate::basic_graph<typename P::graph_policy>::make();
    for (std::size_t k = 0; k < cells.size(); ++k) {
      cells[k] = *g.input(k < 2 ? row(10 * static_cast<int>(k + 1)) : row());
    }
    auto const count = [&g, this](auto of) {
      return *g.computed([of](row const& a, row const& b, row const& c,
                              row const& d) { return of(a) + of(b) + of(c) + of(d); },
                         cells[0], cells[1], cells[2], cells[3]);
    };
    total = count([](row const& r) { return r.value_or(0); });
    thirds = count([](row const& r) { return r && *r % 3 == 0 ? 1 : 0; });
    return *store_type::make(std::move(g));
  }

  [[nodiscard]] transaction begin() { return *store.begin(); }
  [[nodiscard]] row read(transaction& t, std::size_t k) { return *t.read(cells[k]); }
  [[nodiscard]] rows read(transaction& t) {
    return {read(t, 0), read(t, 1), read(t, 2), read(t, 3)};
  }
  void write(transaction& t, std::size_t k, row value) { REQUIRE(t.write(cells[k], value)); }
  /// How many rows a transaction finds that 3 divides.
  [[nodiscard]] int count_thirds(transaction& t, bool by_cell) {
    if (by_cell) { return *t.read(thirds); }
    int count = 0;
    for (row const& r : read(t)) { count += r && *r % 3 == 0 ? 1 : 0; }
    return count;
  }
  /// All that a transaction sees, if it has written nothing: these rows, and what follows from
  /// them.
  void check_sees(transaction& t, rows const& expected) {
    CHECK(read(t) == expected);
    int sum = 0, count = 0;
    for (row const& r : expected) {
      sum += r.value_or(0);
      count += r && *r % 3 == 0 ? 1 : 0;
    }
    CHECK(*t.read(total) == sum);
    CHECK(count_thirds(t, true) == count);
  }
  void check_holds(rows const& expected) {
    auto t = begin();
    check_sees(t, expected);
  }
  void check_commits(transaction& t) { CHECK(t.commit()); }
  void check_conflict(transaction& t, propagate::node_id because) {
    auto const done = t.commit();
    REQUIRE_FALSE(done);
    CHECK(done.error().code == errc::conflict);
    CHECK(t.conflict() == because);
  }

  std::array<propagate::input<row>, 4> cells;
  propagate::cell<int> total, thirds;
  store_type store;
};

rows two(row a, row b) { return {a, b, {}, {}}; }

}  // namespace

TEST_CASE_TEMPLATE("hermitage: G0, writes of two transactions mix", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  db.write(t1, 0, 11);
  db.write(t2, 0, 12);
  db.write(t1, 1, 21);
  db.check_commits(t1);
  db.check_holds(two(11, 21));
  db.write(t2, 1, 22);
  if (db.is_serializable) {  // it has read nothing: as if it had begun now
    db.check_commits(t2);
    db.check_holds(two(12, 22));
  } else {
    db.check_conflict(t2, db.cells[0].id());
    db.check_holds(two(11, 21));
  }
}

TEST_CASE_TEMPLATE("hermitage: G1a, a read of what is aborted", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  db.write(t1, 0, 101);
  db.check_sees(t2, two(10, 20));
  t1.abort();
  db.check_sees(t2, two(10, 20));
  db.check_commits(t2);
  db.check_holds(two(10, 20));
}

TEST_CASE_TEMPLATE("hermitage: G1b, a read of what is not final", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  db.write(t1, 0, 101);
  db.check_sees(t2, two(10, 20));
  db.write(t1, 0, 11);
  db.check_commits(t1);
  db.check_sees(t2, two(10, 20));
  db.check_commits(t2);
  db.check_holds(two(11, 20));
}

TEST_CASE_TEMPLATE("hermitage: G1c, reads in a circle", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  db.write(t1, 0, 11);
  db.write(t2, 1, 22);
  CHECK(db.read(t1, 1) == 20);
  CHECK(db.read(t2, 0) == 10);
  db.check_commits(t1);
  if (db.is_serializable) {
    db.check_conflict(t2, db.cells[0].id());
    db.check_holds(two(11, 20));
  } else {  // neither has read from the other; what is left of it is G2-item
    db.check_commits(t2);
    db.check_holds(two(11, 22));
  }
}

TEST_CASE_TEMPLATE("hermitage: OTV, what was seen vanishes", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin(), early = db.begin();
  db.write(t1, 0, 11);
  db.write(t1, 1, 19);
  db.write(t2, 0, 12);
  db.check_commits(t1);
  auto t3 = db.begin();
  CHECK(db.read(t3, 0) == 11);
  db.write(t2, 1, 18);
  CHECK(db.read(t3, 1) == 19);
  if (db.is_serializable) {
    db.check_commits(t2);
  } else {
    db.check_conflict(t2, db.cells[0].id());
  }
  db.check_sees(t3, two(11, 19));
  db.check_sees(early, two(10, 20));
  db.check_commits(t3);
  db.check_commits(early);
  db.check_holds(db.is_serializable ? two(12, 18) : two(11, 19));
}

TEST_CASE_TEMPLATE("hermitage: PMP, a predicate comes to match", P, serializable, snapshots) {
  for (bool by_cell : {false, true}) {
    table<P> db;
    auto t1 = db.begin(), t2 = db.begin();
    CHECK(db.count_thirds(t1, by_cell) == 0);
    db.write(t2, 2, 30);
    db.check_commits(t2);
    CHECK(db.count_thirds(t1, by_cell) == 0);
    db.check_commits(t1);
    db.check_holds({10, 20, 30, {}});
  }
}

TEST_CASE_TEMPLATE("hermitage: PMP, a write by a predicate that matches no more", P, serializable,
                   snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  for (std::size_t k : {0u, 1u}) { db.write(t1, k, *db.read(t1, k) + 10); }
  for (std::size_t k = 0; k < 4; ++k) {
    if (db.read(t2, k) == 20) { db.write(t2, k, {}); }
  }
  CHECK(db.read(t2, 1) == row());
  db.check_commits(t1);
  // the first cell that has changed of all that it relies on
  db.check_conflict(t2, db.cells[db.is_serializable ? 0 : 1].id());
  db.check_holds(two(20, 30));
}

TEST_CASE_TEMPLATE("hermitage: P4, a lost update", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  CHECK(db.read(t1, 0) == 10);
  CHECK(db.read(t2, 0) == 10);
  db.write(t1, 0, 11);
  db.write(t2, 0, 11);
  db.check_commits(t1);
  db.check_conflict(t2, db.cells[0].id());
  db.check_holds(two(11, 20));
}

TEST_CASE_TEMPLATE("hermitage: G-single, a skewed read", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  CHECK(db.read(t1, 0) == 10);
  CHECK(db.read(t2, 0) == 10);
  CHECK(db.read(t2, 1) == 20);
  db.write(t2, 0, 12);
  db.write(t2, 1, 18);
  db.check_commits(t2);
  CHECK(db.read(t1, 1) == 20);
  db.check_sees(t1, two(10, 20));
  db.check_commits(t1);
  db.check_holds(two(12, 18));
}

TEST_CASE_TEMPLATE("hermitage: G-single, a skewed read of predicates", P, serializable, snapshots) {
  for (bool by_cell : {false, true}) {
    table<P> db;
    auto t1 = db.begin(), t2 = db.begin();
    CHECK(db.count_thirds(t1, by_cell) == 0);
    db.write(t2, 0, 12);
    db.check_commits(t2);
    CHECK(db.count_thirds(t1, by_cell) == 0);
    CHECK(*t1.read(db.total) == 30);
    db.check_commits(t1);
    db.check_holds(two(12, 20));
  }
}

TEST_CASE_TEMPLATE("hermitage: G-single, a skewed read that is written by", P, serializable,
                   snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  CHECK(db.read(t1, 0) == 10);
  db.write(t2, 0, 12);
  db.write(t2, 1, 18);
  db.check_commits(t2);
  for (std::size_t k = 0; k < 4; ++k) {
    if (db.read(t1, k) == 20) { db.write(t1, k, {}); }
  }
  db.check_conflict(t1, db.cells[db.is_serializable ? 0 : 1].id());
  db.check_holds(two(12, 18));
}

TEST_CASE_TEMPLATE("hermitage: G-single, one of the two aborts", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  CHECK(db.read(t1, 0) == 10);
  CHECK(db.read(t2) == two(10, 20));
  db.write(t2, 0, 12);
  db.write(t1, 1, {});
  db.write(t2, 1, 18);
  t1.abort();
  db.check_commits(t2);
  db.check_holds(two(12, 18));
}

TEST_CASE_TEMPLATE("hermitage: G2-item, write skew", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  for (auto* t : {&t1, &t2}) {
    CHECK(db.read(*t, 0) == 10);
    CHECK(db.read(*t, 1) == 20);
  }
  db.write(t1, 0, 11);
  db.write(t2, 1, 21);
  db.check_commits(t1);
  if (db.is_serializable) {
    db.check_conflict(t2, db.cells[0].id());
    db.check_holds(two(11, 20));
  } else {
    db.check_commits(t2);
    db.check_holds(two(11, 21));
  }
}

TEST_CASE_TEMPLATE("hermitage: G2, write skew by predicates", P, serializable, snapshots) {
  for (bool by_cell : {false, true}) {
    table<P> db;
    auto t1 = db.begin(), t2 = db.begin();
    CHECK(db.count_thirds(t1, by_cell) == 0);
    CHECK(db.count_thirds(t2, by_cell) == 0);
    db.write(t1, 2, 30);
    db.write(t2, 3, 42);
    db.check_commits(t1);
    if (db.is_serializable) {
      db.check_conflict(t2, by_cell ? db.thirds.id() : db.cells[2].id());
      db.check_holds({10, 20, 30, {}});
    } else {
      db.check_commits(t2);
      db.check_holds({10, 20, 30, 42});
    }
  }
}

TEST_CASE_TEMPLATE("hermitage: G2, two edges and a reader", P, serializable, snapshots) {
  table<P> db;
  auto t1 = db.begin(), t2 = db.begin();
  CHECK(db.read(t1) == two(10, 20));
  db.write(t2, 1, *db.read(t2, 1) + 5);
  db.check_commits(t2);
  auto t3 = db.begin();
  db.check_sees(t3, two(10, 25));
  db.check_commits(t3);
  db.write(t1, 0, 0);
  if (db.is_serializable) {
    db.check_conflict(t1, db.cells[1].id());
    db.check_holds(two(10, 25));
  } else {
    db.check_commits(t1);
    db.check_holds(two(0, 25));
  }
}

TEST_CASE("hermitage: a computed cell is a predicate, and conflicts only where it changes") {
  table<serializable> db;
  auto t1 = db.begin(), t2 = db.begin();
  CHECK(db.count_thirds(t1, true) == 0);
  db.write(t2, 2, 31);  // none that 3 divides
  db.check_commits(t2);
  db.write(t1, 0, 11);
  db.check_commits(t1);

  auto t3 = db.begin(), t4 = db.begin();
  CHECK(db.count_thirds(t3, false) == 0);  // by each row
  db.write(t4, 2, 32);
  db.check_commits(t4);
  db.write(t3, 0, 13);
  db.check_conflict(t3, db.cells[2].id());
  db.check_holds({11, 20, 32, {}});
}
