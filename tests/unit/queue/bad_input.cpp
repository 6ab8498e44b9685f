// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>

using namespace queue_test;

namespace {

struct policy : queue::default_consumer<uint64_t, twice_plus_one> {};

struct ignore_all {
  MILLRACE_HD queue::status operator()(
      queue::message_view<queue::inline_bytes<queue::max_payload_bytes>>,
      queue::reply_writer<queue::no_reply>&) const noexcept {
    return queue::status::ok;
  }
};
/// The largest slots there are.
struct largest_policy
    : queue::default_consumer<queue::inline_bytes<queue::max_payload_bytes>, ignore_all> {
  using reply = queue::no_reply;
};

template <class P = policy>
[[nodiscard]] core::error refusal(queue::options const& with,
                                  core::backend where = core::backend::host()) {
  auto const made = queue::launch<P>(where, with);
  REQUIRE(!made);
  return made.error();
}

constexpr auto most = std::numeric_limits<std::uint32_t>::max();

}  // namespace

TEST_CASE("bad input: a capacity of none is refused") {
  auto const e = refusal({.capacity = 0});
  CHECK(e.code == errc::bad_argument);
  CHECK(e.native == 1);
}

TEST_CASE("bad input: a capacity beyond 31 bits is refused") {
  CHECK(refusal({.capacity = 1u << 31}) == refusal({.capacity = 0}));
  CHECK(refusal({.capacity = most}) == refusal({.capacity = 0}));
}

TEST_CASE("bad input: no lanes, or absurdly many, are refused") {
  CHECK(refusal({.lanes = 0}).code == errc::bad_argument);
  CHECK(refusal({.lanes = 0}).native == 2);
  CHECK(refusal({.lanes = most}) == refusal({.lanes = 0}));
}

TEST_CASE("bad input: no workers, or absurdly many, are refused") {
  CHECK(refusal({.workers = 0}).code == errc::bad_argument);
  CHECK(refusal({.workers = 0}).native == 3);
  CHECK(refusal({.workers = most}) == refusal({.workers = 0}));
}

TEST_CASE("bad input: lanes that no address space holds are out of memory") {
  auto const e = refusal<largest_policy>({.lanes = 1u << 20, .capacity = 0x7fff'ffffu});
  CHECK(e.code == errc::out_of_memory);
  CHECK(!core::describe(e).empty());
}

TEST_CASE("bad input: a message larger than the largest slot is refused and named") {
  auto consumer = launch<largest_policy>({.capacity = 1});
  auto lane = open(consumer);
  static std::byte const bytes[queue::max_payload_bytes + 1] = {};
  auto const e = lane.submit(cuda::std::span<std::byte const>(bytes, sizeof bytes));
  CHECK(code_of(e) == errc::payload_too_large);
  CHECK(core::describe(e.error()).find("payload larger than the slot") != std::string::npos);
  auto const id = lane.submit(cuda::std::span<std::byte const>(bytes, sizeof bytes - 1));
  REQUIRE(id);
  CHECK(lane.wait(*id, soon())->status == queue::status::ok);
}

TEST_CASE("bad input: a message after the close is refused and named") {
  auto consumer = launch<policy>({});
  auto lane = open(consumer);
  consumer.close();
  auto const e = lane.submit(1);
  CHECK(code_of(e) == errc::closed);
  CHECK(core::describe(e.error()).find("takes no more messages") != std::string::npos);
}

TEST_CASE("bad input: asking for an unknown id is refused and named") {
  auto consumer = launch<policy>({});
  auto lane = open(consumer);
  auto const e = lane.try_result(12);
  CHECK(code_of(e) == errc::unknown_id);
  CHECK(core::describe(e.error()).find("no outstanding message") != std::string::npos);
}

TEST_CASE("bad input: a batch of none or of more than the lane is refused") {
  auto consumer = launch<policy>({.capacity = 3});
  auto lane = open(consumer);
  uint64_t const four[4] = {};
  CHECK(code_of(lane.submit_batch(cuda::std::span<uint64_t const>(four, std::size_t{0}))) ==
        errc::bad_argument);
  CHECK(code_of(lane.submit_batch(four)) == errc::bad_argument);
  // a length that 32 bits would cut to 1
  CHECK(code_of(lane.submit_batch(cuda::std::span<uint64_t const>(
            four, (std::size_t{1} << 32) + 1))) == errc::bad_argument);
  CHECK(lane.room() == 3);
}

TEST_CASE("bad input: a commit without a reservation is refused") {
  auto consumer = launch<policy>({});
  auto lane = open(consumer);
  CHECK(code_of(lane.commit()) == errc::bad_argument);
}

TEST_CASE("bad input: a device that is not there, and the reason in words") {
  auto const e = refusal({}, core::backend::cuda(0));
  std::string const words = core::describe(e);
  MESSAGE(words);
  if (e.code == errc::no_device) {
    CHECK(e.native != 0);
    CHECK(words.size() > std::string("no usable CUDA device: ").size());
  } else {  // a device is there: this program was built without a CUDA compiler
    CHECK(e.code == errc::not_compiled);
    CHECK(words.find("built without") != std::string::npos);
  }
  CHECK(refusal({}, core::backend::cuda(1 << 20)).code == errc::no_device);
  CHECK(refusal({}, core::backend::cuda(-1)).code == errc::no_device);
}

TEST_CASE("bad input: automatic falls back to host threads and says why") {
  auto const made = queue::launch<policy>(core::backend::automatic(), {});
  REQUIRE(made);
  CHECK(made->where() == core::backend::host());
  CHECK(made->why().find("host threads") != std::string::npos);
}
