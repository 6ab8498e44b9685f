// SPDX-License-Identifier: Apache-2.0
// The checker against histories made by hand: each anomaly, and its like that is none.
#include "checker.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace millrace_test::isolation;

struct act {
  list_key key;
  list_value appended;  ///< none: a read
  std::vector<list_value> list;
};
act append(list_key key, list_value value) { return {key, value, {}}; }
act read(list_key key, std::vector<list_value> list) { return {key, none, std::move(list)}; }

/// Transactions T0, T1, ...; each of a process of its own, at no time, unless that is said.
class story {
 public:
  story& commits(std::vector<act> const& acts) { return tell(acts, outcome::committed); }
  story& aborts(std::vector<act> const& acts) { return tell(acts, outcome::aborted); }
  story& is_lost(std::vector<act> const& acts) { return tell(acts, outcome::unknown); }
  /// Of the next one.
  story& process(std::uint32_t p) {
    process_ = p;
    return *this;
  }
  story& during(std::uint64_t begin, std::uint64_t end) {
    begin_ = begin;
    end_ = end;
    return *this;
  }
  [[nodiscard]] report check(options with = {}) const {
    return millrace_test::isolation::check(all_, with);
  }

 private:
  story& tell(std::vector<act> const& acts, outcome how) {
    all_.begin(process_ == none ? 1'000 + all_.size() : process_, begin_);
    for (act const& a : acts) {
      if (a.appended == none) {
        all_.read(a.key, a.list);
      } else {
        all_.append(a.key, a.appended);
      }
    }
    all_.end(how, end_);
    process_ = none;
    begin_ = end_ = 0;
    return *this;
  }

  history all_;
  std::uint32_t process_ = none;
  std::uint64_t begin_ = 0, end_ = 0;
};

/// Nothing but one of this kind.
void check_only(report const& found, anomaly kind, order by = order::none,
                std::string const& text = "") {
  INFO(found.text());
  CHECK(found.findings().size() == 1);
  CHECK(found.count(kind, by) == 1);
  if (!text.empty() && !found.findings().empty()) { CHECK(found.findings()[0].text == text); }
}
void check_silent(report const& found) {
  INFO(found.text());
  CHECK(found.serializable());
  CHECK(found.snapshot_isolated());
}

}  // namespace

TEST_CASE("checker: an empty history, and transactions one after another") {
  check_silent(check(history{}));
  check_silent(story().commits({}).check());
  check_silent(story()
                   .commits({append(0, 1), append(1, 2)})
                   .commits({read(0, {1}), append(0, 3), read(0, {1, 3})})
                   .commits({read(0, {1, 3}), read(1, {2})})
                   .commits({read(2, {})})
                   .check());
}

TEST_CASE("checker: a serial order that is not that of time or of processes") {
  story s;
  s.process(1).during(10, 20).commits({append(0, 1)});
  s.process(1).during(30, 40).commits({read(0, {})});
  check_silent(s.check({order::none}));
  check_only(s.check({order::process}), anomaly::g_single, order::process,
             "G-single-process: T1 -rw(0: 1)-> T0 -process-> T1");
  report const timed = s.check();
  INFO(timed.text());
  CHECK(timed.count(anomaly::g_single, order::process) == 1);
  CHECK(timed.count(anomaly::g_single) == 1);

  story other;
  other.during(10, 20).commits({append(0, 1)});
  other.during(21, 40).commits({read(0, {})});
  check_silent(other.check({order::process}));
  report const found = other.check();
  INFO(found.text());
  CHECK(found.count(anomaly::g_single, order::realtime) == 1);
  CHECK(found.findings().back().text == "G-single-realtime: T1 -rw(0: 1)-> T0 -realtime-> T1");

  story beside;
  beside.during(10, 20).commits({append(0, 1)});
  beside.during(20, 40).commits({read(0, {})});
  beside.during(50, 60).commits({read(0, {1})});
  check_silent(beside.check());
}

TEST_CASE("checker: time runs through transactions that touch nothing of the cycle") {
  story s;
  s.during(1, 2).commits({append(0, 1)});
  s.during(3, 4).commits({append(1, 2)});
  s.during(5, 6).commits({append(2, 3)});
  s.during(7, 8).commits({read(0, {})});
  s.during(9, 10).commits({read(0, {1})});
  report const found = s.check();
  INFO(found.text());
  CHECK(found.count(anomaly::g_single, order::realtime) == 1);
  CHECK(found.findings().back().text == "G-single-realtime: T3 -rw(0: 1)-> T0 -realtime-> T3");
}

TEST_CASE("checker: G0, writes that interleave") {
  check_only(story()
                 .commits({append(0, 1), append(1, 2)})
                 .commits({append(0, 3), append(1, 4)})
                 .commits({read(0, {1, 3})})
                 .commits({read(1, {4, 2})})
                 .check(),
             anomaly::g0);
  check_silent(story()
                   .commits({append(0, 1), append(1, 2)})
                   .commits({append(0, 3), append(1, 4)})
                   .commits({read(0, {1, 3})})
                   .commits({read(1, {2, 4})})
                   .check());
  check_only(story()
                 .commits({append(0, 1), append(0, 2)})
                 .commits({append(0, 3)})
                 .commits({read(0, {1, 3, 2})})
                 .check(),
             anomaly::g0);
}

TEST_CASE("checker: G1a, a read of what was aborted") {
  check_only(story().aborts({append(0, 1)}).commits({read(0, {1})}).check(), anomaly::g1a,
             order::none, "G1a: T1 read key 0 as [1], and T0 has aborted");
  check_silent(story().aborts({append(0, 1)}).commits({read(0, {})}).check());
  check_silent(story().aborts({append(0, 1), read(0, {1})}).check({order::realtime, true}));
  // below the end of the list it is a version that others are built upon
  report const built = story()
                           .aborts({append(0, 1)})
                           .commits({read(0, {1}), append(0, 2)})
                           .commits({read(0, {1, 2})})
                           .check();
  INFO(built.text());
  CHECK(built.count(anomaly::g1a) == 2);
  CHECK(built.count(anomaly::dirty_update) == 1);
}

TEST_CASE("checker: G1b, a read of what its writer has written over") {
  report const found =
      story().commits({append(0, 1), append(0, 2)}).commits({read(0, {1})}).check();
  INFO(found.text());
  CHECK(found.has(anomaly::g1b));
  check_silent(story()
                   .commits({append(0, 1), append(0, 2), read(0, {1, 2})})
                   .commits({read(0, {1, 2})})
                   .check());
  check_silent(story().commits({append(0, 1), read(0, {1}), append(0, 2)}).check());
}

TEST_CASE("checker: G1c, two that have read from each other") {
  check_only(
      story().commits({append(0, 1), read(1, {2})}).commits({append(1, 2), read(0, {1})}).check(),
      anomaly::g1c);
  check_silent(
      story().commits({append(0, 1), read(1, {})}).commits({append(1, 2), read(0, {1})}).check());
}

TEST_CASE("checker: G-single, a fractured read, a lost update and an observed vanishing") {
  check_only(story()
                 .commits({append(0, 1), append(1, 2)})
                 .commits({read(0, {1}), read(1, {})})
                 .commits({read(0, {1}), read(1, {2})})
                 .check(),
             anomaly::g_single, order::none, "G-single: T1 -rw(1: 2)-> T0 -wr(0: 1)-> T1");
  // both have read nothing, and one of the two appends is gone
  check_only(story()
                 .commits({read(0, {}), append(0, 1)})
                 .commits({read(0, {}), append(0, 2)})
                 .commits({read(0, {2})})
                 .check(),
             anomaly::g_single);
  // no list was read after either
  check_only(
      story().commits({read(0, {}), append(0, 1)}).commits({read(0, {}), append(0, 2)}).check(),
      anomaly::g2_item);
  check_silent(story()
                   .commits({read(0, {}), append(0, 1)})
                   .commits({append(0, 2)})
                   .commits({append(0, 3)})
                   .commits({read(0, {})})
                   .check());
}

TEST_CASE("checker: unread appends, more than one of a transaction and of a list") {
  check_silent(story()
                   .commits({append(0, 1)})
                   .commits({read(0, {1}), append(0, 2), append(0, 3)})
                   .commits({append(0, 4), append(0, 5)})
                   .check());
  // T1 read the first list without T2's, and the second with it
  check_only(story()
                 .commits({append(0, 1)})
                 .commits({read(0, {1}), append(0, 2), read(1, {4})})
                 .commits({append(0, 3), append(1, 4)})
                 .commits({append(0, 5)})
                 .check(),
             anomaly::g_single);
}

TEST_CASE("checker: a long fork, which snapshots forbid") {
  check_only(story()
                 .commits({append(0, 1)})
                 .commits({append(1, 2)})
                 .commits({read(0, {1}), read(1, {})})
                 .commits({read(0, {}), read(1, {2})})
                 .check(),
             anomaly::g_nonadjacent);
}

TEST_CASE("checker: write skew and the read-only anomaly, which snapshots allow") {
  report const skew = story()
                          .commits({read(0, {}), read(1, {}), append(0, 1)})
                          .commits({read(0, {}), read(1, {}), append(1, 2)})
                          .commits({read(0, {1}), read(1, {2})})
                          .check();
  check_only(skew, anomaly::g2_item);
  CHECK(skew.snapshot_isolated());
  CHECK(!skew.serializable());

  // T2 has read T1's deposit and no withdrawal; T0 withdraws as if it were before the deposit
  report const third = story()
                           .commits({read(0, {}), read(1, {}), append(0, 1)})
                           .commits({append(1, 2)})
                           .commits({read(0, {}), read(1, {2})})
                           .check();
  check_only(third, anomaly::g2_item);
  CHECK(third.snapshot_isolated());
}

TEST_CASE("checker: what is weaker does not hide what is worse, nor other orders what snapshots") {
  story s;
  s.commits({read(0, {}), read(1, {}), append(0, 1)});
  s.commits({read(0, {}), read(1, {}), append(1, 2)});
  s.commits({append(2, 3), append(3, 4)});
  s.commits({read(2, {3}), read(3, {}), read(0, {1}), append(1, 5)});
  s.commits({read(1, {2, 5}), read(3, {4})});
  report const found = s.check();
  INFO(found.text());
  CHECK(found.count(anomaly::g_single) == 1);
  CHECK(found.count(anomaly::g2_item) == 1);
  CHECK(!found.snapshot_isolated());

  // write skew between T0 and T1, which are part of a stale read as well
  story stale;
  stale.during(1, 10).commits({read(0, {}), read(1, {}), append(0, 1)});
  stale.during(1, 10).commits({read(0, {}), read(1, {}), append(1, 2)});
  stale.during(20, 30).commits({read(0, {})});
  report const late = stale.check();
  INFO(late.text());
  CHECK(late.count(anomaly::g2_item, order::none) == 1);
  CHECK(late.count(anomaly::g_single, order::realtime) == 1);
}

TEST_CASE("checker: reads that contradict their own transaction") {
  anomaly const kind = anomaly::internal;
  CHECK(story().commits({append(0, 1), read(0, {})}).check().has(kind));
  CHECK(story().commits({append(0, 1), append(0, 2), read(0, {2, 1})}).check().has(kind));
  CHECK(story().commits({append(1, 1)}).commits({read(1, {}), read(1, {1})}).check().has(kind));
  CHECK(story().commits({read(0, {1}), append(0, 1)}).check().has(kind));
  CHECK(story()
            .commits({append(0, 1)})
            .commits({read(0, {}), append(0, 2), read(0, {1, 2})})
            .check()
            .has(kind));
  check_silent(story()
                   .commits({append(0, 1)})
                   .commits({read(0, {1}), append(0, 2), append(1, 3), append(0, 4),
                             read(0, {1, 2, 4}), read(1, {3}), read(0, {1, 2, 4})})
                   .check());
}

TEST_CASE("checker: duplicates, values from nowhere, lists that fork") {
  check_only(story().commits({append(0, 1)}).commits({read(0, {1, 1})}).check(),
             anomaly::duplicate);
  CHECK(story().commits({append(0, 1)}).commits({append(0, 1)}).check().has(anomaly::duplicate));
  check_only(story().commits({append(0, 1)}).commits({read(0, {1, 7})}).check(), anomaly::garbage,
             order::none, "garbage: key 0 holds 7");
  CHECK(story().commits({append(0, 1)}).commits({read(1, {1})}).check().has(anomaly::garbage));
  check_only(story()
                 .commits({append(0, 1)})
                 .commits({append(0, 2)})
                 .commits({read(0, {1, 2})})
                 .commits({read(0, {2})})
                 .check(),
             anomaly::incompatible_order, order::none,
             "incompatible order: T3 read key 0 as [2], which others have not");
}

TEST_CASE("checker: an append that who began later has not read") {
  report const found =
      story().during(1, 2).commits({append(0, 1)}).during(3, 4).commits({read(0, {})}).check();
  INFO(found.text());
  CHECK(found.has(anomaly::lost_append));
  check_silent(
      story().during(1, 4).commits({append(0, 1)}).during(3, 5).commits({read(0, {})}).check());
}

TEST_CASE("checker: of unknown end is who may have committed") {
  check_silent(story().is_lost({append(0, 1)}).commits({read(0, {})}).check());
  check_silent(story().is_lost({append(0, 1)}).commits({read(0, {1})}).check());
  // it was read, so all of it counts
  check_only(story()
                 .is_lost({append(0, 1), append(1, 2)})
                 .commits({read(0, {1}), read(1, {})})
                 .commits({read(1, {2})})
                 .check(),
             anomaly::g_single);
  // it has no end that others could come after
  check_silent(story()
                   .during(1, 2)
                   .is_lost({append(0, 1)})
                   .during(3, 4)
                   .commits({read(0, {})})
                   .during(5, 6)
                   .commits({read(0, {1})})
                   .check());
}

TEST_CASE("checker: reads of aborted transactions, if they are to be right") {
  story s;
  s.commits({append(0, 1), append(1, 2)});
  s.aborts({read(0, {1}), read(1, {}), append(0, 3), read(0, {1, 3})});
  s.commits({read(1, {2})});
  check_silent(s.check());
  check_only(s.check({order::realtime, true}), anomaly::g_single);
}
