// SPDX-License-Identifier: Apache-2.0
// Functors whose code is loaded while the program runs. FUNCTOR_MODULE names functors/module.cu as
// it was built: as PTX, as a cubin for the newest device that this build is for, as a fatbin.
#include "support.hpp"
#include "unit/queue/functors/policies.hpp"
#include <millrace/queue/load_functor.cuh>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace load_functor_test {

using namespace queue_test;
using functor_test::factor;
using functor_test::plus_policy;
using queue::abi_field;
using queue::functor_library;

struct two_factors {
  uint64_t a = 1, b = 1;
};

[[nodiscard]] std::string file_of(char const* suffix) {
  return std::string(FUNCTOR_MODULE) + "." + suffix;
}
/// The module in this form; none, which is said, when it was built for other devices.
[[nodiscard]] std::optional<functor_library> library(char const* suffix) {
  auto made = functor_library::load_file(0, file_of(suffix).c_str());
  if (!made && made.error().code == errc::not_compiled) {
    MESSAGE(file_of(suffix) << " was built for other devices than this one");
    return std::nullopt;
  }
  return core::value_or_throw(std::move(made));
}
[[nodiscard]] queue::consumer<plus_policy> adding(queue::options const& with, uint64_t term) {
  return core::value_or_throw(
      queue::launch<plus_policy>(core::backend::cuda(0), with, functor_test::plus{term}));
}
[[nodiscard]] uint64_t ask(queue::producer<plus_policy>& lane, uint64_t message) {
  auto const id = lane.submit(message);
  REQUIRE(id);
  auto const got = lane.wait(*id, soon());
  REQUIRE(got);
  return got->reply;
}

}  // namespace load_functor_test

using namespace load_functor_test;

TEST_CASE("load_functor: a loaded functor takes over under load without losing or repeating any") {
  for (char const* const form : {"ptx", "cubin", "fatbin"}) {
    CAPTURE(form);
    auto const code = library(form);
    if (!code) { continue; }
    auto const times = code->find("times");
    REQUIRE(times);
    auto consumer = adding({.capacity = 200, .workers = 3}, 0);
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
    for (int round = 0; round < 4; ++round) {
      work(500);
      REQUIRE(queue::swap(consumer, *times, factor{3}, soon()));
      work(500);
      REQUIRE(queue::swap<plus_policy>(consumer, {1}, soon()));
    }
    CHECK(eventually([&]() noexcept {
      taken += lane.poll([&](auto const&) noexcept {});
      return taken == sent;
    }));
    CHECK(wrong == 0);
    CHECK(eventually([&]() noexcept { return consumer.stats().processed == sent; }));
  }
}

TEST_CASE("load_functor: the parameters are the program's, again and again") {
  auto const code = library("ptx");
  auto const times = code->find("times");
  REQUIRE(times);
  auto consumer = adding({.capacity = 8}, 5);
  auto lane = open(consumer);
  CHECK(ask(lane, 10) == 15);
  for (uint64_t const by : {2u, 3u, 1'000u}) {
    REQUIRE(queue::swap(consumer, *times, factor{by}, soon()));
    CHECK(ask(lane, 10) == 10 * by);
  }
}

TEST_CASE("load_functor: code is loaded while the consumer is parked") {
  auto consumer = adding({.capacity = 8}, 5);
  auto lane = open(consumer);
  CHECK(ask(lane, 10) == 15);
  REQUIRE(consumer.park(soon()));
  auto code = core::value_or_throw(functor_library::load_file(0, file_of("ptx").c_str()));
  auto times = code.find("times");
  REQUIRE(times);
  REQUIRE(queue::replace_device(consumer, *times, factor{4}));
  REQUIRE(consumer.resume());
  CHECK(ask(lane, 10) == 40);
  CHECK(code_of(queue::replace_device(consumer, *times, factor{4})) == errc::busy);
}

TEST_CASE("load_functor: what does not fit is refused by its field and the old functor goes on") {
  auto const code = library("ptx");
  auto const without_contract = code->find("without_contract");
  auto const narrow = code->find("narrow");
  auto const small_blocks = code->find("small_blocks");
  auto const times = code->find("times");
  REQUIRE(times);
  auto const bare = code->find("bare");
  auto const none = code->find("no_such_functor");
  auto consumer = adding({.capacity = 8}, 5);
  auto lane = open(consumer);
  auto const refused = [&](auto const& functor) {
    REQUIRE(functor);
    auto const answer = queue::swap(consumer, *functor, factor{3}, soon());
    REQUIRE(!answer);
    CHECK(answer.error().code == errc::layout_mismatch);
    CHECK(!consumer.parked());
    CHECK(ask(lane, 10) == 15);
    return static_cast<abi_field>(answer.error().native);
  };
  CHECK(refused(without_contract) == abi_field::contract);
  CHECK(refused(narrow) == abi_field::message_bytes);
  CHECK(refused(small_blocks) == abi_field::threads_per_block);
  auto const wide = queue::swap(consumer, *times, two_factors{}, soon());
  REQUIRE(!wide);
  CHECK(wide.error() == millrace::error{errc::layout_mismatch, core::origin::millrace,
                                        static_cast<std::int32_t>(abi_field::functor_bytes)});
  REQUIRE(!bare);
  CHECK(bare.error() == millrace::error{errc::layout_mismatch, core::origin::millrace, 1});
  REQUIRE(!none);
  CHECK(none.error() == millrace::error{errc::bad_argument, core::origin::millrace, 3});
  CHECK(ask(lane, 10) == 15);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("load_functor: a kernel of which too few blocks are resident is refused") {
  auto const code = library("ptx");
  auto const greedy = code->find("greedy");
  REQUIRE(greedy);
  auto const most = queue::launch<plus_policy>(core::backend::cuda(0), {.workers = 1u << 18});
  REQUIRE(code_of(most) == errc::not_co_resident);
  {  // as many as fit: nothing else of the device is resident beside them
    auto consumer =
        adding({.capacity = 8, .workers = static_cast<std::uint32_t>(most.error().native)}, 5);
    auto lane = open(consumer);
    auto const answer = queue::swap(consumer, *greedy, factor{3}, soon());
    CHECK(code_of(answer) == errc::not_co_resident);
    CHECK(ask(lane, 10) == 15);
  }
  auto few = adding({.capacity = 8}, 5);
  auto other = open(few);
  REQUIRE(queue::swap(few, *greedy, factor{3}, soon()));
  CHECK(ask(other, 10) == 30);
}

TEST_CASE("load_functor: a missing file, no code and half of it are refused, and leave no trace") {
  auto consumer = adding({.capacity = 8}, 5);
  auto lane = open(consumer);
  auto const missing = functor_library::load_file(0, file_of("missing").c_str());
  REQUIRE(!missing);
  CHECK(missing.error() == millrace::error{errc::native_failure, core::origin::posix, ENOENT});
  std::vector<std::byte> garbage(1'000);
  for (std::size_t i = 0; i < garbage.size(); ++i) { garbage[i] = static_cast<std::byte>(i * 37); }
  CHECK(functor_library::load(0, garbage).error() ==
        millrace::error{errc::bad_argument, core::origin::millrace, 1});
  auto whole = core::value_or_throw(queue::read_code(file_of("cubin").c_str()));
  whole.resize(whole.size() / 2);
  CHECK(functor_library::load(0, whole).error() ==
        millrace::error{errc::bad_argument, core::origin::millrace, 2});
  CHECK(code_of(functor_library::load_file(1 << 20, file_of("ptx").c_str())) == errc::no_device);
  CHECK(ask(lane, 10) == 15);
  REQUIRE(consumer.park(soon()));
  std::string const nonsense = ".version 8.0\n.target sm_75\n.address_size 64\nthis is no PTX\n";
  std::vector<std::byte> text(nonsense.size());
  std::memcpy(text.data(), nonsense.data(), text.size());
  auto const compiled = functor_library::load(0, text);
  CHECK((!compiled || !compiled->find("times")));  // a lazy driver compiles when it must
  REQUIRE(consumer.resume());
  CHECK(ask(lane, 10) == 15);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("load_functor: a library is unloaded when nobody can run its code any more") {
  auto code = library("ptx");
  {
    auto times = std::optional(code->find("times"));
    REQUIRE(*times);
    auto consumer = adding({.capacity = 8}, 5);
    auto lane = open(consumer);
    {
      CHECK(code_of(code->unload()) == errc::busy);
      REQUIRE(queue::swap(consumer, **times, factor{2}, soon()));
      times.reset();
    }
    CHECK(code_of(code->unload()) == errc::busy);
    CHECK(ask(lane, 10) == 20);
    REQUIRE(queue::swap<plus_policy>(consumer, {1}, soon()));
    REQUIRE(consumer.park(soon()));
    CHECK(code->unload());
    REQUIRE(consumer.resume());
    CHECK(ask(lane, 10) == 11);
  }
  CHECK(code_of(code->unload()) == errc::closed);
  CHECK(code_of(code->find("times")) == errc::closed);
}

TEST_CASE("load_functor: host threads cannot run a device's code") {
  auto const code = library("ptx");
  auto const times = code->find("times");
  REQUIRE(times);
  auto consumer = launch<plus_policy>({.capacity = 8}, {5});
  CHECK(code_of(queue::swap(consumer, *times, factor{2}, soon())) == errc::not_compiled);
  auto lane = open(consumer);
  CHECK(ask(lane, 10) == 15);
}
