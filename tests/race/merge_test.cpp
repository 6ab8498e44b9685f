// SPDX-License-Identifier: Apache-2.0
// A merge that threads share, under every interleaving: parts that are taken in turn, merged apart,
// and placed one behind the other.
#include "../unit/delta/runs.hpp"
#include "access.hpp"
#include "queue_bugs.hpp"
#include "verdict.hpp"
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge_parallel.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace {

namespace core = millrace::core;
namespace delta = millrace::delta;
using A = race::access;
using race::failure_kind;

constexpr std::size_t part_rows = 2;
using table = millrace_test::table<std::uint32_t, std::int32_t>;

/// The first so many rows of two runs, of whose parts some have one row of input, some three, and
/// some come to none.
struct runs {
  table older, newer;

  explicit runs(std::size_t rows) {
    struct row {
      std::uint32_t key;
      bool newer;
      std::int32_t value;
    };
    constexpr row all[] = {{1, false, 5}, {1, true, -5}, {2, false, 2}, {3, false, 3}, {3, true, 4},
                           {4, true, 4},  {5, false, 1}, {5, true, -1}, {6, false, 6}, {7, true, 7},
                           {8, true, 8},  {9, true, 9},  {10, false, 1}};
    for (std::size_t i = 0; i < rows; ++i) {
      (all[i].newer ? newer : older).push(all[i].key, all[i].value);
    }
  }
};

/// The threads' own loop says when it polls in vain: the part that the thread has is not the one
/// whose turn it is.
template <class Access>
struct polled : Access {
  static inline std::array<std::uint64_t, race::max_threads> parts{};

  template <class T>
  static T fetch_add(T& word, std::type_identity_t<T> n, core::memory_order order,
                     char const* site) noexcept {
    T const part = Access::fetch_add(word, n, order, site);
    parts[race::this_thread()] = part;
    return part;
  }
  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    race::begin_round();
    T const turn = Access::load(word, order, site);
    if (turn != parts[race::this_thread()]) { race::pause(); }
    return turn;
  }
};

/// A thread takes a part, and leaves out the next.
struct skipping : A {
  template <class T>
  static T fetch_add(T& word, std::type_identity_t<T> n, core::memory_order order,
                     char const* site) noexcept {
    return A::fetch_add(word, static_cast<T>(2 * n), order, site);
  }
};
/// A thread takes another's turn for its own, when there are no more than `Before` before it.
template <std::uint64_t Before>
struct impatient : A {
  template <class T>
  [[nodiscard]] static T load(T const& word, core::memory_order order, char const* site) noexcept {
    T const turn = A::load(word, order, site);
    auto const mine = static_cast<T>(polled<impatient>::parts[race::this_thread()]);
    return mine - turn <= Before ? mine : turn;
  }
};

template <class Access>
class world {
 public:
  explicit world(std::size_t rows)
      : in_{rows},
        out_{in_.older.size() + in_.newer.size()},
        all_{in_.older.ref(), in_.newer.ref(), out_.space(),
             combine_,        part_rows,       core::isa::scalar} {}

  void work(std::size_t thread) noexcept { all_.work(scratch_[thread].space()); }

  void check() {
    std::size_t const room = in_.older.size() + in_.newer.size();
    table want(room);
    auto const rows = delta::merge(in_.older.ref(), in_.newer.ref(), want.space(), combine_);
    race::check(all_.rows() == rows.value(), "every row is counted");
    race::check(millrace_test::same(out_.ref().slice(0, all_.rows()), want.ref().slice(0, *rows)),
                "the rows are those of one merge");
  }

 private:
  [[nodiscard]] static table room() { return table(part_rows + 1); }

  using shared =
      delta::detail::shared_merge<polled<Access>, delta::count, std::uint32_t, std::int32_t>;
  runs in_;
  table out_;
  std::array<table, 4> scratch_{room(), room(), room(), room()};
  delta::count combine_;
  shared all_;
};

// Threads merge two runs that have so many rows together, in parts of two.
template <class Access>
race::report merge(std::size_t threads, std::size_t rows, race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& w = run.make<world<Access>>(rows);
    for (std::size_t t = 0; t < threads; ++t) {
      run.thread([&w, t] { w.work(t); });
    }
    run.after([&w] { w.check(); });
  });
}

}  // namespace

TEST_CASE("merge: threads that share a merge place every row once, in order") {
  race::options how;
  how.history = 16;  // a store for each part
  auto const proven = [&how](std::size_t threads, std::size_t rows) {
    require_proven(merge<A>(threads, rows, how),
                   std::to_string(threads) + " threads, " +
                       std::to_string((rows + part_rows - 1) / part_rows) + " parts, " +
                       std::to_string(rows) + " rows");
  };
  for (std::size_t const rows : {1u, 4u, 6u, 9u, 12u, 13u}) { proven(2, rows); }
  for (std::size_t const rows : {4u, 6u, 9u, 12u}) { proven(3, rows); }
  for (std::size_t const rows : {6u, 9u}) { proven(4, rows); }
  if (race::long_tier()) { proven(3, 13); }
}

TEST_CASE("merge: a relaxed turn and a relaxed place are found") {
  require_found(merge<race::weakened<"merge.turn">>(2, 6), failure_kind::data_race,
                "relaxed merge.turn");
  require_found(merge<race::weakened<"merge.placed">>(2, 6), failure_kind::data_race,
                "relaxed merge.placed");
}

TEST_CASE("merge: planted mistakes are found") {
  require_found(merge<race::torn_add<"merge.claim">>(2, 6),
                {failure_kind::data_race, failure_kind::deadlock}, "two threads take one part");
  require_found(merge<skipping>(2, 6), failure_kind::deadlock, "a part that nobody takes");
  require_found(merge<race::late_own<"merge.count", "merge.placed">>(2, 6), failure_kind::data_race,
                "rows counted behind the turn");
  require_found(merge<race::dropped<"merge.placed">>(2, 6), failure_kind::deadlock,
                "a turn that is not passed on");
  require_found(merge<race::shifted<"merge.placed", 1>>(2, 6), failure_kind::deadlock,
                "a turn that leaves a part out");
  require_found(merge<impatient<1>>(2, 6), failure_kind::data_race, "a turn taken one too early");
  require_found(merge<impatient<9>>(2, 6), failure_kind::data_race, "a thread that does not wait");
}
