// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../../pressure.hpp"
#include <millrace/queue.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

/// \file
/// Functors and waits that the queue's tests share.

namespace queue_test {

namespace core = millrace::core;
namespace queue = millrace::queue;
using millrace::errc;
using millrace::result;
using std::uint64_t;

/// A deadline that only a test that hangs reaches.
inline millrace::recover::deadline soon() noexcept {
  return queue::within(std::chrono::seconds(30));
}
/// A deadline that has passed.
inline millrace::recover::deadline now() noexcept {
  return queue::within(std::chrono::nanoseconds(0));
}

/// Gives the processor away until `ready()` holds; false when it never does.
template <class Ready>
[[nodiscard]] bool eventually(Ready ready) noexcept {
  auto const until = soon();
  while (!ready()) {
    if (until.expired(core::steady_clock{})) { return false; }
    core::yield_thread();
  }
  return true;
}

/// Time that stands still until a test moves it, and counts who asks. All tests share it.
struct still_clock {
  static inline std::atomic<uint64_t> time_ns{1'000'000};
  static inline std::atomic<uint64_t> asked{0};
  [[nodiscard]] static uint64_t now_ns() noexcept {
    uint64_t const now = time_ns.load();
    ++asked;
    return now;
  }
};

template <class T>
[[nodiscard]] errc code_of(result<T> const& r) noexcept {
  return r ? errc::ok : r.error().code;
}

/// Replies with twice the message, plus one, and its kind in the top byte.
struct twice_plus_one {
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(2 * message.value() + 1 + (uint64_t{message.kind()} << 56));
    return queue::status::ok;
  }
};
[[nodiscard]] MILLRACE_HD inline uint64_t answer_to(uint64_t message,
                                                    std::uint8_t kind = 0) noexcept {
  return 2 * message + 1 + (uint64_t{kind} << 56);
}

/// Holds a worker inside the functor until the test lets it go.
struct gate {
  std::atomic<uint64_t> held{~uint64_t{0}};  ///< the message that waits
  std::atomic<bool> open{false};
  std::atomic<std::uint32_t> entered{0};
  std::atomic<std::uint32_t> left{0};

  [[nodiscard]] bool occupied() const noexcept { return entered != left; }
};

struct gated {
  gate* door = nullptr;

  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    if (message.value() == door->held) {
      ++door->entered;
      while (!door->open) { core::yield_thread(); }
      ++door->left;
    }
    reply.write(answer_to(message.value(), message.kind()));
    return queue::status::ok;
  }
};

struct gated_policy : queue::default_consumer<uint64_t, gated> {};

/// The same options, with the memory that the tests may run short of.
[[nodiscard]] inline queue::options drawing(queue::options with) {
  with.resource = millrace_test::resource();
  return with;
}

/// Launches host workers; the tests' options are valid.
template <class P>
[[nodiscard]] queue::consumer<P> launch(queue::options const& with,
                                        typename P::processor process = {}) {
  return core::value_or_throw(queue::launch<P>(core::backend::host(), drawing(with), process));
}
template <class P>
[[nodiscard]] queue::producer<P> open(queue::consumer<P>& from) {
  return core::value_or_throw(from.open_lane());
}

}  // namespace queue_test
