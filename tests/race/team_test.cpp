// SPDX-License-Identifier: Apache-2.0
#include "access.hpp"
#include "explorer.hpp"
#include "parking.hpp"
#include "verdict.hpp"
#include <millrace/propagate/team.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>

// A team's members, one of whom has tasks to be done: who does which, who comes in and when, and
// who sleeps.

namespace {

using A = race::access;
using deaf = race::deaf_parking;
using race::bounded_fresh;
using race::parking;
using race::require_found;
using race::require_proven;
using race::weakened;
using race::without_total_order;
namespace core = millrace::core;
namespace propagate = millrace::propagate;

template <class Access, class Parking>
struct explored_team : propagate::default_team {
  using access = Access;
  using parking = Parking;
  static void pause() noexcept { race::pause(); }
};

template <class Access, class Parking, std::uint32_t Spins>
struct shared_team {
  explicit shared_team(std::uint32_t members) : core{seats, members, Spins} {}

  propagate::detail::team_seat seats[3];
  propagate::detail::team_core<explored_team<Access, Parking>> core;
  std::uint32_t callers_done = 0;
};

/// What one caller has done: its input, how often each task was done, and what members keep.
struct caller_work {
  std::uint32_t input = 0;
  std::uint32_t done[6] = {};
  std::uint32_t kept[3] = {};

  void prepare() {
    A::write(&input, sizeof input, "input");
    ++input;
  }
  void operator()(std::uint32_t task, std::uint32_t member) noexcept {
    A::read(&input, sizeof input, "input");
    A::write(&kept[member], sizeof kept[member], "kept");
    ++kept[member];
    A::write(&done[task], sizeof done[task], "done");
    ++done[task];
  }
  void check(std::uint32_t tasks) {
    for (std::uint32_t t = 0; t < tasks; ++t) {
      A::read(&done[t], sizeof done[t], "done");
      race::check(done[t] == input, "each task is done once in a run, before the run ends");
    }
  }
};

template <class Body>
propagate::detail::team_job job_of(Body& body) {
  auto const call = [](void* of, std::uint32_t task, std::uint32_t member) noexcept {
    (*static_cast<Body*>(of))(task, member);
  };
  return {call, &body};
}

/// Threads that each call `runs` times, beside all members but the first.
template <class Access, class Parking = parking, std::uint32_t Spins = 1>
race::report work(std::uint32_t callers, std::uint32_t members, std::uint32_t tasks,
                  std::uint32_t runs, race::options how) {
  how.rounds = Spins + 1;
  how.history = 16;  // the gate's of a run are up to eight
  return race::explore(how, [=](race::run& run) {
    auto& s = run.make<shared_team<Access, Parking, Spins>>(members);
    for (std::uint32_t c = 0; c < callers; ++c) {
      auto& mine = run.make<caller_work>();
      run.thread("caller " + std::to_string(c), [&s, &mine, callers, tasks, runs] {
        for (std::uint32_t r = 0; r < runs; ++r) {
          mine.prepare();
          if (!s.core.run(tasks, job_of(mine))) {
            for (std::uint32_t t = 0; t < tasks; ++t) { mine(t, 0); }
          }
          mine.check(tasks);
        }
        if (A::fetch_add(s.callers_done, 1, core::acq_rel, "test.done") + 1 == callers) {
          s.core.stop();
        }
      });
    }
    for (std::uint32_t m = 1; m < members; ++m) {
      run.thread("member " + std::to_string(m), [&s, m] { s.core.serve(m); });
    }
  });
}

/// Tasks that wait for each other: no run ends in which a member is not woken.
struct meeting {
  std::uint32_t here[2] = {};

  void operator()(std::uint32_t task, std::uint32_t) noexcept {
    std::uint32_t const round = A::fetch_add(here[task], 1, core::relaxed, "test.here") + 1;
    race::begin_round();
    while (A::load(here[1 - task], core::relaxed, "test.there") < round) { race::pause(); }
  }
};
template <class Access, class Parking = parking, std::uint32_t Spins = 1>
race::report meet(std::uint32_t runs, race::options how) {
  how.rounds = Spins + 1;
  how.history = 16;
  return race::explore(how, [=](race::run& run) {
    auto& s = run.make<shared_team<Access, Parking, Spins>>(2U);
    auto& both = run.make<meeting>();
    run.thread("caller", [&s, &both, runs] {
      for (std::uint32_t r = 0; r < runs; ++r) {
        race::check(s.core.run(2, job_of(both)), "nobody else has the team");
      }
      s.core.stop();
    });
    run.thread("member", [&s] { s.core.serve(1); });
  });
}

constexpr std::uint32_t open = 4, inside = 0xfff0;  // of the gate

/// Who finds the gate shut comes in all the same.
struct comes_late : A {
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             core::memory_order success, core::memory_order failure,
                                             char const* site) noexcept {
    if (std::string_view(site) != "team.enter") {
      return A::compare_exchange(word, expected, desired, success, failure, site);
    }
    A::fetch_add(word, static_cast<T>(desired - expected), success, site);
    return true;
  }
};
/// The caller waits for nobody.
struct does_not_wait : A {
  template <class T>
  static T fetch_and(T& word, std::type_identity_t<T> bits, core::memory_order order,
                     char const* site) noexcept {
    T const before = A::fetch_and(word, bits, order, site);
    return std::string_view(site) == "team.shut" ? before & ~inside : before;
  }
};
/// The gate stays open behind a run.
struct leaves_open : A {
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, core::memory_order order,
                    char const* site) noexcept {
    A::store(word, std::string_view(site) == "team.free" ? value | open : value, order, site);
  }
};
/// All runs have the same number.
struct no_number : A {
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, core::memory_order order,
                    char const* site) noexcept {
    bool const gate =
        std::string_view(site) == "team.open" || std::string_view(site) == "team.free";
    A::store(word, gate ? (value & 0xffff) | 0x10000 : value, order, site);
  }
};
/// Takes by a look and a store.
template <race::site_name Site>
struct not_at_once : A {
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             core::memory_order success, core::memory_order failure,
                                             char const* site) noexcept {
    if (!(Site == site)) {
      return A::compare_exchange(word, expected, desired, success, failure, site);
    }
    A::store(word, desired, core::relaxed, site);
    return true;
  }
};
/// Who steals puts the task that it does at once with the others.
struct keeps_one_too_many : A {
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, core::memory_order order,
                    char const* site) noexcept {
    A::store(word, std::string_view(site) == "team.keep" ? value - 1 : value, order, site);
  }
};

}  // namespace

TEST_CASE("team: each task is done once, before its run ends, and nobody comes late") {
  require_proven(work<A>(1, 2, 2, 1, bounded_fresh(3)), "2 members, 2 tasks");
  require_proven(work<A>(1, 2, 2, 2, bounded_fresh(1)), "2 members, 2 tasks, 2 runs");
  require_proven(work<A, parking, 2>(1, 2, 2, 1, bounded_fresh(2)), "2 members, 2 looks");
  require_proven(work<A>(1, 2, 6, 1, bounded_fresh(1)), "2 members, 6 tasks");
  require_proven(work<A>(1, 3, 2, 1, bounded_fresh(0)), "3 members, 2 tasks");
}

TEST_CASE("team: two callers, of whom one has the team") {
  require_proven(work<A>(2, 2, 2, 1, bounded_fresh(0)), "2 members, 2 tasks");
}

TEST_CASE("team: who sleeps is woken") {
  require_proven(meet<A>(1, bounded_fresh(3)), "a run");
  require_proven(meet<A>(2, bounded_fresh(0)), "2 runs");
}

TEST_CASE("team: planted bugs are found") {
  using race::failure_kind;
  auto const racing = [](race::report const& r, char const* what) {
    require_found(r, {failure_kind::data_race, failure_kind::check}, what);
  };
  auto const how = bounded_fresh(2);
  racing(work<weakened<"team.open">>(1, 2, 2, 1, how), "open without release");
  racing(work<weakened<"team.enter">>(1, 2, 2, 1, how), "enter without acquire");
  racing(work<weakened<"team.leave">>(1, 2, 2, 1, how), "leave without release");
  racing(work<weakened<"team.shut">>(1, 2, 2, 1, how), "shut without acquire");
  racing(work<weakened<"team.left">, parking, 2>(1, 2, 2, 1, how),
         "the look at who is left without acquire");
  racing(work<weakened<"team.wait">>(1, 2, 2, 1, how), "the last of these without acquire");
  racing(work<weakened<"team.free">>(2, 2, 2, 1, how), "free without release");
  racing(work<weakened<"team.hold">>(2, 2, 2, 1, how), "hold without acquire");
  racing(work<comes_late>(1, 2, 2, 2, how), "a member comes in late");
  racing(work<does_not_wait>(1, 2, 2, 1, how), "the caller does not wait");
  racing(work<leaves_open>(1, 2, 2, 2, how), "the gate stays open");
  racing(work<not_at_once<"team.take">>(1, 2, 2, 1, how), "a look and a store to take");
  racing(work<not_at_once<"team.steal">>(1, 2, 2, 1, how), "a look and a store to steal");
  racing(work<keeps_one_too_many>(1, 2, 6, 1, how), "a stolen task is kept too");
  require_found(meet<no_number>(2, how), failure_kind::deadlock, "runs without a number");
  auto const sleeping = [](race::report const& r, char const* what) {
    require_found(r, failure_kind::deadlock, what);
  };
  sleeping(meet<without_total_order<"team.open">>(1, how), "open out of the total order");
  sleeping(meet<without_total_order<"team.asleep">>(1, how), "who sleeps out of the total order");
  sleeping(meet<without_total_order<"team.fall_asleep">>(1, how), "sleep out of the total order");
  sleeping(meet<without_total_order<"team.last_look">>(1, how), "last look out of the total order");
  sleeping(meet<without_total_order<"team.stop">>(1, how), "stop out of the total order");
  sleeping(meet<A, deaf>(1, how), "no wakes");
  sleeping(work<A, deaf>(1, 2, 2, 1, how), "no wakes of the caller or at the end");
}
