// SPDX-License-Identifier: Apache-2.0
#include "access.hpp"
#include "verdict.hpp"
#include <millrace/memory/stream_table.hpp>

#include <doctest/doctest.h>

#include <cstdint>

namespace {

namespace memory = millrace::memory;

template <class Access>
using table = memory::stream_table<Access, 2>;

// One thread binds streams, lets go of one and binds another in its place; others look them up.
template <class Access>
race::report look_up(int readers, race::options how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& streams = run.make<table<Access>>();
    streams.add(7, 1);
    run.thread("binder", [&streams] {
      streams.remove(7);
      streams.add(8, 2);
      streams.add(9, 3);
    });
    for (int r = 0; r < readers; ++r) {
      run.thread("reader", [&streams] {
        // as a pool does: what is not there is looked for under a lock
        std::uint32_t const eight = streams.find(8), nine = streams.find(9);
        race::check(eight == 2 || eight == streams.none, "a stream has its own number");
        race::check(nine == 3 || nine == streams.none, "a stream has its own number");
        race::check(nine != 3 || streams.find(8) == 2, "what was bound before is found");
      });
    }
    run.after([&streams] {
      race::check(streams.find(7) == streams.none, "one that left is gone");
      race::check(streams.find(8) == 2 && streams.find(9) == 3, "the others are there");
    });
  });
}

}  // namespace

TEST_CASE("stream_table: a stream is found with its own number beside bindings") {
  require_proven(look_up<race::access>(1), "1 reader");
  require_proven(look_up<race::access>(2), "2 readers");
}

TEST_CASE("stream_table: a relaxed binding and a relaxed look are found") {
  require_found(look_up<race::weakened<"streams.add">>(1), race::failure_kind::data_race,
                "relaxed streams.add");
  require_found(look_up<race::weakened<"streams.find">>(1), race::failure_kind::data_race,
                "relaxed streams.find");
}
