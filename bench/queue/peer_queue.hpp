// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>
#include <utility>

namespace millrace::bench {

/// A producing thread's end of a peer queue. `try_push` takes up to `n` messages, a
/// single-operation queue one at a time, and returns how many it took: 0 when the queue is full.
template <class S, class T>
concept peer_source = requires(S s, T const* m, std::size_t n) {
  { s.try_push(m, n) } -> std::same_as<std::size_t>;
};

/// A consuming thread's end of a peer queue. `try_consume(f)` calls `f(message)` for one message,
/// or for each of a batch, and returns for how many: 0 when the queue is empty.
template <class D, class T>
concept peer_drain = requires(D d, void (*f)(T const&)) {
  { d.try_consume(f) } -> std::same_as<std::size_t>;
};

/// A queue of another library behind one face. A queue that waits inside its operations never
/// returns 0 from them.
template <class Q, class T>
concept peer_queue = requires(Q q) {
  { Q::name } -> std::convertible_to<std::string_view>;
  { Q::batch } -> std::convertible_to<std::size_t>;  // messages that a producer builds at a time
  requires peer_source<decltype(q.source()), T>;
  requires peer_drain<decltype(q.drain()), T>;
};

/// Slots of every bounded queue in the queue benches.
inline constexpr std::size_t slots = 1024;

/// Messages that move at once in the bulk benches.
inline constexpr std::size_t bulk = 32;

}  // namespace millrace::bench
