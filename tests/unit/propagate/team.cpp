// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/team.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <thread>
#include <utility>
#include <vector>

namespace propagate = millrace::propagate;
namespace memory = millrace::memory;
namespace core = millrace::core;
using millrace::errc;
using millrace::error;
using propagate::team;

namespace {

/// Runs `tasks`, and looks at what is promised of them.
template <class L>
void check_run(propagate::basic_team<L>& t, std::uint32_t tasks) {
  std::vector<std::uint32_t> done(tasks, 0), before(tasks);  // plain: the run orders them
  std::vector<std::atomic<std::uint32_t>> inside(t.size());
  std::atomic<bool> wrong{false};
  for (std::uint32_t i = 0; i < tasks; ++i) { before[i] = 3 * i; }
  t.run(tasks, [&](std::uint32_t task, std::uint32_t member) noexcept {
    if (member >= inside.size() || inside[member].fetch_add(1) != 0) { wrong = true; }
    done[task] += before[task] + 1;
    inside[member].fetch_sub(1);
  });
  CHECK_FALSE(wrong.load());
  std::uint32_t bad = 0;
  for (std::uint32_t i = 0; i < tasks; ++i) { bad += done[i] == 3 * i + 1 ? 0 : 1; }
  CHECK(bad == 0);
}

struct short_of_threads : propagate::default_team {
  static inline std::uint32_t rest = 0;  // that can be started

  [[nodiscard]] static int start(pthread_t& thread, void* (*code)(void*), void* of) noexcept {
    if (rest == 0) { return EAGAIN; }
    --rest;
    return default_team::start(thread, code, of);
  }
};
struct short_of_memory : propagate::default_team {
  using resource = memory::failing_resource<>;
};
/// Falls asleep at once: it believes that there is one processor.
struct sleepy : propagate::default_team {
  static constexpr std::uint32_t crowded_spins = 1;
  [[nodiscard]] static std::uint32_t processors() noexcept { return 1; }
};

}  // namespace

TEST_CASE("team: each task is done once, and no member does two at a time") {
  for (std::uint32_t members = 1; members <= 4; ++members) {
    auto t = team::make(members);
    REQUIRE(t);
    CHECK(t->size() == members);
    for (std::uint32_t tasks = 0; tasks < 70; ++tasks) { check_run(*t, tasks); }
    for (std::uint32_t const tasks : {100U, 1'000U, 10'001U}) { check_run(*t, tasks); }
  }
}

TEST_CASE("team: members that sleep are woken, and a team may have to do nothing") {
  for (std::uint32_t members = 2; members <= 4; ++members) {
    auto t = propagate::basic_team<sleepy>::make(members);
    REQUIRE(t);
    for (std::uint32_t i = 0; i < 300; ++i) { check_run(*t, i % 9); }
    CHECK(propagate::basic_team<sleepy>::make(members));
  }
}

TEST_CASE("team: a late member takes from those who have work") {
  auto t = team::make(2);
  REQUIRE(t);
  // the member cannot end its task before all others are done: those of its part go to the caller
  std::atomic<std::uint32_t> done{0};
  std::vector<std::uint32_t> by(64, 0);
  t->run(64, [&](std::uint32_t task, std::uint32_t member) noexcept {
    by[task] = member;
    if (member == 0) {
      ++done;
    } else {
      while (done < 63) { core::yield_thread(); }
    }
  });
  std::uint32_t others = 0;
  for (std::uint32_t const member : by) { others += member; }
  CHECK(others <= 1);
}

TEST_CASE("team: a body that runs its team does all tasks of that run") {
  auto t = team::make(3);
  REQUIRE(t);
  std::vector<std::uint32_t> done(12 * 10, 0);
  t->run(12, [&](std::uint32_t outer, std::uint32_t) noexcept {
    auto const me = std::this_thread::get_id();
    t->run(10, [&](std::uint32_t inner, std::uint32_t member) noexcept {
      bool const alone = member == 0 && std::this_thread::get_id() == me;
      done[outer * 10 + inner] += alone ? 1 : 100;
    });
  });
  CHECK(done == std::vector<std::uint32_t>(12 * 10, 1));
}

TEST_CASE("team: two threads run tasks at once") {
  auto t = team::make(2);
  REQUIRE(t);
  auto const many = [&t] {
    for (std::uint32_t i = 0; i < 200; ++i) {
      std::vector<std::uint32_t> done(33, 0);
      t->run(33, [&](std::uint32_t task, std::uint32_t) noexcept { ++done[task]; });
      if (done != std::vector<std::uint32_t>(33, 1)) { return false; }
    }
    return true;
  };
  bool other = false;
  std::thread second([&] { other = many(); });
  CHECK(many());
  second.join();
  CHECK(other);
}

TEST_CASE("team: moves, and is a team of one afterwards") {
  auto made = team::make(3);
  REQUIRE(made);
  team t = std::move(*made);
  CHECK(t.size() == 3);
  CHECK(made->size() == 1);
  check_run(t, 50);
  check_run(*made, 50);
  team alone;
  CHECK(alone.size() == 1);
  check_run(alone, 5);
  alone = std::move(t);
  CHECK(alone.size() == 3);
  CHECK(t.size() == 1);
  check_run(alone, 50);
  alone = team();
  check_run(alone, 50);
  CHECK(alone.size() == 1);
}

TEST_CASE("team: what cannot be made") {
  CHECK(team::make(0).error() == error{errc::bad_argument, core::origin::millrace, 1});
  CHECK(team::make(team::most_members + 1).error().code == errc::bad_argument);
  for (std::uint32_t started = 0; started < 3; ++started) {
    short_of_threads::rest = started;
    auto const none = propagate::basic_team<short_of_threads>::make(4);
    REQUIRE_FALSE(none);
    CHECK(none.error() == error{errc::native_failure, core::origin::posix, EAGAIN});
  }
  memory::failure_plan plan;
  plan.fail_at = 1;
  CHECK(propagate::basic_team<short_of_memory>::make(2, short_of_memory::resource(plan)).error() ==
        error{errc::out_of_memory, core::origin::millrace, 0});
  CHECK(propagate::basic_team<short_of_memory>::make(2, short_of_memory::resource(plan)));
  CHECK(plan.live_bytes == 0);
}
