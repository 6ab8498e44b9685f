// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"
#include <millrace/queue/layout_text.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace queue_test;

namespace {

struct words : queue::default_consumer<uint64_t, twice_plus_one> {};

struct ignore_all {
  queue::status operator()(queue::message_view<queue::slab_bytes<65'536>>,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    return queue::status::ok;
  }
};
struct slabs : queue::default_consumer<queue::slab_bytes<65'536>, ignore_all> {
  using reply = queue::no_reply;
};
struct unanswered_slabs : slabs {
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

template <class P>
[[nodiscard]] std::string text(queue::options const& with) {
  return core::value_or_throw(queue::layout_text<P>(with));
}

}  // namespace

TEST_CASE("layout text: a policy whose messages lie in their slots") {
  CHECK(text<words>({.lanes = 3, .capacity = 1000, .workers = 2}) ==
        "slot: 32 B, payload at 16, up to 8 B\n"
        "record: 16 B, reply at 8, up to 8 B\n"
        "lane: 1000 slots at 512, records at 32512; 48512 B\n"
        "block: 2 workers at 384, 3 lanes at 640; 146176 B\n");
}

TEST_CASE("layout text: a policy whose messages lie in the arena") {
  CHECK(text<slabs>({.capacity = 10}) ==
        "slot: 32 B, payload at 16, up to 16 B\n"
        "record: 8 B, reply at 8, up to 0 B\n"
        "lane: 10 slots at 512, records at 896, arena of 720896 B at 1024 for messages of up to "
        "65536 B; 721920 B\n"
        "block: 1 worker at 384, 1 lane at 512; 722432 B\n");
  CHECK(text<unanswered_slabs>({.lanes = 2, .capacity = 1, .arena_bytes = 100'000}) ==
        "slot: 32 B, payload at 16, up to 16 B\n"
        "record: none\n"
        "lane: 1 slot at 512, arena of 100032 B at 640 for messages of up to 65536 B; 100736 B\n"
        "block: 1 worker at 384, 2 lanes at 512; 201984 B\n");
}

TEST_CASE("layout text: says what the library does") {
  queue::options const with{.capacity = 10};
  auto const memory = core::value_or_throw(queue::lane_ref<slabs>::bytes(with.capacity));
  CHECK(text<slabs>(with).find("; " + std::to_string(memory) + " B\n") != std::string::npos);
  auto block = core::value_or_throw(
      millrace::memory::buffer<std::byte>::make(memory, {}, queue::lane_ref<slabs>::alignment));
  auto const lane = queue::lane_ref<slabs>::create(block.data(), with.capacity, 0);
  auto const at = [&](char const* what, void const* place) {  // g++ 12 at -O3 knows no "B" + it
    auto const offset = static_cast<std::byte const*>(place) - block.data();
    return std::string(what).append(" at ").append(std::to_string(offset));
  };
  CHECK(text<slabs>(with).find(at("slots", &lane.header(0))) != std::string::npos);
  CHECK(text<slabs>(with).find(at("records", &lane.record_at(0))) != std::string::npos);
  CHECK(text<slabs>(with).find(at("B", lane.arena())) != std::string::npos);
}

TEST_CASE("layout text: options that launch refuses have no layout") {
  CHECK(code_of(queue::layout_text<words>({.capacity = 0})) == errc::bad_argument);
  CHECK(queue::layout_text<slabs>({.arena_bytes = 65'535}).error().native == 4);
}
