// SPDX-License-Identifier: Apache-2.0
// What device threads and host threads owe each other: a started thread goes on while others wait,
// for the host too, and all workers of a cooperative grid are there at once. The host calls nothing
// of the runtime while it is waited for.
#include "support.cuh"
#include <millrace/core/device_guard.cuh>
#include <millrace/memory/device_resource.cuh>

#include <cstdint>
#include <vector>

using namespace progress_test;

namespace {

using device_word = cuda::atomic_ref<std::uint32_t, cuda::thread_scope_device>;

/// Words in pinned memory, each with one writer.
struct court {
  struct alignas(128) {
    std::uint32_t turn = 0;
    std::uint32_t payload = 0;  ///< plain: it comes with the turn
  } host, device;
  struct alignas(128) {
    std::uint32_t called_off = 0;  ///< by a host that gave up
  } end;
};

/// Waits until `holds()`; false when the host calls it off.
template <class Holds>
[[nodiscard]] MILLRACE_HD bool wait_for(court& on, Holds holds) noexcept {
  while (!holds()) {
    if (shared_word(on.end.called_off).load(core::relaxed) != 0) { return false; }
    core::relax_for(200);
  }
  return true;
}

/// Calls everything off at its end, so that the consumer made before it can always end.
class referee {
 public:
  explicit referee(court& on) : on_(on) {}
  referee(referee const&) = delete;
  referee& operator=(referee const&) = delete;
  ~referee() { shared_word(on_.end.called_off).store(1, core::release); }

 private:
  court& on_;
};

/// Plays as many rounds with the host as the message says, and answers how many were right.
struct rally {
  court* on = nullptr;

  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    auto const rounds = static_cast<std::uint32_t>(message.value());
    uint64_t right = 0;
    for (std::uint32_t i = 1; i <= rounds; ++i) {
      on->device.payload = 7 * i;
      shared_word(on->device.turn).store(i, core::release);
      if (!wait_for(*on, [&] { return shared_word(on->host.turn).load(core::acquire) == i; })) {
        break;
      }
      right += on->host.payload == 13 * i ? 1 : 0;
    }
    reply.write(right);
    return queue::status::ok;
  }
};

/// Waits until the host's turn is the message, or not at all for 0.
struct patient {
  court* on = nullptr;

  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    if (wait(message.value())) { reply.write(answer_to(message.value())); }
    return queue::status::ok;
  }
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    if (group.rank() == 0 && wait(message.value())) { reply.write(answer_to(message.value())); }
    return queue::status::ok;
  }

 private:
  [[nodiscard]] MILLRACE_HD bool wait(uint64_t turn) const noexcept {
    return turn == 0 || wait_for(*on, [&] {
             return shared_word(on->host.turn).load(core::acquire) ==
                    static_cast<std::uint32_t>(turn);
           });
  }
};

/// Says that it is there, then waits for two others.
struct appointment {
  std::uint32_t worker;
  std::uint32_t workers;
  std::uint32_t round;
};
struct meeting {
  std::uint32_t* there = nullptr;  ///< [workers], in device memory
  court* on = nullptr;

  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<appointment> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    if (group.rank() == 0) {
      appointment const mine = message.value();
      device_word(there[mine.worker]).store(mine.round, core::release);
      bool const met = wait_for(*on, [&] {
        return arrived(mine, mine.worker + 1) && arrived(mine, mine.worker + mine.workers / 2);
      });
      reply.write(met ? mine.round : 0);
    }
    return queue::status::ok;
  }

 private:
  [[nodiscard]] MILLRACE_HD bool arrived(appointment const& at, std::uint32_t who) const noexcept {
    return device_word(there[who % at.workers]).load(core::acquire) >= at.round;
  }
};

/// Message n waits until message n - 1 has passed the word on. Messages that were taken together
/// are done by the threads of one warp.
struct chain {
  std::uint32_t* passed = nullptr;  ///< in device memory
  court* on = nullptr;

  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    auto const before = static_cast<std::uint32_t>(message.value());
    bool const came =
        wait_for(*on, [&] { return device_word(*passed).load(core::acquire) == before; });
    if (came) { device_word(*passed).store(before + 1, core::release); }
    reply.write(came ? 1 : 0);
    return queue::status::ok;
  }
};

/// One worker a lane, by all ways to the workers and widths.
template <class Message, class Processor, queue::width Width, queue::ingress_mode Ingress>
struct pinned : queue::default_consumer<Message, Processor> {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr queue::width processing = Width;
  static constexpr queue::ingress_mode ingress = Ingress;
};
constexpr auto by_pull = queue::ingress_mode::pull;
constexpr auto by_bus = queue::ingress_mode::direct;
constexpr auto by_copy = queue::ingress_mode::dma;
using queue::width;
template <width Width, queue::ingress_mode Ingress>
using patient_of = pinned<uint64_t, patient, Width, Ingress>;
template <width Width, queue::ingress_mode Ingress>
using meeting_of = pinned<appointment, meeting, Width, Ingress>;
template <queue::ingress_mode Ingress>
using rally_of = pinned<uint64_t, rally, width::thread, Ingress>;
template <queue::ingress_mode Ingress>
using chain_of = pinned<uint64_t, chain, width::thread, Ingress>;

template <class P>
[[nodiscard]] queue::consumer<P> on_device(queue::options const& with,
                                           typename P::processor process) {
  return core::value_or_throw(queue::launch<P>(core::backend::cuda(0), with, process));
}

/// Zeroed words in the device's memory.
[[nodiscard]] memory::buffer<std::uint32_t, memory::device_resource> device_words(
    std::size_t count) {
  auto words = core::value_or_throw(memory::buffer<std::uint32_t, memory::device_resource>::make(
      count, memory::device_resource(0)));
  core::value_or_throw(core::cuda_check(cudaMemset(words.data(), 0, words.size_bytes())));
  core::value_or_throw(core::cuda_check(cudaDeviceSynchronize()));
  return words;
}

/// All workers wait for each other, round after round; whether all met.
template <class P>
[[nodiscard]] bool all_meet(std::uint32_t workers, std::uint32_t rounds) {
  watchdog const dog;
  auto const words = device_words(workers);
  auto const on = seen_by_both<court>(1);
  auto consumer = on_device<P>({.lanes = workers, .capacity = 2, .workers = workers},
                               {words.data(), on.data()});
  std::vector<queue::producer<P>> lanes;
  for (std::uint32_t w = 0; w < workers; ++w) { lanes.push_back(open(consumer)); }
  referee const calls(on[0]);
  bool met = true;
  for (std::uint32_t round = 1; round <= rounds; ++round) {
    for (std::uint32_t w = 0; w < workers; ++w) {
      met = met && lanes[w].submit({w, workers, round}).has_value();
    }
    std::uint32_t answers = 0;
    met = met && eventually([&]() noexcept {
            for (auto& lane : lanes) {
              answers +=
                  lane.poll([&](auto const& got) noexcept { met = met && got.reply == round; });
            }
            return answers == workers;
          });
  }
  return met;
}

}  // namespace

TEST_CASE_TEMPLATE("progress: a worker and a host thread take turns through words they share", P,
                   rally_of<by_pull>, rally_of<by_bus>, rally_of<by_copy>) {
  constexpr std::uint32_t rounds = 2'000;
  watchdog const dog;
  auto const on = seen_by_both<court>(1);
  court& words = on[0];
  auto consumer = on_device<P>({.capacity = 4}, {on.data()});
  auto lane = open(consumer);
  referee const calls(words);
  auto const id = lane.submit(rounds);
  REQUIRE(id);
  std::uint32_t right = 0;
  for (std::uint32_t i = 1; i <= rounds; ++i) {
    REQUIRE(eventually(
        [&]() noexcept { return shared_word(words.device.turn).load(core::acquire) == i; }));
    right += words.device.payload == 7 * i ? 1 : 0;
    words.host.payload = 13 * i;
    shared_word(words.host.turn).store(i, core::release);
  }
  CHECK(right == rounds);
  auto const answer = lane.wait(*id, soon());
  REQUIRE(answer);
  CHECK(answer->reply == rounds);
}

TEST_CASE_TEMPLATE("progress: a functor waits for what the host does after its submit", P,
                   patient_of<width::thread, by_pull>, patient_of<width::thread, by_bus>,
                   patient_of<width::thread, by_copy>, patient_of<width::warp, by_pull>,
                   patient_of<width::block, by_bus>) {
  watchdog const dog;
  auto const on = seen_by_both<court>(1);
  auto consumer = on_device<P>({.capacity = 4}, {on.data()});
  auto lane = open(consumer);
  referee const calls(on[0]);
  for (std::uint32_t i = 1; i <= 200; ++i) {
    auto const id = lane.submit(i);
    REQUIRE(id);
    for (int look = 0; look < 50; ++look) {
      CHECK(code_of(lane.try_result(*id)) == errc::not_ready);
      core::relax_for(1'000);
    }
    shared_word(on[0].host.turn).store(i, core::release);
    uint64_t reply = 0;
    REQUIRE(eventually([&]() noexcept {
      auto const got = lane.try_result(*id);
      if (got) { reply = got->reply; }
      return got.has_value();
    }));
    CHECK(reply == answer_to(i));
  }
}

TEST_CASE_TEMPLATE("progress: a worker that waits holds no other up", P,
                   patient_of<width::thread, by_pull>, patient_of<width::thread, by_bus>,
                   patient_of<width::warp, by_pull>, patient_of<width::warp, by_bus>,
                   patient_of<width::warp, by_copy>, patient_of<width::block, by_pull>,
                   patient_of<width::block, by_bus>) {
  watchdog const dog;
  auto const on = seen_by_both<court>(1);
  auto consumer = on_device<P>({.lanes = 2, .capacity = 16, .workers = 2}, {on.data()});
  auto blocked = open(consumer), free = open(consumer);
  referee const calls(on[0]);
  auto const held = blocked.submit(1);
  REQUIRE(held);
  uint64_t sent = 0, answered = 0, right = 0;
  CHECK(eventually([&]() noexcept {
    while (sent < 2'000 && free.submit(0)) { ++sent; }
    answered += free.poll([&](auto const& got) noexcept { right += got.reply == answer_to(0); });
    return answered == 2'000;
  }));
  CHECK(right == 2'000);
  CHECK(code_of(blocked.try_result(*held)) == errc::not_ready);
  shared_word(on[0].host.turn).store(1, core::release);
  auto const answer = blocked.wait(*held, soon());
  REQUIRE(answer);
  CHECK(answer->reply == answer_to(1));
}

TEST_CASE("progress: workers wait for each other, for all are there at once") {
  CHECK(all_meet<meeting_of<width::warp, by_pull>>(64, 100));
  CHECK(all_meet<meeting_of<width::warp, by_bus>>(64, 100));
  CHECK(all_meet<meeting_of<width::warp, by_copy>>(64, 100));
  CHECK(all_meet<meeting_of<width::block, by_pull>>(64, 100));
  CHECK(all_meet<meeting_of<width::block, by_bus>>(64, 100));
}

TEST_CASE("progress: as many workers as the device holds wait for each other") {
  using policy = meeting_of<width::block, by_bus>;
  auto const refused =
      queue::launch<policy>(core::backend::cuda(0), {.workers = 1u << 18}, meeting{});
  REQUIRE(!refused);
  REQUIRE(refused.error().code == errc::not_co_resident);
  REQUIRE(refused.error().native > 0);
  CHECK(all_meet<policy>(static_cast<std::uint32_t>(refused.error().native), 20));
}

/// Said, not demanded: the compiler may let the threads of a warp meet behind the loop in which
/// they wait, and then the first one waits there for the others, which wait for it.
TEST_CASE_TEMPLATE("progress: whether threads of a warp can wait for each other's messages", P,
                   chain_of<by_pull>, chain_of<by_bus>) {
  watchdog const dog;
  auto const passed = device_words(1);
  auto const on = seen_by_both<court>(1);
  auto consumer = on_device<P>({.capacity = 64}, {passed.data(), on.data()});
  auto lane = open(consumer);
  uint64_t came = 0;
  std::uint32_t answers = 0;
  auto const take = [&]() noexcept {
    answers += lane.poll([&](auto const& got) noexcept { came += got.reply; });
    return answers == 32;
  };
  {
    referee const calls(on[0]);
    auto const build = [](std::uint32_t i, uint64_t& message) noexcept { message = i; };
    REQUIRE(lane.submit_batch(32, build));
    auto const until = queue::within(std::chrono::seconds(3));
    while (!take() && !until.expired(core::steady_clock{})) { core::yield_thread(); }
  }
  CHECK(eventually(take));  // once it is called off, if not before
  WARN(came == 32);
}
