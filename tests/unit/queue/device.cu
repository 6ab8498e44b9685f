// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"
#include <millrace/core/cuda_status.cuh>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace device_test {

using namespace queue_test;

/// A payload whose every byte counts.
template <std::uint32_t Bytes>
struct packet {
  std::uint32_t words[Bytes / 4];
};
template <std::uint32_t Bytes>
[[nodiscard]] packet<Bytes> packet_of(uint64_t n) noexcept {
  packet<Bytes> out{};
  for (std::uint32_t i = 0; i < Bytes / 4; ++i) {
    out.words[i] = static_cast<std::uint32_t>(n * 7 + i * 13);
  }
  return out;
}
[[nodiscard]] MILLRACE_HD inline uint64_t share(std::uint32_t word, std::uint32_t i) noexcept {
  return uint64_t{word} * (i + 1);
}
template <std::uint32_t Bytes>
[[nodiscard]] uint64_t sum_of(packet<Bytes> const& m) noexcept {
  uint64_t sum = 0;
  for (std::uint32_t i = 0; i < Bytes / 4; ++i) { sum += share(m.words[i], i); }
  return sum;
}

/// One thread sums the packet.
template <std::uint32_t Bytes>
struct sum_by_thread {
  MILLRACE_HD queue::status operator()(queue::message_view<packet<Bytes>> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    uint64_t sum = 0;
    for (std::uint32_t i = 0; i < Bytes / 4; ++i) { sum += share(message.value().words[i], i); }
    reply.write(sum + message.id());
    return static_cast<queue::status>(256 + message.kind());
  }
};
/// A whole group sums it, each member the words of its turn.
template <std::uint32_t Bytes>
struct sum_by_group {
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<packet<Bytes>> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    uint64_t mine = 0, sum = 0;
    for (std::uint32_t i = group.rank(); i < Bytes / 4; i += group.size()) {
      mine += share(message.value().words[i], i);
    }
    for (std::uint32_t bit = 0; bit < 48; ++bit) {  // the members' sum, from what a group can do
      sum += uint64_t{group.count(((mine >> bit) & 1u) != 0)} << bit;
    }
    if (group.rank() == 0) { reply.write(sum + message.id()); }
    return static_cast<queue::status>(256 + message.kind());
  }
};

template <std::uint32_t Bytes>
struct by_thread : queue::default_consumer<packet<Bytes>, sum_by_thread<Bytes>> {};
template <std::uint32_t Bytes>
struct by_warp : queue::default_consumer<packet<Bytes>, sum_by_group<Bytes>> {
  static constexpr queue::width processing = queue::width::warp;
};
template <std::uint32_t Bytes>
struct by_block : queue::default_consumer<packet<Bytes>, sum_by_group<Bytes>> {
  static constexpr queue::width processing = queue::width::block;
};
struct by_warp_within : by_warp<64> {
  static constexpr int most_registers = 44;
};
struct by_warp_pinned : by_warp<64> {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
template <class Base>
struct deferring : Base {
  static constexpr std::uint32_t publish_batch = 16;
  static constexpr uint64_t publish_age_ns = 2'000;
};
struct by_thread_deferring : deferring<by_thread<64>> {};
/// Workers read the producers' memory themselves.
template <class Base>
struct direct : Base {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::direct;
};
/// The copy engine fills the workers' ring.
template <class Base>
struct dma : Base {
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::dma;
};

/// Adds up what it gets in managed counters.
struct tally {
  unsigned long long count;
  unsigned long long sum;
};
struct adding {
  tally* into = nullptr;

  MILLRACE_HD queue::status operator()(queue::message_view<packet<64>> message,
                                       queue::reply_writer<queue::no_reply>&) const noexcept {
    uint64_t sum = 0;
    for (std::uint32_t i = 0; i < 16; ++i) { sum += share(message.value().words[i], i); }
    cuda::atomic_ref<unsigned long long, cuda::thread_scope_device>(into->count)
        .fetch_add(1, core::relaxed);
    cuda::atomic_ref<unsigned long long, cuda::thread_scope_device>(into->sum).fetch_add(
        sum, core::relaxed);
    return queue::status::ok;
  }
};
template <queue::claim_mode Claims>
struct unanswered : queue::default_consumer<packet<64>, adding> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = Claims;
};

/// Messages of any length in the lane's arena, which the group's members read in place.
constexpr std::size_t largest_slab = 9'000;
struct sum_slab {
  using view = queue::message_view<queue::slab_bytes<largest_slab>>;

  MILLRACE_HD queue::status operator()(view message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    uint64_t sum = message.size();
    for (std::size_t i = 0; i < message.size(); ++i) { sum += share_of(message, i); }
    reply.write(sum + message.id());
    return static_cast<queue::status>(256 + message.kind());
  }
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, view message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    uint64_t mine = 0, sum = message.size();
    for (std::size_t i = group.rank(); i < message.size(); i += group.size()) {
      mine += share_of(message, i);
    }
    for (std::uint32_t bit = 0; bit < 48; ++bit) {
      sum += uint64_t{group.count(((mine >> bit) & 1u) != 0)} << bit;
    }
    if (group.rank() == 0) { reply.write(sum + message.id()); }
    return static_cast<queue::status>(256 + message.kind());
  }

 private:
  [[nodiscard]] static MILLRACE_HD uint64_t share_of(view const& message, std::size_t i) noexcept {
    return share(static_cast<std::uint32_t>(message.bytes()[i]), static_cast<std::uint32_t>(i));
  }
};
template <queue::width Width>
struct slabs : queue::default_consumer<queue::slab_bytes<largest_slab>, sum_slab> {
  static constexpr queue::width processing = Width;
};
/// A completion that is stored whole, after the bytes were read.
template <queue::width Width>
struct slabs_replying : slabs<Width> {
  static constexpr queue::effect_mode effects = queue::effect_mode::reply;
};

/// Holds its worker until the host lets go, through a word that both see.
struct holding {
  std::uint32_t* door = nullptr;  ///< open or not, and behind it whether somebody waits there

  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    using shared = core::direct_access<cuda::thread_scope_system>;
    if (message.value() == 0) {
      shared::store(door[1], 1u, core::release, "test.waits");
      while (shared::load(*door, core::acquire, "test.door") == 0) { core::relax_for(1'000); }
    }
    reply.write(answer_to(message.value()));
    return queue::status::ok;
  }
};
struct holding_policy : queue::default_consumer<uint64_t, holding> {
  static constexpr queue::width processing = queue::width::thread;
};

/// Answers with the message plus, or times, a number.
struct plus {
  uint64_t term = 0;
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value() + term);
    return queue::status::ok;
  }
};
struct times {
  uint64_t factor = 1;
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value() * factor);
    return queue::status::ok;
  }
};
template <class Processor>
struct arithmetic : queue::default_consumer<uint64_t, Processor> {};
template <class Base>
struct multiplying : Base {
  using processor = times;
};

/// Keeps count and sum in the worker's state; the leader does the work.
struct book {
  uint64_t count = 0;
  uint64_t sum = 0;
};
struct booking {
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply,
                                       book& into) const noexcept {
    if (group.rank() == 0) {
      ++into.count;
      into.sum += message.value();
      reply.write(into.count);
    }
    return queue::status::ok;
  }
};
template <std::uint32_t Every>
struct booking_policy : queue::default_consumer<uint64_t, booking> {
  using state = book;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr queue::width processing = queue::width::warp;
  static constexpr std::uint32_t snapshot_every = Every;
};

MILLRACE_KERNEL void __launch_bounds__(32) add_one(std::uint32_t* word) {
  if (core::block_lane() == 0) { ++*word; }
}

template <class P>
[[nodiscard]] queue::consumer<P> on_device(queue::options const& with,
                                           typename P::processor process = {}) {
  return core::value_or_throw(queue::launch<P>(core::backend::cuda(0), with, process));
}

/// Memory that the host and kernels see at one address.
template <class T>
class shared_object {
 public:
  shared_object() {
    void* p = nullptr;
    core::value_or_throw(core::cuda_check(cudaHostAlloc(&p, sizeof(T), cudaHostAllocDefault)));
    object_ = ::new (p) T{};
  }
  shared_object(shared_object const&) = delete;
  shared_object& operator=(shared_object const&) = delete;
  ~shared_object() { static_cast<void>(cudaFreeHost(object_)); }
  [[nodiscard]] T* get() const noexcept { return object_; }

 private:
  T* object_ = nullptr;
};

/// Sends through every lane in turn and checks every answer.
template <class P, std::uint32_t Bytes>
[[nodiscard]] bool all_right(queue::options const& with, std::uint32_t per_lane) {
  auto consumer = on_device<P>(with);
  std::vector<queue::producer<P>> lanes;
  for (std::uint32_t l = 0; l < with.lanes; ++l) { lanes.push_back(open(consumer)); }
  std::vector<std::uint32_t> sent(with.lanes), taken(with.lanes);
  bool right = true;
  bool const done = eventually([&]() noexcept {
    bool finished = true;
    for (std::uint32_t l = 0; l < with.lanes; ++l) {
      auto const kind = static_cast<std::uint8_t>(l);
      while (sent[l] < per_lane && lanes[l].submit(packet_of<Bytes>(sent[l] + 1'000 * l), kind)) {
        ++sent[l];
      }
      if (sent[l] == per_lane) { lanes[l].flush(); }
      lanes[l].poll([&](auto const& got) noexcept {
        uint64_t const n = got.id - with.first_message;
        right = right && got.status == static_cast<queue::status>(256 + kind) &&
                got.reply == sum_of(packet_of<Bytes>(n + 1'000 * l)) + got.id;
        ++taken[l];
      });
      finished = finished && taken[l] == per_lane;
    }
    return finished;
  });
  return done && right && consumer.drain(soon()) && eventually([&]() noexcept {
           return consumer.stats().processed == uint64_t{per_lane} * with.lanes;
         });
}

/// The same for messages of changing lengths.
template <class P>
[[nodiscard]] bool slabs_right(queue::options const& with, std::uint32_t per_lane) {
  auto consumer = on_device<P>(with);
  std::vector<queue::producer<P>> lanes;
  for (std::uint32_t l = 0; l < with.lanes; ++l) { lanes.push_back(open(consumer)); }
  std::vector<std::uint32_t> sent(with.lanes), taken(with.lanes);
  std::vector<uint64_t> expected(std::size_t{with.lanes} * per_lane);
  bool right = true;
  bool const done = eventually([&]() noexcept {
    bool finished = true;
    for (std::uint32_t l = 0; l < with.lanes; ++l) {
      auto const kind = static_cast<std::uint8_t>(l);
      while (sent[l] < per_lane) {
        std::size_t const size = (sent[l] * 577u + l * 31u) % (largest_slab + 1);
        auto const room = lanes[l].reserve(size);
        if (!room) { break; }
        uint64_t sum = size;
        for (std::size_t i = 0; i < size; ++i) {
          (*room)[i] = static_cast<std::byte>(sent[l] * 7 + i * 13);
          sum += share(static_cast<std::uint32_t>((*room)[i]), static_cast<std::uint32_t>(i));
        }
        expected[std::size_t{l} * per_lane + sent[l]] = sum;
        right = right && lanes[l].commit(kind);
        ++sent[l];
      }
      lanes[l].poll([&](auto const& got) noexcept {
        uint64_t const n = got.id - with.first_message;
        right = right && got.status == static_cast<queue::status>(256 + kind) &&
                got.reply == expected[std::size_t{l} * per_lane + n] + got.id;
        ++taken[l];
      });
      finished = finished && taken[l] == per_lane;
    }
    return finished;
  });
  return done && right;
}

/// Runs `body` on a thread of its own; when it does not come back, `rescue` lets it.
template <class Body, class Rescue>
[[nodiscard]] bool comes_back(Body body, Rescue rescue,
                              std::chrono::seconds patience = std::chrono::seconds(30)) {
  std::atomic<bool> back{false};
  std::thread other([&] {
    body();
    back = true;
  });
  auto const until = queue::within(patience);
  while (!back && !until.expired(core::steady_clock{})) { core::yield_thread(); }
  bool const in_time = back;
  if (!in_time) { rescue(); }
  other.join();
  return in_time;
}

constexpr queue::message_id near_2_32 = 0xffff'ffffu - 50;
constexpr queue::message_id near_2_64 = ~uint64_t{0} - 50;

}  // namespace device_test

using namespace device_test;

TEST_CASE("device: threads answer packets of every size") {
  CHECK((all_right<by_thread<64>, 64>({.capacity = 100}, 500)));
  CHECK((all_right<by_thread<256>, 256>({.capacity = 33}, 300)));
  CHECK((all_right<by_thread<1024>, 1024>({.capacity = 7}, 100)));
}

TEST_CASE("device: warps answer packets of every size") {
  CHECK((all_right<by_warp<64>, 64>({.capacity = 100, .workers = 3}, 500)));
  CHECK((all_right<by_warp_within, 64>({.capacity = 100, .workers = 3}, 500)));
  CHECK((all_right<by_warp<256>, 256>({.capacity = 33, .workers = 2}, 300)));
}

TEST_CASE("device: blocks answer packets of every size") {
  CHECK((all_right<by_block<64>, 64>({.capacity = 100, .workers = 2}, 500)));
  CHECK((all_right<by_block<1024>, 1024>({.capacity = 7, .workers = 3}, 100)));
}

TEST_CASE("device: workers of every width read the producers' memory") {
  CHECK((all_right<direct<by_thread<64>>, 64>({.capacity = 100}, 500)));
  CHECK((all_right<direct<by_warp<64>>, 64>({.lanes = 37, .capacity = 33, .workers = 5}, 100)));
  CHECK((all_right<direct<by_block<1024>>, 1024>({.capacity = 7}, 100)));
  CHECK(
      (all_right<direct<by_block<1024>>, 1024>({.lanes = 2, .capacity = 100, .workers = 2}, 300)));
}

TEST_CASE("device: the copy engine brings messages to workers of every width") {
  CHECK((all_right<dma<by_thread<64>>, 64>({.capacity = 100}, 500)));
  CHECK((all_right<dma<by_thread<1024>>, 1024>({.lanes = 3, .capacity = 7, .workers = 2}, 100)));
  CHECK((all_right<dma<by_thread<64>>, 64>({.lanes = 37, .capacity = 20, .workers = 16}, 100)));
  CHECK((all_right<dma<by_warp_pinned>, 64>({.lanes = 37, .capacity = 33, .workers = 5}, 100)));
  CHECK((all_right<dma<by_block<64>>, 64>({.lanes = 2, .capacity = 100, .workers = 3}, 300)));
}

TEST_CASE_TEMPLATE("device: workers of every width read messages of any length in the arena", P,
                   slabs<queue::width::thread>, slabs<queue::width::warp>,
                   slabs<queue::width::block>, direct<slabs<queue::width::warp>>,
                   direct<slabs_replying<queue::width::thread>>,
                   slabs_replying<queue::width::block>, dma<slabs<queue::width::warp>>) {
  CHECK((slabs_right<P>({.capacity = 100}, 300)));
  CHECK((slabs_right<P>({.capacity = 1, .first_message = near_2_64}, 100)));
  CHECK((slabs_right<P>({.lanes = 3, .capacity = 7, .arena_bytes = 20'000, .workers = 2}, 100)));
}

TEST_CASE("device: any capacity is exact and every counter may wrap") {
  for (std::uint32_t const capacity : {1u, 2u, 3u, 5u, 31u, 33u, 1000u}) {
    for (queue::message_id const first : {near_2_32, near_2_64}) {
      CAPTURE(capacity);
      queue::options const with{.capacity = capacity, .workers = 2, .first_message = first};
      CHECK((all_right<by_thread<64>, 64>(with, 120)));
      CHECK((all_right<by_warp_pinned, 64>(with, 120)));
      CHECK((all_right<direct<by_warp<64>>, 64>(with, 120)));
      CHECK((all_right<dma<by_thread<64>>, 64>(with, 120)));
    }
  }
}

TEST_CASE("device: many lanes and many workers") {
  CHECK((all_right<by_thread<64>, 64>({.lanes = 37, .capacity = 20, .workers = 16}, 100)));
  CHECK((all_right<by_warp_pinned, 64>({.lanes = 37, .capacity = 20, .workers = 5}, 100)));
  CHECK((all_right<by_block<64>, 64>({.lanes = 5, .capacity = 20, .workers = 9}, 100)));
}

TEST_CASE_TEMPLATE("device: held-back messages of a silent producer are done by age", P,
                   by_thread_deferring, direct<by_thread_deferring>, dma<by_thread_deferring>) {
  auto consumer = on_device<P>({.capacity = 64});
  auto lane = open(consumer);
  REQUIRE(lane.submit(packet_of<64>(0)));
  REQUIRE(lane.drain(soon()));
  for (uint64_t i = 1; i <= 3; ++i) { REQUIRE(lane.submit(packet_of<64>(i))); }
  CHECK(eventually([&]() noexcept { return lane.try_result(3).has_value(); }));
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 4; }));
  CHECK((all_right<P, 64>({.lanes = 2, .capacity = 50, .workers = 2}, 500)));
}

TEST_CASE_TEMPLATE("device: without completions everything is done once", P,
                   unanswered<queue::claim_mode::shared>, unanswered<queue::claim_mode::pinned>,
                   direct<unanswered<queue::claim_mode::pinned>>,
                   dma<unanswered<queue::claim_mode::shared>>) {
  shared_object<tally> seen;
  auto consumer = on_device<P>({.lanes = 2, .capacity = 30, .workers = 2}, {seen.get()});
  auto a = open(consumer), b = open(consumer);
  uint64_t expected = 0;
  for (uint64_t i = 0; i < 500; ++i) {
    auto& lane = i % 2 == 0 ? a : b;
    expected += sum_of(packet_of<64>(i));
    REQUIRE(eventually([&]() noexcept { return lane.submit(packet_of<64>(i)).has_value(); }));
  }
  REQUIRE(a.drain(soon()));
  REQUIRE(b.drain(soon()));
  REQUIRE(consumer.drain(soon()));
  REQUIRE(consumer.stop(soon()));
  CHECK(seen.get()->count == 500);
  CHECK(seen.get()->sum == expected);
}

TEST_CASE_TEMPLATE("device: a close does what was accepted; afterwards nothing goes in", P,
                   by_thread<64>, direct<by_thread<64>>, dma<by_thread<64>>) {
  auto consumer = on_device<P>({.capacity = 200});
  auto lane = open(consumer);
  for (uint64_t i = 0; i < 200; ++i) { REQUIRE(lane.submit(packet_of<64>(i))); }
  consumer.close();
  CHECK(code_of(lane.submit(packet_of<64>(0))) == errc::closed);
  CHECK(lane.drain(soon()));
  CHECK(eventually([&]() noexcept { return consumer.stats().exited == 1; }));
  CHECK(lane.poll([](auto const&) noexcept {}) == 200);
}

TEST_CASE_TEMPLATE(
    "device: what a stop leaves undone is reported, and a stop after a close gets through", P,
    holding_policy, direct<holding_policy>, dma<holding_policy>) {
  struct words {
    std::uint32_t open = 0, waits = 0;
  };
  shared_object<words> door;
  for (bool const close_first : {false, true}) {
    *door.get() = {};
    auto consumer = on_device<P>({.capacity = 500}, {&door.get()->open});
    auto lane = open(consumer);
    REQUIRE(lane.submit(0));
    for (uint64_t i = 1; i < 500; ++i) { REQUIRE(lane.submit(i)); }
    using shared = core::direct_access<cuda::thread_scope_system>;
    REQUIRE(eventually([&]() noexcept {
      return shared::load(door.get()->waits, core::acquire, "test.waits") != 0;
    }));
    if (close_first) { consumer.close(); }
    CHECK(code_of(consumer.stop(queue::within(std::chrono::milliseconds(20)))) ==
          errc::deadline_passed);
    shared::store(door.get()->open, 1u, core::release, "test.door");
    auto const undone = consumer.stop(soon());
    REQUIRE(undone);
    uint64_t unprocessed = 0;
    for (uint64_t i = 0; i < 500; ++i) {
      auto const got = lane.try_result(i);
      REQUIRE(got);
      unprocessed += got->status == queue::status::unprocessed ? 1 : 0;
    }
    CHECK(unprocessed == *undone);
  }
}

TEST_CASE_TEMPLATE("device: workers leave without a call of CUDA", P, by_thread<64>,
                   direct<by_thread<64>>, dma<by_thread<64>>) {
  auto consumer = on_device<P>({.workers = 3});
  consumer.close();
  CHECK(eventually([&]() noexcept { return consumer.stats().exited == 3; }));
}

TEST_CASE("device: more workers than can be resident are refused with the number that can") {
  auto const refused = queue::launch<by_block<64>>(core::backend::cuda(0), {.workers = 1u << 18});
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::not_co_resident);
  REQUIRE(refused.error().native > 0);
  auto const fit = static_cast<std::uint32_t>(refused.error().native);
  CHECK((all_right<by_block<64>, 64>({.capacity = 50, .workers = fit}, 200)));
  auto const one_more = queue::launch<by_block<64>>(core::backend::cuda(0), {.workers = fit + 1});
  CHECK(code_of(one_more) == errc::not_co_resident);
}

TEST_CASE("device: a device that is not there is refused with the reason") {
  auto const refused = queue::launch<by_thread<64>>(core::backend::cuda(1 << 20), {});
  CHECK(code_of(refused) == errc::no_device);
  CHECK(code_of(queue::launch<by_thread<64>>(core::backend::cuda(0), {.capacity = 0})) ==
        errc::bad_argument);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("device: automatic takes the device and says so") {
  auto const made = queue::launch<by_thread<64>>(core::backend::automatic(), {});
  REQUIRE(made);
  CHECK(made->where().kind() == core::backend_kind::cuda);
  CHECK(!made->why().empty());
}

TEST_CASE("device: a consumer's end gives its memory back") {
  std::size_t before = 0, after = 0, total = 0;
  for (int i = 0; i < 12; ++i) {
    if (i == 2) { REQUIRE(core::cuda_check(cudaMemGetInfo(&before, &total))); }
    auto consumer = on_device<by_thread<1024>>({.lanes = 4, .capacity = 5'000});
    auto lane = open(consumer);
    auto const id = lane.submit(packet_of<1024>(1));
    REQUIRE(id);
    CHECK(lane.wait(*id, soon()));
  }
  REQUIRE(core::cuda_check(cudaMemGetInfo(&after, &total)));
  std::size_t const one_ring = std::size_t{4} * 5'000 * 1'040;
  CHECK(after + one_ring > before);
}

TEST_CASE("device: a consumer that the copy engine feeds ends and begins again, closed or not") {
  for (int i = 0; i < 8; ++i) {
    auto consumer = on_device<dma<by_warp<64>>>({.lanes = 2, .capacity = 50});
    auto lane = open(consumer);
    for (uint64_t n = 0; n < 50; ++n) { REQUIRE(lane.submit(packet_of<64>(n))); }
    if (i % 2 == 0) { consumer.close(); }
    if (i % 4 == 0) { CHECK(lane.drain(soon())); }
  }
}

TEST_CASE("device: a producer outlives the consumer and keeps its results") {
  std::optional consumer(on_device<by_thread<64>>({.capacity = 8}));
  auto lane = open(*consumer);
  for (uint64_t i = 0; i < 8; ++i) { REQUIRE(lane.submit(packet_of<64>(i))); }
  consumer.reset();
  for (uint64_t i = 0; i < 8; ++i) {
    CHECK(lane.try_result(i)->reply == sum_of(packet_of<64>(i)) + i);
  }
  CHECK(code_of(lane.submit(packet_of<64>(1))) == errc::closed);
}

TEST_CASE("device: other streams copy, launch and allocate while a consumer runs") {
  shared_object<std::uint32_t> word;
  cudaFuncAttributes
      loaded{};  // kernels are loaded before a persistent one runs, or may wait for it
  REQUIRE(core::cuda_check(cudaFuncGetAttributes(&loaded, add_one)));
  std::optional consumer(on_device<by_thread<64>>({.capacity = 8}));
  bool right = false;
  CHECK(comes_back(
      [&] {
        cudaStream_t stream = nullptr;
        std::uint32_t* there = nullptr;
        std::uint32_t here = 41;
        std::size_t const size = sizeof here;
        right = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess &&
                cudaMallocAsync(&there, size, stream) == cudaSuccess &&
                cudaMemcpyAsync(there, &here, size, cudaMemcpyDefault, stream) == cudaSuccess;
        if (right) { add_one<<<1, 32, 0, stream>>>(there); }
        right =
            right &&
            cudaMemcpyAsync(word.get(), there, size, cudaMemcpyDefault, stream) == cudaSuccess &&
            cudaFreeAsync(there, stream) == cudaSuccess &&
            cudaStreamSynchronize(stream) == cudaSuccess &&
            cudaStreamDestroy(stream) == cudaSuccess;
      },
      [&] { consumer.reset(); }));
  CHECK(right);
  CHECK(*word.get() == 42);
  REQUIRE(consumer);
  auto lane = open(*consumer);
  auto const id = lane.submit(packet_of<64>(5));
  REQUIRE(id);
  CHECK(lane.wait(*id, soon()));
}

TEST_CASE("device: cudaMalloc and cudaMemcpy come back while a consumer runs") {
  std::optional consumer(on_device<by_thread<64>>({.capacity = 8}));
  void* there = nullptr;
  uint64_t here = 7, again = 0;
  CHECK(comes_back([&] { static_cast<void>(cudaMalloc(&there, sizeof here)); },
                   [&] { consumer.reset(); }));
  CHECK(comes_back(
      [&] {
        static_cast<void>(cudaMemcpy(there, &here, sizeof here, cudaMemcpyHostToDevice));
        static_cast<void>(cudaMemcpy(&again, there, sizeof here, cudaMemcpyDeviceToHost));
      },
      [&] { consumer.reset(); }));
  CHECK(again == here);
  // cudaFree may wait for every kernel of the device: said, not demanded
  WARN(comes_back([&] { static_cast<void>(cudaFree(there)); }, [&] { consumer.reset(); },
                  std::chrono::seconds(1)));
}

TEST_CASE("device: a second consumer of another policy starts beside the first") {
  std::optional first(on_device<by_thread<64>>({.capacity = 8}));
  bool right = false;
  CHECK(comes_back([&] { right = all_right<by_warp<256>, 256>({.capacity = 9, .workers = 2}, 50); },
                   [&] { first.reset(); }));
  CHECK(right);
  REQUIRE(first);
  auto lane = open(*first);
  auto const id = lane.submit(packet_of<64>(5));
  REQUIRE(id);
  CHECK(lane.wait(*id, soon())->reply == sum_of(packet_of<64>(5)) + *id);
}

TEST_CASE_TEMPLATE("device: parked workers come back and do each message once", P, arithmetic<plus>,
                   direct<arithmetic<plus>>, dma<arithmetic<plus>>) {
  auto consumer = on_device<P>({.lanes = 2, .capacity = 50, .workers = 2}, {7});
  auto a = open(consumer), b = open(consumer);
  for (int round = 0; round < 4; ++round) {
    REQUIRE(a.submit(1));
    REQUIRE(consumer.park(soon()));
    CHECK(consumer.parked());
    for (uint64_t i = 0; i < 20; ++i) { REQUIRE(b.submit(i)); }
    REQUIRE(consumer.resume());
    REQUIRE(b.drain(soon()));
    REQUIRE(a.drain(soon()));
    CHECK(a.poll([](auto const& got) noexcept { CHECK(got.reply == 8); }) == 1);
    uint64_t sum = 0;
    CHECK(b.poll([&](auto const& got) noexcept { sum += got.reply; }) == 20);
    CHECK(sum == 190 + 20 * 7);
  }
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 4 * 21; }));
}

TEST_CASE_TEMPLATE("device: a functor is swapped under load without losing or repeating a message",
                   P, arithmetic<plus>, dma<arithmetic<plus>>) {
  auto consumer = on_device<P>({.capacity = 200, .workers = 3}, {0});
  auto lane = open(consumer);
  uint64_t taken = 0, wrong = 0, sent = 0;
  auto const work = [&](uint64_t messages) {
    for (uint64_t const end = sent + messages; sent < end;) {
      if (lane.submit(sent)) { ++sent; }
      taken += lane.poll([&](auto const& got) noexcept {
        uint64_t const n = got.id;
        wrong += got.reply == n || got.reply == 3 * n || got.reply == n + 1 ? 0 : 1;
      });
    }
  };
  std::int64_t longest_us = 0;
  for (int round = 0; round < 5; ++round) {
    work(500);
    auto const start = std::chrono::steady_clock::now();
    REQUIRE(queue::swap<multiplying<P>>(consumer, {3}, soon()));
    auto const pause = std::chrono::steady_clock::now() - start;
    longest_us = std::max<std::int64_t>(
        longest_us, std::chrono::duration_cast<std::chrono::microseconds>(pause).count());
    work(500);
    REQUIRE(queue::swap<P>(consumer, {1}, soon()));
  }
  MESSAGE("the longest pause took " << longest_us << " us");
  CHECK(eventually([&]() noexcept {
    taken += lane.poll([&](auto const&) noexcept {});
    return taken == sent;
  }));
  CHECK(wrong == 0);
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == sent; }));
}

TEST_CASE_TEMPLATE("device: a worker's state lives from epoch to epoch and can be replaced", P,
                   booking_policy<0>, booking_policy<8>, dma<booking_policy<8>>) {
  auto consumer = on_device<P>({.capacity = 32});
  auto lane = open(consumer);
  uint64_t const messages = 100;
  uint64_t sum = 0, taken = 0;
  for (uint64_t i = 0; i < messages;) {
    if (lane.submit(i)) { sum += i++; }
    taken += lane.poll([](auto const&) noexcept {});
  }
  REQUIRE(lane.drain(soon()));
  taken += lane.poll([](auto const&) noexcept {});
  CHECK(taken == messages);
  CHECK(code_of(consumer.state(0)) == errc::busy);
  REQUIRE(consumer.park(soon()));
  auto const kept = consumer.state(0);
  REQUIRE(kept);
  CHECK(kept->count == messages);
  CHECK(kept->sum == sum);
  REQUIRE(consumer.restore(0, {1'000, 0}));
  REQUIRE(consumer.resume());
  auto const id = lane.submit(5);
  REQUIRE(id);
  CHECK(lane.wait(*id, soon())->reply == 1'001);
}
