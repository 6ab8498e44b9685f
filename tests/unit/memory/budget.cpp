// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/budget.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/memory/heap.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::budget;
using memory::budgeted_resource;
using memory::pressure;
using millrace::errc;
using std::uint64_t;

namespace {

/// Blocks that somebody can do without, and gives back one by one when asked.
class hoard {
 public:
  explicit hoard(budgeted_resource<> from) : from_(from) {}
  ~hoard() {
    while (give_one() != 0) {}
  }
  void add(std::size_t bytes) {
    blocks_.push_back({core::value_or_throw(from_.try_allocate(bytes, 16)), bytes});
  }
  [[nodiscard]] memory::relief step(char const* name) {
    return {name, [](uint64_t, void* me) noexcept { return static_cast<hoard*>(me)->asked(); },
            this};
  }
  int times_asked = 0;

 private:
  uint64_t asked() noexcept {
    ++times_asked;
    return give_one();
  }
  uint64_t give_one() noexcept {
    if (blocks_.empty()) { return 0; }
    auto const [p, bytes] = blocks_.back();
    blocks_.pop_back();
    from_.deallocate(p, bytes, 16);
    return bytes;
  }

  budgeted_resource<> from_;
  std::vector<std::pair<void*, std::size_t>> blocks_;
};

struct moves {
  std::vector<std::pair<pressure, pressure>> all;
};
void note(pressure from, pressure to, void* into) noexcept {
  static_cast<moves*>(into)->all.push_back({from, to});
}

/// Memory that is short a few times and then is not there at all.
struct breaking {
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;
  int* left;  ///< refusals before it breaks
  millrace::result<void*> try_allocate(std::size_t, std::size_t) noexcept {
    return core::fail((*left)-- > 0 ? errc::out_of_memory : errc::native_failure, 7);
  }
  void deallocate(void*, std::size_t, std::size_t) noexcept {}
  bool operator==(breaking const&) const noexcept = default;
};

}  // namespace

TEST_CASE("budget: what is in use never passes it, and comes back") {
  budget all({.hard_bytes = 1'000});
  budgeted_resource<> from(all);
  auto const a = from.try_allocate(600, 16);
  REQUIRE(a);
  auto const none = from.try_allocate(401, 16);
  REQUIRE(!none);
  CHECK(none.error().code == errc::out_of_memory);
  auto const b = from.try_allocate(400, 16);
  REQUIRE(b);
  CHECK(all.counts().live_bytes == 1'000);
  from.deallocate(*a, 600, 16);
  from.deallocate(*b, 400, 16);
  CHECK(all.counts().live_bytes == 0);
  CHECK(all.counts().peak_bytes == 1'000);
  CHECK(all.counts().refused == 1);
  CHECK(from.try_allocate(8, 3).error().code == errc::bad_argument);
  CHECK(all.counts().live_bytes == 0);
}

TEST_CASE("budget: steps are asked in order until there is room, and the gentle one again first") {
  budget all({.hard_bytes = 1'000, .tries = 3});
  hoard gentle{budgeted_resource<>(all)}, last{budgeted_resource<>(all)};
  REQUIRE(all.add_step(gentle.step("gentle")));
  REQUIRE(all.add_step(last.step("last")));
  for (int i = 0; i < 4; ++i) { gentle.add(100); }
  for (int i = 0; i < 6; ++i) { last.add(100); }
  budgeted_resource<> from(all);
  auto const a = from.try_allocate(200, 16);  // two of the gentle one's
  REQUIRE(a);
  CHECK(gentle.times_asked == 2);
  CHECK(last.times_asked == 0);
  auto const b = from.try_allocate(300, 16);  // the two that it has left, and one of the last
  REQUIRE(b);
  CHECK(gentle.times_asked == 5);
  CHECK(last.times_asked == 1);
  CHECK(!from.try_allocate(900, 16));
  CHECK(last.times_asked == 4);          // three tries
  CHECK(!from.try_allocate(1'001, 16));  // no step could make room for that
  CHECK(last.times_asked == 4);
  CHECK(all.counts().climbs == 3);
  CHECK(all.counts().given_back_bytes == 800);
  from.deallocate(*a, 200, 16);
  from.deallocate(*b, 300, 16);
}

TEST_CASE("budget: levels rise at their marks, fall below them, and are told once each") {
  budget all({.hard_bytes = 1'000});
  moves seen;
  all.listen(note, &seen);
  REQUIRE(all.try_take(700));
  CHECK(all.level() == pressure::none);
  REQUIRE(all.try_take(1));
  CHECK(all.level() == pressure::low);
  all.give(50);
  CHECK(all.level() == pressure::low);  // 651: not yet below the mark by the gap
  all.give(1);
  CHECK(all.level() == pressure::none);
  REQUIRE(all.try_take(350));
  CHECK(all.level() == pressure::critical);
  all.give(1'000);
  using p = pressure;
  CHECK(seen.all ==
        std::vector<std::pair<p, p>>{
            {p::none, p::low}, {p::low, p::none}, {p::none, p::critical}, {p::critical, p::none}});
}

TEST_CASE("budget: it may shrink below what is in use, which then only shrinks too") {
  budget all({.hard_bytes = 1'000});
  budgeted_resource<> from(all);
  auto const a = from.try_allocate(800, 16);
  REQUIRE(a);
  all.set_hard_bytes(100);
  CHECK(all.level() == pressure::critical);
  CHECK(!from.try_allocate(1, 16));
  from.deallocate(*a, 800, 16);
  CHECK(all.level() == pressure::none);
  auto const b = from.try_allocate(100, 16);
  REQUIRE(b);
  from.deallocate(*b, 100, 16);
}

TEST_CASE("budget: a reservation is room that nobody else gets, and goes back at its end") {
  budget all({.hard_bytes = 1'000});
  budgeted_resource<> from(all);
  void* kept = nullptr;
  {
    auto promise = all.reserve(700);
    REQUIRE(promise);
    CHECK(all.counts().live_bytes == 700);
    CHECK(!from.try_allocate(301, 16));
    CHECK(!all.reserve(301));
    auto const a = from.try_allocate(*promise, 500, 16);
    REQUIRE(a);
    kept = *a;
    CHECK(!from.try_allocate(*promise, 201, 16));
    CHECK(promise->left_bytes() == 200);
    CHECK(all.counts().reserved_bytes == 200);
    auto moved = std::move(*promise);
    CHECK(moved.left_bytes() == 200);
    CHECK(promise->left_bytes() == 0);
    CHECK(promise->use(0));  // of nothing, nothing
    CHECK(!promise->use(1));
    CHECK(from.try_allocate(*promise, 1, 16).error().code == errc::bad_argument);
    *promise = std::move(moved);
    CHECK(promise->left_bytes() == 200);
  }
  CHECK(all.counts().reserved_bytes == 0);
  CHECK(all.counts().live_bytes == 500);
  from.deallocate(kept, 500, 16);
  CHECK(all.counts().live_bytes == 0);
}

TEST_CASE("budget: a step without a function, and a ninth, are refused") {
  budget all;
  CHECK(all.add_step({}).error().code == errc::bad_argument);
  memory::relief const nothing{"nothing", [](uint64_t, void*) noexcept { return uint64_t{0}; },
                               nullptr};
  for (std::uint32_t i = 0; i < budget::most_steps; ++i) { CHECK(all.add_step(nothing)); }
  CHECK(all.add_step(nothing).error().code == errc::full);
  CHECK(all.reserve(~uint64_t{0}).error().code == errc::out_of_memory);
}

TEST_CASE("budget: an upstream without room climbs too") {
  memory::failure_plan plan;
  plan.fail_from = 1;
  budget all;
  using resource = budgeted_resource<memory::failing_resource<>>;
  resource from(all, memory::failing_resource<>(plan));
  REQUIRE(all.add_step({"mend",
                        [](uint64_t, void* p) noexcept {
                          static_cast<memory::failure_plan*>(p)->fail_from = 0;
                          return uint64_t{1};
                        },
                        &plan}));
  auto const p = from.try_allocate(100, 16);
  REQUIRE(p);
  from.deallocate(*p, 100, 16);
  CHECK(all.counts().live_bytes == 0);
}

TEST_CASE("budget: a step may use it, and asks no step itself") {
  struct user {
    budget* of;
    int refused = 0;
  };
  budget all({.hard_bytes = 1'000});
  user me{&all};
  REQUIRE(all.try_take(600));
  REQUIRE(all.add_step({"spill",
                        [](uint64_t, void* context) noexcept {
                          auto& u = *static_cast<user*>(context);
                          budgeted_resource<> from(*u.of);
                          if (!from.try_allocate(900, 16)) { ++u.refused; }
                          return uint64_t{0};
                        },
                        &me}));
  budgeted_resource<> from(all);
  CHECK(!from.try_allocate(500, 16));
  CHECK(me.refused == 1);
  all.give(600);
}

TEST_CASE("budget: another budget's reservation is refused, and neither changes") {
  budget one({.hard_bytes = 1'000}), other({.hard_bytes = 1'000});
  auto promise = one.reserve(500);
  REQUIRE(promise);
  budgeted_resource<> from(other);
  auto const got = from.try_allocate(*promise, 100, 16);
  REQUIRE(!got);
  CHECK(got.error() == core::fail(errc::bad_argument, 3).error());
  CHECK(one.counts().live_bytes == 500);
  CHECK(other.counts().live_bytes == 0);
}

TEST_CASE("budget: several threads share one, and a heap behind it, to the last byte") {
  auto const heap = core::value_or_throw(
      memory::heap<>::make({.reserve_bytes = std::size_t{32} << 20, .caches = 8}));
  budget all({.hard_bytes = 100'000});
  std::atomic<int> heights{0};  // of levels: each move is told once, so they come back to none
  all.listen(
      [](pressure from, pressure to, void* sum) noexcept {
        *static_cast<std::atomic<int>*>(sum) += static_cast<int>(to) - static_cast<int>(from);
      },
      &heights);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      budgeted_resource<memory::heap<>> from(all, heap);
      std::vector<void*> mine;
      for (int i = 0; i < 20'000; ++i) {
        if ((static_cast<unsigned>(i) * 7 + t) % 3 != 0) {
          if (auto const p = from.try_allocate(1'000, 16)) { mine.push_back(*p); }
        } else if (!mine.empty()) {
          from.deallocate(mine.back(), 1'000, 16);
          mine.pop_back();
        }
      }
      for (void* const p : mine) { from.deallocate(p, 1'000, 16); }
    });
  }
  for (auto& thread : threads) { thread.join(); }
  CHECK(all.counts().live_bytes == 0);
  CHECK(all.counts().peak_bytes == 100'000);
  CHECK(all.counts().refused > 0);
  CHECK(all.level() == pressure::none);
  CHECK(heights == 0);
}

TEST_CASE("budget: a part takes of the whole too, and both have to have room") {
  budget whole({.hard_bytes = 1'000});
  budget one({.hard_bytes = 700}, whole), other({.hard_bytes = 700}, whole);
  budgeted_resource<> a(one), b(other);
  auto const p = a.try_allocate(600, 16);
  REQUIRE(p);
  CHECK(whole.counts().live_bytes == 600);
  CHECK(other.counts().live_bytes == 0);
  CHECK(a.try_allocate(101, 16).error().code == errc::out_of_memory);  // the part's end
  CHECK(b.try_allocate(401, 16).error().code == errc::out_of_memory);  // the whole's
  CHECK(other.counts().live_bytes == 0);
  CHECK(other.counts().peak_bytes == 0);
  CHECK(other.level() == pressure::none);
  CHECK(one.level() == pressure::high);
  auto const q = b.try_allocate(400, 16);
  REQUIRE(q);
  CHECK(whole.level() == pressure::critical);
  whole.set_hard_bytes(500);
  CHECK(!b.try_allocate(1, 16));
  a.deallocate(*p, 600, 16);
  CHECK(!b.try_allocate(101, 16));
  b.deallocate(*q, 400, 16);
  {
    auto const promise = one.reserve(300);
    REQUIRE(promise);
    CHECK(whole.counts().reserved_bytes == 300);
    CHECK(!other.reserve(201));
  }
  CHECK(whole.counts().reserved_bytes == 0);
  CHECK(whole.counts().live_bytes == 0);
  CHECK(whole.level() == pressure::none);
}

TEST_CASE("budget: a part's steps are asked before the whole's, which cannot help its own limit") {
  budget whole({.hard_bytes = 1'000});
  budget part({.hard_bytes = 500}, whole);
  hoard inner{budgeted_resource<>(part)}, outer{budgeted_resource<>(whole)};
  REQUIRE(part.add_step(inner.step("inner")));
  REQUIRE(whole.add_step(outer.step("outer")));
  for (int i = 0; i < 2; ++i) { inner.add(100); }
  for (int i = 0; i < 8; ++i) { outer.add(100); }  // the whole is full
  budgeted_resource<> from(part);
  auto const a = from.try_allocate(300, 16);  // inner: two, then outer: one
  REQUIRE(a);
  CHECK(inner.times_asked == 2);
  CHECK(outer.times_asked == 1);
  CHECK(!from.try_allocate(201, 16));  // the part has no room of its own
  CHECK(inner.times_asked == 3);
  CHECK(outer.times_asked == 1);
  CHECK(!from.try_allocate(501, 16));  // nor ever
  CHECK(inner.times_asked == 3);
  auto const b = from.try_allocate(200, 16);
  REQUIRE(b);
  CHECK(outer.times_asked == 3);
  CHECK(part.counts().refused == 2);
  from.deallocate(*a, 300, 16);
  from.deallocate(*b, 200, 16);
}

TEST_CASE("budget: steps that use the whole or another part ask no step, whoever climbs") {
  budget whole({.hard_bytes = 1'000});
  budget one({.hard_bytes = 1'000}, whole), other({.hard_bytes = 1'000}, whole);
  struct user {
    budget* of;
    std::atomic<int> asked{0};
  } of_one{&other}, of_other{&one};
  auto const step = [](uint64_t, void* context) noexcept {
    auto& u = *static_cast<user*>(context);
    ++u.asked;
    budgeted_resource<> from(*u.of);
    if (auto const p = from.try_allocate(400, 16)) { from.deallocate(*p, 400, 16); }
    return uint64_t{0};
  };
  REQUIRE(one.add_step({"other", step, &of_one}));
  REQUIRE(other.add_step({"one", step, &of_other}));
  REQUIRE(whole.try_take(700));
  std::thread threads[2];
  for (int t = 0; t < 2; ++t) {
    threads[t] = std::thread([&, t] {
      budgeted_resource<> from(t == 0 ? one : other);
      for (int i = 0; i < 1'000; ++i) {
        if (auto const p = from.try_allocate(400, 16)) { from.deallocate(*p, 400, 16); }
      }
    });
  }
  for (auto& t : threads) { t.join(); }
  CHECK(of_one.asked == 1'000);
  CHECK(of_other.asked == 1'000);
  CHECK(whole.counts().live_bytes == 700);
  whole.give(700);
}

TEST_CASE("budget: what the whole refuses keeps nobody out of the part meanwhile") {
  budget whole({.hard_bytes = 1'000});
  budget part({.hard_bytes = 1'000}, whole);
  REQUIRE(whole.try_take(500));
  std::atomic<bool> over{false};
  int had = 0, refused = 0;
  std::thread greedy([&] {
    for (int i = 0; i < 300'000; ++i) { had += part.try_take(950) ? 1 : 0; }
    over = true;
  });
  while (!over) {
    if (part.try_take(100)) {
      part.give(100);
    } else {
      ++refused;
    }
  }
  greedy.join();
  CHECK(refused == 0);
  CHECK(had == 0);
  whole.give(500);
  CHECK(whole.counts().live_bytes == 0);
}

TEST_CASE("budget: an upstream that fails for another reason ends the climb") {
  int left = 2;  // both without a step
  budget whole;
  budget part({}, whole);
  int asked = 0;
  memory::relief const step{"count",
                            [](uint64_t, void* n) noexcept {
                              ++*static_cast<int*>(n);
                              return uint64_t{1};
                            },
                            &asked};
  REQUIRE(part.add_step(step));
  REQUIRE(part.add_step(step));
  REQUIRE(whole.add_step(step));
  budgeted_resource<breaking> from(part, breaking{&left});
  auto const got = from.try_allocate(100, 16);
  REQUIRE(!got);
  CHECK(got.error().code == errc::native_failure);
  CHECK(asked == 1);  // after it the upstream was broken, which no step mends
  CHECK(whole.counts().live_bytes == 0);
}

TEST_CASE("budget: steps and listeners ask no step of another budget either") {
  struct user {
    budget* of;
    int asked = 0;
    void use() noexcept {
      ++asked;
      budgeted_resource<> from(*of);
      if (auto const p = from.try_allocate(400, 16)) { from.deallocate(*p, 400, 16); }
    }
  };
  budget one({.hard_bytes = 1'000}), other({.hard_bytes = 1'000});
  user of_one{&other}, of_other{&one}, heard{&other};
  auto const step = [](uint64_t, void* context) noexcept {
    static_cast<user*>(context)->use();
    return uint64_t{0};
  };
  REQUIRE(one.add_step({"other", step, &of_one}));
  REQUIRE(other.add_step({"one", step, &of_other}));
  one.listen([](pressure, pressure, void* context) noexcept { static_cast<user*>(context)->use(); },
             &heard);
  REQUIRE(other.try_take(900));
  REQUIRE(one.try_take(900));
  CHECK(heard.asked == 1);
  CHECK(of_other.asked == 0);
  CHECK(!budgeted_resource<>(one).try_allocate(400, 16));
  CHECK(of_one.asked == 1);
  CHECK(of_other.asked == 0);
  CHECK(!budgeted_resource<>(other).try_allocate(400, 16));  // and afterwards it is asked again
  CHECK(of_other.asked == 1);
  CHECK(of_one.asked == 1);
  one.give(900);
  other.give(900);
}
