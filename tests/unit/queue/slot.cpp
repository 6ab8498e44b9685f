// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"
#include <millrace/memory/buffer.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <utility>
#include <vector>

// also compiled as CUDA

using namespace queue_test;

namespace {

struct nothing {};
struct alignas(64) wide {
  double values[8];
};
struct alignas(256) page_like {
  char text[300];
};
struct three_bytes {
  std::uint8_t values[3];
};

template <class S>
constexpr bool laid_out(std::size_t alignment, std::size_t offset, std::size_t stride) {
  return S::alignment == alignment && S::payload_offset == offset && S::stride == stride;
}
static_assert(laid_out<queue::typed_slot<std::uint8_t>>(16, 16, 32));
static_assert(laid_out<queue::typed_slot<uint64_t>>(16, 16, 32));
static_assert(laid_out<queue::typed_slot<three_bytes>>(16, 16, 32));
static_assert(laid_out<queue::typed_slot<nothing>>(16, 16, 16));
static_assert(laid_out<queue::typed_slot<wide>>(64, 64, 128));
static_assert(laid_out<queue::typed_slot<page_like>>(256, 256, 768));
static_assert(laid_out<queue::inline_slot<1>>(16, 16, 32));
static_assert(laid_out<queue::inline_slot<48>>(16, 16, 64));
static_assert(laid_out<queue::inline_slot<49>>(16, 16, 80));
static_assert(queue::inline_slot<queue::max_payload_bytes>::payload_bytes == 65'504);
static_assert(std::is_same_v<queue::default_slot<queue::inline_bytes<7>>, queue::inline_slot<7>>);
static_assert(std::is_same_v<queue::default_slot<wide>, queue::typed_slot<wide>>);

static_assert(!queue::message_type<std::vector<int>>);
static_assert(!queue::message_type<char[queue::max_payload_bytes + 1]>);
static_assert(queue::message_type<char[queue::max_payload_bytes]>);

static_assert(queue::record_layout<std::uint8_t>::stride == 16);
static_assert(queue::record_layout<queue::no_reply>::stride == 8);
static_assert(queue::record_layout<wide>::payload_offset == 64);
static_assert(queue::record_layout<wide>::stride == 128);
static_assert(queue::record_layout<queue::inline_bytes<3>>::stride == 16);

static_assert(queue::sequence_of(0) == 1);
static_assert(queue::sequence_of(0xffff'fffeu) == 0xffff'ffffu);
static_assert(queue::sequence_of(0xffff'ffffu) == 0);
static_assert(queue::sequence_of(~uint64_t{0}) == 0);

struct policy : queue::default_consumer<uint64_t, twice_plus_one> {};
using lane = queue::lane_ref<policy>;

/// A lane in memory of its own.
struct owned_lane {
  explicit owned_lane(std::uint32_t capacity, queue::message_id first = 0)
      : memory(core::value_or_throw(millrace::memory::buffer<std::byte>::make(
            core::value_or_throw(lane::bytes(capacity)), {}, lane::alignment))),
        ref(lane::create(memory.data(), capacity, first)) {}

  millrace::memory::buffer<std::byte> memory;
  lane ref;
};

/// Checks that the functor sees an aligned payload with the bytes that were sent.
template <class T>
struct reflect {
  MILLRACE_HD queue::status operator()(queue::message_view<T> message,
                                       queue::reply_writer<T>& reply) const noexcept {
    auto const at = reinterpret_cast<std::uintptr_t>(&message.value());
    if (at % alignof(T) != 0) { return queue::status::failed; }
    reply.write(message.value());
    return queue::status::ok;
  }
};
template <class T>
struct reflect_policy : queue::default_consumer<T, reflect<T>> {
  using reply = T;
};

template <class T, class Same>
void round_trips(T const& sent, Same same) {
  auto consumer =
      core::value_or_throw(queue::launch_host<reflect_policy<T>>(drawing({.capacity = 3})));
  auto mine = open(consumer);
  for (int i = 0; i < 10; ++i) {
    auto const id = mine.submit(sent);
    REQUIRE(id);
    auto const got = mine.wait(*id, soon());
    REQUIRE(got);
    CHECK(got->status == queue::status::ok);
    CHECK(got->length == queue::record_layout<T>::payload_bytes);
    CHECK(same(got->reply));
  }
}

}  // namespace

TEST_CASE("slot: a message of any alignment and size comes back as it was sent") {
  wide w{};
  for (int i = 0; i < 8; ++i) { w.values[i] = 1.5 * i; }
  round_trips(w, [&](wide const& r) { return std::memcmp(&r, &w, sizeof w) == 0; });
  page_like p{};
  std::strcpy(p.text, "every byte of it");
  round_trips(p, [&](page_like const& r) { return std::strcmp(r.text, p.text) == 0; });
  round_trips(three_bytes{{1, 2, 3}}, [](three_bytes const& r) { return r.values[2] == 3; });
  round_trips(std::uint8_t{200}, [](std::uint8_t r) { return r == 200; });
  round_trips(nothing{}, [](nothing) { return true; });
}

TEST_CASE("lane: a new lane looks as if the lap before had passed through it") {
  for (uint64_t const first : {uint64_t{0}, uint64_t{0xffff'fffd}, ~uint64_t{0} - 1}) {
    owned_lane const made(5, first);
    CHECK(made.ref.capacity() == 5);
    CHECK(made.ref.control().producer.published == first);
    CHECK(made.ref.control().claim.claimed == first);
    for (std::uint32_t i = 0; i < 5; ++i) {
      CHECK(made.ref.header(i).seq == queue::sequence_of(first + i - 5));
      CHECK(made.ref.record_at(i).seq == queue::sequence_of(first + i - 5));
      CHECK(made.ref.header(i).seq != queue::sequence_of(first + i));
    }
  }
}

TEST_CASE("lane: what it holds lies apart and within its bytes") {
  owned_lane const made(7);
  auto const* const begin = made.memory.data();
  auto const* const end = begin + made.memory.size();
  auto const* const slots = reinterpret_cast<std::byte const*>(&made.ref.header(0));
  CHECK(slots >= begin + sizeof(queue::lane_control));
  CHECK(reinterpret_cast<std::byte const*>(&made.ref.record_at(0)) >=
        slots + 7 * policy::slot::stride);
  CHECK(reinterpret_cast<std::byte const*>(&made.ref.record_at(6)) + lane::record::stride <= end);
  CHECK(made.ref.payload(3) - slots == 3 * policy::slot::stride + policy::slot::payload_offset);
}

TEST_CASE("lane: places go round at the capacity, whatever it is") {
  owned_lane const made(7);
  CHECK(made.ref.after(0, 6) == 6);
  CHECK(made.ref.after(6, 1) == 0);
  CHECK(made.ref.after(5, 7) == 5);
  CHECK(made.ref.before(0, 1) == 6);
  CHECK(made.ref.before(3, 7) == 3);
  CHECK(made.ref.before(6, 6) == 0);
  owned_lane const one(1);
  CHECK(one.ref.after(0, 1) == 0);
  CHECK(one.ref.before(0, 1) == 0);
}

TEST_CASE("lane: means the same wherever its memory is mapped") {
  owned_lane const made(5, 40);
  made.ref.header(2).length = 77;
  auto copy = millrace::memory::buffer<std::byte>::make(made.memory.size(), {}, lane::alignment);
  REQUIRE(copy);
  std::memcpy(copy->data(), made.memory.data(), copy->size());
  auto const attached = lane::attach(*reinterpret_cast<queue::lane_control*>(copy->data()));
  REQUIRE(attached);
  CHECK(attached->capacity() == 5);
  CHECK(attached->header(2).length == 77);
  CHECK(&attached->header(2) != &made.ref.header(2));
  CHECK(attached->control().first == 40);
}

TEST_CASE("lane: a block of another version or shape is refused") {
  auto const refused = [](auto change) {
    owned_lane const made(5);
    change(made.ref.control());
    return code_of(lane::attach(made.ref.control())) == errc::layout_mismatch;
  };
  CHECK(!refused([](queue::lane_control&) {}));
  CHECK(refused([](queue::lane_control& c) { ++c.version; }));
  CHECK(refused([](queue::lane_control& c) { c.slot_stride += 16; }));
  CHECK(refused([](queue::lane_control& c) { c.record_stride += 16; }));
  CHECK(refused([](queue::lane_control& c) { c.capacity = 0; }));
  CHECK(refused([](queue::lane_control& c) { c.capacity = 500; }));
  CHECK(refused([](queue::lane_control& c) { c.slots_offset += 128; }));
  CHECK(refused([](queue::lane_control& c) { c.records_offset += 128; }));
  CHECK(refused([](queue::lane_control& c) { c = {}; }));
}

TEST_CASE("lane: a capacity of none, or beyond 31 bits, is refused") {
  CHECK(code_of(lane::bytes(0)) == errc::bad_argument);
  CHECK(code_of(lane::bytes(lane::max_capacity + 1)) == errc::bad_argument);
  CHECK(code_of(lane::bytes(std::numeric_limits<std::uint32_t>::max())) == errc::bad_argument);
  auto const most = lane::bytes(lane::max_capacity);
  REQUIRE(most);
  CHECK(*most > std::size_t{lane::max_capacity} * (policy::slot::stride + lane::record::stride));
}
