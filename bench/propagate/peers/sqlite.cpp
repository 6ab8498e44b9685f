// SPDX-License-Identifier: Apache-2.0
// SQLite in memory, with the same functions beside it: a transaction reads a quote, writes the
// next, prices what depends on it in memory that the transaction guards, and writes what options
// are worth, and the risk of desks and the firm, where they have changed. A transaction can abort,
// so there is a journal, in memory.
#include "bench/propagate/commit_trial.hpp"
#include "bench/propagate/peers/sources.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <sched.h>
#include <sqlite3.h>
#include <stdexcept>
#include <string>
#include <vector>

namespace millrace::bench {
namespace {

using revalue::risk;

/// A connection, and its statements.
class connection {
 public:
  connection(std::string const& uri, int flags) {
    flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
    check(sqlite3_open_v2(uri.c_str(), &db_, flags, nullptr));
    check(sqlite3_busy_handler(
        db_,
        [](void*, int) {
          sched_yield();
          return 1;
        },
        nullptr));
    run("PRAGMA journal_mode=MEMORY");
    run("PRAGMA synchronous=OFF");
  }
  connection(connection const&) = delete;
  connection& operator=(connection const&) = delete;
  ~connection() {
    for (sqlite3_stmt* each : statements_) { sqlite3_finalize(each); }
    sqlite3_close(db_);
  }

  /// A statement that lives as long as the connection.
  [[nodiscard]] sqlite3_stmt* prepared(char const* text) {
    sqlite3_stmt* made = nullptr;
    check(sqlite3_prepare_v3(db_, text, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr));
    statements_.push_back(made);
    return made;
  }
  void run(char const* text) { check(sqlite3_exec(db_, text, nullptr, nullptr, nullptr)); }
  /// Runs a statement, whose rows go to row().
  template <class Row>
  void run(sqlite3_stmt* what, Row row) {
    for (;;) {
      int const code = sqlite3_step(what);
      if (code == SQLITE_ROW) {
        row();
        continue;
      }
      sqlite3_reset(what);
      if (code == SQLITE_DONE) { return; }
      if ((code & 0xff) != SQLITE_LOCKED && (code & 0xff) != SQLITE_BUSY) { check(code); }
      sched_yield();  // somebody else has the table; no row has been given yet
    }
  }
  void run(sqlite3_stmt* what) {
    run(what, [] {});
  }

 private:
  void check(int code) const {
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE) {
      throw std::runtime_error(std::string("sqlite: ") + sqlite3_errmsg(db_));
    }
  }

  sqlite3* db_ = nullptr;
  std::vector<sqlite3_stmt*> statements_;
};

/// A connection with all that the work needs.
class book_connection {
 public:
  book_connection(std::string const& uri, int flags, bool makes_tables) : at_(uri, flags) {
    if (makes_tables) {
      at_.run("CREATE TABLE quotes(id INTEGER PRIMARY KEY, value REAL)");
      at_.run(
          "CREATE TABLE options(id INTEGER PRIMARY KEY, value REAL, delta REAL, gamma REAL, "
          "vega REAL, theta REAL, rho REAL)");
      at_.run(
          "CREATE TABLE desks(id INTEGER PRIMARY KEY, value REAL, delta REAL, gamma REAL, "
          "vega REAL, theta REAL, rho REAL)");
      at_.run(
          "CREATE TABLE firm(id INTEGER PRIMARY KEY, value REAL, delta REAL, gamma REAL, "
          "vega REAL, theta REAL, rho REAL)");
    }
    begin_write_ = at_.prepared("BEGIN IMMEDIATE");
    begin_read_ = at_.prepared("BEGIN");
    commit_ = at_.prepared("COMMIT");
    read_quote_ = at_.prepared("SELECT value FROM quotes WHERE id=?1");
    write_quote_ = at_.prepared("UPDATE quotes SET value=?2 WHERE id=?1");
    write_option_ = at_.prepared(
        "UPDATE options SET value=?2,delta=?3,gamma=?4,vega=?5,theta=?6,rho=?7 WHERE id=?1");
    write_desk_ = at_.prepared(
        "UPDATE desks SET value=?2,delta=?3,gamma=?4,vega=?5,theta=?6,rho=?7 WHERE id=?1");
    write_firm_ = at_.prepared(
        "UPDATE firm SET value=?2,delta=?3,gamma=?4,vega=?5,theta=?6,rho=?7 WHERE id=?1");
    read_option_ = at_.prepared(
        "SELECT q.value,o.value,delta,gamma,vega,theta,rho FROM quotes q JOIN options o ON "
        "o.id=q.id WHERE q.id=?1");
    read_desks_ = at_.prepared("SELECT value,delta,gamma,vega,theta,rho FROM desks ORDER BY id");
    read_firm_ = at_.prepared("SELECT value,delta,gamma,vega,theta,rho FROM firm");
  }

  void fill(revalue::book const& of, double spot, book_functions const& priced) {
    sqlite3_stmt* const quote = at_.prepared("INSERT INTO quotes VALUES(?1,?2)");
    at_.run(begin_write_);
    put_quote(quote, 0, spot);
    for (std::size_t i = 0; i < of.contracts.size(); ++i) {
      put_quote(quote, i + 1, of.contracts[i].volatility);
    }
    sqlite3_stmt* const option = at_.prepared("INSERT INTO options VALUES(?1,?2,?3,?4,?5,?6,?7)");
    for (std::size_t i = 0; i < of.contracts.size(); ++i) { put(option, i + 1, priced.option(i)); }
    sqlite3_stmt* const desk = at_.prepared("INSERT INTO desks VALUES(?1,?2,?3,?4,?5,?6,?7)");
    for (std::size_t d = 0; d < of.desks.size(); ++d) { put_risk(desk, d, priced.desk_risk(d)); }
    put_risk(at_.prepared("INSERT INTO firm VALUES(?1,?2,?3,?4,?5,?6,?7)"), 0, priced.firm_risk());
    at_.run(commit_);
  }

  /// Moves a quote (0: the spot, else an option's volatility) in a transaction, and `book` with it.
  void move(std::size_t quote, book_functions& book) {
    at_.run(begin_write_);
    quote_cycle const& through = quote == 0 ? spot_quotes : volatility_quotes;
    double const next = through.after(read_quote(quote));
    put_quote(write_quote_, quote, next);
    risk const firm = book.firm_risk();
    if (quote == 0) {
      book.write_spot(next);
      for (std::size_t i = 0; i < book.option_count(); ++i) {
        put(write_option_, i + 1, book.option(i));
      }
      for (std::size_t d = 0; d < book.desk_count(); ++d) {
        put_risk(write_desk_, d, book.desk_risk(d));
      }
    } else {
      std::size_t const d = book.desk_of(quote - 1);
      risk const desk = book.desk_risk(d);
      book.write_volatility(quote - 1, next);
      put(write_option_, quote, book.option(quote - 1));
      if (!(book.desk_risk(d) == desk)) { put_risk(write_desk_, d, book.desk_risk(d)); }
    }
    if (!(book.firm_risk() == firm)) { put_risk(write_firm_, 0, book.firm_risk()); }
    at_.run(commit_);
  }
  [[nodiscard]] firm_view look(watch_list const& watched) {
    firm_view seen;
    at_.run(begin_read_);
    seen.spot = read_quote(0);
    for (std::size_t i = 0; i < watched.size(); ++i) {
      sqlite3_bind_int64(read_option_, 1, static_cast<sqlite3_int64>(watched[i] + 1));
      at_.run(read_option_, [&] {
        seen.options[i].volatility = sqlite3_column_double(read_option_, 0);
        for (int k = 0; k < 6; ++k) {
          seen.options[i].worth[static_cast<std::size_t>(k)] =
              sqlite3_column_double(read_option_, k + 1);
        }
      });
    }
    auto const columns = [](sqlite3_stmt* of) -> risk {
      return {sqlite3_column_double(of, 0),
              sqlite3_column_double(of, 1),
              sqlite3_column_double(of, 2),
              sqlite3_column_double(of, 3),
              sqlite3_column_double(of, 4),
              sqlite3_column_double(of, 5),
              {}};
    };
    std::size_t desk = 0;
    at_.run(read_desks_, [&] { seen.desks[desk++] = columns(read_desks_); });
    at_.run(read_firm_, [&] { seen.firm = columns(read_firm_); });
    at_.run(commit_);
    return seen;
  }

 private:
  [[nodiscard]] double read_quote(std::size_t id) {
    double value = 0;
    sqlite3_bind_int64(read_quote_, 1, static_cast<sqlite3_int64>(id));
    at_.run(read_quote_, [&] { value = sqlite3_column_double(read_quote_, 0); });
    return value;
  }
  void put_quote(sqlite3_stmt* by, std::size_t id, double value) {
    sqlite3_bind_int64(by, 1, static_cast<sqlite3_int64>(id));
    sqlite3_bind_double(by, 2, value);
    at_.run(by);
  }
  void put_risk(sqlite3_stmt* by, std::size_t id, risk const& r) {
    put(by, id, {r.value, r.delta, r.gamma, r.vega, r.theta, r.rho});
  }
  void put(sqlite3_stmt* by, std::size_t id, measures const& all) {
    sqlite3_bind_int64(by, 1, static_cast<sqlite3_int64>(id));
    int column = 1;
    for (double const each : all) { sqlite3_bind_double(by, ++column, each); }
    at_.run(by);
  }

  connection at_;
  sqlite3_stmt *begin_write_, *begin_read_, *commit_, *read_quote_, *write_quote_, *write_option_,
      *write_desk_, *write_firm_, *read_option_, *read_desks_, *read_firm_;
};

/// How threads share a database: one connection behind a mutex.
struct one_connection {
  static constexpr char const* name = "sqlite.one_connection";
  static constexpr char const* uri = ":memory:";
  static constexpr int flags = 0;
  static constexpr bool is_shared = true;
};
/// A connection a thread, to a cache of pages that is one for all.
struct shared_cache {
  static constexpr char const* name = "sqlite.shared_cache";
  static constexpr char const* uri = "file:book?mode=memory";
  static constexpr int flags = SQLITE_OPEN_SHAREDCACHE;
  static constexpr bool is_shared = false;
};
/// A connection a thread, each with its cache, to a file in memory.
struct memdb {
  static constexpr char const* name = "sqlite.memdb";
  static constexpr char const* uri = "file:/book?vfs=memdb";
  static constexpr int flags = 0;
  static constexpr bool is_shared = false;
};

template <class Setup>
class sqlite_book {
 public:
  sqlite_book(revalue::book const& of, double spot)
      : book_(of), first_(Setup::uri, Setup::flags, true) {
    book_.write_spot(spot);
    first_.fill(of, spot, book_);
  }

  class client {
   public:
    explicit client(sqlite_book& of) : of_{&of} {
      if constexpr (!Setup::is_shared) { mine_.emplace(Setup::uri, Setup::flags, false); }
    }
    void move_volatility(std::size_t contract) { move(contract + 1); }
    void move_spot() { move(0); }
    [[nodiscard]] firm_view look(watch_list const& watched) {
      return alone([&](book_connection& at) { return at.look(watched); });
    }

   private:
    template <class F>
    auto alone(F f) {
      if constexpr (Setup::is_shared) {
        std::lock_guard const lock(of_->mutex_);
        return f(of_->first_);
      } else {
        return f(*mine_);
      }
    }
    void move(std::size_t id) {
      alone([&](book_connection& at) { at.move(id, of_->book_); });
    }

    sqlite_book* of_;
    std::optional<book_connection> mine_;
  };

 private:
  book_functions book_;  // who writes to the database has it
  std::mutex mutex_;
  book_connection first_;
};

}  // namespace

std::vector<contender> sqlite_commits(commit_figure which) {
  auto const of = [which]<class Setup>(Setup) {
    return committed<sqlite_book<Setup>>(Setup::name, which);
  };
  return {of(one_connection{}), of(shared_cache{}), of(memdb{})};
}

}  // namespace millrace::bench
