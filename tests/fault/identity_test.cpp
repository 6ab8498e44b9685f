// SPDX-License-Identifier: Apache-2.0
// Producers with names that die at any access, or stall and come back as zombies, while workers die
// too: their successors go on behind what was accepted, nothing is lost and nothing done twice.
#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <new>
#include <sys/mman.h>
#include <vector>

namespace {

using namespace fault;
using queue::producer_name;

constexpr std::uint32_t most_names = 2;

struct note {
  uint64_t producer = 0;
  uint64_t sequence = 0;
};

/// Every producer's messages come once, and in their order.
struct register_of_names {
  uint64_t next[most_names] = {};
  uint64_t count = 0;
  uint64_t doubled = 0;
  uint64_t lost = 0;
};

struct enter {
  queue::status operator()(queue::message_view<note> message, queue::reply_writer<uint64_t>& reply,
                           register_of_names& book) const noexcept {
    note const what = message.value();
    uint64_t& next = book.next[what.producer];
    ++book.count;
    book.doubled += what.sequence < next ? 1 : 0;
    book.lost += what.sequence > next ? what.sequence - next : 0;
    next = std::max(next, what.sequence + 1);
    reply.write(what.sequence);
    return message.id() == what.sequence ? queue::status::ok : queue::status::failed;
  }
};

template <class Access, std::uint32_t Every>
struct named : queue::default_consumer<note, enter> {
  using access = Access;
  using state = register_of_names;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t snapshot_every = Every;
  static constexpr bool named_producers = true;
};

constexpr producer_name feed{1};

/// Submits the messages of the name with number `name` up to `until`, from the one on that is not
/// accepted yet.
template <class P>
[[nodiscard]] bool submit_until(queue::producer<P>& lane, uint64_t name, uint64_t until) {
  auto const give_up = soon();
  for (uint64_t s = lane.next_id(); s < until;) {
    auto const sent = lane.submit_once(s, note{name, s});
    if (sent) { ++s; }
    if (!sent && sent.error().code != millrace::errc::full) { return false; }
    if (lane.poll([](auto const&) noexcept {}) == 0 && !sent) { core::yield_thread(); }
    if (give_up.expired(core::steady_clock{})) { return false; }
  }
  return true;
}

/// Opens a lane of ring `name` and submits messages up to `until`, in a process that dies at access
/// `at`.
template <class P>
[[nodiscard]] pid_t mortal_producer(std::string const& name, uint64_t until, uint64_t at) {
  return in_a_process([&] {
    auto mine = queue::join<P>(name);
    if (!mine) { return 3; }
    lethal::left = at;
    auto lane = mine->open_lane(feed, soon());
    if (!lane) { return 4; }
    if (!submit_until(*lane, 0, until)) { return 5; }
    lethal::left = 0;
    ::_exit(0);  // without closing what others use
  });
}

}  // namespace

TEST_CASE("identity: a producer killed at every access, and its successor") {
  using policy = named<lethal, 4>;
  uint64_t deaths = 0, sent = 0, processed = 0, replayed = 0, lost = 0, doubled = 0;
  for (uint64_t at = 1;; ++at) {
    CAPTURE(at);
    named_ring const ring("name");
    auto handle =
        core::value_or_throw(queue::share<policy>(ring.name(), {.capacity = 3, .patience = {}}));
    pid_t const server = server_of<policy>(ring.name());
    int const end = end_of(mortal_producer<policy>(ring.name(), 8, at));
    REQUIRE((end == 0 || end == -SIGKILL));
    auto lane = core::value_or_throw(handle.open_lane(feed, soon()));
    CHECK(lane.next_id() <= 8);
    if (end == 0) { CHECK(lane.epoch() == 2); }
    REQUIRE(submit_until(lane, 0, 13));
    REQUIRE(lane.drain(soon()));
    handle.close();
    CHECK(end_of(server) == 0);
    auto const book = core::value_or_throw(handle.state(0));
    CHECK(book.next[0] == 13);
    CHECK(book.count == 13);
    CHECK(handle.stats().failed == 0);
    sent += 13;
    processed += book.count;
    replayed += handle.stats().replayed;
    lost += book.lost;
    doubled += book.doubled;
    if (end == 0) { break; }
    ++deaths;
  }
  CHECK(deaths > 10);
  CHECK(lost == 0);
  CHECK(doubled == 0);
  report("named producer killed at every access", deaths, sent, processed, replayed, lost, doubled);
}

TEST_CASE("identity: a successor killed at every access while it fences a zombie") {
  using policy = named<lethal, 4>;
  uint64_t deaths = 0, sent = 0, processed = 0, replayed = 0, lost = 0, doubled = 0;
  for (uint64_t at = 1;; ++at) {
    CAPTURE(at);
    named_ring const ring("seal");
    auto handle = core::value_or_throw(
        queue::share<policy>(ring.name(), {.lanes = 3, .capacity = 3, .patience = {}}));
    pid_t const server = server_of<policy>(ring.name());
    auto zombie = core::value_or_throw(handle.open_lane(feed, soon()));
    REQUIRE(submit_until(zombie, 0, 3));
    int const end = end_of(mortal_producer<policy>(ring.name(), 6, at));
    REQUIRE((end == 0 || end == -SIGKILL));
    // it may have died before it sealed the lane
    zombie.poll([](auto const&) noexcept {});
    auto const late = zombie.submit_once(3, note{0, 3});
    if (end == 0) { CHECK(late.error().code == millrace::errc::fenced); }
    auto other = core::value_or_throw(queue::join<policy>(ring.name()));
    auto lane = core::value_or_throw(other.open_lane(feed, soon()));
    auto const later = zombie.submit(note{0, zombie.next_id()});
    REQUIRE(!later);
    CHECK(later.error().code == millrace::errc::fenced);
    CHECK(lane.next_id() <= 6);
    REQUIRE(submit_until(lane, 0, 9));
    REQUIRE(lane.drain(soon()));
    handle.close();
    CHECK(end_of(server) == 0);
    auto const book = core::value_or_throw(handle.state(0));
    CHECK(book.next[0] == 9);
    CHECK(book.count == 9);
    sent += 9;
    processed += book.count;
    replayed += handle.stats().replayed;
    lost += book.lost;
    doubled += book.doubled;
    if (end == 0) { break; }
    ++deaths;
  }
  CHECK(deaths > 10);
  CHECK(lost == 0);
  CHECK(doubled == 0);
  report("successor killed at every access", deaths, sent, processed, replayed, lost, doubled);
}

namespace {

/// What processes tell the test beside the ring.
struct board {
  std::atomic<std::uint32_t> opened[4'096] = {};  ///< by each producer process, once it has a lane
  std::atomic<uint64_t> answered[most_names] = {};  ///< each name's highest answered message, + 1
};

struct mapped_board {
  mapped_board()
      : at(static_cast<board*>(::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    ::new (at) board;
  }
  mapped_board(mapped_board const&) = delete;
  mapped_board& operator=(mapped_board const&) = delete;
  ~mapped_board() { ::munmap(at, sizeof(board)); }
  board* at;
};

constexpr int was_fenced = 42;

/// Submits under its name until it is fenced.
template <class P>
[[nodiscard]] int produce(std::string const& ring, uint64_t name, board& seen, std::size_t number) {
  auto mine = queue::join<P>(ring);
  if (!mine) { return 3; }
  auto lane = mine->open_lane(producer_name{name + 1}, soon());
  if (!lane) {
    std::fprintf(stderr, "open_lane: %s\n", core::describe(lane.error()).c_str());
    return 4;
  }
  seen.opened[number] = 1;
  for (uint64_t s = lane->next_id();;) {
    auto const sent = lane->submit_once(s, note{name, s});
    if (sent) { ++s; }
    if (!sent && sent.error().code == millrace::errc::fenced) { ::_exit(was_fenced); }
    lane->poll([&](auto const& got) noexcept {
      uint64_t highest = seen.answered[name];
      while (highest < got.id + 1 &&
             !seen.answered[name].compare_exchange_weak(highest, got.id + 1)) {}
    });
    if (!sent) { core::yield_thread(); }
  }
}

}  // namespace

TEST_CASE("identity: producers killed, or stopped and continued as zombies, under load") {
  using policy = named<core::direct_access<cuda::thread_scope_system>, 64>;
  constexpr std::size_t most_zombies = 3;
  std::size_t const rounds = long_tier() ? 2'000 : 120;
  named_ring const ring("zombies");
  mapped_board const shared;
  auto handle = core::value_or_throw(
      queue::share<policy>(ring.name(), {.lanes = 8, .capacity = 100, .patience = {}}));
  pid_t server = server_of<policy>(ring.name());
  std::array<pid_t, most_names> producers{};
  std::deque<pid_t> zombies;
  uint64_t faults = 0, fenced = 0;
  core::splitmix_rng rng(23);
  auto const run_for = [](uint64_t us) {
    auto const until = queue::within(std::chrono::microseconds(us));
    while (!until.expired(core::steady_clock{})) { core::yield_thread(); }
  };
  for (std::size_t r = 0; r < rounds; ++r, ++faults) {
    CAPTURE(r);
    uint64_t const name = r % most_names;
    pid_t& producer = producers[name];
    if (producer == 0) {
      producer = in_a_process([&] { return produce<policy>(ring.name(), name, *shared.at, r); });
      auto const give_up = soon();
      while (shared.at->opened[r] == 0) {
        REQUIRE(::waitpid(producer, nullptr, WNOHANG) == 0);
        REQUIRE(!give_up.expired(core::steady_clock{}));
        core::yield_thread();
      }
    }
    if (rng.next() % 8 == 0) {  // the workers die as well
      REQUIRE(::kill(server, SIGKILL) == 0);
      REQUIRE(end_of(server) == -SIGKILL);
      server = server_of<policy>(ring.name());
      ++faults;
    }
    run_for(200 + rng.next() % 3'000);
    if (zombies.size() == most_zombies) {  // the oldest one's name has a successor by now
      REQUIRE(::kill(zombies.front(), SIGCONT) == 0);
      run_for(rng.next() % 1'000);
      CHECK(end_of(zombies.front()) == was_fenced);
      zombies.pop_front();
      ++fenced;
    }
    bool const stop = rng.next() % 2 == 0;
    REQUIRE(::kill(producer, stop ? SIGSTOP : SIGKILL) == 0);
    if (stop) {
      zombies.push_back(producer);
    } else {
      REQUIRE(end_of(producer) == -SIGKILL);
    }
    producer = 0;
  }
  // the last ones of each name are the test's own
  std::vector<queue::producer<policy>> last;
  for (uint64_t name = 0; name < most_names; ++name) {
    last.push_back(core::value_or_throw(handle.open_lane(producer_name{name + 1}, soon())));
  }
  for (pid_t const zombie : zombies) {
    REQUIRE(::kill(zombie, SIGCONT) == 0);
    CHECK(end_of(zombie) == was_fenced);
    ++fenced;
  }
  uint64_t sent = 0, lost = 0;
  for (uint64_t name = 0; name < most_names; ++name) {
    queue::producer<policy>& lane = last[name];
    // what the name has in flight may fill the lane until its results are taken
    REQUIRE(submit_until(lane, name, lane.next_id() + 10));
    REQUIRE(lane.drain(soon()));
    sent += lane.next_id();
  }
  handle.close();
  CHECK(end_of(server) == 0);
  auto const book = core::value_or_throw(handle.state(0));
  lost = book.lost;
  for (uint64_t name = 0; name < most_names; ++name) {
    CHECK(book.next[name] == last[name].next_id());
    CHECK(shared.at->answered[name] <= last[name].next_id());
  }
  CHECK(book.count == sent);
  CHECK(book.doubled == 0);
  CHECK(lost == 0);
  CHECK(fenced > 0);
  CHECK(handle.stats().failed == 0);
  report("producers killed or zombies, workers killed", faults, sent, book.count,
         handle.stats().replayed, lost, book.doubled);
}
