// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "support.hpp"

#include <array>

/// \file
/// What the tests of `pull` and `dma` share: a message that no single store could carry.

namespace queue_test {

struct block_of_words {
  std::array<uint64_t, 9> words;  ///< no multiple of 16 bytes
};
[[nodiscard]] inline block_of_words words_of(uint64_t n) {
  block_of_words out{};
  for (std::size_t i = 0; i < out.words.size(); ++i) { out.words[i] = n * 31 + i; }
  return out;
}
[[nodiscard]] inline uint64_t sum_of(block_of_words const& m) noexcept {
  uint64_t sum = 0;
  for (uint64_t const w : m.words) { sum = 3 * sum + w; }
  return sum;
}
struct summing {
  queue::status operator()(queue::message_view<block_of_words> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(sum_of(message.value()) + message.kind() + message.id());
    return queue::status::ok;
  }
};

}  // namespace queue_test
