// SPDX-License-Identifier: Apache-2.0
#include "access.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

// A ring for one producer and one consumer in a few lines, right and wrong.

namespace {

using millrace::core::acquire;
using millrace::core::relaxed;
using millrace::core::release;

enum class mistake { none, write_after_publish, free_before_read, one_too_many };

template <class Access, mistake Bug = mistake::none, std::uint32_t Capacity = 2>
struct ring {
  std::uint32_t head = 0;  // written by the consumer
  std::uint32_t tail = 0;  // written by the producer
  std::array<std::uint32_t, Capacity> slots{};

  bool try_push(std::uint32_t value) {
    std::uint32_t const at = Access::load(tail, relaxed, "push.own");
    std::uint32_t const limit = Bug == mistake::one_too_many ? Capacity + 1 : Capacity;
    if (at - Access::load(head, acquire, "push.look") == limit) { return false; }
    if (Bug == mistake::write_after_publish) { publish(at); }
    Access::write(&slots[at % Capacity], sizeof(value), "push.write");
    slots[at % Capacity] = value;
    if (Bug != mistake::write_after_publish) { publish(at); }
    return true;
  }
  bool try_pop(std::uint32_t& value) {
    std::uint32_t const at = Access::load(head, relaxed, "pop.own");
    if (Access::load(tail, acquire, "pop.look") == at) { return false; }
    if (Bug == mistake::free_before_read) { free(at); }
    Access::read(&slots[at % Capacity], sizeof(value), "pop.read");
    value = slots[at % Capacity];
    if (Bug != mistake::free_before_read) { free(at); }
    return true;
  }

 private:
  void publish(std::uint32_t at) { Access::store(tail, at + 1, release, "push.publish"); }
  void free(std::uint32_t at) { Access::store(head, at + 1, release, "pop.free"); }
};

template <class Ring>
race::report stream(std::uint32_t count) {
  return race::explore({}, [count](race::run& run) {
    auto& r = run.make<Ring>();
    run.name(&r.head, "head");
    run.name(&r.tail, "tail");
    run.thread("producer", [&r, count] {
      for (std::uint32_t i = 0; i < count; ++i) {
        for (race::begin_round(); !r.try_push(i); race::pause()) {}
      }
    });
    run.thread("consumer", [&r, count] {
      for (std::uint32_t i = 0, got = 0; i < count; ++i) {
        for (race::begin_round(); !r.try_pop(got); race::pause()) {}
        race::check(got == i, "messages arrive in order");
      }
    });
  });
}

template <class Ring>
void require_found(std::string const& what,
                   race::failure_kind kind = race::failure_kind::data_race) {
  race::require_found(stream<Ring>(4), kind, what);
}

}  // namespace

TEST_CASE("ring: every message arrives in order") {
  require_proven(stream<ring<race::access>>(6), "6 messages through 2 slots");
}

TEST_CASE("ring: planted mistakes are found") {
  using race::weakened;
  require_found<ring<weakened<"push.publish">>>("relaxed push.publish");
  require_found<ring<weakened<"pop.look">>>("relaxed pop.look");
  require_found<ring<weakened<"pop.free">>>("relaxed pop.free");
  require_found<ring<weakened<"push.look">>>("relaxed push.look");
  require_found<ring<race::access, mistake::write_after_publish>>("written after publication");
  require_found<ring<race::access, mistake::free_before_read>>("freed before it was read");
  require_found<ring<race::access, mistake::one_too_many>>("one message too many",
                                                           race::failure_kind::check);
}
