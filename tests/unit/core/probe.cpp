// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/probe.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace core = millrace::core;
using core::probe_event;

namespace {
struct watched {
  std::uint64_t word = 0;
  [[no_unique_address]] core::null_probe probe;
};
static_assert(sizeof(watched) == sizeof(std::uint64_t), "a null probe takes no room");
}  // namespace

TEST_CASE("recording_probe: keeps events in order up to its room, and counts the rest") {
  core::probe_log<3> log;
  core::recording_probe<3> probe(log);
  probe.record(probe_event::reserved, 7);
  probe.record(probe_event::published, 7);
  CHECK(log.size() == 2);
  CHECK(log.records[0] == core::probe_record{probe_event::reserved, 7});
  CHECK(log.records[1] == core::probe_record{probe_event::published, 7});
  auto copy = probe;
  copy.record(probe_event::published, 8);
  copy.record(probe_event::taken, 7);
  CHECK(log.seen == 4);
  CHECK(log.size() == 3);
  CHECK(log.count(probe_event::published) == 2);
  CHECK(log.count(probe_event::taken) == 0);
}

TEST_CASE("recording_probe: without a log it drops what it is told") {
  core::recording_probe<1> probe;
  probe.record(probe_event::parked, 0);
}

TEST_CASE("probe_event: every event has a name of its own") {
  for (std::uint32_t i = 0; i < core::probe_event_count; ++i) {
    CHECK(std::string_view(core::describe(static_cast<probe_event>(i))) != "unknown event");
  }
  auto const after = static_cast<probe_event>(core::probe_event_count);
  CHECK(std::string_view(core::describe(after)) == "unknown event");
}
