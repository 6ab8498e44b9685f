// SPDX-License-Identifier: Apache-2.0
// A producer that takes over the lane of a dead one, which held messages back.
#include "support.hpp"
#include <millrace/queue/shared.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

using namespace queue_test;

namespace {

struct held_back : queue::default_consumer<uint64_t, twice_plus_one> {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t publish_batch = 8;
};

/// Another process submits 1, 2 and 3, and dies without a word; only the first is published.
[[nodiscard]] bool somebody_dies(std::string const& name) {
  pid_t const child = ::fork();
  if (child == 0) {
    auto joined = queue::join<held_back>(name);
    auto lane = joined ? joined->open_lane() : core::fail(errc::closed);
    bool right = lane.has_value();
    for (uint64_t i = 1; right && i <= 3; ++i) { right = lane->submit(i).has_value(); }
    ::_exit(right ? 0 : 1);
  }
  int status = -1;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace

TEST_CASE(
    "take over: what a dead producer held back is done once, and its successor comes behind") {
  for (bool const served_first : {true, false}) {
    std::string const name = "millrace-take-over-" + std::to_string(::getpid());
    auto shared = core::value_or_throw(queue::share<held_back>(name, {.capacity = 16}));
    REQUIRE(somebody_dies(name));
    std::optional<queue::consumer<held_back>> server;
    auto const serve = [&] {
      server.emplace(core::value_or_throw(queue::serve<held_back>(name)));
      CHECK(eventually([&]() noexcept { return shared.stats().processed >= 3; }));
    };
    if (served_first) { serve(); }  // and takes the messages by their age
    if (server) { CHECK(code_of(server->open_lane()) == errc::busy); }  // it has only the workers
    auto lane = core::value_or_throw(shared.open_lane());
    CHECK(lane.next_id() == 3);
    if (!served_first) { serve(); }
    auto const id = lane.submit(4);
    REQUIRE(id);
    CHECK(*id == 3);
    auto const got = lane.wait(*id, soon());
    REQUIRE(got);
    CHECK(got->reply == answer_to(4));
    CHECK(eventually([&]() noexcept { return shared.stats().processed == 4; }));
    CHECK(millrace::memory::shared_memory::open(name)->remove());
  }
}
