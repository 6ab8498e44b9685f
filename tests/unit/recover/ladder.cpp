// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include <millrace/recover/ladder.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using millrace::errc;
using millrace::recover::ladder;

namespace {

/// The rungs of a climb on which `helps(rung, attempt)` says what came of each.
template <class Helps>
[[nodiscard]] std::vector<std::uint32_t> climb(ladder l, Helps helps) {
  std::vector<std::uint32_t> rungs;
  for (auto at = l.next(); at; at = l.next()) {
    rungs.push_back(*at);
    l.tell(helps(*at));
  }
  return rungs;
}

}  // namespace

TEST_CASE("ladder: rungs that do not help are tried once, in order") {
  CHECK(climb(*ladder::make(4), [](auto) { return false; }) ==
        std::vector<std::uint32_t>{0, 1, 2, 3});
  CHECK(climb(*ladder::make(3, 5), [](auto) { return false; }) ==
        std::vector<std::uint32_t>{0, 1, 2});
}

TEST_CASE("ladder: a rung that helps is tried again, so often and no more") {
  CHECK(climb(*ladder::make(3, 2), [](auto) { return true; }) ==
        std::vector<std::uint32_t>{0, 0, 1, 1, 2, 2});
  CHECK(climb(*ladder::make(3, 3), [](std::uint32_t rung) { return rung == 1; }) ==
        std::vector<std::uint32_t>{0, 1, 1, 1, 2});
}

TEST_CASE("ladder: the end is final until it starts over") {
  ladder l = *ladder::make(1);
  CHECK(l.next() == 0u);
  l.tell(false);
  l.tell(true);
  auto const end = l.next();
  REQUIRE(!end);
  CHECK(end.error().code == errc::exhausted);
  l.reset();
  CHECK(l.next() == 0u);
}

TEST_CASE("ladder: none has no rung, and no tries are refused") {
  CHECK(!ladder::make(0)->next());
  auto const none = ladder::make(3, 0);
  REQUIRE(!none);
  CHECK(none.error() == millrace::core::fail(errc::bad_argument, 2).error());
}
